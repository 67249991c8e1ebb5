"""Pages made from the code: the functions of every room of the floor, and the configuration keys.

A hook of mkdocs (see mkdocs.yml); the pages are not in the repository, so they cannot fall behind.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import posixpath
import re
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from griffe import Docstring, Parser
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from posepile.config import Config, NoOptions
from posepile.ds import dataset_names, has_evaluation, load_evaluation, load_recipe
from posepile.evaluation.scoring import definition

sys.path.insert(0, str(Path(__file__).parent))
from catalogue import dataset_pages, datasets_page
from commands import commands_page
from interface import ROOMS, USED, interface

ROOT = Path(__file__).parent.parent


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Adds the pages of single datasets to the navigation; mkdocs calls it."""
    for section in config.nav:
        if "Datasets" in section:
            section["Datasets"] += [{name: f"datasets/{name}.md"} for name in dataset_names()]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages; mkdocs calls it."""
    pages = {f"rooms/{room}.md": room_page(room) for room in ROOMS}
    pages |= {"CONFIG.md": config_page(), "PROTOCOLS.md": protocols_page()}
    pages |= {
        "DATASETS.md": datasets_page(),
        "CLI.md": commands_page(),
        "PYTHON.md": python_page(),
    }
    pages["NETWORKS.md"] = (ROOT / "posepile" / "models" / "README.md").read_text()
    pages |= dataset_pages()
    for name in ("CHANGELOG.md", "CONTRIBUTING.md"):
        pages[name] = (ROOT / name).read_text().replace("](docs/", "](")
    for path, text in pages.items():
        files.append(File.generated(config, path, content=text))
    return files


# Pages in docs/ link to what there is in the clone; where the site has a page of that, to this.
IN_THE_SITE = {
    "CHANGELOG.md": "CHANGELOG.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "README.md#datasets": "DATASETS.md",
    "docs/interface.py": "PYTHON.md",
    "posepile/cli/help.py": "CLI.md",
    "posepile/config.py": "CONFIG.md",
    "posepile/evaluation/benchmark.py": "PROTOCOLS.md",
    "posepile/models/README.md": "NETWORKS.md",
}


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Returns a page with links into the site; mkdocs calls it."""
    folder = posixpath.dirname(page.file.src_uri)

    def link(found: re.Match[str]) -> str:
        path, sign, anchor = found[1].partition("#")
        place = posixpath.normpath(posixpath.join("docs", folder, path))
        whole = place + sign + anchor
        for key, rest in ((whole, ""), (place, sign + anchor)):
            if key in IN_THE_SITE:
                return f"]({posixpath.relpath(IN_THE_SITE[key], folder or '.')}{rest})"
        return found[0]

    return re.sub(r"\]\(([\w./-]+(?:#[\w-]*)?)\)", link, markdown)


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


def python_page() -> str:
    """Returns the page of the names that training code and scripts import."""
    lines = [PYTHON_INTRODUCTION]
    for module, names in USED.items():
        lines += [f"## {module}", ""]
        for name in names:
            place = _defined_in(importlib.import_module(module), name)
            lines += [f"::: {place}.{name}", "    options: {show_root_heading: true}", ""]
    return "\n".join(lines) + "\n"


def _defined_in(module: ModuleType, name: str) -> str:
    """The module that defines a name; of what cannot be imported here, where it comes from."""
    try:
        return inspect.getmodule(getattr(module, name)).__name__
    except ImportError:  # of a library that is no part of what pages are made with
        imports = ast.walk(ast.parse(inspect.getsource(module)))
        return next(
            node.module
            for node in imports
            if isinstance(node, ast.ImportFrom) and name in [alias.name for alias in node.names]
        )


PYTHON_INTRODUCTION = """\
# In Python, by name

What training code and scripts import, with an example each, as `help()` shows it. The examples run
in the tests, on small sets called `aspset` (3D) and `coco` (2D); `folder` is the path of an empty
folder and `np` is NumPy. The same by task is in [Datasets in training code](TRAINING.md); what
recipes are built of begins with [reading raw files](rooms/formats.md).
"""


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
