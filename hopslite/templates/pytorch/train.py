"""Trains a convolutional network on handwritten digits, with PyTorch.

python train.py --lr 0.01 --epochs 5
"""

import argparse
import json
import os

import torch
from sklearn.datasets import load_digits
from torch import nn


def load():
    """Images of 8 × 8 with one channel, and their labels: 1,347 to train with, 450 to test with."""
    images, labels = load_digits(return_X_y=True)
    images = torch.tensor(images.reshape(-1, 1, 8, 8) / 16, dtype=torch.float32)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    images, labels = images[order], torch.tensor(labels)[order]
    return images[450:], labels[450:], images[:450], labels[:450]


def network(channels, dropout):
    return nn.Sequential(
        nn.Conv2d(1, channels, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(channels, 2 * channels, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(8 * channels, 10),
    )


def evaluate(model, images, labels):
    """Loss and accuracy."""
    model.eval()
    with torch.no_grad():
        scores = model(images)
    return nn.functional.cross_entropy(scores, labels).item(), (scores.argmax(1) == labels).float().mean().item()


def train(lr, epochs, channels, dropout, checkpoint="checkpoint.pt"):
    """Yields the epoch, the model, its loss and its accuracy; goes on from the checkpoint if there is one."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    images, labels, test_images, test_labels = (data.to(device) for data in load())
    torch.manual_seed(0)
    model = network(channels, dropout).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr)
    first = 0
    if os.path.exists(checkpoint):
        state = torch.load(checkpoint, map_location=device)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["epoch"]
    if first >= epochs:  # it was killed after its last epoch
        yield first, model, *evaluate(model, test_images, test_labels)
    for epoch in range(first + 1, epochs + 1):
        model.train()
        for batch in torch.randperm(len(images)).split(32):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images[batch]), labels[batch]).backward()
            optimizer.step()
        # Written beside it and renamed, so that a program that is killed leaves the checkpoint before.
        state = {"epoch": epoch, "model": model.state_dict(), "optimizer": optimizer.state_dict()}
        torch.save(state, f"{checkpoint}.new")
        os.replace(f"{checkpoint}.new", checkpoint)
        yield epoch, model, *evaluate(model, test_images, test_labels)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lr", type=float, default=0.003)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--channels", type=int, default=16)
    parser.add_argument("--dropout", type=float, default=0.2)
    options = parser.parse_args(arguments)
    # The same folder for all attempts of a trial: one that is run again after a failure goes on.
    checkpoint = os.path.join(os.environ.get("HOPSLITE_CHECKPOINT_DIR", "."), "checkpoint.pt")
    for epoch, model, loss, accuracy in train(**vars(options), checkpoint=checkpoint):
        # A line of this form is a metric of the trial, and a point of its curve.
        print(json.dumps({"metric": "loss", "value": loss, "step": epoch}), flush=True)
        print(json.dumps({"metric": "accuracy", "value": accuracy, "step": epoch}), flush=True)
    torch.save(model.state_dict(), os.path.join(os.environ.get("HOPSLITE_OUTPUT", "."), "model.pt"))


if __name__ == "__main__":
    main()
