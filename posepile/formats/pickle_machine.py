"""The opcodes of a pickle turned into plain values and records of what it asks for.

A pickle is a program: it names functions, has them called and sets the state of what they
returned. Nothing is called or imported here. A call becomes a record of ours (see
:mod:`posepile.formats.pickle_nodes`) with the name, the arguments and the state in it;
:mod:`posepile.formats.pickled_values` decides afterwards what the records stand for.

Python's own unpickler cannot be made safe in this way: it sets the state of arbitrary objects,
hashes what a file wishes to be hashed, and allocates as many places as a file announces.
"""

from __future__ import annotations

import codecs
import pickle
import struct
from collections.abc import Callable
from typing import Any

from posepile.formats.budget import Budget, TooLarge
from posepile.formats.pickle_nodes import (
    PERSISTENT,
    Call,
    Members,
    Name,
    NameRefused,
    Pairs,
)

# Longer byte strings stay views of the file until an array is made of them.
_VIEW_FROM = 4096
_MOST_DIGITS = 4000


def run(
    data: bytes,
    start: int,
    canonical: Callable[[str, str], str | None],
    budget: Budget,
    *,
    persistent: bool = False,
) -> tuple[Any, int]:
    """Returns the node that one pickle describes, and where in the data it ends.

    Nodes are None, bool, int, float, str, bytes, memoryview, list, tuple and the classes of
    :mod:`~posepile.formats.pickle_nodes`. 8-bit strings of Python 2 are decoded as
    latin1, which loses nothing.

    Args:
        data: Bytes or a memory map that holds the pickle.
        start: Where in the data the pickle begins.
        canonical: Gives the key of a module and name, None if it is not permitted.
        budget: Limits the number of opcodes.
        persistent: Permit references to data outside of the pickle.

    Raises:
        pickle.UnpicklingError: Damaged; the other usual errors of damaged data occur, too.
        NameRefused: It names something that is not permitted.
        TooLarge: More opcodes than permitted.
    """
    return _Machine(data, start, canonical, persistent).run(budget)


class _Machine:
    def __init__(self, data, start, canonical, persistent):
        self.data = data
        self.view = memoryview(data)
        self.pos = start
        self.canonical = canonical
        self.persistent = persistent
        self.stack: list = []
        self.outer: list[list] = []
        self.memo: dict[int, Any] = {}

    def run(self, budget):
        data, handlers = self.data, _HANDLERS
        for i in range(budget.opcodes_left):
            opcode = data[self.pos]
            self.pos += 1
            if opcode == 0x2E:  # STOP
                budget.opcodes_left -= i + 1
                return self.stack.pop(), self.pos
            handlers[opcode](self)
        raise TooLarge(budget.limit)

    def take(self, n: int) -> bytes:
        end = self.pos + n
        if end > len(self.data):
            raise EOFError("cut off")
        found = self.data[self.pos : end]
        self.pos = end
        return found

    def take_long(self, n: int) -> bytes | memoryview:
        if n < _VIEW_FROM:
            return self.take(n)
        end = self.pos + n
        if end > len(self.data):
            raise EOFError("cut off")
        found = self.view[self.pos : end]
        self.pos = end
        return found

    def line(self) -> bytes:
        end = self.data.find(b"\n", self.pos)
        if end < 0:
            raise EOFError("cut off")
        found = self.data[self.pos : end]
        self.pos = end + 1
        return found

    def number(self, code: str) -> int:
        if code == "B":  # the most frequent one by far
            self.pos += 1
            return self.data[self.pos - 1]
        found = struct.unpack(code, self.take(struct.calcsize(code)))[0]
        if found < 0 and code == "<i":
            raise pickle.UnpicklingError("a length below zero")
        return found

    def marked(self) -> list:
        if not self.outer:
            raise pickle.UnpicklingError("no mark")
        found = self.stack
        self.stack = self.outer.pop()
        return found


# ---------------------------------------------------------------- handlers, one per opcode


def _mark(m: _Machine):
    m.outer.append(m.stack)
    m.stack = []


def _pop(m: _Machine):
    if m.stack:
        m.stack.pop()
    else:
        m.marked()


def _constant(value: Any):
    return lambda m: m.stack.append(value)


def _packed(code: str):
    size, unpack = struct.calcsize(code), struct.Struct(code).unpack
    return lambda m: m.stack.append(unpack(m.take(size))[0])


def _byte(m: _Machine):
    m.stack.append(m.data[m.pos])
    m.pos += 1


def _decimal(text: bytes) -> int:
    if len(text) > _MOST_DIGITS:
        raise pickle.UnpicklingError(f"a number of {len(text)} digits")
    return int(text, 0)


