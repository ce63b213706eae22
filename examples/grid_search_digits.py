"""A grid search of a small Keras network on scikit-learn's handwritten digits.

    python examples/grid_search_digits.py

Needs `pip install 'hopslite[tensorflow]' scikit-learn matplotlib` and Java 17 or 21; no data is downloaded.
"""

from hopslite import experiment, tensorboard
from hopslite.experiment import Direction


def train(learning_rate, dropout):
    import keras
    import matplotlib.pyplot as plt
    from sklearn.datasets import load_digits
    from sklearn.metrics import ConfusionMatrixDisplay
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(images / 16.0, labels, test_size=0.25, random_state=0)
    model = keras.Sequential(
        [
            keras.Input((64,)),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dropout(dropout),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.Adam(learning_rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(
        x_train, y_train, epochs=8, verbose=0, callbacks=[keras.callbacks.TensorBoard(tensorboard.logdir())]
    )  # fmt: skip
    loss, accuracy = model.evaluate(x_test, y_test, verbose=0)

    predicted = model.predict(x_test, verbose=0).argmax(axis=1)
    ConfusionMatrixDisplay.from_predictions(y_test, predicted)
    plt.savefig("confusion.png")
    return {"accuracy": accuracy, "loss": loss, "plot": "confusion.png"}


if __name__ == "__main__":
    best_logdir, best_params, outputs = experiment.grid_search(
        train,
        {"learning_rate": [0.01, 0.003, 0.001], "dropout": [0.2, 0.5]},
        direction=Direction.MAX,
        optimization_key="accuracy",
        name="digits",
    )
    print(f"best accuracy {outputs['accuracy']:.3f} with {best_params}; all of it is in {best_logdir}")
