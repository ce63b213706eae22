"""An ablation study: the layers of a small convolutional network are left out, one at a time.

    python examples/ablation.py

Needs `pip install 'hopslite[tensorflow]' scikit-learn` and Java 17 or 21; no data is downloaded.
"""

from hopslite import experiment
from hopslite.ablation import AblationStudy


def base_model():
    import keras

    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(16, 3, padding="same", activation="relu", name="conv_1"),
            layers.Conv2D(16, 3, padding="same", activation="relu", name="conv_2"),
            layers.MaxPooling2D(name="pool"),
            layers.Flatten(name="flatten"),
            layers.Dropout(0.3, name="dropout"),
            layers.Dense(32, activation="relu", name="dense"),
            layers.Dense(10, activation="softmax", name="output"),
        ]
    )


def dataset(ablated_feature=None):
    """The digits; without the feature "right half", only their left halves."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8, 1) / 16.0
    if ablated_feature == "right half":
        images[:, :, 4:] = 0.0
    return train_test_split(images, labels, test_size=0.25, random_state=0)


def train(dataset_function, model_function):
    import keras

    keras.utils.set_random_seed(0)
    x_train, x_test, y_train, y_test = dataset_function()
    model = model_function()
    model.compile(keras.optimizers.Adam(0.002), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x_train, y_train, epochs=8, batch_size=64, verbose=0)
    _, accuracy = model.evaluate(x_test, y_test, verbose=0)
    return accuracy


if __name__ == "__main__":
    study = AblationStudy(dataset_generator=dataset)
    study.features.include("right half")
    study.model.set_base_model_generator(base_model)
    study.model.layers.include("conv_2", "dense")
    study.model.layers.include_groups(["conv_2", "dense"])

    run = experiment.ablation(train, study, direction="max", name="digits ablation")
    print(run.ablation)
    print(f"run directory: {run.logdir}")
