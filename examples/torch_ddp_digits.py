"""Two processes that train one PyTorch network with DistributedDataParallel.

    python examples/torch_ddp_digits.py

Needs `pip install hopslite torch scikit-learn` and Java 17 or 21; no data is downloaded.
"""

import os

from hopslite import experiment


def train(epochs=12):
    import torch
    import torch.distributed as dist
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split
    from torch import nn
    from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

    dist.init_process_group()  # hopslite has set the variables that it reads
    print(f"rank {dist.get_rank()} of {dist.get_world_size()}")
    # Each member sees only its own GPU, as device 0, and LOCAL_RANK is 0.
    device = f"cuda:{os.environ['LOCAL_RANK']}" if torch.cuda.is_available() else "cpu"

    images, labels = load_digits(return_X_y=True)
    split = train_test_split(images.astype("float32") / 16, labels, test_size=0.25, random_state=0)
    x_train, x_test, y_train, y_test = (torch.from_numpy(part).to(device) for part in split)
    data = TensorDataset(x_train, y_train)
    sampler = DistributedSampler(data, seed=0)  # each rank gets one half
    loader = DataLoader(data, batch_size=32, sampler=sampler)

    network = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, 10)).to(device)
    model = nn.parallel.DistributedDataParallel(network)  # the same weights in all members, and averaged gradients
    optimizer = torch.optim.Adam(model.parameters(), 0.005)
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        losses = []
        for x, y in loader:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        print(f"epoch {epoch}: loss {sum(losses) / len(losses):.3f}")

    model.eval()
    with torch.no_grad():
        accuracy = (network(x_test).argmax(1) == y_test).float().mean().item()
    if dist.get_rank() == 0:
        torch.save(network.state_dict(), "model.pt")
    dist.destroy_process_group()
    return {"accuracy": accuracy, "model": "model.pt"}  # the return value of rank 0 is recorded


if __name__ == "__main__":
    # Two slots, even on a machine with fewer cores. spark-submit overrides this line.
    os.environ.setdefault("PYSPARK_SUBMIT_ARGS", "--master local[2] pyspark-shell")
    logdir, outputs = experiment.distributed(
        train, strategy="torch", name="digits ddp", metric_key="accuracy", num_workers=2
    )
    print(f"accuracy {outputs['accuracy']:.3f}; the model is in {logdir}")
