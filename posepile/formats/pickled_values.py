"""Plain Python values made of the nodes of a pickle, within limits.

What a call in a pickle stands for is looked up in a table of makers, functions of a
:class:`Maker` and the :class:`~posepile.formats.pickle_nodes.Call`. A maker checks all that it
takes from the call before it hands it to a library.
"""

from __future__ import annotations

import collections
import pickle
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from posepile.formats.budget import Budget
from posepile.formats.pickle_nodes import Call, Members, Name, Pairs

# Nesting of lists, dictionaries and the like in the data of any of our sources is below ten.
_DEEPEST = 100
# Keys of equal hash make a dictionary slow; that many do not occur by chance.
_MOST_OF_ONE_HASH = 100
_MOST_VALUES_IN_KEY = 100
_SCALARS = frozenset((type(None), bool, int, float, str, bytes))
_KEY_TYPES = (*_SCALARS, np.number, np.bool_, np.str_, np.bytes_)


class Maker:
    """Makes values of nodes.

    Args:
        makers: Functions that make values of calls, by the key of the call.
        budget: Limit of the memory that all values together may take.
        names: What functions and classes stand for that occur as values, by their key.
    """

    def __init__(
        self,
        makers: Mapping[str, Callable[[Maker, Call], Any]],
        budget: Budget,
        names: Mapping[str, Any] | None = None,
    ):
        self._makers = makers
        self._names = names or {}
        self.budget = budget
        self._depth = 0
        self._n_values = 0
        # By the identity of a node: the node (so that it stays alive), value, number of values.
        self._made: dict[int, tuple[Any, Any, int]] = {}

    def within(self, makers: Mapping[str, Callable[[Maker, Call], Any]]) -> Maker:
        """Returns a maker for a pickle within the pickle, which knows further makers."""
        return Maker({**self._makers, **makers}, self.budget, self._names)

    def charge(self, n_bytes: int) -> None:
        """Counts memory that is about to be taken, see :class:`Budget`."""
        self.budget.take_bytes(n_bytes)

    def make(self, node: Any) -> Any:
        """Returns the value of a node, one object however often it is referred to.

        Raises:
            pickle.UnpicklingError: The node is no plain data, or nested too deeply.
            TooLarge: More memory than permitted.
        """
        kind = type(node)
        if kind in _SCALARS:
            self._n_values += 1
            self.budget.take_values(1)
            return node
        made = self._made.get(id(node))
        if made is not None:
            if made[2] < 0:
                raise pickle.UnpicklingError("an object that contains itself")
            self._count(made[2])
            return made[1]
        if self._depth > _DEEPEST:
            raise pickle.UnpicklingError(f"nested more than {_DEEPEST} levels deep")
        self._made[id(node)] = node, None, -1
        self._depth += 1
        before = self._n_values
        self._count(1)
        value = self._make_new(node, kind)
        self._depth -= 1
        self._made[id(node)] = node, value, self._n_values - before
        return value

    def call(self, call: Call) -> Any:
        """Returns what the table's maker of a call gives."""
        return self._makers[call.key](self, call)

    def values_in(self, node: Any) -> int:
        """Returns how many values a node that was made has, shared ones counted each time."""
        made = self._made.get(id(node))
        return made[2] if made else 1

    def hashable(self, nodes: list) -> list:
        """Returns the values of nodes that shall be keys or members of a set.

        Raises:
            pickle.UnpicklingError: Not numbers, text or small tuples of them, or made such that
                looking them up would take for ever.
        """
        values = []
        for node in nodes:
            value = self.make(node)
            values.append(value)
            if type(value) in _SCALARS:
                continue
            if self.values_in(node) > _MOST_VALUES_IN_KEY or not _is_key(value):
                raise pickle.UnpicklingError("a key that is neither number, text nor small tuple")
        if len(values) > _MOST_OF_ONE_HASH:
            _, counts = np.unique([hash(v) for v in values], return_counts=True)
            if counts.max() > _MOST_OF_ONE_HASH:
                raise pickle.UnpicklingError("keys made to be of equal hash")
        return values

    def dictionary(self, pairs: list[tuple]) -> dict:
        """Returns the dictionary of pairs of key and value nodes."""
        keys = self.hashable([k for k, _ in pairs])
        return {k: self.make(v) for k, (_, v) in zip(keys, pairs, strict=True)}

    def _count(self, n: int):
        self._n_values += n
        self.budget.take_values(n)

    def _make_new(self, node: Any, kind: type) -> Any:
        if kind is list:
            return [self.make(x) for x in node]
        if kind is tuple:
            return tuple([self.make(x) for x in node])
        if kind is Pairs:
            return self.dictionary(node.pairs)
        if kind is Members:
            values = self.hashable(node.values)
            return frozenset(values) if node.frozen else set(values)
        if kind is Call:
            return self.call(node)
        if kind is memoryview:
            self.charge(len(node))
            return bytes(node)
        if node.key in self._names:
            return self._names[node.key]
        raise pickle.UnpicklingError(f"{node.key} where data was expected")


