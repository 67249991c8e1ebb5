"""Lists for tests of what feeds training: length, order of storage and datasets matter."""

import numpy as np

from posepile.store.examples import Pose2DExample


class FakeList:
    """A list of which only length, storage order and datasets matter."""

    def __init__(self, n, stored=None, datasets=None):
        self.n, self.stored = n, stored
        self.datasets = datasets or {"one": n}

    def __len__(self):
        return self.n

    def storage_order(self):
        return self.stored

    def codes(self, name):
        assert name == "dataset"
        codes = np.repeat(np.arange(len(self.datasets), dtype=np.int32), [*self.datasets.values()])
        return codes, list(self.datasets)


def made(n):
    """Examples in memory that know their number."""
    return [Pose2DExample(f"{i}.jpg", np.full((3, 2), i, np.float32)) for i in range(n)]


def number_and_noise(example, draw):
    """What tells examples and draws apart."""
    return {
        "number": int(example.image_path.removesuffix(".jpg")),
        "noise": draw.rng.random(2).astype(np.float32),
        "epoch": draw.epoch,
    }
