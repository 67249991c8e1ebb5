"""Reading pickles that others wrote: an allow-list, and the module names of earlier versions.

A pickle can name any function of any module and have it called. :func:`load` resolves only the
names that pose datasets are made of and refuses everything else by name. What remains is read as
:mod:`posepile.formats.pickles` reads it: functions and classes of the process cannot be altered,
arrays are made of checked parts, and the memory has a limit.
"""

from __future__ import annotations

import collections
import io
import os
import pickle
from pathlib import Path
from typing import Any, BinaryIO

import addict
import numpy as np

from posepile import paths
from posepile.errors import UsageError, WorkError, one_line
from posepile.files import open_regular
from posepile.formats.budget import Budget, TooLarge
from posepile.formats.pickle_machine import run
from posepile.formats.pickle_nodes import Call, NameRefused, no_collection
from posepile.formats.pickled_arrays import (
    ARRAY_MAKERS,
    ARRAY_NAMES,
    array_of,
    dtype_of_code,
    raw_bytes,
)
from posepile.formats.pickled_values import PLAIN_MAKERS, Maker, canonical_name, check_plain
from posepile.formats.pickles import UNPICKLING_ERRORS

_POSEPILE = {
    "posepile.datasets3d": {
        "Pose3DDataset",
        "Pose3DExample",
        "LazyPose3DExample",
        "SparseCoords",
        "example_list",
        "table_source",
        "table_example",
        "entry_source",
        "entry_example",
        "placed_source",
        "placed_example",
    },
    "posepile.datasets2d": {"Pose2DDataset", "Pose2DExample", "LazyPose2DExample"},
    "posepile.joint_info": {"JointInfo", "_rebuild"},
    # up to version 0.1.0
    "posepile.archive": {
        "table_source",
        "_table_example",
        "_entry_example",
        "_rebuild_entry_source",
    },
    "posepile.table": {"_rebuild_list"},
    "posepile.merging.merge": {"MappedSource", "_mapped_example"},
}
_OTHERS = {
    "deltacamera": {"Camera", "FisheyeKannalaBrandt", "BrownConradyEx", "LensDistortionModel"},
    "deltacamera.core": {"Camera"},
    "deltacamera.distortion_models": {
        "FisheyeKannalaBrandt",
        "BrownConradyEx",
        "LensDistortionModel",
    },
}

# Old module name -> where its contents are now.
MODULE_ALIASES = {
    "data.datasets3d": "posepile.datasets3d",
    "data.datasets2d": "posepile.datasets2d",
    "data.datasets": "posepile.datasets3d",
    "data.joint_info": "posepile.joint_info",
    "cameralib": "deltacamera",
    "cameralib.cameralib": "deltacamera",
    "cameravision": "deltacamera",
    "cameravision.cameravision": "deltacamera",
}


def load(file: str | os.PathLike | BinaryIO, max_bytes: int | None = None) -> Any:
    """Reads a dataset pickle, old or new, without running code that it names.

    Args:
        file: Path (relative ones below ``DATA_ROOT``) or binary file object.
        max_bytes: Limit of the memory that the content may take; None: as
            :class:`~posepile.formats.budget.Budget` says.

    Returns:
        What was pickled, usually a dataset.

    Raises:
        UsageError: There is no such file.
        WorkError: The pickle names something that does not belong into a dataset, is broken or
            larger than ``max_bytes``.
    """
    if hasattr(file, "read"):
        return _read(file.read(), getattr(file, "name", "pickle"), max_bytes)
    path = paths.ensure_absolute(file) if not Path(file).exists() else Path(file)
    try:
        with open_regular(path) as f:
            return _read(f.read(), str(path), max_bytes)
    except FileNotFoundError:
        raise UsageError(f"{path}: not found") from None
    except OSError as e:
        raise WorkError(f"{path}: cannot be read: {e.strerror or e}") from None


def loads(data: bytes, max_bytes: int | None = None) -> Any:
    """Reads a dataset pickle from bytes, as :func:`load` does."""
    return _read(data, "pickle", max_bytes)


