"""What a network file says of itself: its inputs, outputs and metadata."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Port:
    """An input or output.

    Attributes:
        name: As in the file.
        type: ``float32``, ``float16``, ``uint8``, ``int64`` and so on.
        shape: Sizes by dimension, None = free.
    """

    name: str
    type: str
    shape: tuple[int | None, ...]

    def __str__(self) -> str:
        sizes = ", ".join("?" if n is None else str(n) for n in self.shape)
        return f"{self.name} {self.type} [{sizes}]"


@dataclass(frozen=True)
class Signature:
    """Inputs, outputs and metadata of an ONNX file.

    Attributes:
        path: The file.
        inputs: In the file's order.
        outputs: In the file's order.
        metadata: What the exporter wrote into it, text by key.
    """

    path: Path
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    metadata: dict[str, str] = field(default_factory=dict)

    def output(self, name: str) -> Port | None:
        """Returns the output of that name, None if there is none."""
        return next((port for port in self.outputs if port.name == name), None)

    def class_names(self) -> dict[int, str] | None:
        """Returns the class names that Ultralytics and others write as ``names``, by index."""
        try:
            names = ast.literal_eval(self.metadata.get("names", ""))
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return None
        if isinstance(names, (list, tuple)):
            names = dict(enumerate(names))
        if not isinstance(names, dict):
            return None
        return {int(k): str(v) for k, v in names.items() if str(k).isdecimal()} or None

    def picture_size(self) -> tuple[int, int] | None:
        """Returns the height and width that Ultralytics writes as ``imgsz``; None without it."""
        try:
            size = ast.literal_eval(self.metadata.get("imgsz", ""))
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return None
        good = isinstance(size, (list, tuple)) and len(size) == 2
        return tuple(size) if good and all(isinstance(n, int) for n in size) else None

    def __str__(self) -> str:
        inputs = ", ".join(map(str, self.inputs))
        return f"inputs {inputs}; outputs {', '.join(map(str, self.outputs))}"


_TYPES = {"float": "float32", "double": "float64"}


def read_signature(session, path: Path) -> Signature:
    """Returns what an opened ONNX Runtime session says of its file."""

    def port(node) -> Port:
        kind = node.type.removeprefix("tensor(").removesuffix(")")
        shape = tuple(n if isinstance(n, int) else None for n in node.shape)
        return Port(node.name, _TYPES.get(kind, kind), shape)

    return Signature(
        Path(path),
        tuple(map(port, session.get_inputs())),
        tuple(map(port, session.get_outputs())),
        dict(session.get_modelmeta().custom_metadata_map),
    )