def _int(m: _Machine):
    text = m.line()
    m.stack.append({b"00": False, b"01": True}.get(text, None))
    if m.stack[-1] is None:
        m.stack[-1] = _decimal(text)


def _long_text(m: _Machine):
    m.stack.append(_decimal(m.line().removesuffix(b"L")))


def _long(code: str):
    def handle(m: _Machine):
        n = m.number(code)
        if n > _MOST_DIGITS:
            raise pickle.UnpicklingError(f"a number of {n} bytes")
        m.stack.append(int.from_bytes(m.take(n), "little", signed=True))

    return handle


def _float_text(m: _Machine):
    m.stack.append(float(m.line()))


def _string_text(m: _Machine):
    text = m.line()
    if len(text) < 2 or text[:1] not in b"'\"" or text[:1] != text[-1:]:
        raise pickle.UnpicklingError("a string without quotes")
    m.stack.append(codecs.escape_decode(text[1:-1])[0].decode("latin1"))


def _string(code: str):
    return lambda m: m.stack.append(str(m.take(m.number(code)), "latin1"))


def _bytes(code: str):
    return lambda m: m.stack.append(m.take_long(m.number(code)))


def _unicode_text(m: _Machine):
    m.stack.append(str(m.line(), "raw-unicode-escape"))


def _unicode(code: str):
    return lambda m: m.stack.append(str(m.take(m.number(code)), "utf-8", "surrogatepass"))


def _new(create: Callable[[], Any]):
    return lambda m: m.stack.append(create())


def _of_marked(create: Callable[[list], Any]):
    def handle(m: _Machine):
        values = m.marked()
        m.stack.append(create(values))

    return handle


def _tuple_of(n: int):
    def handle(m: _Machine):
        if len(m.stack) < n:
            raise pickle.UnpicklingError("too few values")
        m.stack[-n:] = [tuple(m.stack[-n:])]

    return handle


def _paired(values: list) -> list[tuple]:
    return list(zip(values[::2], values[1::2], strict=True))


def _extend(target: Any, values: list):
    if type(target) is Call:
        target.items += values
    elif type(target) is list:
        target += values
    else:
        raise pickle.UnpicklingError("values appended to what is no list")


def _append(m: _Machine):
    value = m.stack.pop()
    _extend(m.stack[-1], [value])


def _appends(m: _Machine):
    values = m.marked()
    _extend(m.stack[-1], values)


def _update(target: Any, pairs: list[tuple]):
    if type(target) not in (Call, Pairs):
        raise pickle.UnpicklingError("keys set in what is no dictionary")
    target.pairs += pairs


def _setitem(m: _Machine):
    value, key = m.stack.pop(), m.stack.pop()
    _update(m.stack[-1], [(key, value)])


def _setitems(m: _Machine):
    values = m.marked()
    _update(m.stack[-1], _paired(values))


def _additems(m: _Machine):
    values = m.marked()
    target = m.stack[-1]
    if type(target) is not Members or target.frozen:
        raise pickle.UnpicklingError("values added to what is no set")
    target.values += values


def _get(m: _Machine):
    m.stack.append(m.memo[_decimal(m.line())])


def _get_at(code: str):
    return lambda m: m.stack.append(m.memo[m.number(code)])


def _put(m: _Machine):
    m.memo[_decimal(m.line())] = m.stack[-1]


def _put_at(code: str):
    def handle(m: _Machine):
        m.memo[m.number(code)] = m.stack[-1]

    return handle


def _memoize(m: _Machine):
    m.memo[len(m.memo)] = m.stack[-1]


def _dup(m: _Machine):
    m.stack.append(m.stack[-1])


def _named(m: _Machine, module: Any, name: Any) -> Name:
    if type(module) is not str or type(name) is not str:
        raise pickle.UnpicklingError("a name that is no text")
    key = m.canonical(module, name)
    if key is None:
        raise NameRefused(module, name)
    return Name(key)


def _global(m: _Machine):
    module, name = str(m.line(), "utf-8"), str(m.line(), "utf-8")
    m.stack.append(_named(m, module, name))


def _stack_global(m: _Machine):
    name, module = m.stack.pop(), m.stack.pop()
    m.stack.append(_named(m, module, name))


def _call(function: Any, args: Any) -> Call:
    if type(function) is not Name:
        raise pickle.UnpicklingError("a call of what is no function")
    if type(args) is not tuple:
        raise pickle.UnpicklingError("a call without arguments")
    return Call(function.key, args)


def _reduce(m: _Machine):
    args, function = m.stack.pop(), m.stack.pop()
    m.stack.append(_call(function, args))


