"""Datasets as training code sees them: a skeleton and lists of examples per split.

Pickles know the classes as ``posepile.datasets3d.Pose3DDataset`` and
``posepile.datasets2d.Pose2DDataset``.
"""

from __future__ import annotations

import html
import itertools
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from posepile.errors import PosePileError
from posepile.joint_info import JointInfo
from posepile.recipe import SPLIT_NAMES, TEST, TRAIN, VALID
from posepile.store.bones import bone_lengths
from posepile.store.example_list import as_example_list
from posepile.store.lazy import LazyExample

# What of an archive's metadata is kept of each dataset of a merged one.
_FACTS = (
    "kind",
    "licence",
    "citation",
    "single_person",
    "synthetic",
    "realistic_background",
    "body_shape",
    "n_valid_betas",
    "far_from_origin",
    "world_up",
    "image_dir",
    "sequence_names",
)


class _Dataset:
    """What datasets of both kinds do.

    Attributes:
        left_out: Of a merged dataset: how many training examples of each were left out because
            their pictures are for validation or testing; None where none was looked for.
        parts: Dataset -> what is known of it as plain values: ``kind``, ``skeleton``, ``licence``,
            ``citation``, the facts of :class:`posepile.recipe.DatasetSpec` that training needs,
            ``weight`` (None = by its size) and ``counts`` of examples per split. Of a dataset
            that is not merged, itself alone; empty where nothing is known.
    """

    kind: str
    left_out: Mapping[str, int] | None = None
    _parts: Mapping[str, dict[str, Any]] | None = None
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

    @property
    def metadata(self) -> Mapping[str, Any]:
        """What the archive says of itself, see docs/FORMAT.md; empty unless there is just one."""
        found = {
            source.annotation_path: source.archive
            for examples in self.examples.values()
            if hasattr(examples, "by_source")
            for _, _, source in examples.by_source()
            if hasattr(source, "archive")
        }
        if len(found) != 1:
            return {}
        (archive,) = found.values()
        return MappingProxyType(archive().metadata)

    @property
    def is_merged(self) -> bool:
        """Whether it was merged of others, which ``parts`` names."""
        return self._parts is not None

    @property
    def parts(self) -> Mapping[str, dict[str, Any]]:
        """Facts about each dataset in it; see the class."""
        if self._parts is None:
            facts, metadata = {}, self.metadata
            if metadata.get("name"):
                counts = {n: len(self.examples[s]) for s, n in SPLIT_NAMES.items()}
                facts = {name: metadata[name] for name in _FACTS if name in metadata}
                more = {"skeleton": metadata["name"], "weight": None, "counts": counts}
                return {metadata["name"]: {**facts, **more}}
            return {}
        return self._parts

    @parts.setter
    def parts(self, parts: Mapping[str, dict[str, Any]]) -> None:
        self._parts = {name: dict(facts) for name, facts in parts.items()}

    def weights(self, split: int = TRAIN) -> dict[str, float | None] | None:
        """Returns the shares of the datasets in a split, for ``weights`` of a ``CropLoader``.

        Args:
            split: ``TRAIN``, ``VALID`` or ``TEST``.

        Returns:
            Dataset -> its weight in ``parts``, of those that have examples in the split as it is
            now; None where none of them has a weight: all are drawn by their sizes then.
        """
        codes, names = as_example_list(self.examples[split]).codes("dataset")
        there = {names[code] for code in np.unique(codes)}
        found = {n: part.get("weight") for n, part in self.parts.items() if n in there}
        return None if all(weight is None for weight in found.values()) else found

    def iter_examples(self) -> Iterator[Any]:
        """Iterates over the examples of all splits."""
        return itertools.chain.from_iterable(self.examples[split] for split in SPLIT_NAMES)

    def __getstate__(self):
        # Fixed order: equal datasets give equal bytes.
        more = {} if self.left_out is None else {"left_out": dict(self.left_out)}
        if self._parts is not None:
            more["_parts"] = self._parts
        return {
            "joint_info": self.joint_info,
            "examples": {split: _compact(self.examples[split]) for split in SPLIT_NAMES},
            **more,
        }

    def __len__(self):
        return sum(len(self.examples[split]) for split in SPLIT_NAMES)

    def __bool__(self):
        return True  # also without an example: code asks for it to learn whether there is one

    def __repr__(self):
        counts = ", ".join(f"{n}: {len(self.examples[s]):,}" for s, n in SPLIT_NAMES.items())
        return (
            f"<{type(self).__name__}{self._names()}, {self.joint_info.n_joints} joints, {counts}>"
        )

    def _repr_html_(self):
        facts = ("kind", "licence", "skeleton", "weight")
        columns = ("dataset", *facts, *SPLIT_NAMES.values())
        rows = []
        for name, part in _known_parts(self).items():
            counts = part.get("counts", {})
            cells = [name, *map(part.get, facts), *map(counts.get, SPLIT_NAMES.values())]
            row = ("" if cell is None else html.escape(str(cell)) for cell in cells)
            rows.append("".join(f"<td>{cell}</td>" for cell in row))
        head = "".join(f"<th>{name}</th>" for name in columns)
        body = "".join(f"<tr>{row}</tr>" for row in (head, *rows))
        return f"<p>{html.escape(repr(self)[1:-1])}</p><table>{body}</table>"

    def _names(self):
        """Returns what the datasets in it are called, for ``repr``."""
        parts = _known_parts(self)
        licences = sorted({part.get("licence") or "unknown" for part in parts.values()})
        if not self.is_merged:
            return "".join(
                f" {name} ({licence})" for name, licence in zip(parts, licences, strict=True)
            )
        names = list(parts)
        more = f", … {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        return f" of {len(names)} datasets ({', '.join(names[:_SHOWN])}{more})"


_SHOWN = 6  # names of datasets in a line


def _known_parts(dataset):
    """Returns what is known of the datasets; nothing where their archives cannot be read."""
    try:
        return dataset.parts
    except PosePileError:
        return {}


def _compact(examples):
    """Returns a plain list of examples of an archive as the numbers of its rows."""
    if isinstance(examples, list) and any(isinstance(ex, LazyExample) for ex in examples):
        return as_example_list(examples)
    return examples


class Pose3DDataset(_Dataset):
    """A dataset: skeleton, examples per split, mean bone lengths.

    >>> from posepile.datasets3d import TRAIN, get_dataset
    >>> ds = get_dataset("aspset")
    >>> len(ds), len(ds.examples[TRAIN]), ds.joint_info.n_joints, ds.metadata["licence"]
    (30, 24, 17, 'CC0 1.0')
    >>> {name: part["kind"] for name, part in ds.parts.items()}
    {'aspset': '3d'}

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

    >>> from posepile.datasets2d import VALID, get_dataset
    >>> photographs = get_dataset("coco")
    >>> len(photographs.examples[VALID]), photographs.joint_info.names[:3]
    (6, ['nose', 'leye', 'reye'])

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
