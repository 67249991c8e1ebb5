"""Matrices in XML and YAML as OpenCV writes them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from yaml import YAMLError

from posepile.errors import CorruptInput, one_line
from posepile.formats.schema import AGAIN, Array, check
from posepile.formats.text_files import read_text, read_xml
from posepile.formats.yaml_files import parse_yaml


def read_opencv_xml(
    path: str | os.PathLike, schema: Mapping[str, Array], *, hint: str | None = AGAIN
) -> dict[str, np.ndarray]:
    """Returns matrices of an OpenCV storage file by name; only their numbers count, row by row.

    >>> from posepile.miniature.writers import write_opencv_xml
    >>> write_opencv_xml(folder / "000.xml", {"Intrinsics": np.eye(3)})
    >>> read_opencv_xml(folder / "000.xml", {"Intrinsics": Array(9)})["Intrinsics"][4]
    np.float64(1.0)

    Args:
        path: The file.
        schema: Name -> how many numbers, as one axis; of a matrix of ``[3, 4]`` twelve.
        hint: What the user can do if it is damaged.

    Raises:
        CorruptInput: Missing, not XML, or a matrix is missing or of another size.
    """
    root, found = read_xml(path, hint=hint), {}
    for name in schema:
        text = root.findtext(f"{name.removesuffix('?')}/data")
        if text is None and name.endswith("?"):
            continue
        try:
            found[name.removesuffix("?")] = np.array((text or "").split(), np.float64)
        except ValueError as e:
            fault = f"{name}: {one_line(e)}; expected numbers"
            raise CorruptInput(path, fault, hint=hint) from None
    return check(found, schema, path, hint=hint)


def read_opencv_yaml(path: str | os.PathLike, schema: Any, *, hint: str | None = AGAIN) -> Any:
    r"""Returns the checked content of an OpenCV storage file in YAML; matrices become arrays.

    A matrix of one row or column is a vector. The first line, ``%YAML:1.0``, is not YAML of today.

    >>> text = "%YAML:1.0\nK: !!opencv-matrix\n  rows: 1\n  cols: 2\n  dt: d\n  data: [1., 2.]\n"
    >>> _ = (folder / "lens.yml").write_text(text)
    >>> read_opencv_yaml(folder / "lens.yml", {"K": Array(2)})
    {'K': array([1., 2.])}

    Args:
        path: The file.
        schema: What is expected, see :mod:`posepile.formats.schema`.
        hint: What the user can do if it is damaged.

    Raises:
        CorruptInput: Missing, not YAML, or not as expected.
    """
    text = re.sub(r"\A%YAML[^\n]*\n", "", read_text(path, hint=hint))
    try:
        content = _with_arrays(parse_yaml(text.replace("!!opencv-matrix", "")))
    except (YAMLError, ValueError, TypeError) as e:
        fault = f"not an OpenCV storage file: {one_line(e)}"
        raise CorruptInput(path, fault, hint=hint) from None
    return check(content, schema, path, hint=hint)


def read_opencv_storage(path: str | os.PathLike, *, hint: str | None = AGAIN) -> dict[str, Any]:
    """Returns all that an OpenCV storage file holds, whether YAML or XML, by its ending.

    >>> from posepile.miniature.writers import write_opencv_xml
    >>> write_opencv_xml(folder / "000.xml", {"camera_matrix": np.eye(3)})
    >>> read_opencv_storage(folder / "000.xml")["camera_matrix"].shape
    (3, 3)

    Args:
        path: The file, ``.xml``, or YAML under any other name.
        hint: What the user can do if it is damaged.

    Raises:
        CorruptInput: Missing or damaged.
    """
    if os.fspath(path).lower().endswith(".xml"):
        root = read_xml(path, hint=hint)
        try:
            content = _with_arrays(_of_xml(root))
        except (ValueError, TypeError, RecursionError) as e:
            fault = f"not an OpenCV storage file: {one_line(e)}"
            raise CorruptInput(path, fault, hint=hint) from None
        return check(content, {"*": None}, path, hint=hint)
    return read_opencv_yaml(path, {"*": None}, hint=hint)


def _of_xml(element: Any) -> Any:
    """An element as nested mappings, lists of words and numbers."""
    if len(element):
        content = {child.tag: _of_xml(child) for child in element}
        if {"rows", "cols", "data"} <= set(content) and not isinstance(content["data"], list):
            content["data"] = [content["data"]]
        return content
    words: list[Any] = []
    for word in (element.text or "").split():
        try:
            words.append(float(word))
        except ValueError:
            words.append(word)
    return words[0] if len(words) == 1 else words


def _with_arrays(node: Any) -> Any:
    """Returns nested mappings with arrays in place of matrices."""
    if not isinstance(node, Mapping):
        return node
    if {"rows", "cols", "data"} <= set(node):
        numbers = np.array([float(value) for value in node["data"]])
        shape = int(node["rows"]), int(node["cols"])
        return numbers.reshape(shape if 1 not in shape else -1)
    return {key: _with_arrays(value) for key, value in node.items()}