def _newobj_ex(m: _Machine):
    kwargs, args, function = m.stack.pop(), m.stack.pop(), m.stack.pop()
    if type(kwargs) is not Pairs or kwargs.pairs:
        raise pickle.UnpicklingError("a call with named arguments")
    m.stack.append(_call(function, args))


def _inst(m: _Machine):
    module, name = str(m.line(), "utf-8"), str(m.line(), "utf-8")
    args = m.marked()
    m.stack.append(_call(_named(m, module, name), tuple(args)))


def _obj(m: _Machine):
    function, *args = m.marked()
    m.stack.append(_call(function, tuple(args)))


def _build(m: _Machine):
    state = m.stack.pop()
    target = m.stack[-1]
    if type(target) is not Call or target.state is not None:
        raise pickle.UnpicklingError("attempt to alter what is no new object")
    target.state = state


def _refer(m: _Machine, pid: Any):
    if not m.persistent:
        raise pickle.UnpicklingError("reference to data outside of the file")
    m.stack.append(Call(PERSISTENT, (pid,)))


def _proto(m: _Machine):
    version = m.number("B")
    if version > 5:
        raise pickle.UnpicklingError(f"pickle of protocol {version}; known are 0 to 5")


def _frame(m: _Machine):
    m.number("<Q")


def _unknown(m: _Machine):
    raise pickle.UnpicklingError(f"opcode {m.data[m.pos - 1]:#04x}")


_OPCODES: dict[bytes, Callable[[_Machine], None]] = {
    pickle.MARK: _mark,
    pickle.POP: _pop,
    pickle.POP_MARK: _Machine.marked,
    pickle.DUP: _dup,
    pickle.NONE: _constant(None),
    pickle.NEWTRUE: _constant(True),
    pickle.NEWFALSE: _constant(False),
    pickle.INT: _int,
    pickle.LONG: _long_text,
    pickle.BININT: _packed("<i"),
    pickle.BININT1: _byte,
    pickle.BININT2: _packed("<H"),
    pickle.LONG1: _long("B"),
    pickle.LONG4: _long("<i"),
    pickle.FLOAT: _float_text,
    pickle.BINFLOAT: _packed(">d"),
    pickle.STRING: _string_text,
    pickle.BINSTRING: _string("<i"),
    pickle.SHORT_BINSTRING: _string("B"),
    pickle.UNICODE: _unicode_text,
    pickle.SHORT_BINUNICODE: _unicode("B"),
    pickle.BINUNICODE: _unicode("<I"),
    pickle.BINUNICODE8: _unicode("<Q"),
    pickle.SHORT_BINBYTES: _bytes("B"),
    pickle.BINBYTES: _bytes("<I"),
    pickle.BINBYTES8: _bytes("<Q"),
    pickle.BYTEARRAY8: _bytes("<Q"),
    pickle.EMPTY_LIST: _new(list),
    pickle.EMPTY_TUPLE: _constant(()),
    pickle.EMPTY_DICT: _new(lambda: Pairs([])),
    pickle.EMPTY_SET: _new(lambda: Members([], False)),
    pickle.LIST: _of_marked(list),
    pickle.TUPLE: _of_marked(tuple),
    pickle.TUPLE1: _tuple_of(1),
    pickle.TUPLE2: _tuple_of(2),
    pickle.TUPLE3: _tuple_of(3),
    pickle.DICT: _of_marked(lambda values: Pairs(_paired(values))),
    pickle.FROZENSET: _of_marked(lambda values: Members(values, True)),
    pickle.APPEND: _append,
    pickle.APPENDS: _appends,
    pickle.SETITEM: _setitem,
    pickle.SETITEMS: _setitems,
    pickle.ADDITEMS: _additems,
    pickle.GET: _get,
    pickle.BINGET: _get_at("B"),
    pickle.LONG_BINGET: _get_at("<I"),
    pickle.PUT: _put,
    pickle.BINPUT: _put_at("B"),
    pickle.LONG_BINPUT: _put_at("<I"),
    pickle.MEMOIZE: _memoize,
    pickle.GLOBAL: _global,
    pickle.STACK_GLOBAL: _stack_global,
    pickle.REDUCE: _reduce,
    pickle.NEWOBJ: _reduce,
    pickle.NEWOBJ_EX: _newobj_ex,
    pickle.INST: _inst,
    pickle.OBJ: _obj,
    pickle.BUILD: _build,
    pickle.PERSID: lambda m: _refer(m, m.line()),
    pickle.BINPERSID: lambda m: _refer(m, m.stack.pop()),
    pickle.PROTO: _proto,
    pickle.FRAME: _frame,
}
_HANDLERS = [_OPCODES.get(bytes([i]), _unknown) for i in range(256)]
