"""A PyTorch program with a command line, checkpoints and event files, which knows nothing of hopslite.

    python main.py --epochs 3 --out_dir out
    python main.py --epochs 5 --initial_epoch 3 --resume out/checkpoint.pt --out_dir out
    python main.py --test_net --resume out/checkpoint.pt

docs/coming-from.md has the same with `hopslite run`. Needs `torch`, `tensorboard` and `scikit-learn`.
"""

import argparse
import os

import torch
from digits.data import loaders
from digits.model import Network
from torch import nn
from torch.utils.tensorboard import SummaryWriter


def run_epoch(model, batches, optimizer=None):
    """Mean loss and accuracy over all batches; with an optimizer the model is trained."""
    model.train(optimizer is not None)
    total, loss_sum, correct = 0, 0.0, 0
    with torch.set_grad_enabled(optimizer is not None):
        for images, labels in batches:
            scores = model(images)
            loss = nn.functional.cross_entropy(scores, labels)
            if optimizer is not None:
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            total += len(labels)
            loss_sum += loss.item() * len(labels)
            correct += (scores.argmax(1) == labels).sum().item()
    return loss_sum / total, correct / total


def save(path, state):
    """Replace a checkpoint as a whole, so that a program that is killed leaves the one before."""
    torch.save(state, f"{path}.new")
    os.replace(f"{path}.new", path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--initial_epoch", type=int, default=0)
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--lr", type=float, default=0.05)
    parser.add_argument("--momentum", type=float, default=0.9)
    parser.add_argument("--weight_decay", type=float, default=1e-4)
    parser.add_argument("--out_dir", default="out")
    parser.add_argument("--resume", metavar="CHECKPOINT")
    parser.add_argument("--test_net", action="store_true", help="only evaluate the checkpoint of --resume")
    options = parser.parse_args()

    torch.manual_seed(options.initial_epoch)
    train_batches, test_batches = loaders(options.batch_size)
    model = Network()
    optimizer = torch.optim.SGD(
        model.parameters(), options.lr, momentum=options.momentum, weight_decay=options.weight_decay
    )
    if options.resume:
        state = torch.load(options.resume)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
    if options.test_net:
        if not options.resume:
            parser.error("--test_net needs a checkpoint: --resume CHECKPOINT")
        loss, accuracy = run_epoch(model, test_batches)
        print(f"test loss {loss:.4f}, accuracy {accuracy:.4f}")
        with SummaryWriter(os.path.join(options.out_dir, "test")) as writer:
            writer.add_scalar("accuracy", accuracy, options.initial_epoch)
        return

    os.makedirs(options.out_dir, exist_ok=True)
    with (
        SummaryWriter(os.path.join(options.out_dir, "train")) as train_writer,
        SummaryWriter(os.path.join(options.out_dir, "test")) as test_writer,
    ):
        test_writer.add_images("digits", next(iter(test_batches))[0][:16])
        for epoch in range(options.initial_epoch + 1, options.epochs + 1):
            for writer, values in (
                (train_writer, run_epoch(model, train_batches, optimizer)),
                (test_writer, run_epoch(model, test_batches)),
            ):
                for name, value in zip(("loss", "accuracy"), values, strict=True):
                    writer.add_scalar(name, value, epoch)
                writer.flush()
            print(f"epoch {epoch}: test loss {values[0]:.4f}, accuracy {values[1]:.4f}", flush=True)
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch}
            save(os.path.join(options.out_dir, "checkpoint.pt"), state)


if __name__ == "__main__":
    main()
