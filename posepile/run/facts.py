"""What a recipe declares about its dataset, read from its text: sixty recipes need no imports."""

from __future__ import annotations

import ast
import copy
import functools
from pathlib import Path
from typing import Any

import posepile
from posepile.ds import dataset_dir, load_recipe

_BUILTINS = {f.__name__: f for f in (dict, enumerate, len, list, range, sorted, str, tuple, zip)}


class _Unknown(Exception):
    """The text alone does not say it."""


def declared(name: str) -> tuple[str, int, str]:
    """Returns kind, number of joints and licence of a dataset; imports it if they are computed."""
    try:
        return _read(dataset_dir(name) / "main.py")
    except (_Unknown, OSError, SyntaxError):
        spec = load_recipe(name).SPEC
        return spec.kind, spec.joint_info.n_joints, spec.licence


def _read(main: Path) -> tuple[str, int, str]:
    call = _assigned(main).get("SPEC")
    if not isinstance(call, ast.Call) or call.args:
        raise _Unknown
    facts = {k.arg: k.value for k in call.keywords}
    skeleton = facts.get("joint_info")
    if not isinstance(skeleton, ast.Call) or not skeleton.args:
        raise _Unknown
    joints = _value(skeleton.args[0], main)
    names = joints.split(",") if isinstance(joints, str) else joints
    kind = _value(facts["kind"], main) if "kind" in facts else "3d"
    licence = _value(facts["licence"], main) if "licence" in facts else ""
    return kind, len([n for n in names if n]), licence


def _value(node: ast.expr, file: Path) -> Any:
    """Evaluates an expression of a module's text that needs no more than other constants."""
    resolver = _Resolver(file)
    tree = ast.fix_missing_locations(ast.Expression(resolver.visit(copy.deepcopy(node))))
    try:
        return eval(
            compile(tree, str(file), "eval"), {"__builtins__": _BUILTINS, **resolver.names}
        )
    except Exception as e:
        raise _Unknown from e


class _Resolver(ast.NodeTransformer):
    """Finds the values of the names that an expression refers to."""

    def __init__(self, file: Path):
        self.file = file
        self.names: dict[str, Any] = {}

    def visit_Name(self, node):
        if node.id in _assigned(self.file) or node.id in _imported(self.file):
            self.names[node.id] = _named(node.id, self.file)
        return node

    def visit_Attribute(self, node):
        module = isinstance(node.value, ast.Name) and _imported(self.file).get(node.value.id)
        if not module:
            return self.generic_visit(node)
        key = f"{node.value.id}_{node.attr}"
        self.names[key] = _named(node.attr, _source(module))
        return ast.Name(key, ast.Load())


def _named(name: str, file: Path) -> Any:
    node = _assigned(file).get(name)
    if node is not None:
        return _value(node, file)
    module, _, attribute = _imported(file).get(name, "").rpartition(".")
    if not module:
        raise _Unknown
    return _named(attribute, _source(module))


def _source(module: str) -> Path:
    package, *rest = module.split(".")
    if package != posepile.__name__:
        raise _Unknown
    if rest[0] == "ds" and len(rest) > 2:
        return dataset_dir(rest[1]).joinpath(*rest[2:]).with_suffix(".py")
    return Path(posepile.__file__).parent.joinpath(*rest).with_suffix(".py")


@functools.lru_cache(maxsize=256)
def _statements(file: Path) -> list[ast.stmt]:
    return ast.parse(file.read_bytes(), str(file)).body


def _assigned(file: Path) -> dict[str, ast.expr]:
    """Names of a module -> what is assigned to them."""
    found = {}
    for statement in _statements(file):
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            target = statement.targets[0]
            if isinstance(target, ast.Name):
                found[target.id] = statement.value
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            if statement.value is not None:
                found[statement.target.id] = statement.value
    return found


def _imported(file: Path) -> dict[str, str]:
    """Names of a module -> where they are imported from."""
    return {
        alias.asname or alias.name: f"{statement.module}.{alias.name}"
        for statement in _statements(file)
        if isinstance(statement, ast.ImportFrom) and not statement.level
        for alias in statement.names
    }