def _is_key(value: Any) -> bool:
    if isinstance(value, tuple | frozenset):
        return all(_is_key(v) for v in value)
    return isinstance(value, _KEY_TYPES)


def check_plain(call: Call) -> None:
    """Checks that a call's result is not altered afterwards.

    Raises:
        pickle.UnpicklingError: It is.
    """
    if call.state is not None or call.items or call.pairs:
        raise pickle.UnpicklingError(f"attempt to alter the result of {call.key}")


def _arguments(maker: Maker, call: Call, *types: type | tuple[type, ...], least: int = 0) -> list:
    check_plain(call)
    if not least <= len(call.args) <= len(types):
        raise pickle.UnpicklingError(f"{call.key} of {len(call.args)} arguments")
    args = [maker.make(a) for a in call.args]
    for arg, expected in zip(args, types, strict=False):
        if not isinstance(arg, expected):
            raise pickle.UnpicklingError(f"{call.key} of {type(arg).__name__}")
    return args


def _sequence(maker: Maker, call: Call) -> list:
    """Nodes of the one list or tuple that a container is made of."""
    if len(call.args) > 1 or (call.args and type(call.args[0]) not in (list, tuple, Members)):
        raise pickle.UnpicklingError(f"{call.key} of other things than a list")
    if not call.args:
        return []
    given = call.args[0]
    nodes = given.values if type(given) is Members else given
    maker.charge(8 * len(nodes))
    return list(nodes)


def _make_list(maker: Maker, call: Call) -> list:
    nodes = _sequence(maker, call) + call.items
    call.items = []
    check_plain(call)
    return [maker.make(x) for x in nodes]


def _make_tuple(maker: Maker, call: Call) -> tuple:
    check_plain(call)
    return tuple([maker.make(x) for x in _sequence(maker, call)])


def _make_set(maker: Maker, call: Call) -> set:
    check_plain(call)
    return set(maker.hashable(_sequence(maker, call)))


def _make_frozenset(maker: Maker, call: Call) -> frozenset:
    return frozenset(_make_set(maker, call))


def _pairs(call: Call, args: tuple) -> list[tuple]:
    """Pairs of key and value nodes that a dictionary is made of."""
    pairs = list(call.pairs)
    call.pairs = []
    check_plain(call)
    if not args:
        return pairs
    if len(args) == 1 and type(args[0]) is Pairs:
        return args[0].pairs + pairs
    if len(args) == 1 and type(args[0]) in (list, tuple):
        if all(type(p) in (list, tuple) and len(p) == 2 for p in args[0]):
            return [tuple(p) for p in args[0]] + pairs
    raise pickle.UnpicklingError(f"{call.key} of other things than pairs")


def _make_dict(maker: Maker, call: Call) -> dict:
    return maker.dictionary(_pairs(call, call.args))


