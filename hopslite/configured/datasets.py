"""Data sets for configurations: functions that return training and validation data as `tf.data.Dataset`.

A function of one's own that returns `(training, validation)` works as well, with the decorator `export_config`; each
is a `tf.data.Dataset`, a `keras.utils.PyDataset` or a pair of arrays, and the validation may be None.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..core import extras
from ..core.suggestions import did_you_mean
from ..errors import InvalidArguments

if TYPE_CHECKING:
    import numpy as np

__all__ = ["arrays", "digits", "image_folder", "tfrecords"]

Pair = tuple[Any, Any]
SPLITS = (("train", "training"), ("validation", "valid", "val", "test"))  # names of folders
SHUFFLED = 10_000  # examples of a buffer
IMAGES = (".bmp", ".gif", ".jpeg", ".jpg", ".png")
TYPES = ("float32", "int64", "string")


def arrays(
    path: str,
    batch_size: int = 32,
    validation_split: float = 0.2,
    x: str = "x",
    y: str = "y",
    x_valid: str = "x_valid",
    y_valid: str = "y_valid",
    seed: int = 0,
) -> Pair:
    """Training and validation data from NumPy arrays in a file `.npz`.

    In a configuration: `{"hopslite.configured.datasets.arrays": {"path": "digits.npz", "batch_size": 64}}`.

    Args:
        path: the file; a reference such as `${inputs.train}` is an input of the run.
        batch_size: examples of a batch.
        validation_split: where the file has no validation data, the share of its examples that is used for it, from 0
            to below 1; they are drawn at random.
        x, y: the names of the inputs and targets in the file.
        x_valid, y_valid: those of the validation data.
        seed: of the split and of the order of batches.

    Raises:
        InvalidArguments: the file is missing or no `.npz`, has no arrays of these names, or of different lengths.
    """
    import numpy as np

    if not os.path.isfile(path):
        raise _invalid("arrays", f"there is no file {path!r}")
    try:
        with np.load(path, allow_pickle=False) as file:  # a pickle is a program
            have = {name: file[name] for name in file.files}
    except (ValueError, OSError, AttributeError) as error:
        raise _invalid("arrays", f"{path!r} is no .npz file of arrays: {error}") from None
    for name in (x, y):
        if name not in have:
            raise _invalid("arrays", f"{path!r} has no array {name!r}; it has {', '.join(have) or 'none'}")
    validation = (have[x_valid], have[y_valid]) if x_valid in have and y_valid in have else None
    return _datasets("arrays", (have[x], have[y]), validation, batch_size, validation_split, seed)


def digits(batch_size: int = 32, validation_split: float = 0.2, force_rgb: bool = False, seed: int = 0) -> Pair:
    """The 1797 handwritten digits of scikit-learn, for a first try: images of 8 x 8 x 1, from 0 to 1, in ten classes.

    In a configuration: `{"hopslite.configured.datasets.digits": {"batch_size": 64}}`.

    Args:
        batch_size: examples of a batch.
        validation_split: the share of the examples that is used for validation, from 0 to below 1.
        force_rgb: whether images have three channels instead of one, and are enlarged to 32 x 32, for models of
            `keras.applications`.
        seed: of the split and of the order of batches.

    Raises:
        MissingExtra: scikit-learn is not installed.
    """
    extras.require("train", "datasets.digits")
    from sklearn.datasets import load_digits

    data = load_digits()
    images = (data.images[..., None] / 16).astype("float32")
    if force_rgb:
        images = images.repeat(3, axis=3).repeat(4, axis=1).repeat(4, axis=2)
    return _datasets("digits", (images, data.target), None, batch_size, validation_split, seed)


def image_folder(
    path: str,
    image_size: Sequence[int] = (224, 224),
    batch_size: int = 32,
    validation_split: float = 0.2,
    force_rgb: bool = True,
    scale: float = 1 / 255,
    seed: int = 0,
) -> Pair:
    """Training and validation data from images in a folder for each class.

    In a configuration: `{"hopslite.configured.datasets.image_folder": {"path": "flowers", "image_size": [96, 96]}}`.

    Args:
        path: a folder with the folders `train` and `validation` (or `val`, `valid`, `test`), each with one folder per
            class; or a folder with one folder per class, whose images are split. A class is numbered by its place in
            the sorted names.
        image_size: height and width to which images are resized.
        batch_size: examples of a batch.
        validation_split: where there is no folder for it, the share of the images for the validation.
        force_rgb: whether images have three channels; otherwise one.
        scale: by which the pixels, from 0 to 255, are multiplied.
        seed: of the split and of the order of images.

    Raises:
        InvalidArguments: there is no such folder, or it has no images.
    """
    import keras

    train, validation = _split_folders(path)
    _check_split("image_folder", validation_split)
    options = {
        "image_size": tuple(image_size),
        "batch_size": batch_size,
        "color_mode": "rgb" if force_rgb else "grayscale",
        "seed": seed,
        "verbose": False,
    }

    def read(folder: str, **more: Any) -> Any:
        return keras.utils.image_dataset_from_directory(folder, **options, **more)

    if validation is not None:
        pair = read(train), read(validation, shuffle=False, class_names=_classes(train))
    elif validation_split:
        pair = tuple(read(train, validation_split=validation_split, subset="both"))
    else:
        pair = read(train), None
    scaled = [None if data is None else _scaled(data, scale) for data in pair]
    return scaled[0], scaled[1]


def tfrecords(
    path: str | Sequence[str],
    features: Mapping[str, Any],
    target: str,
    batch_size: int = 32,
    validation: str | Sequence[str] | None = None,
    validation_split: float = 0.2,
    images: Sequence[str] = (),
    image_size: Sequence[int] | None = None,
    scale: float = 1 / 255,
    seed: int = 0,
) -> Pair:
    """Training and validation data from files of TFRecords with `tf.train.Example`.

    In a configuration:

        {"hopslite.configured.datasets.tfrecords": {
            "path": "data/affnist/*.tfrecord",
            "features": {"image": "string", "label": "int64"},
            "images": ["image"], "image_size": [40, 40], "target": "label"
        }}

    Args:
        path: files, by a pattern or a list of patterns; a folder stands for its files.
        features: the type of each feature, "float32", "int64" or "string", or `[type, shape]`, such as
            `["float32", [8, 8, 1]]`.
        target: the name of the feature that is predicted; the others are the inputs, by name if there are several.
        batch_size: examples of a batch.
        validation: files of the validation data.
        validation_split: without `validation`, the share of the examples for it: one in so many, in their order.
        images: names of features that are encoded images (JPEG, PNG, GIF, BMP), which are decoded to three channels.
        image_size: height and width to which they are resized; needed where images differ in size.
        scale: by which their pixels, from 0 to 255, are multiplied.
        seed: of the order of examples.

    Raises:
        InvalidArguments: there are no such files, or a name or type is none.
    """
    from ._tfrecords import Reader

    for name, feature in features.items():
        kind = feature if isinstance(feature, str) else feature[0] if feature else None
        if kind not in TYPES:
            raise _invalid("tfrecords", f"feature {name!r} is {feature!r}; a type is {', '.join(TYPES)}")
    for name in (target, *images):
        if name not in features:
            hint = did_you_mean(name, features, f"features: {', '.join(features)}")
            raise _invalid("tfrecords", f"there is no feature {name!r}; {hint}")
    _check_split("tfrecords", validation_split)
    files = [_files(where) for where in (path, validation) if where is not None]
    reader = Reader(dict(features), target, tuple(images), tuple(image_size) if image_size else None, scale)
    return reader.datasets(files[0], files[1] if len(files) > 1 else None, batch_size, validation_split, seed)


def _datasets(
    function: str, train: tuple[np.ndarray, np.ndarray], validation: Any, batch_size: int, split: float, seed: int
) -> Pair:
    import numpy as np
    import tensorflow as tf

    _check_split(function, split)
    for inputs, targets in filter(None, (train, validation)):
        if len(inputs) != len(targets):
            raise _invalid(function, f"there are {len(inputs)} inputs and {len(targets)} targets")
    if validation is None and split:
        order = np.random.default_rng(seed).permutation(len(train[0]))
        count = round(len(order) * split)
        validation = tuple(part[order[:count]] for part in train)
        train = (train[0][order[count:]], train[1][order[count:]])
    data = tf.data.Dataset.from_tensor_slices(train)
    data = data.shuffle(min(len(train[0]), SHUFFLED), seed=seed).batch(batch_size).prefetch(tf.data.AUTOTUNE)
    if validation is None or not len(validation[0]):
        return data, None
    return data, tf.data.Dataset.from_tensor_slices(tuple(validation)).batch(batch_size)


def _split_folders(path: str) -> tuple[str, str | None]:
    """The folders of the training and of the validation data, the latter None where there is one for both."""
    if not os.path.isdir(path):
        raise _invalid("image_folder", f"there is no folder {path!r}")
    inside = {name.lower(): os.path.join(path, name) for name in os.listdir(path)}
    train, validation = (next((inside[name] for name in names if name in inside), None) for names in SPLITS)
    train = train or path
    for folder in filter(None, (train, validation)):
        if not any(file.lower().endswith(IMAGES) for _, _, files in os.walk(folder) for file in files):
            raise _invalid("image_folder", f"{folder!r} has no images ({', '.join(IMAGES)})")
    return train, validation


def _classes(folder: str) -> list[str]:
    return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir())


def _scaled(data: Any, scale: float) -> Any:
    import tensorflow as tf

    return data.map(lambda images, labels: (images * scale, labels), tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def _files(where: str | Sequence[str]) -> list[str]:
    import glob

    patterns = [where] if isinstance(where, str) else list(where)
    patterns = [os.path.join(pattern, "*") if os.path.isdir(pattern) else pattern for pattern in patterns]
    files = sorted({file for pattern in patterns for file in glob.glob(pattern) if os.path.isfile(file)})
    if not files:
        raise _invalid("tfrecords", f"there are no files {', '.join(patterns)}")
    return files


def _check_split(function: str, split: Any) -> None:
    if isinstance(split, bool) or not isinstance(split, int | float) or not 0 <= split < 1:
        raise _invalid(function, f"validation_split is a number from 0 to below 1; given {split!r}")


def _invalid(function: str, problem: str) -> InvalidArguments:
    return InvalidArguments(f"datasets.{function}", [problem])
