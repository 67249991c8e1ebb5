"""Faults of the files that a helper leaves behind, for :mod:`posepile.checking.mutants`."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from posepile.checking import whole
from posepile.files import names_in
from posepile.miniature.truth import read_truth


def try_artefact_faults(name: str, root: Path) -> Iterator[tuple[str, bool]]:
    """Yields a fault in each of a helper's files, and whether the contract test sees it.

    Args:
        name: The helper.
        root: DATA_ROOT of the finished run; in the end it is as before.
    """
    expected = read_truth(root / name).artefacts
    for path in whole.artefacts_of(name, root):
        for fault, plant in (("is absent", _take_away), ("without content", _empty)):
            with plant(path):
                yield f"{path.name} {fault}", _is_seen(name, root)
        if path.is_file():
            again = whole.second_run_leaves_artefacts(name, root, path.touch)
            yield f"{path.name} written again", bool(again.findings)
    for relative, content in expected.items():
        path = root / relative
        for change in _changes(path, content):
            with _with_content(path, change):
                yield f"{path.name} with other content", _is_seen(name, root)


def _is_seen(name: str, root: Path) -> bool:
    return bool(whole.artefacts_are_there(name, root).findings)


@contextlib.contextmanager
def _take_away(path: Path) -> Iterator[None]:
    aside = path.with_name(f".{path.name}.aside")
    os.rename(path, aside)
    try:
        yield
    finally:
        os.rename(aside, path)


@contextlib.contextmanager
def _empty(path: Path) -> Iterator[None]:
    make: Callable[[], None] = path.mkdir if names_in(path) else path.touch
    with _take_away(path):
        make()
        try:
            yield
        finally:
            (path.rmdir if path.is_dir() else path.unlink)()


@contextlib.contextmanager
def _with_content(path: Path, text: str) -> Iterator[None]:
    with _take_away(path):
        path.write_text(text)
        try:
            yield
        finally:
            path.unlink()


def _changes(path: Path, expected: str | dict) -> Iterator[str]:
    """Other contents: a list that is shorter, reversed or ends with a line; other values."""
    text = path.read_text()
    if isinstance(expected, str):
        lines = text.split("\n")
        changes = ("\n".join(lines[1:]), "\n".join(lines[::-1]), f"{text}\n")
        yield from (change for change in changes if change != text)
        return
    for key in expected:
        yield json.dumps(json.loads(text) | {key: None})