def _make_ordered_dict(maker: Maker, call: Call) -> collections.OrderedDict:
    return collections.OrderedDict(_make_dict(maker, call))


def _make_defaultdict(maker: Maker, call: Call) -> dict:
    return maker.dictionary(_pairs(call, call.args[1:]))


def _make_bytes(maker: Maker, call: Call) -> bytes:
    args = _arguments(maker, call, (bytes, str), str)
    if not args:
        return b""
    maker.charge(len(args[0]))
    if isinstance(args[0], bytes):
        return args[0]
    return _encoded(args[0], args[1] if len(args) > 1 else "latin1")


def _encoded(text: str, encoding: str) -> bytes:
    if encoding not in ("latin1", "latin-1", "utf-8", "ascii"):
        raise pickle.UnpicklingError("text in an unusual encoding")
    return text.encode(encoding)


def _encode(maker: Maker, call: Call) -> bytes:
    text, *encoding = _arguments(maker, call, str, str, least=1)
    maker.charge(len(text))
    return _encoded(text, *(encoding or ["utf-8"]))


def _make_number(kind: type) -> Callable[[Maker, Call], Any]:
    def make(maker: Maker, call: Call) -> Any:
        return kind(*_arguments(maker, call, (bool, int, float)))

    return make


def _make_complex(maker: Maker, call: Call) -> complex:
    return complex(*_arguments(maker, call, (int, float), (int, float), least=1))


def _make_str(maker: Maker, call: Call) -> str:
    return "".join(_arguments(maker, call, str))


def _make_range(maker: Maker, call: Call) -> range:
    return range(*_arguments(maker, call, int, int, int, least=1))


def _make_slice(maker: Maker, call: Call) -> slice:
    number = (int, type(None))
    return slice(*_arguments(maker, call, number, number, number, least=1))


def _reconstructed(maker: Maker, call: Call) -> Any:
    """An instance of a class, as the protocols 0 and 1 create them."""
    cls, base, state = call.args
    if type(cls) is not Name or getattr(base, "key", None) != "builtins.object" or state:
        raise pickle.UnpicklingError("an instance of an unusual class")
    new = Call(cls.key, ())
    new.state, new.items, new.pairs = call.state, call.items, call.pairs
    return maker.call(new)


def _not_callable(maker: Maker, call: Call) -> Any:
    raise pickle.UnpicklingError(f"a call of {call.key}")


PLAIN_MAKERS: dict[str, Callable[[Maker, Call], Any]] = {
    "_codecs.encode": _encode,
    "builtins.bool": _make_number(bool),
    "builtins.bytearray": _make_bytes,
    "builtins.bytes": _make_bytes,
    "builtins.complex": _make_complex,
    "builtins.dict": _make_dict,
    "builtins.float": _make_number(float),
    "builtins.frozenset": _make_frozenset,
    "builtins.int": _make_number(int),
    "builtins.list": _make_list,
    "builtins.object": _not_callable,
    "builtins.range": _make_range,
    "builtins.set": _make_set,
    "builtins.slice": _make_slice,
    "builtins.str": _make_str,
    "builtins.tuple": _make_tuple,
    "collections.OrderedDict": _make_ordered_dict,
    "collections.defaultdict": _make_defaultdict,
    "copyreg._reconstructor": _reconstructed,
}
_RENAMED_MODULES = {
    "__builtin__": "builtins",
    "copy_reg": "copyreg",
    "numpy.core.multiarray": "numpy._core.multiarray",
    "numpy.core.numeric": "numpy._core.numeric",
}
_RENAMED = {
    "builtins.unicode": "builtins.str",
    "builtins.long": "builtins.int",
    "builtins.xrange": "builtins.range",
}


def canonical_name(module: str, name: str) -> str:
    """Returns the name that a function has in Python 3 and numpy 2, ``'module.name'``."""
    full = f"{_RENAMED_MODULES.get(module, module)}.{name}"
    return _RENAMED.get(full, full)
