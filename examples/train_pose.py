"""Trains a small network on packed 3D datasets and tests it on people it has not seen.

    posepile run h36m --miniature        # and so on; or real datasets
    python examples/train_pose.py h36m genebody fit3d panoptic --test h36m --mirror 0

The datasets become one, in the joints of a convention. ``--test`` names datasets whose test split
is the test, ``--subjects`` people who are taken out of training and added to it. Printed are mean
distances of joints relative to the pelvis: of always saying the mean pose of training, of the
network, and of one that was trained with the pictures of other examples, so that all it can learn
is what people look like on average. Needs the extra ``torch``; a minute or two on one core.

In miniatures everybody has the right arm up and no face, so that front and back are told apart by
that arm alone: pictures in a mirror (``--mirror 0.5``) take that away.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from torch import nn

from posepile.augmentation import Augmentation, AugmentationParams
from posepile.datasets3d import TEST, TRAIN, get_dataset
from posepile.merging.merge import merge_datasets
from posepile.skeletons.mapping import JointMapping, to_convention
from posepile.torch import CropDataset, CropLoader, collate


class PoseSample:
    """A transform: a picture, and joints relative to the pelvis in metres."""

    def __init__(self, augmentation: Augmentation, mapping: JointMapping):
        self.augmentation, self.mapping = augmentation, mapping
        self.pelvis = mapping.joint_info.ids["pelv"]

    def __call__(self, example, draw) -> dict[str, np.ndarray]:
        """Returns the arrays of an example."""
        sample = self.augmentation(example, draw)
        joints = self.mapping.apply(sample["coords3d"]) / 1000
        joints = (joints - joints[self.pelvis]).astype(np.float32)
        known = np.isfinite(joints).all(axis=1)
        joints[~known] = 0
        return {"image": sample["image"], "joints": joints, "known": known}


class Network(nn.Module):
    """Convolutions that halve the picture down to 4x4 or so, then two linear layers."""

    def __init__(self, side: int, n_joints: int):
        super().__init__()
        layers, channels = [], 3
        while side > 4:
            more = min(max(16, 2 * channels), 64)
            layers += [nn.Conv2d(channels, more, 3, 2, 1), nn.BatchNorm2d(more), nn.ReLU()]
            channels, side = more, (side + 1) // 2
        self.layers = nn.Sequential(
            *layers,
            nn.Flatten(),
            nn.Linear(channels * side**2, 128),
            nn.ReLU(),
            nn.Linear(128, 3 * n_joints),
            nn.Unflatten(1, (n_joints, 3)),
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Joints ``[B, J, 3]`` of uint8 pictures ``[B, S, S, 3]``."""
        return self.layers(images.permute(0, 3, 1, 2).float() / 128 - 1)


def distance(predicted: torch.Tensor, batch: dict) -> torch.Tensor:
    """Mean distance of the joints that are known."""
    return (predicted - batch["joints"]).norm(dim=2)[batch["known"]].mean()


def mean_pose(batch: dict) -> torch.Tensor:
    """The mean of each joint where it is known."""
    weight = batch["known"].float()[..., None]
    return (batch["joints"] * weight).sum(0) / weight.sum(0).clamp(min=1)


class Learner:
    """A network and how it learns."""

    def __init__(self, network: Network, steps: int):
        self.network = network.train()
        self.optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.01)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(self.optimizer, 6e-3, steps)

    def step(self, images: torch.Tensor, batch: dict):
        """Learns from one batch."""
        loss = distance(self.network(images), batch)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.schedule.step()

    @torch.no_grad()
    def error(self, batch: dict) -> float:
        """Mean error in millimetres."""
        return 1000 * float(distance(self.network.eval()(batch["image"]), batch))


def whole(dataset: CropDataset) -> dict:
    """All examples as one batch."""
    return collate([dataset[i, 0] for i in range(len(dataset))])


def main(arguments: list[str] | None = None) -> dict[str, float]:
    """Trains, tests, prints and returns the errors in millimetres."""
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="+", help="datasets")
    parser.add_argument("--test", nargs="*", default=[], help="datasets whose test split is one")
    parser.add_argument("--subjects", nargs="*", default=[], help="people to be tested on")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--mirror", type=float, default=0.5)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(arguments)
    torch.manual_seed(args.seed)

    merged = merge_datasets({name: get_dataset(name) for name in args.names})
    people = merged.examples[TRAIN].mask(subject=set(args.subjects))
    training = merged.examples[TRAIN][~people]
    test = merged.examples[TEST].where(dataset=set(args.test)) + merged.examples[TRAIN][people]
    if len(training) < max(1, args.batch) or not len(test):
        found = f"{len(training)} examples in training, {len(test)} in the test"
        parser.error(f"{found}; expected --batch {args.batch} or more, and one or more")

    mapping = to_convention(merged, "h36m17")
    params = AugmentationParams(side=args.side, mirror=args.mirror)
    augmentation = Augmentation(params, merged.joint_info)
    plain = PoseSample(augmentation.plain(), mapping)
    loader = CropLoader(
        CropDataset(training, PoseSample(augmentation, mapping), seed=args.seed),
        args.batch,
        seed=args.seed,
        num_workers=args.workers,
        drop_last=True,
    )
    steps = args.epochs * len(loader)
    pupil, control = (
        Learner(Network(args.side, mapping.joint_info.n_joints), steps) for _ in range(2)
    )
    while loader.epoch < args.epochs:
        for batch in loader:
            pupil.step(batch["image"], batch)
            control.step(batch["image"].roll(1, dims=0), batch)  # of somebody else

    tested = whole(CropDataset(test, plain))
    errors = {
        "mean pose": 1000
        * float(distance(mean_pose(whole(CropDataset(training, plain))), tested)),
        "network": pupil.error(tested),
        "other people's pictures": control.error(tested),
    }
    print(f"{len(training)} examples in training, {len(test)} in the test")
    for name, error in errors.items():
        print(f"{name}: {error:.0f} mm, {1 - error / errors['mean pose']:.0%} below the mean pose")
    return errors


if __name__ == "__main__":
    main()
