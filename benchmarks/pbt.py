"""Population based training beside random search at equal epochs: a convolutional network on real images.

    python benchmarks/pbt.py [--seeds N] [--first-seed N] [--population N] [--epochs N] [--interval N]

scikit-learn's handwritten digits, 8 × 8 pixels: a quarter for training, a quarter for validation, the rest for the
test. Both searches train as many networks for as many epochs, with the same first configurations and the same initial
weights for a seed; PBT replaces the worst quarter after each interval. Random search has the same chance to end at the
right time: its metric is the best validation loss after any of the intervals, as the best trial of PBT is one of any
interval. The test is of the network with that loss. Trials run one after another in this process, with one thread.
"""

from __future__ import annotations

import argparse
import functools
import os
import time
from pathlib import Path
from typing import Any

from _common import median, project, table

from hopslite import experiment, space
from hopslite.experiment import Run

SPACE = {
    "learning_rate": space.loguniform(1e-4, 1.0),
    "momentum": space.uniform(0.0, 0.99),
    "weight_decay": space.loguniform(1e-6, 1e-1),
    "dropout": space.uniform(0.0, 0.8),
}
BATCH = 32


@functools.cache
def images() -> list[Any]:
    """Images and digits for training, validation and the test."""
    import numpy as np
    import torch
    from sklearn.datasets import load_digits

    torch.set_num_threads(1)
    pixels, digits = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(pixels))
    quarter = len(pixels) // 4
    parts = order[:quarter], order[quarter : 2 * quarter], order[2 * quarter :]
    scaled = torch.tensor(pixels.reshape(-1, 1, 8, 8) / 16.0, dtype=torch.float32)
    return [(scaled[part], torch.tensor(digits[part])) for part in parts]


def train(
    learning_rate: float, momentum: float, weight_decay: float, dropout: float, seed: int, interval: int, budget: int
) -> dict[str, float]:
    """Train up to epoch `budget`, going on from the checkpoint if there is one; the best of all intervals counts."""
    import torch
    from torch import nn

    (x, y), validation, test = images()
    torch.manual_seed(seed)
    layers = [nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
    network = nn.Sequential(*layers, nn.Dropout(dropout), nn.Linear(128, 10))
    optimizer = torch.optim.SGD(network.parameters(), learning_rate, momentum, weight_decay=weight_decay)
    file = Path(experiment.checkpoint_dir() or "", "state.pt")
    begin = 0
    if file.exists():
        state = torch.load(file)
        begin = state["epoch"]
        network.load_state_dict(state["network"])
        buffers = [state["buffers"].get(place) for place in range(len(list(network.parameters())))]
        for parameter, buffer in zip(network.parameters(), buffers, strict=True):
            optimizer.state[parameter]["momentum_buffer"] = buffer
    best = {"loss": float("inf"), "accuracy": 0.0, "test": 0.0}
    for epoch in range(begin, budget):
        network.train()
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(1000 * seed + epoch))
        torch.manual_seed(1000 * seed + epoch)  # for the dropout
        for batch in order.split(BATCH):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(x[batch]), y[batch]).backward()
            optimizer.step()
        if (epoch + 1) % interval == 0:
            loss, accuracy = evaluated(network, *validation)
            if loss < best["loss"]:
                best = {"loss": loss, "accuracy": accuracy, "test": evaluated(network, *test)[1]}
    buffers = [optimizer.state[parameter].get("momentum_buffer") for parameter in network.parameters()]
    saved = {"epoch": budget, "network": network.state_dict(), "buffers": dict(enumerate(buffers))}
    torch.save(saved, file)
    return best


def evaluated(network: Any, x: Any, y: Any) -> tuple[float, float]:
    """Loss and accuracy in percent."""
    import torch

    network.eval()
    with torch.no_grad():
        output = network(x)
        loss = torch.nn.functional.cross_entropy(output, y)
        return float(loss), float((output.argmax(1) == y).float().mean()) * 100


def searched(algorithm: str, seed: int, population: int, epochs: int, interval: int) -> Run:
    fixed = {"seed": seed, "interval": interval}
    chosen = {"interval": interval, "max_budget": epochs} if algorithm == "pbt" else {}
    fn = functools.partial(train, **fixed, **({} if algorithm == "pbt" else {"budget": epochs}))
    with project() as folder:
        return experiment.search(
            fn,
            SPACE,
            algorithm,
            direction="min",
            optimization_key="loss",
            num_trials=population,
            algorithm_options=chosen,
            seed=seed,
            max_failures=10**6,  # a network that diverges has no metric
            pool="inline",
            project=folder,
            display=False,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--population", type=int, default=12)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--interval", type=int, default=2)
    options = parser.parse_args()
    os.environ.update(HOPSLITE_PLOTS="off", HOPSLITE_TRACKING_URI="none")
    began = time.perf_counter()
    rows: list[list[Any]] = []
    losses: dict[str, list[float]] = {"random": [], "pbt": []}
    wins = 0
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        row: list[Any] = [seed]
        for algorithm, values in losses.items():
            run = searched(algorithm, seed, options.population, options.epochs, options.interval)
            outputs = run.best_outputs or {}
            values.append(outputs["loss"])
            row += [f"{outputs['loss']:.4f}", f"{outputs['accuracy']:.2f}", f"{outputs['test']:.2f}"]
        is_better = losses["pbt"][-1] < losses["random"][-1]
        wins += is_better
        rows.append([*row, "pbt" if is_better else "random"])
        print(*rows[-1], f"({time.perf_counter() - began:.0f} s)", flush=True)
    heads = [f"{name}: {what}" for name in losses for what in ("loss", "accuracy, %", "test, %")]
    total = options.population * options.epochs
    title = (
        f"{options.population} networks for {options.epochs} epochs ({total} in all), intervals of {options.interval}"
    )
    table(title, ["seed", *heads, "better"], rows)
    medians = ", ".join(f"{name} {median(values):.4f}" for name, values in losses.items())
    print(f"\npbt is better in {wins} of {options.seeds} seeds; median validation loss: {medians}.")


if __name__ == "__main__":
    main()
