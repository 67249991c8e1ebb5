"""Reading pickles that others wrote: an allow-list, and the module names of earlier versions.

A pickle can name any function of any module and have it called. :func:`load` resolves only the
names that pose datasets are made of and refuses everything else by name.
"""

from __future__ import annotations

import io
import os
import pickle
from pathlib import Path
from typing import Any, BinaryIO

from posepile import paths
from posepile.errors import UsageError, WorkError

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
_NUMPY = {
    "numpy": {"ndarray", "dtype"},
    "numpy._core.multiarray": {"_reconstruct", "scalar"},
    "numpy._core.numeric": {"_frombuffer"},
}
_OTHERS = {
    "builtins": {
        "bool",
        "bytearray",
        "bytes",
        "complex",
        "dict",
        "float",
        "frozenset",
        "int",
        "list",
        "object",
        "range",
        "set",
        "slice",
        "str",
        "tuple",
    },
    "collections": {"OrderedDict", "defaultdict", "Counter"},
    "copyreg": {"_reconstructor"},
    "_codecs": {"encode"},  # how bytes are written by the oldest protocols
    "addict.addict": {"Dict"},
    "addict": {"Dict", "Addict"},
    "deltacamera": {"Camera", "FisheyeKannalaBrandt", "BrownConradyEx", "LensDistortionModel"},
    "deltacamera.core": {"Camera"},
    "deltacamera.distortion_models": {
        "FisheyeKannalaBrandt",
        "BrownConradyEx",
        "LensDistortionModel",
    },
    "deltacamera.decorators": {"_reconstruct_array", "DeprecatingArray"},
}
_ALLOWED = {**_POSEPILE, **_NUMPY, **_OTHERS}

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
_RENAMED = {
    **MODULE_ALIASES,
    "__builtin__": "builtins",
    "copy_reg": "copyreg",
    "numpy.core.multiarray": "numpy._core.multiarray",
    "numpy.core.numeric": "numpy._core.numeric",
}


def load(file: str | os.PathLike | BinaryIO) -> Any:
    """Reads a dataset pickle, old or new, without running code that it names.

    Args:
        file: Path (relative ones below ``DATA_ROOT``) or binary file object.

    Returns:
        What was pickled, usually a dataset.

    Raises:
        UsageError: There is no such file.
        WorkError: The pickle names something that does not belong into a dataset, or is broken.
    """
    if hasattr(file, "read"):
        return _read(file, getattr(file, "name", "pickle"))
    path = paths.ensure_absolute(file) if not Path(file).exists() else Path(file)
    try:
        with open(path, "rb") as f:
            return _read(f, str(path))
    except FileNotFoundError:
        raise UsageError(f"{path}: not found") from None


def loads(data: bytes) -> Any:
    """Reads a dataset pickle from bytes, as :func:`load` does."""
    return _read(io.BytesIO(data), "pickle")


def _read(file, name):
    try:
        return _Unpickler(file, name).load()
    except (pickle.UnpicklingError, EOFError, AttributeError, IndexError, KeyError) as e:
        raise WorkError(f"{name}: not a readable dataset pickle: {e}") from e


class _Unpickler(pickle.Unpickler):
    def __init__(self, file, name):
        super().__init__(file)
        self._name = name

    def find_class(self, module, name):
        new_module = _RENAMED.get(module, module)
        if name not in _ALLOWED.get(new_module, ()):
            raise WorkError(
                f"{self._name}: refers to {module}.{name}, which does not belong into a dataset "
                "pickle; nothing was loaded"
            )
        if new_module.startswith("numpy._core"):
            new_module = _numpy_module(new_module)
        return super().find_class(new_module, name)


def _numpy_module(name):
    import numpy as np

    # numpy 1.x has these modules under numpy.core only.
    return name if hasattr(np, "_core") else name.replace("numpy._core", "numpy.core")
