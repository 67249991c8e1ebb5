"""2D pose datasets as training code sees them; see :mod:`posepile.datasets3d`."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from posepile.datasets3d import EXTRA_FIELDS, set_fields
from posepile.joint_info import JointInfo
from posepile.store.lazy import LazyExample
from posepile.util import SPLIT_NAMES, TEST, TRAIN, VALID, read_image

if TYPE_CHECKING:
    import deltacamera

_set = object.__setattr__

__all__ = [
    "TEST",
    "TRAIN",
    "VALID",
    "JointInfo",
    "Pose2DDataset",
    "Pose2DExample",
    "get_compressed_dataset",
    "get_dataset",
    "get_dataset_cached",
    "get_joint_info",
]


def get_dataset(name: str, **kwargs: Any) -> Pose2DDataset:
    """Opens a dataset by name or file, as :func:`posepile.datasets3d.get_dataset` does."""
    from posepile.store import opening

    return opening.get_dataset(name, "2d", **kwargs)


def get_dataset_cached(name: str, **kwargs: Any) -> Pose2DDataset:
    """Same as :func:`get_dataset`, which is as fast as a cache."""
    return get_dataset(name, **kwargs)


def get_compressed_dataset(name: str, **kwargs: Any) -> Pose2DDataset:
    """Same as :func:`get_dataset`; examples take no memory until they are used."""
    return get_dataset(name, **kwargs)


def get_joint_info(name: str) -> JointInfo:
    """Returns the skeleton of a dataset, built or not."""
    from posepile.store import opening

    return opening.get_joint_info(name)


class Pose2DDataset:
    """A dataset of image coordinates.

    Attributes:
        joint_info: The skeleton.
        examples: ``{TRAIN: ..., VALID: ..., TEST: ...}``, list-like.
        train_bones: Always None; there for code that treats all datasets alike.
        trainval_bones: Always None.
    """

    kind = "2d"
    train_bones = None
    trainval_bones = None

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

    def update_bones(self) -> None:
        """Does nothing: image coordinates have no bone lengths."""

    def iter_examples(self) -> Iterator[Pose2DExample]:
        """Iterates over the examples of all splits."""
        return itertools.chain(self.examples[TRAIN], self.examples[VALID], self.examples[TEST])

    def __getstate__(self):
        return {
            "joint_info": self.joint_info,
            "examples": {split: self.examples[split] for split in SPLIT_NAMES},
        }

    def __repr__(self):
        counts = ", ".join(f"{n}: {len(self.examples[s])}" for s, n in SPLIT_NAMES.items())
        return f"<{type(self).__name__} of {self.joint_info.n_joints} joints, {counts}>"


class Pose2DExample:
    """One person in one image, in image coordinates.

    Attributes:
        image_path: As in :class:`posepile.datasets3d.Pose3DExample`; known before loading.
        coords: ``[J, 2]`` pixels of the stored image, NaN = missing.
        bbox: ``[4]`` x, y, width, height in pixels, or None.
        mask: RLE dict or None.
        camera: ``deltacamera.Camera`` or None.
        densepose: (imcoords ``[n, 2]``, i_faces, barycoords ``[n, 3]``) or None.
        image: Decoded RGB image, or None when not loaded.

    Further attributes (``imshape``, ``valid_poly``, ``frame``, ``person``, ``sequence``) as there.
    """

    __slots__ = (
        "__dict__",
        "__weakref__",
        "bbox",
        "camera",
        "coords",
        "densepose",
        "image",
        "image_path",
        "mask",
        "parameters",
        *EXTRA_FIELDS,
    )

    def __init__(
        self,
        image_path: Any,
        coords: np.ndarray,
        bbox: Any = None,
        mask: dict | None = None,
        camera: deltacamera.Camera | None = None,
        densepose: tuple | None = None,
        image: np.ndarray | None = None,
    ):
        self.image_path = image_path
        self.coords = coords
        self.bbox = None if bbox is None else np.asarray(bbox)
        self.mask = mask
        self.camera = camera
        self.densepose = densepose
        self.image = image
        self.parameters = None
        for name in EXTRA_FIELDS:
            setattr(self, name, None)

    def load(self, load_image: bool = False) -> Pose2DExample:
        """Returns the example itself, complete."""
        if load_image and self.image is None:
            self.image = read_image(self.image_path)
        return self

    def get_image(self) -> np.ndarray:
        """Returns the image, RGB uint8 ``[h, w, 3]``, read now if it has not been loaded."""
        return self.image if self.image is not None else read_image(self.image_path)

    def __setstate__(self, state):
        set_fields(self, state, FIELD_DEFAULTS)

    def __repr__(self):
        return f"<{type(self).__name__} {self.image_path!r}>"


FIELD_DEFAULTS = dict.fromkeys(
    name for name in Pose2DExample.__slots__ if name not in ("__dict__", "__weakref__")
)


class LazyPose2DExample(LazyExample, Pose2DExample):
    """An example of a finished dataset, see :class:`posepile.store.lazy.LazyExample`."""

    __slots__ = ("_row", "_source", "_touched")

    FETCHED: ClassVar[dict[str, str]] = {
        "bbox": "bbox",
        "coords": "coords2d",
        "camera": "camera",
        "mask": "mask",
        "densepose": "densepose",
        "parameters": "parameters",
        **{name: name for name in EXTRA_FIELDS},
    }
    ABSENT = ("image",)