def _read(data: bytes, name: str, max_bytes: int | None) -> Any:
    budget = Budget(len(data), max_bytes)
    try:
        with no_collection():
            node, _ = run(data, 0, _canonical, budget)
            return Maker(_MAKERS, budget, ARRAY_NAMES).make(node)
    except NameRefused as e:
        raise WorkError(
            f"{name}: refers to {one_line(e)}, which does not belong into a dataset pickle; "
            "nothing was loaded"
        ) from None
    except TooLarge as e:
        raise WorkError(
            f"{name}: its content takes more memory than the limit of {e.limit / 2**20:.0f} MiB; "
            "if you trust its author, load it with a larger max_bytes"
        ) from None
    except MemoryError:
        reason = "it takes more memory than there is"
    except UNPICKLING_ERRORS as e:
        reason = one_line(e) or type(e).__name__
    # Raised out here, where the memory that the attempt took is free again.
    raise WorkError(f"{name}: not a readable dataset pickle: {reason}")


def _canonical(module: str, name: str) -> str | None:
    key = canonical_name(MODULE_ALIASES.get(module, module), name)
    return _SAME.get(key, key if key in _MAKERS else None)


def _real(key: str) -> Any:
    """The function or class that a permitted name stands for."""
    module, _, name = key.rpartition(".")
    return pickle.Unpickler(io.BytesIO()).find_class(module, name)


def _called(maker: Maker, call: Call) -> Any:
    """What a permitted function returns, or an instance of a permitted class."""
    function = _real(call.key)
    args = [maker.make(a) for a in call.args]
    if isinstance(function, type) and not args:
        result = function.__new__(function)
    else:
        result = function(*args)
    if call.items or call.pairs:
        raise pickle.UnpicklingError(f"attempt to alter the result of {call.key}")
    if call.state is not None:
        _set_state(result, maker.make(call.state))
    return result


def _set_state(result: Any, state: Any):
    """As pickle does it, for instances of the permitted classes only."""
    if type(result).__module__.split(".")[0] not in ("posepile", "deltacamera"):
        raise pickle.UnpicklingError("attempt to alter what is no part of a dataset")
    if hasattr(result, "__setstate__"):
        result.__setstate__(state)
        return
    attributes, slots = state if isinstance(state, tuple) else (state, None)
    if not all(type(name) is str for part in (attributes, slots) for name in part or ()):
        raise pickle.UnpicklingError("attributes whose names are no text")
    vars(result).update(attributes or {})
    for name, value in (slots or {}).items():
        setattr(result, name, value)


def _addict(maker: Maker, call: Call) -> Any:
    # It is pickled with its items among the arguments, set in it and, being its own state, again.
    return addict.Dict(maker.dictionary(call.pairs or [tuple(pair) for pair in call.args]))


def _counter(maker: Maker, call: Call) -> collections.Counter:
    check_plain(call)
    (counts,) = [maker.make(a) for a in call.args] or [{}]
    if not isinstance(counts, dict):
        raise pickle.UnpicklingError("a counter without its counts")
    return collections.Counter(counts)


def _defaultdict(maker: Maker, call: Call) -> collections.defaultdict:
    factory = getattr(call.args[0] if call.args else None, "key", None)
    content = PLAIN_MAKERS["collections.defaultdict"](maker, call)
    return collections.defaultdict(_FACTORIES.get(factory), content)


def _bytes_array(maker: Maker, call: Call) -> np.ndarray:
    """An array as deltacamera's cameras have them: bytes, code of the dtype, shape."""
    check_plain(call)
    data, code, shape = call.args
    return array_of(maker, maker.make(shape), dtype_of_code(code), raw_bytes(maker, data))


_FACTORIES = {f"builtins.{t.__name__}": t for t in (dict, float, int, list, set, str, tuple)}
_MAKERS = {
    **PLAIN_MAKERS,
    **{key: make for key, make in ARRAY_MAKERS.items() if key.startswith("numpy")},
    **{
        f"{module}.{name}": _called
        for modules in (_POSEPILE, _OTHERS)
        for module, names in modules.items()
        for name in names
    },
    "addict.addict.Dict": _addict,
    "collections.Counter": _counter,
    "collections.defaultdict": _defaultdict,
    "deltacamera.decorators._reconstruct_array": _bytes_array,
}
_SAME = {
    "addict.Dict": "addict.addict.Dict",
    "addict.Addict": "addict.addict.Dict",
    "deltacamera.decorators.DeprecatingArray": "numpy.ndarray",
}
