"""YAML files that a person writes, validated by a pydantic model; a mistake is one line.

The line names the file, the key, the value found and what is allowed.
"""

from __future__ import annotations

import difflib
import math
import os
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydantic
import yaml
from pydantic import BaseModel

from posepile.errors import CorruptInput, UsageError, one_line
from posepile.files import open_regular
from posepile.formats.schema import AGAIN, check
from posepile.formats.text_files import read_text

NOT_UTF8 = "not UTF-8 text; save it as UTF-8"


def read_yaml(
    path: str | os.PathLike,
    model: Any,
    *,
    kind: str = "file",
    prepare: Callable[[Any], Any] | None = None,
) -> Any:
    r"""Returns the content of a YAML file as a pydantic model, or as any type pydantic knows.

    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> file = Path(folder.name, "sizes.yaml")
    >>> _ = file.write_text("small: 3\nlarge: 9")
    >>> read_yaml(file, dict[str, int])
    {'small': 3, 'large': 9}

    Args:
        path: The file.
        model: A model class, or a type such as ``dict[str, int]``.
        kind: What the file is, for the message where it is missing.
        prepare: Applied to the plain content before it is validated; a ``ValueError`` of it says
            what is not allowed.

    Raises:
        UsageError: No such file, not YAML, a key given twice, or something that is not allowed.
    """
    path = Path(path)
    raw = load_yaml(path, kind=kind)
    try:
        raw = raw if prepare is None else prepare(raw)
    except ValueError as e:
        raise UsageError(f"{path}: {e}") from None
    try:
        return pydantic.TypeAdapter(model).validate_python(raw)
    except pydantic.ValidationError as e:
        raise UsageError(describe(e, path, raw, model)) from None


def load_yaml(path: Path, *, kind: str = "file") -> Any:
    """Returns the content of a YAML file as plain data; errors as :func:`read_yaml`.

    >>> _ = (folder / "sizes.yaml").write_text("small: 3")
    >>> load_yaml(folder / "sizes.yaml")
    {'small': 3}
    """
    try:
        with open_regular(path) as f:
            text = f.read().decode("utf-8-sig")
    except FileNotFoundError:
        raise UsageError(f"{path}: no such {kind}") from None
    except (OSError, ValueError) as e:
        reason = NOT_UTF8 if isinstance(e, UnicodeDecodeError) else getattr(e, "strerror", e)
        raise UsageError(f"{path}: cannot be read: {reason}") from None
    try:
        return parse_yaml(text)
    except yaml.YAMLError as e:
        raise UsageError(f"{path}: not valid YAML: {one_line(e)}") from None


def read_raw_yaml(path: str | os.PathLike, schema: Any = None, *, hint: str | None = AGAIN) -> Any:
    r"""Returns the checked content of a YAML file that belongs to a dataset.

    >>> _ = (folder / "cameras.yaml").write_text("sensor_0:\n  width: 752")
    >>> read_raw_yaml(folder / "cameras.yaml", {"*": {"width": int}})
    {'sensor_0': {'width': 752}}

    Args:
        path: The file.
        schema: What is expected, see :mod:`posepile.formats.schema`.
        hint: What the user can do if the file is not so.

    Raises:
        CorruptInput: Missing, damaged or not as expected.
    """
    try:
        content = parse_yaml(read_text(path, hint=hint))
    except yaml.YAMLError as e:
        raise CorruptInput(path, f"not valid YAML: {one_line(e)}", hint=hint) from None
    return check(content, schema, path, hint=hint)


def parse_yaml(text: str) -> Any:
    """Returns a text in YAML as plain data.

    >>> parse_yaml("[1, 2]")
    [1, 2]

    Args:
        text: The text.

    Raises:
        yaml.YAMLError: It is not valid, a key stands twice, or a value is not what its form says.
    """
    try:
        content = yaml.load(text, Loader=_NoKeyTwice)
        if _size(content, {}) > _MOST:
            raise yaml.YAMLError(f"its aliases stand for more than {_MOST:,} values")
        return content
    except yaml.YAMLError:
        raise
    except RecursionError:
        raise yaml.YAMLError("more levels than can be read") from None
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as e:
        # of its constructors, such as for the date 2001-13-45
        raise yaml.YAMLError(f"a value that cannot be read ({one_line(e)})") from None


