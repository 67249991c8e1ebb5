"""3D pose datasets as training code sees them.

These class paths are in pickles on people's disks; the attributes are an interface. An example of
a finished dataset is *lazy*: it knows its place in the archive's table, fetches a field when it
is first asked for, and :meth:`Pose3DExample.load` completes it including the image. A lazy
example is made anew at each access of the list: to change an example of a dataset for good, put it
back (``ds.examples[TRAIN][i] = ex``).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from posepile.joint_info import JointInfo, get_joint2bone_mat
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
    "Pose3DDataset",
    "Pose3DExample",
    "SparseCoords",
    "compute_mean_bones",
    "get_compressed_dataset",
    "get_dataset",
    "get_dataset_cached",
    "get_joint2bone_mat",
    "get_joint_info",
]


def get_dataset(name: str, **kwargs: Any) -> Pose3DDataset:
    """Opens a dataset by name or file.

    Args:
        name: ``*.pkl`` (a dataset pickle), ``*.barecat`` (an archive), both relative to
            ``DATA_ROOT``; or the name of a dataset that has been built.
        **kwargs: ``image_barecat_path``: archive that holds the images of an annotation archive.
            Anything else is handed to ``make_dataset`` of the dataset's module.

    Raises:
        UsageError: There is no such dataset, or a keyword argument that nothing understands.
        WorkError: The dataset is known but has not been built.
    """
    from posepile.store import opening

    return opening.get_dataset(name, "3d", **kwargs)


def get_dataset_cached(name: str, **kwargs: Any) -> Pose3DDataset:
    """Same as :func:`get_dataset`, which is as fast as a cache."""
    return get_dataset(name, **kwargs)


def get_compressed_dataset(name: str, **kwargs: Any) -> Pose3DDataset:
    """Same as :func:`get_dataset`; examples take no memory until they are used."""
    return get_dataset(name, **kwargs)


def get_joint_info(name: str) -> JointInfo:
    """Returns the skeleton of a dataset, built or not."""
    from posepile.store import opening

    return opening.get_joint_info(name)


def compute_mean_bones(examples: Iterable[Any], joint_info: JointInfo) -> np.ndarray | None:
    """Averages bone lengths over examples.

    Args:
        examples: Examples, or a list of a finished dataset (then read as columns).
        joint_info: Skeleton with ``n`` edges.

    Returns:
        float32 ``[n]`` millimetres, NaN for a bone that is never complete; None without examples
        or edges.
    """
    edges = np.asarray(joint_info.stick_figure_edges, np.int64).reshape(-1, 2)
    total, count, n_examples = np.zeros(len(edges)), np.zeros(len(edges), np.int64), 0
    for coords in _iter_coord_chunks(examples):
        n_examples += len(coords)
        lengths = np.linalg.norm(
            coords[:, edges[:, 0]].astype(np.float64) - coords[:, edges[:, 1]], axis=-1
        )
        total += np.nansum(lengths, axis=0)
        count += np.count_nonzero(~np.isnan(lengths), axis=0)
    if not n_examples or not len(edges):
        return None
    means = np.full(len(edges), np.nan, np.float32)
    np.divide(total, count, out=means, where=count > 0, casting="same_kind")
    return means


def _iter_coord_chunks(examples, size=4096):
    if hasattr(examples, "iter_coord_chunks"):
        yield from examples.iter_coord_chunks(size)
        return
    iterator = iter(examples)
    while chunk := list(itertools.islice(iterator, size)):
        coords = [ex.get_world_coords() for ex in chunk]
        coords = [c for c in coords if c is not None]
        if coords:
            yield np.stack(coords)


class Pose3DDataset:
    """A dataset: skeleton, examples per split, mean bone lengths.

    Attributes:
        joint_info: The skeleton.
        examples: ``{TRAIN: ..., VALID: ..., TEST: ...}``, list-like.
        train_bones: Mean bone lengths of the training examples, float32 ``[n_edges]``
            millimetres in the order of ``joint_info.stick_figure_edges``; None if unknown.
        trainval_bones: The same over training and validation examples.
    """

    kind = "3d"
    train_bones: np.ndarray | None = None
    trainval_bones: np.ndarray | None = None

    def __init__(
        self,
        joint_info: JointInfo,
        train_examples: Any = None,
        valid_examples: Any = None,
        test_examples: Any = None,
        compute_bone_lengths: bool = True,
    ):
        self.joint_info = joint_info
        self.examples = {
            TRAIN: train_examples if train_examples is not None else [],
            VALID: valid_examples if valid_examples is not None else [],
            TEST: test_examples if test_examples is not None else [],
        }
        self.train_bones = None
        self.trainval_bones = None
        if compute_bone_lengths and joint_info.stick_figure_edges:
            self.update_bones()

    def update_bones(self) -> None:
        """Recomputes the mean bone lengths from the examples as they are now."""
        self.train_bones = compute_mean_bones(self.examples[TRAIN], self.joint_info)
        if len(self.examples[VALID]):
            both = itertools.chain(
                _iter_coord_chunks(self.examples[TRAIN]), _iter_coord_chunks(self.examples[VALID])
            )
            self.trainval_bones = compute_mean_bones(_Chunks(both), self.joint_info)
        else:
            self.trainval_bones = self.train_bones

    def iter_examples(self) -> Iterator[Pose3DExample]:
        """Iterates over the examples of all splits."""
        return itertools.chain(self.examples[TRAIN], self.examples[VALID], self.examples[TEST])

    def __getstate__(self):
        # Fixed order and private copies: equal datasets give equal bytes.
        return {
            "joint_info": self.joint_info,
            "examples": {split: self.examples[split] for split in SPLIT_NAMES},
            "train_bones": None if self.train_bones is None else self.train_bones.copy(),
            "trainval_bones": None if self.trainval_bones is None else self.trainval_bones.copy(),
        }

    def __repr__(self):
        counts = ", ".join(f"{n}: {len(self.examples[s])}" for s, n in SPLIT_NAMES.items())
        return f"<{type(self).__name__} of {self.joint_info.n_joints} joints, {counts}>"


class _Chunks:
    def __init__(self, chunks):
        self._chunks = chunks

    def iter_coord_chunks(self, size):
        return self._chunks


# What every kind of example carries beside its own fields, None where unknown.
EXTRA_FIELDS = ("imshape", "valid_poly", "frame", "person", "sequence")


class Pose3DExample:
    """One person in one image.

    Attributes:
        image_path: Path relative to ``DATA_ROOT`` with forward slashes; while a dataset is being
            made also an absolute path, the bytes of an image file (1-D uint8) or an image.
        world_coords: ``[J, 3]`` millimetres, NaN rows = missing, float32 (float64 far from the
            origin); or :class:`SparseCoords`; None for datasets of body parameters only.
        univ_coords: Height-normalised skeleton, or None.
        bbox: ``[4]`` x, y, width, height in pixels of the stored image.
        camera: ``deltacamera.Camera`` of the stored image.
        activity_name: Activity label, ``unknown`` if there is none.
        scene_name: Scene label, ``unknown`` if there is none.
        mask: RLE dict or None.
        instance_mask: Free for the producer.
        custom: Free for the producer.
        image: Decoded RGB image, or None when not loaded.
        parameters: Body-model parameters, or None.
        coords2d: Annotated image coordinates ``[J, 2]``, or None.
        densepose: DensePose triple, or None.
        imshape: Height and width of the stored image.
        valid_poly: Outline ``[K, 2]`` in the stored image of what the source image covers; None =
            all of it.
        frame: Source frame index.
        person: Index of the person within the image.
        sequence: Sequence id.
    """

    __slots__ = (
        "__dict__",
        "__weakref__",
        "activity_name",
        "bbox",
        "camera",
        "coords2d",
        "custom",
        "densepose",
        "image",
        "image_path",
        "instance_mask",
        "mask",
        "parameters",
        "scene_name",
        "univ_coords",
        "world_coords",
        *EXTRA_FIELDS,
    )

    def __init__(
        self,
        image_path: Any,
        world_coords: np.ndarray | SparseCoords | None,
        bbox: Any,
        camera: deltacamera.Camera | None,
        *,
        activity_name: str = "unknown",
        scene_name: str = "unknown",
        mask: dict | None = None,
        univ_coords: np.ndarray | None = None,
        instance_mask: Any = None,
        image: np.ndarray | None = None,
        parameters: dict | None = None,
    ):
        self.image_path = image_path
        self.world_coords = world_coords
        self.univ_coords = univ_coords
        self.bbox = None if bbox is None else np.asarray(bbox)
        self.camera = camera
        self.activity_name = activity_name
        self.scene_name = scene_name
        self.mask = mask
        self.instance_mask = instance_mask
        self.custom = None
        self.image = image
        self.parameters = parameters
        self.coords2d = self.densepose = None
        for name in EXTRA_FIELDS:
            setattr(self, name, None)

    def load(self, load_image: bool = False) -> Pose3DExample:
        """Returns the example itself, complete."""
        if load_image and self.image is None:
            self.image = read_image(self.image_path)
        return self

    def get_world_coords(self) -> np.ndarray | None:
        """Returns dense ``[J, 3]`` coordinates."""
        coords = self.world_coords
        return coords.to_array() if isinstance(coords, SparseCoords) else coords

    def get_image(self) -> np.ndarray:
        """Returns the image, RGB uint8 ``[h, w, 3]``, read now if it has not been loaded."""
        return self.image if self.image is not None else read_image(self.image_path)

    def __setstate__(self, state):
        # Also pickles whose examples kept all in __dict__, some from before a field existed.
        set_fields(self, state, FIELD_DEFAULTS)

    def __repr__(self):
        return f"<{type(self).__name__} {self.image_path!r}>"


FIELD_DEFAULTS = {
    **dict.fromkeys(
        name for name in Pose3DExample.__slots__ if name not in ("__dict__", "__weakref__")
    ),
    "activity_name": "unknown",
    "scene_name": "unknown",
}


def set_fields(example: Any, state: Any, defaults: dict[str, Any]) -> None:
    """Gives an unpickled example its fields, and defaults for those that its writer did not know.

    Args:
        example: The bare object.
        state: ``__dict__`` of the writer, or a pair of that and its slots.
        defaults: Default of each field.
    """
    parts = state if isinstance(state, tuple) else (state,)
    fields = dict(defaults)
    for part in parts:
        fields.update(part or {})
    for name, value in fields.items():
        setattr(example, name, value)


class SparseCoords:
    """Joint coordinates without the missing rows, for merged skeletons of many joints.

    Attributes:
        shape: Shape of the dense array.
        i_valid_joints: uint16 indices of the joints that are there.
        valid_coords: Their coordinates.
    """

    def __init__(self, coords: np.ndarray):
        self.shape = coords.shape
        self.i_valid_joints = np.where(~np.any(np.isnan(coords), axis=-1))[0].astype(np.uint16)
        self.valid_coords = np.ascontiguousarray(coords[self.i_valid_joints])

    def to_array(self) -> np.ndarray:
        """Returns the dense array with NaN rows for missing joints."""
        result = np.full(self.shape, np.nan, self.valid_coords.dtype)
        result[self.i_valid_joints] = self.valid_coords
        return result

    def invalidate_coords(self, i_bad_coords: Iterable[int]) -> None:
        """Takes out the given joints."""
        keep = ~np.isin(self.i_valid_joints, list(i_bad_coords))
        self.i_valid_joints = self.i_valid_joints[keep]
        self.valid_coords = np.ascontiguousarray(self.valid_coords[keep])


class LazyPose3DExample(LazyExample, Pose3DExample):
    """An example of a finished dataset, see :class:`posepile.store.lazy.LazyExample`."""

    __slots__ = ("_row", "_source", "_touched")

    FETCHED: ClassVar[dict[str, str]] = {
        "bbox": "bbox",
        "world_coords": "world_coords",
        "camera": "camera",
        "mask": "mask",
        "parameters": "parameters",
        "activity_name": "activity",
        "scene_name": "scene",
        "coords2d": "coords2d",
        "densepose": "densepose",
        **{name: name for name in EXTRA_FIELDS},
    }
    ABSENT = ("univ_coords", "instance_mask", "custom", "image")
