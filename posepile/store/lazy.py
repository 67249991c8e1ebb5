"""Examples of a finished dataset, fetched field by field.

A lazy example holds a source and a row. Its fields are slots that stay unset until first asked
for; Python then calls ``__getattr__``, which fetches the one field. Sources are in
:mod:`posepile.store.row_sources`; they offer ``fetch(row, name)``, ``image_path(row)``,
``path(row)``, ``image(row)`` and ``reduce_example(row)``.
"""

from __future__ import annotations

import functools
from typing import Any, ClassVar

import numpy as np

from posepile.errors import WorkError, one_line
from posepile.store.examples import Pose2DExample, Pose3DExample
from posepile.store.fields import NOT_STORED, names_in_examples

_set = object.__setattr__

# What damaged numbers of a table or entry lead to: places out of range, texts and maps that are
# none. Catching them costs nothing as long as nothing is raised.
_OF_DAMAGE = (LookupError, ValueError, OverflowError, TypeError, MemoryError)


class LazyExample:
    """An example of a finished dataset, fetched field by field.

    Small when pickled and holds no open file. To be put before an example class; what that class
    says of a field holds here too.
    """

    __slots__ = ()

    # Field of the example -> field of the record it is fetched from.
    FETCHED: ClassVar[dict[str, str]]
    # Fields that only the user can set.
    ABSENT: ClassVar[tuple[str, ...]]

    def __init__(self, source: Any, row: Any):
        _set(self, "_source", source)
        _set(self, "_row", row)
        _set(self, "_touched", False)

    def __getattr__(self, name):
        # Called for fields that are not set yet. Getters are there once the archive is open.
        getter = self._source.getters.get(name)
        if getter is None:
            record_field = self.FETCHED.get(name)
            if record_field is None:
                if name in self.ABSENT:
                    return None
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            getter = functools.partial(self._source.fetch, name=record_field)
        try:
            value = getter(self._row)
        except _OF_DAMAGE as e:
            raise self._damaged(e) from e
        # From now on the caller may change the value in place.
        _set(self, name, value)
        if not self._touched:
            _set(self, "_touched", True)
        return value

    def __setattr__(self, name, value):
        # The example is no longer what the archive says.
        _set(self, "_touched", True)
        if name == "image_path":
            self.__dict__["_image_path"] = value
        else:
            _set(self, name, value)

    def load(self, load_image: bool = True) -> Any:
        """Fetches all fields, and the decoded image unless told not to; returns itself."""
        source, row = self._source, self._row
        if not self._touched and source.getters:
            try:
                for name, getter in source.getters.items():
                    _set(self, name, getter(row))
            except _OF_DAMAGE as e:
                raise self._damaged(e) from e
            _set(self, "_touched", True)
        else:
            for name in self.FETCHED:
                getattr(self, name)
        if load_image and self.image is None:
            _set(self, "image", self._stored(source.image))
        return self

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
        """Returns the image, RGB uint8 ``[h, w, 3]``, read now if it has not been loaded."""
        return self.image if self.image is not None else self._stored(self._source.image)

    @property
    def image_path(self) -> str:
        """Path relative to DATA_ROOT, before and after loading."""
        if self._touched:
            own = self.__dict__.get("_image_path")
            if own is not None:
                return own
        return self._stored(self._source.image_path)

    @image_path.setter
    def image_path(self, value: Any) -> None:
        self.__setattr__("image_path", value)

    @property
    def path(self) -> str:
        """Key of the example's entry, ``{split}/{image_path}_{person:02d}.msgpack``."""
        return self._stored(self._source.path)

    @property
    def pristine_place(self) -> tuple[Any, Any] | None:
        """(source, row) if nothing was fetched or set, else None."""
        return None if self._touched else (self._source, self._row)

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

    def __eq__(self, other):
        # By place in the archive; an example that was changed equals only itself.
        if self is other:
            return True
        place = self.pristine_place
        other_place = getattr(other, "pristine_place", None)
        if place is None or other_place is None:
            return NotImplemented
        return place[1] == other_place[1] and place[0] == other_place[0]

    def __hash__(self):
        return hash(self.path)

    def __reduce__(self):
        # The place in the archive, plus whatever has been fetched or set.
        make, args = self._source.reduce_example(self._row)
        if not self._touched:
            return make, args
        state = dict(self.__dict__)
        for name in (*self.FETCHED, *self.ABSENT):
            slot = getattr(type(self), name)
            try:
                state[name] = slot.__get__(self)
            except AttributeError:
                continue
        return make, args, state

    def __setstate__(self, state):
        _set(self, "_touched", True)
        for name, value in state.items():
            _set(self, name, value)


class LazyPose3DExample(LazyExample, Pose3DExample):
    """An example of a finished 3D dataset."""

    __module__ = "posepile.datasets3d"  # the name in pickles
    __slots__ = ("_row", "_source", "_touched")
    FETCHED: ClassVar[dict[str, str]] = {n: f.name for n, f in names_in_examples("3d").items()}
    ABSENT = NOT_STORED["3d"]


class LazyPose2DExample(LazyExample, Pose2DExample):
    """An example of a finished 2D dataset."""

    __module__ = "posepile.datasets2d"  # the name in pickles
    __slots__ = ("_row", "_source", "_touched")
    FETCHED: ClassVar[dict[str, str]] = {n: f.name for n, f in names_in_examples("2d").items()}
    ABSENT = NOT_STORED["2d"]


LAZY_EXAMPLES = {"3d": LazyPose3DExample, "2d": LazyPose2DExample}
