"""Tables of pandas, as versions 1.0 to 3 pickle them, made into ``{column: list}`` without pandas.

A DataFrame holds its columns in blocks of equal type, each a 2-D array with a row per column and
the places of these columns in the table. The row index is left out.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np

from posepile.formats.pickle_nodes import Call, Name, Pairs
from posepile.formats.pickled_values import Maker, check_plain

_KEYS = {
    "DataFrame": "pandas.DataFrame",
    "BlockManager": "pandas.BlockManager",
    "new_block": "pandas.new_block",
    "_unpickle_block": "pandas.new_block",
    "_new_Index": "pandas._new_Index",
    "Index": "pandas.Index",
    "Int64Index": "pandas.Index",
    "UInt64Index": "pandas.Index",
    "Float64Index": "pandas.Index",
    "RangeIndex": "pandas.RangeIndex",
    "__pyx_unpickle_NDArrayBacked": "pandas.NDArrayBacked",
    "StringArray": "pandas.StringArray",
    "StringDtype": "pandas.StringDtype",
}


def frame_key(module: str, name: str) -> str | None:
    """Returns the key of a name of pandas, whichever of its files it was in."""
    if module.split(".", maxsplit=1)[0] != "pandas":
        return None
    return _KEYS.get(name)


def _frame(maker: Maker, call: Call) -> dict[Any, list]:
    if call.items or call.pairs:
        raise pickle.UnpicklingError("a table without its blocks")
    state = _by_name(call.state)
    manager = state.get("_mgr", state.get("_data"))
    if type(manager) is not Call or manager.key != "pandas.BlockManager" or call.args:
        raise pickle.UnpicklingError("a table without its blocks")
    (columns, rows), blocks = _blocks(manager)
    columns, n_rows = _index(maker, columns), len(_index(maker, rows))
    n_columns = len(columns)
    found: dict[int, list] = {}
    for values, placement in blocks:
        array = maker.make(values)
        places = _places(maker, placement, n_columns)
        if type(array) is not np.ndarray or array.ndim not in (1, 2):
            raise pickle.UnpicklingError("a table with a block that is no array")
        if array.ndim == 1:  # text and the like
            array = array[np.newaxis]
        if array.shape != (len(places), n_rows):
            raise pickle.UnpicklingError(
                f"a block of {array.shape} values for {len(places)} columns and {n_rows} rows"
            )
        # In lists, numbers are objects.
        maker.charge(40 * array.size)
        for place, row in zip(places, array, strict=True):
            if place in found:
                raise pickle.UnpicklingError("a table with a column in two blocks")
            found[place] = row.tolist() if row.dtype != object else list(row)
    if len(found) != n_columns:
        raise pickle.UnpicklingError(f"a table with {len(found)} of {n_columns} columns")
    names = _column_names(columns)
    if len(set(names)) != len(names):
        raise pickle.UnpicklingError("a table with two columns of one name")
    return {name: found[i] for i, name in enumerate(names)}


def _blocks(manager: Call) -> tuple[Any, list[tuple]]:
    """Nodes of the two axes, and of values and places of each block."""
    if type(manager.state) is tuple and len(manager.state) == 4 and not manager.args:
        # up to pandas 1.2
        newest = _by_name(manager.state[3]).get("0.14.1")
        parts = _by_name(newest)
        blocks = [_by_name(b) for b in _list(parts.get("blocks"))]
        return _axes(parts.get("axes")), [(b.get("values"), b.get("mgr_locs")) for b in blocks]
    if len(manager.args) != 2:
        raise pickle.UnpicklingError("a table of an unknown version of pandas")
    blocks = []
    for block in _list(manager.args[0]):
        if type(block) is not Call or block.key != "pandas.new_block" or len(block.args) < 2:
            raise pickle.UnpicklingError("a table with an unusual block")
        blocks.append(block.args[:2])
    return _axes(manager.args[1]), blocks


def _by_name(node: Any) -> dict[str, Any]:
    if type(node) is not Pairs:
        raise pickle.UnpicklingError("a table of an unknown version of pandas")
    return {k: v for k, v in node.pairs if type(k) is str}


def _list(node: Any) -> list | tuple:
    if type(node) not in (list, tuple):
        raise pickle.UnpicklingError("a table of an unknown version of pandas")
    return node


def _axes(node: Any) -> tuple:
    columns, rows = _list(node)
    return columns, rows


def _places(maker: Maker, node: Any, n_columns: int) -> list[int]:
    """Indices of the columns that a block holds."""
    placement = maker.make(node)
    if type(placement) is slice:
        places = range(n_columns)[placement]
    elif type(placement) is np.ndarray and placement.dtype.kind == "i" and placement.ndim == 1:
        places = placement.tolist()
    else:
        raise pickle.UnpicklingError("a table with a block of unusual place")
    maker.charge(100 * len(places))
    if len(places) > 10**6 or not all(0 <= p < n_columns for p in places):
        raise pickle.UnpicklingError("a table with a block outside of its columns")
    return list(places)


def _column_names(index: range | np.ndarray) -> list:
    values = index.tolist() if isinstance(index, np.ndarray) else list(index)
    if not all(isinstance(v, str | int | float) for v in values):
        raise pickle.UnpicklingError("a table with unusual column names")
    return values


def _index(maker: Maker, node: Any) -> range | np.ndarray:
    """Values of an axis."""
    if type(node) is not Call or node.key != "pandas._new_Index" or len(node.args) != 2:
        raise pickle.UnpicklingError("a table with an unusual index")
    check_plain(node)
    cls, parts = node.args[0], _by_name(node.args[1])
    if type(cls) is not Name:
        raise pickle.UnpicklingError("a table with an unusual index")
    if cls.key == "pandas.RangeIndex":
        return range(*[maker.make(parts.get(k)) for k in ("start", "stop", "step")])
    values = maker.make(parts.get("data"))
    if cls.key != "pandas.Index" or type(values) is not np.ndarray or values.ndim != 1:
        raise pickle.UnpicklingError("a table with an unusual index")
    return values


def _backed_array(maker: Maker, call: Call) -> np.ndarray:
    """An array of text: a class around an array of objects."""
    cls = call.args[0] if call.args else None
    if type(cls) is not Name or cls.key != "pandas.StringArray" or type(call.state) is not tuple:
        raise pickle.UnpicklingError("a table with an unusual column")
    arrays = [
        maker.make(part)
        for part in call.state
        if type(part) is Call and part.key.startswith("numpy.")
    ]
    if len(arrays) != 1 or type(arrays[0]) is not np.ndarray:
        raise pickle.UnpicklingError("a table with an unusual column")
    return arrays[0]


def _not_alone(maker: Maker, call: Call) -> Any:
    raise pickle.UnpicklingError(f"{call.key} outside of a table")


FRAME_MAKERS: dict[str, Callable[[Maker, Call], Any]] = {
    "pandas.DataFrame": _frame,
    "pandas.NDArrayBacked": _backed_array,
    **dict.fromkeys(
        (
            "pandas.BlockManager",
            "pandas.Index",
            "pandas.RangeIndex",
            "pandas.StringArray",
            "pandas.StringDtype",
            "pandas._new_Index",
            "pandas.new_block",
        ),
        _not_alone,
    ),
}
