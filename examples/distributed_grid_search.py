"""A grid search in which each trial has two processes: with four slots, two trials run in parallel.

    python examples/distributed_grid_search.py

Needs `pip install hopslite torch scikit-learn` and Java 17 or 21; no data is downloaded.
"""

import os

from hopslite import experiment


def train(learning_rate, width):
    import torch
    import torch.distributed as dist
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split
    from torch import nn
    from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

    dist.init_process_group("gloo")
    images, labels = load_digits(return_X_y=True)
    split = train_test_split(images.astype("float32") / 16, labels, test_size=0.25, random_state=0)
    x_train, x_test, y_train, y_test = map(torch.from_numpy, split)
    sampler = DistributedSampler(data := TensorDataset(x_train, y_train), seed=0)
    loader = DataLoader(data, batch_size=32, sampler=sampler)

    network = nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))
    model = nn.parallel.DistributedDataParallel(network)
    optimizer = torch.optim.Adam(model.parameters(), learning_rate)
    for epoch in range(8):
        sampler.set_epoch(epoch)
        for x, y in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()

    with torch.no_grad():
        accuracy = (network(x_test).argmax(1) == y_test).float().mean().item()
    dist.destroy_process_group()
    return {"accuracy": accuracy}


if __name__ == "__main__":
    # Four slots, even on a machine with fewer cores. spark-submit overrides this line.
    os.environ.setdefault("PYSPARK_SUBMIT_ARGS", "--master local[4] pyspark-shell")
    best_logdir, best_params, outputs = experiment.grid_search(
        train,
        {"learning_rate": [0.01, 0.003], "width": [32, 128]},
        direction="max",
        optimization_key="accuracy",
        name="digits ddp search",
        strategy="torch",
        workers_per_trial=2,
    )
    print(f"best accuracy {outputs['accuracy']:.3f} with {best_params}; all of it is in {best_logdir}")
