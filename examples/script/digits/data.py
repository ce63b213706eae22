"""Handwritten digits, which scikit-learn ships."""

import torch
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset


def loaders(batch_size):
    """Batches of 1,347 images of 8 × 8 to train with, and of 450 to test with."""
    pixels, labels = load_digits(return_X_y=True)
    images = torch.tensor(pixels.reshape(-1, 1, 8, 8) / 16, dtype=torch.float32)
    data = TensorDataset(images, torch.tensor(labels))
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(0)).tolist()
    train, test = torch.utils.data.Subset(data, order[450:]), torch.utils.data.Subset(data, order[:450])
    return DataLoader(train, batch_size, shuffle=True), DataLoader(test, 450)
