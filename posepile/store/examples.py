"""Examples as training code sees them, in memory; those of an archive are in ``store.lazy``.

Their stored fields are listed in :mod:`posepile.store.fields`; what is here says how they are
made, loaded and unpickled. Pickles know the classes as ``posepile.datasets3d.Pose3DExample`` and
``posepile.datasets2d.Pose2DExample``.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from posepile.store.coords import SparseCoords
from posepile.store.fields import NOT_STORED, names_in_examples
from posepile.store.images import read_image
from posepile.store.origin import NOWHERE, Origin

if TYPE_CHECKING:
    import deltacamera


def _defaults(kind):
    """Returns the attributes of examples of a kind and their defaults."""
    stored = {name: field.default for name, field in names_in_examples(kind).items()}
    return {"image_path": None, **stored, **dict.fromkeys(NOT_STORED[kind])}


_DEFAULTS_3D, _DEFAULTS_2D = _defaults("3d"), _defaults("2d")


class Example:
    """What examples of both kinds do."""

    __slots__ = ()

    # "3d" or "2d"; attributes and their defaults.
    KIND: ClassVar[str]
    DEFAULTS: ClassVar[dict[str, Any]]

    def _set_defaults(self):
        self._origin = None
        for name, value in self.DEFAULTS.items():
            setattr(self, name, value)

    def load(self, load_image: bool = False) -> Any:
        """Returns the example itself, or a complete copy where the image is asked for and missing.

        So the images of a list that is gone through do not stay in memory.
        """
        if not load_image or self.image is not None:
            return self
        example = copy.deepcopy(self)
        example.image = self.get_image()
        return example

    def get_image(self) -> np.ndarray:
        """Returns the image, RGB uint8 ``[h, w, 3]``, read now if it has not been loaded."""
        if self.image is not None:
            return self.image
        # That of the archive the example was loaded from, as long as it is the one named.
        if self._origin is not None and self._origin.image_path == self.image_path:
            return self._origin.get_image()
        return read_image(self.image_path)

    def _where_from(self) -> Origin:
        return NOWHERE if self._origin is None else self._origin._where_from()

    @property
    def dataset(self) -> str:
        """Name of the dataset it comes from, also as an example of a merged one."""
        return self._where_from().dataset

    @property
    def licence(self) -> str:
        """Licence of that dataset's raw data."""
        return self._where_from().licence

    @property
    def subject(self) -> str:
        """Who is seen, as the dataset calls them; ``unknown`` where its ids do not say."""
        return self._where_from().subject

    @property
    def view(self) -> str:
        """Which of several cameras that recorded the same at the same time."""
        return self._where_from().view

    @property
    def recording(self) -> str:
        """The sequence's id without the view, equal for all cameras."""
        return self._where_from().recording

    @property
    def motion(self) -> str:
        """What the motion was taken from, such as a file of AMASS."""
        return self._where_from().motion

    def _of_dataset(self):
        """Returns the example of a dataset that this one is, or was loaded from, or None."""
        return self._origin

    def __setstate__(self, state):
        # `state` is the __dict__ of the writer, or a pair of that and its slots. Some are from
        # before a field existed.
        self._set_defaults()
        for part in state if isinstance(state, tuple) else (state,):
            for name, value in (part or {}).items():
                setattr(self, name, value)

    def __repr__(self):
        return f"<{type(self).__name__} {self.image_path!r}>"


class Pose3DExample(Example):
    """One person in one image.

    >>> from posepile.datasets3d import TRAIN, get_dataset
    >>> ds = get_dataset("aspset")
    >>> ex = ds.examples[TRAIN][0].load()
    >>> ex.image_path
    'aspset_downscaled/trainval/04ac/04ac-0001-left/000000.jpg'
    >>> ex.bbox.tolist(), ex.activity_name, ex.subject, ex.view
    ([40.0, 20.0, 48.0, 60.0], 'walking', '04ac', 'left')
    >>> ex.camera.world_to_image(ex.world_coords).shape
    (17, 2)

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
        track: Index of the person within the sequence; -1 where that is not known.
    """

    __module__ = "posepile.datasets3d"  # the name in pickles
    __slots__ = ("__dict__", "__weakref__", "_origin", *_DEFAULTS_3D)
    KIND = "3d"
    DEFAULTS = _DEFAULTS_3D

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
        self._set_defaults()
        self.image_path = image_path
        self.world_coords = world_coords
        self.univ_coords = univ_coords
        self.bbox = None if bbox is None else np.asarray(bbox)
        self.camera = camera
        self.activity_name = activity_name
        self.scene_name = scene_name
        self.mask = mask
        self.instance_mask = instance_mask
        self.image = image
        self.parameters = parameters

    def get_world_coords(self) -> np.ndarray | None:
        """Returns dense ``[J, 3]`` coordinates.

        All are NaN where a dataset has joints and this example of it has none; None in datasets
        without joints, and where the example is of no dataset.
        """
        coords = self.world_coords
        if coords is None:
            n_joints = getattr(self._of_dataset(), "n_joints", 0)
            return np.full((n_joints, 3), np.nan, np.float32) if n_joints else None
        return coords.to_array() if isinstance(coords, SparseCoords) else coords


class Pose2DExample(Example):
    """One person in one image, in image coordinates.

    >>> from posepile.datasets2d import TRAIN, get_dataset
    >>> ex = get_dataset("coco").examples[TRAIN][0].load(load_image=False)
    >>> ex.image_path, ex.coords.dtype, ex.image is None
    ('coco_downscaled/train2017/000000.jpg', dtype('float32'), True)

    Attributes:
        image_path: As in :class:`posepile.datasets3d.Pose3DExample`; known before loading.
        coords: ``[J, 2]`` pixels of the stored image, NaN = missing.
        bbox: ``[4]`` x, y, width, height in pixels, or None.
        mask: RLE dict or None.
        camera: ``deltacamera.Camera`` or None.
        densepose: (imcoords ``[n, 2]``, i_faces, barycoords ``[n, 3]``) or None.
        image: Decoded RGB image, or None when not loaded.

    Further attributes (``parameters``, ``imshape``, ``valid_poly``, ``frame``, ``person``,
    ``sequence``, ``track``) as there.
    """

    __module__ = "posepile.datasets2d"  # the name in pickles
    __slots__ = ("__dict__", "__weakref__", "_origin", *_DEFAULTS_2D)
    KIND = "2d"
    DEFAULTS = _DEFAULTS_2D

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
        self._set_defaults()
        self.image_path = image_path
        self.coords = coords
        self.bbox = None if bbox is None else np.asarray(bbox)
        self.mask = mask
        self.camera = camera
        self.densepose = densepose
        self.image = image
