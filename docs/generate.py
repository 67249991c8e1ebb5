"""Pages made from the code: the functions of every room of the floor, and the configuration keys.

A hook of mkdocs (see mkdocs.yml); the pages are not in the repository, so they cannot fall behind.
"""

from __future__ import annotations

import ast
import re
import sys
import typing
from collections.abc import Iterator
from pathlib import Path

from griffe import Docstring, Parser
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from posepile.config import Config, NoOptions
from posepile.ds import dataset_names, has_evaluation, load_evaluation, load_recipe
from posepile.evaluation.scoring import definition

sys.path.insert(0, str(Path(__file__).parent))
from catalogue import datasets_page
from interface import ROOMS, interface


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages; mkdocs calls it."""
    pages = {f"rooms/{room}.md": room_page(room) for room in ROOMS}
    pages |= {"CONFIG.md": config_page(), "PROTOCOLS.md": protocols_page()}
    pages["DATASETS.md"] = datasets_page()
    for path, text in pages.items():
        files.append(File.generated(config, path, content=text))
    return files


def room_page(room: str) -> str:
    """Returns the page of a room: a table of what others use of it, then every module."""
    lines = [f"# posepile.{room}", "", f"::: posepile.{room}", "    options:", "      members: []"]
    lines += [
        "",
        "In the examples `folder` is the path of an empty folder, `np` is NumPy, and `Array`",
    ]
    lines += ["that of `posepile.formats.schema`."]
    lines += ["", "| name | what |", "|---|---|"]
    parts = interface(room, frozenset(dataset_names()))
    for module, nodes in parts.items():
        for node in nodes:
            first = (ast.get_docstring(node) or "").partition("\n")[0]
            lines.append(f"| [`{node.name}`][{module}.{node.name}] | {cell(first)} |")
    for module, nodes in parts.items():
        members = ", ".join(node.name for node in nodes)
        lines += ["", f"## {module.removeprefix(f'posepile.{room}.')}", "", f"::: {module}"]
        lines += ["    options:", f"      members: [{members}]"]
    return "\n".join(lines) + "\n"


# ---------------------------------------------------------------- protocols


def protocols_page() -> str:
    """Returns the page with the definition of every protocol."""
    lines = [
        "# Protocols",
        "",
        "What decides a number: `posepile eval DATASET --protocol NAME --explain` prints a row of",
        "these tables, and every result in JSON holds it. Protocols that are not official put an",
        "official quirk right, or follow another program; their note says so.",
    ]
    for name in dataset_names():
        if has_evaluation(name):
            rows = [definition(p) for p in load_evaluation(name).BENCHMARK.protocols]
            keys = [key for key in rows[0] if any(row[key] for row in rows)]
            lines += ["", f"## {name}", "", f"| {' | '.join(keys)} |", "|---" * len(keys) + "|"]
            lines += [f"| {' | '.join(cell(row[key]) for key in keys)} |" for row in rows]
    return "\n".join(lines) + "\n"


# ---------------------------------------------------------------- configuration


def config_page() -> str:
    """Returns the page with every key of ``configs/<name>.yaml``."""
    lines = [
        "# Configuration keys",
        "",
        "Keys of `configs/<name>.yaml`; on the command line `--set section.key=value`. What a",
        "dataset sets otherwise is in its file.",
    ]
    for name, field in Config.model_fields.items():
        model = model_of(field)
        if model is not None:
            lines += ["", f"## {name}", "", *table(model, f"{name}.")]
            for key, inner in alternatives(model, f"{name}."):
                lines += ["", f"### {key} as a {inner.__name__}", "", *table(inner, f"{key}.")]
    lines += ["", "## dataset", "", "Options of single datasets.", "", *TABLE_HEAD]
    lines.append("| `dataset.root` | folder | `$DATA_ROOT/<name>` | Where the raw files lie. |")
    for name in dataset_names():
        options = getattr(load_recipe(name), "Options", NoOptions)
        lines += ["", f"### {name}", "", *(table(options, "dataset.") or ["None."])]
    return "\n".join(lines) + "\n"


TABLE_HEAD = ["| key | type | default | meaning |", "|---|---|---|---|"]


def table(model: type[BaseModel], prefix: str) -> list[str]:
    """Returns a table of the keys of a model, none if it has none."""
    rows = [
        f"| `{key}` | {cell(kind_of(field))} | `{cell(default_of(field))}` | {cell(meaning)} |"
        for key, field, meaning in keys(model, prefix)
    ]
    return TABLE_HEAD + rows if rows else []


def keys(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, FieldInfo, str]]:
    """Yields the keys of a model and of the models in it, with what the docstrings say of them."""
    said = meanings(model)
    for name, field in model.model_fields.items():
        inner = model_of(field)
        if inner is None:
            yield f"{prefix}{name}", field, said.get(name) or field.description or ""
        else:
            yield from keys(inner, f"{prefix}{name}.")


def alternatives(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, type[BaseModel]]]:
    """Yields keys that may hold a model instead of a plain value, with that model."""
    for key, field, _ in keys(model, prefix):
        for kind in typing.get_args(field.annotation):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield key, kind


def meanings(model: type[BaseModel]) -> dict[str, str]:
    """Returns what the ``Attributes:`` of a model's docstring, and of its bases', say."""
    found = {}
    for cls in reversed(model.__mro__):
        if issubclass(cls, BaseModel) and cls is not BaseModel and cls.__doc__:
            for section in Docstring(cls.__doc__, parser=Parser.google).parse(warnings=False):
                if section.kind.value == "attributes":
                    found |= {a.name: a.description for a in section.value}
    return found


def model_of(field: FieldInfo) -> type[BaseModel] | None:
    """Returns the model that a field holds, None for plain values."""
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def kind_of(field: FieldInfo) -> str:
    """Returns the type of a field and its limits as text."""
    limits = [str(m) for m in field.metadata if hasattr(m, "ge") or hasattr(m, "gt")]
    limits += [str(m) for m in field.metadata if hasattr(m, "le") or hasattr(m, "lt")]
    signs = {"Ge(ge=": "≥ ", "Gt(gt=": "> ", "Le(le=": "≤ ", "Lt(lt=": "< "}
    text = ", ".join(limits)
    for old, new in signs.items():
        text = text.replace(old, new)
    return name_of(field.annotation) + (f" {text.replace(')', '')}" if text else "")


def name_of(kind: typing.Any) -> str:
    """Returns a type as a user reads it."""
    arguments = typing.get_args(kind)
    if typing.get_origin(kind) is typing.Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if typing.get_origin(kind) in (list, tuple, set, frozenset):
        return f"list of {' or '.join(name_of(a) for a in arguments if a is not ...)}"
    if typing.get_origin(kind) is dict:
        return f"map of {name_of(arguments[0])} to {name_of(arguments[1])}"
    if typing.get_origin(kind) is typing.Annotated:
        return name_of(arguments[0])
    if arguments:
        return " or ".join(name_of(a) for a in arguments)
    names = {
        type(None): "null",
        str: "text",
        int: "integer",
        float: "number",
        bool: "true or false",
    }
    return names.get(kind, getattr(kind, "__name__", str(kind)))


def default_of(field: FieldInfo) -> str:
    """Returns the default as it would be written in YAML."""
    if field.is_required():
        return "(required)"
    value = field.get_default(call_default_factory=True)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(str, value))}]"
    return str(value)


def cell(text: str) -> str:
    """Returns text that can stand in a cell of a table."""
    plain = re.sub(r":[a-z]+:`~?([^`]+)`", r"`\1`", " ".join(text.split()))
    return plain.replace("``", "`").replace("|", "\\|")
