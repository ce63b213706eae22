"""Classifies images in the folders train/<class>/ and test/<class>/, with Keras.

python train.py --network lenet --num_epoch 5

The folder that holds train/ and test/ is --data, or $HOPSLITE_INPUT_DATA; without either, scikit-learn's handwritten
digits are written as pictures and used.
"""

import argparse
import contextlib
import json
import os

import digits
import keras
import matplotlib as mpl
import numpy as np

mpl.use("agg")
import matplotlib.pyplot as plt

AUGMENTATIONS = ("none", "color_distortion", "flip_random", "both")
NETWORKS = {"lenet": (32, 32), "resnet50": (64, 64), "vgg16": (64, 64)}  # name: height and width of its images


class PrintMetrics(keras.callbacks.Callback):
    """Prints lines that are metrics of the trial, and points of their curves."""

    def on_epoch_end(self, epoch, logs=None):
        for name, value in (logs or {}).items():
            print(json.dumps({"metric": name, "value": float(value), "step": epoch + 1}), flush=True)


def load(folder, size, batch_size):
    """Training images, test images, and the names of the classes."""

    def images(part, **options):
        return keras.utils.image_dataset_from_directory(
            os.path.join(folder, part), image_size=size, batch_size=batch_size, label_mode="int", seed=0, **options
        )

    train = images("train", shuffle=True)
    return train, images("test", shuffle=False, class_names=train.class_names), train.class_names


def augmentation(name):
    layers = []
    if name in ("color_distortion", "both"):
        layers += [keras.layers.RandomBrightness(0.2, value_range=(0, 255)), keras.layers.RandomContrast(0.2)]
    if name in ("flip_random", "both"):
        layers += [keras.layers.RandomFlip("horizontal")]
    return layers


def network(name, num_classes, aug_list="none", memory_saving_method="none"):
    """Model that takes images with values from 0 to 255."""
    image = keras.Input((*NETWORKS[name], 3))
    features = image
    for layer in augmentation(aug_list):
        features = layer(features)
    features = keras.layers.Rescaling(1 / 127.5, offset=-1)(features)
    # Rematerialisation: activations are computed again in the backward pass instead of being kept. The mode "full"
    # fails with TensorFlow for layers such as BatchNormalization, whose calls have keyword arguments.
    saving = keras.RematScope("activations") if memory_saving_method == "recomputing" else contextlib.nullcontext()
    with saving:
        if name == "lenet":
            features = lenet(features)
        else:
            base = {"resnet50": keras.applications.ResNet50, "vgg16": keras.applications.VGG16}[name]
            features = base(include_top=False, weights=None, pooling="avg", input_tensor=features).output
    return keras.Model(image, keras.layers.Dense(num_classes, activation="softmax")(features), name=name)


def lenet(features):
    for filters in (6, 16):
        features = keras.layers.Conv2D(filters, 5, padding="same", activation="relu")(features)
        features = keras.layers.AveragePooling2D(2)(features)
    features = keras.layers.Flatten()(features)
    for units in (120, 84):
        features = keras.layers.Dense(units, activation="relu")(features)
    return features


def train(folder, network_name, num_epoch, batch_size, aug_list, memory_saving_method, small_chunk, lr):
    """The trained model, its history, the names of the classes, and the true and predicted classes of test images."""
    keras.utils.set_random_seed(0)
    images, test_images, names = load(folder, NETWORKS[network_name], batch_size)
    model = network(network_name, len(names), aug_list, memory_saving_method)
    # Weights change after `small_chunk` batches, with the mean of their gradients.
    accumulated = {"gradient_accumulation_steps": small_chunk} if small_chunk > 1 else {}
    model.compile(keras.optimizers.Adam(lr, **accumulated), "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(
        images, epochs=num_epoch, validation_data=test_images, shuffle=False, callbacks=[PrintMetrics()], verbose=0
    )  # the data set shuffles
    predicted = model.predict(test_images, verbose=0).argmax(axis=1)
    return model, history.history, names, np.concatenate([np.asarray(labels) for _, labels in test_images]), predicted


def save(folder, model, history, names, true, predicted):
    """Write the model, the curves and the confusion matrix."""
    model.save(os.path.join(folder, "model.keras"))
    with open(os.path.join(folder, "classes.json"), "w") as file:
        json.dump(names, file)
    epochs = range(1, len(history["loss"]) + 1)
    for metric in ("accuracy", "loss"):
        figure, axis = plt.subplots(layout="constrained")
        axis.plot(epochs, history[metric], label="train")
        axis.plot(epochs, history[f"val_{metric}"], label="test")
        axis.set(xlabel="epoch", ylabel=metric)
        axis.legend()
        figure.savefig(os.path.join(folder, f"{metric}.png"))
    counts = np.zeros((len(names), len(names)), int)
    np.add.at(counts, (true, predicted), 1)
    figure, axis = plt.subplots(figsize=(3 + 0.4 * len(names),) * 2, layout="constrained")
    axis.imshow(counts, cmap="Blues")
    for row, column in np.ndindex(counts.shape):
        axis.text(column, row, counts[row, column], ha="center", va="center", color="0.3")
    axis.set(xlabel="predicted", ylabel="true", xticks=range(len(names)), yticks=range(len(names)))
    axis.set_xticklabels(names, rotation=90)
    axis.set_yticklabels(names)
    figure.savefig(os.path.join(folder, "confusion_matrix.png"))
    plt.close("all")


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=os.environ.get("HOPSLITE_INPUT_DATA"))
    parser.add_argument("--network", choices=NETWORKS, default="lenet")
    parser.add_argument("--num_epoch", type=int, default=5)
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--aug_list", choices=AUGMENTATIONS, default="none")
    parser.add_argument("--memory_saving_method", choices=["none", "recomputing"], default="none")
    parser.add_argument("--small_chunk", type=int, default=1)
    parser.add_argument("--lr", type=float, default=0.001)
    options = vars(parser.parse_args(arguments))
    output = os.environ.get("HOPSLITE_OUTPUT", ".")
    folder = options.pop("data") or digits.write()
    save(output, *train(folder, options.pop("network"), **options))


if __name__ == "__main__":
    main()
