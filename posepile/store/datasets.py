"""Datasets as training code sees them: a skeleton and lists of examples per split.

Pickles know the classes as ``posepile.datasets3d.Pose3DDataset`` and
``posepile.datasets2d.Pose2DDataset``.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from posepile.joint_info import JointInfo
from posepile.recipe import SPLIT_NAMES, TEST, TRAIN, VALID
from posepile.store.bones import bone_lengths
from posepile.store.example_list import as_example_list
from posepile.store.lazy import LazyExample


class _Dataset:
    """What datasets of both kinds do.

    Attributes:
        left_out: Of a merged dataset: how many training examples of each were left out because
            their pictures are for validation or testing; None where none was looked for.
    """

    kind: str
    left_out: Mapping[str, int] | None = None
    train_bones: np.ndarray | None = None
    trainval_bones: np.ndarray | None = None

    def __init__(
        self,
        joint_info: JointInfo,
        train_examples: Any = None,
        valid_examples: Any = None,
        test_examples: Any = None,
    ):
        self.joint_info = joint_info
        self.examples = {
            TRAIN: train_examples if train_examples is not None else [],
            VALID: valid_examples if valid_examples is not None else [],
            TEST: test_examples if test_examples is not None else [],
        }

    def iter_examples(self) -> Iterator[Any]:
        """Iterates over the examples of all splits."""
        return itertools.chain.from_iterable(self.examples[split] for split in SPLIT_NAMES)

    def __getstate__(self):
        # Fixed order: equal datasets give equal bytes.
        left_out = {} if self.left_out is None else {"left_out": dict(self.left_out)}
        return {
            "joint_info": self.joint_info,
            "examples": {split: _compact(self.examples[split]) for split in SPLIT_NAMES},
            **left_out,
        }

    def __repr__(self):
        counts = ", ".join(f"{n}: {len(self.examples[s])}" for s, n in SPLIT_NAMES.items())
        return f"<{type(self).__name__} of {self.joint_info.n_joints} joints, {counts}>"


def _compact(examples):
    """Returns a plain list of examples of an archive as the numbers of its rows."""
    if isinstance(examples, list) and any(isinstance(ex, LazyExample) for ex in examples):
        return as_example_list(examples)
    return examples


class Pose3DDataset(_Dataset):
    """A dataset: skeleton, examples per split, mean bone lengths.

    Attributes:
        joint_info: The skeleton.
        examples: ``{TRAIN: ..., VALID: ..., TEST: ...}``, list-like.
        train_bones: Mean bone lengths of the training examples, float32 ``[n_edges]``
            millimetres in the order of ``joint_info.stick_figure_edges``; None if unknown.
        trainval_bones: The same over training and validation examples.
    """

    __module__ = "posepile.datasets3d"  # the name in pickles
    kind = "3d"

    def __init__(
        self,
        joint_info: JointInfo,
        train_examples: Any = None,
        valid_examples: Any = None,
        test_examples: Any = None,
        compute_bone_lengths: bool = True,
    ):
        super().__init__(joint_info, train_examples, valid_examples, test_examples)
        self.train_bones = None
        self.trainval_bones = None
        if compute_bone_lengths and joint_info.stick_figure_edges:
            self.update_bones()

    def update_bones(self) -> None:
        """Recomputes the mean bone lengths from the examples as they are now."""
        train = bone_lengths(self.examples[TRAIN], self.joint_info)
        self.train_bones = train.mean()
        self.trainval_bones = train.mean(bone_lengths(self.examples[VALID], self.joint_info))

    def __getstate__(self):
        # Private copies of the arrays: equal datasets give equal bytes.
        return {
            **super().__getstate__(),
            "train_bones": None if self.train_bones is None else self.train_bones.copy(),
            "trainval_bones": None if self.trainval_bones is None else self.trainval_bones.copy(),
        }


class Pose2DDataset(_Dataset):
    """A dataset of image coordinates.

    Attributes:
        joint_info: The skeleton.
        examples: ``{TRAIN: ..., VALID: ..., TEST: ...}``, list-like.
        train_bones: Always None; there for code that treats all datasets alike.
        trainval_bones: Always None.
    """

    __module__ = "posepile.datasets2d"  # the name in pickles
    kind = "2d"

    def update_bones(self) -> None:
        """Does nothing: image coordinates have no bone lengths."""
