"""Calls of a recipe's functions, which may be anybody's: what they raise becomes one line."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import BaseModel

from posepile.errors import PosePileError, UsageError, WorkError, one_line
from posepile.files import write_atomically
from posepile.recipe import DatasetSpec


def check_recipe(recipe: ModuleType) -> None:
    """Looks whether a recipe has what a run needs.

    Raises:
        UsageError: It lacks something, or has it of a wrong type.
    """
    fault = _fault_of(recipe)
    if fault is not None:
        raise UsageError(
            f"{getattr(recipe, '__file__', recipe.__name__)}: {fault}; see posepile/recipe.py"
        )


def _fault_of(recipe: ModuleType) -> str | None:
    """What a recipe lacks or has of a wrong type; None if nothing."""
    spec, options = getattr(recipe, "SPEC", None), getattr(recipe, "Options", BaseModel)
    if not isinstance(spec, DatasetSpec):
        found = f"SPEC is {type(spec).__name__}" if hasattr(recipe, "SPEC") else "lacks SPEC"
        return f"{found}; expected a posepile.recipe.DatasetSpec"
    if not (isinstance(options, type) and issubclass(options, BaseModel)):
        return f"Options is {type(options).__name__}; expected a pydantic model"
    needed = ("artefacts",) if spec.kind == "helper" else ("list_units", "load_unit")
    for function in (*needed, "calibrate", "plan", "download", "doctor"):
        if not hasattr(recipe, function):
            if function in needed:
                return f"lacks {function}; expected that function"
        elif not callable(getattr(recipe, function)):
            return f"{function} is {type(getattr(recipe, function)).__name__}; expected a function"
    return None


@contextlib.contextmanager
def calling(function: Callable, name: str, work: Path) -> Iterator[None]:
    """Turns what a function of a recipe raises into one line; its trace becomes a file.

    Args:
        function: The function, which is called in the block.
        name: The dataset.
        work: Folder for the trace.

    Raises:
        WorkError: The function raised something that is not meant for users.
    """
    try:
        yield
    except PosePileError:
        raise
    except Exception as e:
        what = getattr(function, "__name__", "a function")
        trace = work / f"{what.removesuffix('_units')}-error.txt"
        write_atomically(trace, traceback.format_exc().encode(errors="backslashreplace"))
        text = f"{type(e).__name__}: {one_line(e)}".removesuffix(": ")
        raise WorkError(
            f"{name}: {what} raised {text} ({_line_of(function, e)}); the recipe is at "
            f"fault or does not know such raw data; the trace is in {trace}"
        ) from e


def lines_of(function: Callable, name: str, work: Path, *args: Any) -> list[str]:
    """Returns the lines that a function of a recipe returns; none for None.

    Raises:
        WorkError: It raised something, or returns something else.
    """
    with calling(function, name, work):
        found = function(*args)
        lines = [] if found is None else [found] if isinstance(found, str) else list(found)
    wrong = next((line for line in lines if not isinstance(line, str)), None)
    if wrong is not None:
        raise WorkError(
            f"{name}: {function.__name__} returned {type(wrong).__name__} {short(wrong)} among "
            "its lines; expected texts"
        )
    return lines


def short(value: Any) -> str:
    """Returns a value as one line, not for ever."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:80]}..."


def _line_of(function: Callable, error: Exception) -> str:
    """The line of main.py that an exception went through last, else the one that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    file = getattr(getattr(function, "__code__", None), "co_filename", None)
    own = [frame for frame in frames if frame.filename == file] or frames[-1:]
    return f"{own[-1].filename}, line {own[-1].lineno}"
