"""Examples of a finished dataset, fetched field by field.

A lazy example is a source and a row and nothing else: it cannot be changed, and reading a field
leaves no trace. Fields are slots of the example class that stay unset, so that Python calls
``__getattr__``, which fetches the one field. Sources are in :mod:`posepile.store.row_sources`;
they offer ``fetch(row, name)``, ``values(row)``, ``image_path(row)``, ``path(row)``,
``image(row)``, ``origin(row)``, ``place(row)`` and ``reduce_example(row)``.
"""

from __future__ import annotations

import copy
import functools
from typing import Any, ClassVar, NoReturn

import numpy as np

from posepile.errors import UsageError, WorkError, one_line
from posepile.store.examples import Pose2DExample, Pose3DExample
from posepile.store.fields import NOT_STORED, names_in_examples
from posepile.store.origin import Origin
from posepile.store.read_only import read_only, read_only_reader

_set = object.__setattr__

# What damaged numbers of a table or entry lead to: places out of range, texts and maps that are
# none. Catching them costs nothing as long as nothing is raised.
_OF_DAMAGE = (LookupError, ValueError, OverflowError, TypeError, MemoryError)


class LazyExample:
    """An example of a finished dataset, fetched field by field; read-only.

    Each reading of a field fetches it, as a value that refuses to be changed in place.
    :meth:`load` returns a complete example of its own, which can be changed and put into a list.

    Small when pickled and holds no open file. To be put before an example class; what that class
    says of a field holds here too.
    """

    __slots__ = ()

    # Class of the complete example.
    COMPLETE: ClassVar[type]
    # Field of the example -> field of the record it is fetched from.
    FETCHED: ClassVar[dict[str, str]]
    # Fields that no archive stores.
    ABSENT: ClassVar[tuple[str, ...]]

    def __init__(self, source: Any, row: Any):
        _set(self, "_source", source)
        _set(self, "_row", row)
        # Values of its own: only in pickles of version 0.1.0, where examples could be changed.
        _set(self, "_own", None)

    def __getattr__(self, name):
        getter = self._source.getters.get(name)  # there once the archive is open
        if getter is None:
            record_field = self.FETCHED.get(name)
            if record_field is None:
                if name == "image":
                    return read_only(self._stored(self._source.image))
                if name in self.ABSENT:
                    return None
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            getter = read_only_reader(functools.partial(self._source.fetch, name=record_field))
        try:
            return getter(self._row)
        except _OF_DAMAGE as e:
            raise self._damaged(e) from e

    def _refuse(self, name: str, *value: Any) -> NoReturn:
        raise UsageError(
            f"{self._source.annotation_path}, example {self._row}: {name!r} was not changed, "
            "examples of a dataset are read-only; ex = ex.load() gives one that can be changed, "
            "examples[i] = ex puts it into the dataset"
        )

    __setattr__ = __delattr__ = _refuse

    def load(self, load_image: bool = True) -> Any:
        """Returns a new complete example with the decoded image; this one stays as it is.

        Args:
            load_image: Whether to read and decode the image.
        """
        source, row = self._source, self._row
        example = object.__new__(self.COMPLETE)
        try:
            example._origin = self
            example.image_path = source.image_path(row)
            for name, value in source.values(row).items():
                setattr(example, name, value)
        except _OF_DAMAGE as e:
            raise self._damaged(e) from e
        for name in self.ABSENT:
            setattr(example, name, None)
        if self._own is not None:
            for name, value in copy.deepcopy(self._own).items():
                setattr(example, name, value)
        if load_image and example.image is None:
            example.image = self._stored(source.image)
        return example

    def _stored(self, read):
        try:
            return read(self._row)
        except _OF_DAMAGE as e:
            raise self._damaged(e) from e

    def _damaged(self, error):
        return WorkError(
            f"{self._source.annotation_path}, example {self._row}: its stored fields are damaged "
            f"({type(error).__name__}: {one_line(error)}); posepile verify finds what is"
        )

    def get_image(self) -> np.ndarray:
        """Returns the image, RGB uint8 ``[h, w, 3]``, read at each call."""
        own = (self._own or {}).get("image")
        return self._stored(self._source.image) if own is None else own.copy()

    @property
    def image_path(self) -> str:
        """Path relative to DATA_ROOT."""
        if self._own is not None and "image_path" in self._own:
            return self._own["image_path"]
        return self._stored(self._source.image_path)

    @property
    def path(self) -> str:
        """Key of the example's entry, ``{split}/{image_path}_{person:02d}.msgpack``."""
        return self._stored(self._source.path)

    def _where_from(self) -> Origin:
        return self._stored(self._source.origin)

    @property
    def place(self) -> tuple[Any, Any] | None:
        """(source, row); None if it has values of its own."""
        return (self._source, self._row) if self._own is None else None

    @property
    def bc_annotation_path(self) -> str:
        """Path of the annotation archive."""
        return self._source.annotation_path

    @property
    def bc_image_path(self) -> str:
        """Path of the image archive."""
        return self._source.image_archive_path

    @property
    def n_joints(self) -> int:
        """Number of joints of the skeleton."""
        return self._source.n_joints

    def _of_dataset(self):
        return self

    def __eq__(self, other):
        # By place in the archive; an example with values of its own equals only itself.
        if self is other:
            return True
        if not isinstance(other, LazyExample) or not (self._own is None is other._own):
            return NotImplemented
        if self._source is other._source:
            return self._row == other._row
        return self._source.place(self._row) == other._source.place(other._row)

    def __hash__(self):
        return hash(self._source.place(self._row))

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self

    def __reduce__(self):
        # The place in the archive.
        make, args = self._source.reduce_example(self._row)
        return (make, args) if self._own is None else (make, args, self._own)

    def __setstate__(self, state):
        own = dict(state)
        if "_image_path" in own:
            own["image_path"] = own.pop("_image_path")
        for name, value in own.items():
            if not name.startswith("_") and name != "image_path":
                _set(self, name, read_only(value))
        _set(self, "_own", own)


class LazyPose3DExample(LazyExample, Pose3DExample):
    """An example of a finished 3D dataset."""

    __module__ = "posepile.datasets3d"  # the name in pickles
    __slots__ = ("_own", "_row", "_source")
    COMPLETE = Pose3DExample
    FETCHED: ClassVar[dict[str, str]] = {n: f.name for n, f in names_in_examples("3d").items()}
    ABSENT = NOT_STORED["3d"]


class LazyPose2DExample(LazyExample, Pose2DExample):
    """An example of a finished 2D dataset."""

    __module__ = "posepile.datasets2d"  # the name in pickles
    __slots__ = ("_own", "_row", "_source")
    COMPLETE = Pose2DExample
    FETCHED: ClassVar[dict[str, str]] = {n: f.name for n, f in names_in_examples("2d").items()}
    ABSENT = NOT_STORED["2d"]


LAZY_EXAMPLES = {"3d": LazyPose3DExample, "2d": LazyPose2DExample}
