"""Trains softmax regression on handwritten digits, with NumPy.

python train.py --lr 0.5 --epochs 20
"""

import argparse
import json
import os

import numpy as np
from sklearn.datasets import load_digits


def load():
    """Images as rows of 64 numbers from 0 to 1, and their labels: 1,347 to train with, 450 to test with."""
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(images))
    images, labels = images[order] / 16, labels[order]
    return images[450:], labels[450:], images[:450], labels[:450]


def probabilities(images, weights, bias):
    scores = images @ weights + bias
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def train(lr, epochs, batch_size, weight_decay=0.0, seed=0):
    """Yields the weights, the loss and the accuracy on the test images after each epoch."""
    images, labels, test_images, test_labels = load()
    random = np.random.default_rng(seed)
    weights, bias = np.zeros((images.shape[1], 10)), np.zeros(10)
    for _ in range(epochs):
        for batch in np.array_split(random.permutation(len(images)), max(1, len(images) // batch_size)):
            error = probabilities(images[batch], weights, bias) - np.eye(10)[labels[batch]]
            weights -= lr * (images[batch].T @ error / len(batch) + weight_decay * weights)
            bias -= lr * error.mean(axis=0)
        test = probabilities(test_images, weights, bias)
        loss = -np.log(test[np.arange(len(test)), test_labels] + 1e-12).mean()
        yield weights, bias, float(loss), float((test.argmax(axis=1) == test_labels).mean())


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lr", type=float, default=0.5)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--weight_decay", type=float, default=0.0)
    options = parser.parse_args(arguments)
    for epoch, (weights, bias, loss, accuracy) in enumerate(train(**vars(options)), 1):
        # A line of this form is a metric of the trial, and a point of its curve.
        print(json.dumps({"metric": "loss", "value": loss, "step": epoch}))
        print(json.dumps({"metric": "accuracy", "value": accuracy, "step": epoch}))
    folder = os.environ.get("HOPSLITE_OUTPUT", ".")  # what is written there is kept with the trial
    np.savez(os.path.join(folder, "model.npz"), weights=weights, bias=bias)


if __name__ == "__main__":
    main()
