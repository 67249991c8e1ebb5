"""Feeding training with PyTorch (extra ``torch``): a map-style dataset and a shuffling sampler."""

from posepile.torch.dataset import CropDataset
from posepile.torch.sampler import ShardShuffleSampler

__all__ = ["CropDataset", "ShardShuffleSampler"]
