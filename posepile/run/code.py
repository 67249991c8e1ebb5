"""Identity of a recipe's code: what main.py and the modules it uses say, not how it is written.

Modules are compared as syntax trees without docstrings, so comments and layout do not matter.
They are found without running anything: ``import`` statements are followed, also those inside
functions.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import posepile
from posepile.errors import UsageError

# Rooms of the house that a recipe's results do not depend on, or that have versions of their own:
# the stages and what is above them; what brings files to the disk (their content counts itself);
# the texts of errors; the versions of the package and of its registry.
NOT_FOLLOWED = (
    "stages run config cli report viewer merging export torch evaluation acquire store errors "
    "datasets3d datasets2d archive table util version"
).split()


def recipe_code(recipe: ModuleType) -> dict[str, str]:
    """Returns a digest for each source file that the results of a recipe depend on.

    Args:
        recipe: The module ``main`` of a dataset.

    Returns:
        Path below the package (or below the dataset's folder) -> digest. Empty for a module
        without a file.
    """
    file = getattr(recipe, "__file__", None)
    if file is None:
        return {}
    found: dict[str, str] = {}
    waiting = [(recipe.__name__, Path(file))]
    seen = {Path(file)}
    while waiting:
        name, path = waiting.pop()
        stat = os.stat(path)
        digest, imported = _read_module(path, name, stat.st_mtime_ns, stat.st_size)
        found[_shown(path, Path(file))] = digest
        for other in imported:
            target = _source_file(other, recipe.__name__, Path(file))
            if target is not None and target not in seen:
                seen.add(target)
                waiting.append((other, target))
    return dict(sorted(found.items()))


def module_digests(start: str, follows: Callable[[str], bool]) -> dict[str, str]:
    """Returns a digest for each module of the package that another one uses, and for itself.

    Names that are imported for annotations only (below ``if TYPE_CHECKING``) do not count.

    Args:
        start: Dotted name of the module.
        follows: Says of a dotted name below ``posepile`` whether it counts.

    Returns:
        Dotted name -> digest.
    """
    found: dict[str, str] = {}
    waiting = [start]
    while waiting:
        name = waiting.pop()
        pieces = name.split(".")
        if name in found or pieces[0] != posepile.__name__ or len(pieces) < 2:
            continue
        path = _existing(Path(posepile.__file__).parent.joinpath(*pieces[1:]))
        if path is None or not follows(name):
            continue
        tree = _parse(path)
        found[name] = _digest(tree)
        waiting += _imported(_WithoutTypes().visit(tree), name, path.name == "__init__.py")
    return dict(sorted(found.items()))


class _WithoutTypes(ast.NodeTransformer):
    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        typing = isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        return node.orelse if typing else self.generic_visit(node)


def _shown(path: Path, main: Path) -> str:
    for root in (Path(posepile.__file__).parent.parent, main.parent.parent):
        if path.is_relative_to(root):
            return path.relative_to(root).as_posix()
    return path.name


@functools.lru_cache(maxsize=1024)
def _read_module(path: Path, name: str, mtime_ns: int, size: int) -> tuple[str, tuple[str, ...]]:
    """Digest of a file and the dotted names it may import; time and size belong to the cache."""
    tree = _parse(path)
    names = sorted(set(_imported(tree, name, path.name == "__init__.py")))
    return _digest(tree), tuple(names)


def _parse(path: Path) -> ast.AST:
    """The syntax tree of a file, which nothing may have imported yet; the folder is anybody's."""
    try:
        return ast.parse(path.read_bytes(), str(path))
    except (SyntaxError, ValueError) as e:
        place = f"{path}, line {e.lineno}" if getattr(e, "lineno", None) else path
        raise UsageError(f"{place}: {type(e).__name__}: {getattr(e, 'msg', e)}") from None
    except (RecursionError, MemoryError) as e:
        raise UsageError(f"{path}: {type(e).__name__}: an expression is nested too deep") from None


def _imported(tree: ast.AST, module: str, is_package: bool) -> Iterator[str]:
    """Dotted names of modules that a tree imports, and of those that may be modules."""
    for node in _statements(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = module.split(".")[: None if is_package else -1]
                package = package[: len(package) - node.level + 1]
                base = ".".join([*package, *filter(None, [node.module])])
            # What is not a submodule is defined in the module itself (or in a package's __init__).
            for alias in node.names:
                yield f"{base}.{alias.name}"
            yield base


def _statements(tree: ast.AST) -> Iterator[ast.AST]:
    """All statements below a tree; to walk through the expressions too would take ten times."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        for name in ("body", "orelse", "finalbody", "handlers", "cases"):
            below = getattr(node, name, None)
            if isinstance(below, list):
                waiting += below


def _source_file(name: str, recipe: str, main: Path) -> Path | None:
    """The source file of a module that counts, None for all others."""
    own = recipe.rpartition(".")[0]  # the dataset's folder, which may lie outside the package
    if name.startswith(f"{own}."):
        rest = name[len(own) + 1 :].split(".")
        if rest[0] in ("miniature", "eval"):
            return None
        return _existing(main.parent.joinpath(*rest))
    package, _, rest = name.partition(".")
    pieces = rest.split(".")
    if package != posepile.__name__ or not rest or pieces[0] in NOT_FOLLOWED:
        return None
    if pieces[0] == "ds" and len(pieces) < 3:
        return None  # the registry
    return _existing(Path(posepile.__file__).parent.joinpath(*pieces))


def _existing(stem: Path) -> Path | None:
    file = stem.with_name(stem.name + ".py")
    if file.is_file():
        return file
    package = stem / "__init__.py"
    return package if package.is_file() else None


def _digest(tree: ast.AST) -> str:
    digest = hashlib.blake2b(digest_size=16)
    digest.update("".join(_tokens(tree)).encode())
    return digest.hexdigest()


def _tokens(tree: ast.AST) -> list[str]:
    """A syntax tree as text.

    Fields that hold nothing are left out, as Python versions differ in which ones there are.
    """
    tokens: list[str] = []
    stack: list[Any] = [tree]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            tokens.append(item)
            continue
        kind = type(item)
        tokens.append(f"({kind.__name__}")
        stack.append(")")
        for name in _fields(kind):
            value = getattr(item, name, None)
            if value is None or value == []:
                continue
            if isinstance(value, list):
                if name == "body" and _has_docstring(item):
                    value = value[1:]
                stack.append("]")
                stack += [v if isinstance(v, ast.AST) else f" {v!r}" for v in reversed(value)]
                stack.append(f" {name}[")
            elif isinstance(value, ast.AST):
                stack += [value, f" {name}="]
            else:
                stack.append(f" {name}={value!r}")
    return tokens


@functools.cache
def _fields(kind: type) -> list[str]:
    """Names of the fields of a node that count, last one first."""
    return [n for n in reversed(kind._fields) if n not in ("ctx", "type_comment", "kind")]


def _has_docstring(node: ast.AST) -> bool:
    if not isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
        return False
    first = node.body[0] if node.body else None
    return (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    )
