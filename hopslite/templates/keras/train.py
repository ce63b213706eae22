"""Trains a small network on handwritten digits, with Keras.

python train.py --lr 0.003 --epochs 8
"""

import argparse
import json
import os

import keras
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split


class PrintMetrics(keras.callbacks.Callback):
    """Prints lines that are metrics of the trial, and points of their curves."""

    def on_epoch_end(self, epoch, logs=None):
        for name, value in (logs or {}).items():
            print(json.dumps({"metric": name, "value": float(value), "step": epoch + 1}), flush=True)


def load():
    images, labels = load_digits(return_X_y=True)
    return train_test_split(images.reshape(-1, 8, 8, 1) / 16, labels, test_size=0.25, random_state=0)


def network(units, dropout):
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(16, 3, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(units, activation="relu"),
            keras.layers.Dropout(dropout),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )


def train(lr, epochs, units, dropout):
    keras.utils.set_random_seed(0)
    images, test_images, labels, test_labels = load()
    model = network(units, dropout)
    model.compile(keras.optimizers.Adam(lr), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(
        images,
        labels,
        batch_size=32,
        epochs=epochs,
        validation_data=(test_images, test_labels),
        callbacks=[PrintMetrics()],
        verbose=0,
    )
    return model


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lr", type=float, default=0.003)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--units", type=int, default=64)
    parser.add_argument("--dropout", type=float, default=0.2)
    model = train(**vars(parser.parse_args(arguments)))
    model.save(os.path.join(os.environ.get("HOPSLITE_OUTPUT", "."), "model.keras"))


if __name__ == "__main__":
    main()