def describe(
    error: pydantic.ValidationError, where: object, raw: Any, model: Any, prefix: str = ""
) -> str:
    """Returns the first error of a validation as one line: key, value found, what is allowed.

    >>> from pydantic import TypeAdapter, ValidationError
    >>> try:
    ...     _ = TypeAdapter(dict[str, int]).validate_python({"small": "three"})
    ... except ValidationError as e:
    ...     print(describe(e, "sizes.yaml", {"small": "three"}, dict[str, int]).split(":")[0])
    sizes.yaml

    Args:
        error: What pydantic raised.
        where: Names the file.
        raw: What was validated; entries of its lists are named by their ``name``.
        model: The model.
        prefix: Key under which ``raw`` stands.
    """
    first = error.errors()[0]
    node, shown = raw, prefix
    steps = first["loc"]
    for i, step in enumerate(steps):
        in_node = isinstance(node, dict) and step in node
        missing = first["type"] == "missing" and i == len(steps) - 1
        if isinstance(step, str) and not (in_node or missing or step in _fields(model)):
            continue  # pydantic's name of one of several forms of a value
        if isinstance(step, int) and isinstance(node, list) and step < len(node):
            name = node[step].get("name") if isinstance(node[step], dict) else None
            shown += f"[{name if isinstance(name, str) else step}]"
            node = node[step]
        else:
            shown += f".{step}" if shown else str(step)
            model = _model_of(model, step) or model
            node = node.get(step) if isinstance(node, dict) else None
    if first["type"] == "extra_forbidden":
        key, allowed = str(first["loc"][-1]), sorted(_fields(model))
        close = difflib.get_close_matches(key, allowed, 1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        return f"{where}: unknown key {shown}{hint}; allowed here: {', '.join(allowed) or 'none'}"
    if first["type"] == "missing":
        return f"{where}: {shown} is missing"
    message = first["msg"].removeprefix("Value error, ")
    message = "expected a mapping" if first["type"] == "model_type" else message
    message = message[0].lower() + message[1:]
    value = first.get("input")
    if isinstance(value, dict | list):
        return f"{where}: {shown or 'file'}: {message}"
    return f"{where}: {shown or 'file'} = {value!r} is not allowed: {message}"


class _NoKeyTwice(yaml.SafeLoader):
    """Refuses a key given twice, of which plain YAML silently keeps the last."""

    def flatten_mapping(self, node):
        # Merging (`<<`) puts keys into the node, so it is looked at once, before that.
        if not hasattr(node, "looked_at"):
            node.looked_at = True
            seen = set()
            for key_node, _ in node.value:
                key = key_node.value
                if isinstance(key, str) and key in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"key {key!r} stands twice", key_node.start_mark
                    )
                seen.add(key if isinstance(key, str) else None)
        super().flatten_mapping(node)


_MOST = 10**6


def _size(node: Any, known: dict[int, float]) -> float:
    """Returns how many values a tree has where whatever an alias stands for counts again.

    Who walks through the tree walks through all of them. What lies in itself has no end.
    """
    if not isinstance(node, dict | list | tuple):
        return 1
    if id(node) not in known:
        known[id(node)] = (
            math.inf
        )  # as long as it is not known: what leads here again is in itself
        inner = node.values() if isinstance(node, dict) else node
        known[id(node)] = 1 + sum(_size(value, known) for value in inner)
    return known[id(node)]


def _fields(model: Any) -> Any:
    return getattr(model, "model_fields", ())


def _model_of(model: Any, field: object) -> type[BaseModel] | None:
    """The model that a field holds, alone, optional, or as elements of a list or mapping."""
    if field not in _fields(model):
        return None
    waiting = [model.model_fields[field].annotation]
    while waiting:
        annotation = waiting.pop()
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            return annotation
        waiting += [a for a in typing.get_args(annotation) if not isinstance(a, str)]
    return None
