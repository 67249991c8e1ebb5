"""Values that cannot be changed in place: what a field of a lazy example is read as."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from posepile.errors import UsageError

# Values of these types cannot be changed anyway.
_UNCHANGEABLE = frozenset((str, int, float, bool, bytes, type(None)))


class ReadOnlyDict(dict):
    """A dict that refuses to be changed; copies and pickles of it are plain dicts."""

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise UsageError(
            "this dict belongs to an example of a dataset and is read-only; change a copy of it, "
            "or that of ex = ex.load(), which examples[i] = ex puts into the dataset"
        )

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __copy__(self):
        return dict(self)

    def __deepcopy__(self, memo):
        return copy.deepcopy(dict(self), memo)

    def __reduce_ex__(self, protocol):
        return dict, (dict(self),)


def read_only(value: Any) -> Any:
    """Returns a value whose arrays and dicts refuse to be changed; arrays are not copied.

    >>> read_only(np.zeros(2)).flags.writeable
    False

    Args:
        value: A value that nothing else refers to.
    """
    kind = type(value)
    if kind is np.ndarray:
        value.setflags(write=False)
    elif kind is dict:
        result = ReadOnlyDict(value)
        for name, item in value.items():
            if type(item) not in _UNCHANGEABLE:
                dict.__setitem__(result, name, read_only(item))
        return result
    elif kind is tuple or kind is list:
        for item in value:
            if type(item) not in _UNCHANGEABLE:
                return kind(map(read_only, value))
    elif kind not in _UNCHANGEABLE:
        for attribute in getattr(value, "__dict__", {}).values():  # of cameras, sparse coordinates
            if isinstance(attribute, np.ndarray):
                attribute.setflags(write=False)
    return value


def read_only_reader(read: Callable[[int], Any]) -> Callable[[int], Any]:
    """Returns a function like ``read`` whose values are :func:`read_only`."""

    def frozen(row):
        value = read(row)
        if type(value) is np.ndarray:
            value.setflags(write=False)
            return value
        return None if value is None else read_only(value)

    return frozen
