"""Values that cannot be changed in place: what a field of a lazy example is read as.

Copies and pickles of them are plain values, which can be changed.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from posepile.errors import UsageError

# Values of these types cannot be changed anyway.
_UNCHANGEABLE = frozenset((str, int, float, bool, bytes, type(None)))


def _refuse(self: Any, *args: Any, **kwargs: Any) -> NoReturn:
    what = next(kind for kind in type(self).__mro__ if kind.__module__ != __name__).__name__
    how = "its .copy()" if hasattr(self, "copy") else "a copy.deepcopy() of it"
    raise UsageError(
        f"this {what} belongs to an example of a dataset and is read-only; change {how}; to "
        "change the dataset, take ex = ex.load(), change that and set examples[i] = ex"
    )


class ReadOnlyDict(dict):
    """A dict that refuses to be changed."""

    __slots__ = ()
    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __copy__(self):
        return dict(self)

    def __deepcopy__(self, memo):
        return copy.deepcopy(dict(self), memo)

    def __reduce_ex__(self, protocol):
        return dict, (dict(self),)


class ReadOnlyList(list):
    """A list that refuses to be changed."""

    __slots__ = ()
    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse
    append = clear = extend = insert = pop = remove = reverse = sort = _refuse

    def __copy__(self):
        return list(self)

    def __deepcopy__(self, memo):
        return copy.deepcopy(list(self), memo)

    def __reduce_ex__(self, protocol):
        return list, (list(self),)


@functools.cache
def read_only_class(kind: type) -> type:
    """Returns the class of objects like those of a class whose attributes cannot be set.

    >>> class Point: pass
    >>> isinstance(read_only_class(Point)(), Point)
    True

    Args:
        kind: A class whose objects keep their attributes in ``__dict__``, such as cameras.
    """
    # `__class__` is the given class: pickle compares it with that of what it is told to make.
    members = {"__module__": __name__, "__class__": property(lambda self: kind)}
    return type(kind.__name__, (_ReadOnlyAttributes, kind), members)


class _ReadOnlyAttributes:
    """Refuses that attributes are set; comes before the other class among the bases."""

    __setattr__ = __delattr__ = _refuse

    def __copy__(self):
        return self._plain()

    def __deepcopy__(self, memo):
        return copy.deepcopy(self._plain(), memo)

    def __reduce_ex__(self, protocol):
        return self._plain().__reduce_ex__(protocol)

    def _plain(self):
        return _with_attributes(self.__class__, self)


def _with_attributes(kind: type, value: Any) -> Any:
    """Returns an object of a class with the attributes of a value; no constructor is called."""
    result = kind.__new__(kind)
    result.__dict__.update(value.__dict__)
    return result


def read_only(value: Any) -> Any:
    """Returns a value that refuses to be changed, with all it holds; arrays are not copied.

    Of other objects (cameras, sparse coordinates) the attributes cannot be set and arrays among
    them are read-only, and so are those of what they hold, such as a camera's lens.

    >>> read_only(np.zeros(2)).flags.writeable
    False

    Args:
        value: A value that nothing else refers to.
    """
    kind = type(value)
    if kind in _UNCHANGEABLE:
        return value
    if kind is np.ndarray:
        value.setflags(write=False)
        return value
    if kind is dict:
        return ReadOnlyDict(zip(value, map(read_only, value.values()), strict=True))
    if kind is list:
        return ReadOnlyList(map(read_only, value))
    if kind is tuple:
        return tuple(map(read_only, value))
    attributes = getattr(value, "__dict__", None)
    if attributes is None or issubclass(kind, _ReadOnlyAttributes):
        return value
    for attribute in attributes.values():
        for array in (attribute, *getattr(attribute, "__dict__", {}).values()):
            if isinstance(array, np.ndarray):
                array.setflags(write=False)
    return _with_attributes(read_only_class(kind), value)


def read_only_reader(read: Callable[[int], Any]) -> Callable[[int], Any]:
    """Returns a function like ``read`` whose values are :func:`read_only`."""

    def frozen(row):
        value = read(row)
        if type(value) is np.ndarray:
            value.setflags(write=False)
            return value
        return None if value is None else read_only(value)

    return frozen
