"""Trains config.hjson once, with values for its axes.

python train.py --learning_rate 0.01 --num_epochs 5
"""

import argparse
import json
import os

from hopslite import configured


def print_metrics(epoch, metrics):
    """Print lines that are metrics of the trial, and points of their curves."""
    for name, value in metrics.items():
        print(json.dumps({"metric": name, "value": value, "step": epoch + 1}), flush=True)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--learning_rate", type=float, default=0.003)
    parser.add_argument("--num_epochs", type=int, default=5)
    parser.add_argument("--dropout", type=float, default=0.2)
    params = vars(parser.parse_args(arguments))
    folder = os.environ.get("HOPSLITE_OUTPUT", "output")
    return configured.fit("config.hjson", params, folder=folder, on_epoch=print_metrics)


if __name__ == "__main__":
    main()
