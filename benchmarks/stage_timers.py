"""CPU seconds that a run spends in each part of the job, measured inside all of its processes.

``environment(folder)`` gives environment variables under which every Python process, workers
included, wraps the functions of ``PLACES`` as it imports them and adds what they took to a file of
its own in ``folder``. ``read(folder)`` adds those files up.
"""

from __future__ import annotations

import atexit
import importlib.abc
import importlib.machinery
import json
import os
import sys
import time
from collections import defaultdict
from pathlib import Path

# Module, attribute, whether it is a generator, label. What one of them takes is not counted again
# in another that it was called from.
PLACES = (
    ("posepile.imaging.videos", "index_packets", False, "decode"),
    ("posepile.imaging.videos", "decode", True, "decode"),
    ("posepile.imaging.jpeg", "decode", False, "decode"),
    ("posepile.imaging.jpeg", "encode", False, "encode"),
    ("posepile.imaging.cropping", "plan_crop", False, "plan"),
    ("posepile.imaging.cropping", "render_many", True, "warp"),
    ("posepile.imaging.cropping", "warp_mask", False, "masks and outlines"),
    ("posepile.imaging.cropping", "valid_polygon", False, "masks and outlines"),
    ("posepile.stages.examples", "selected_examples", False, "select"),
    ("posepile.stages.detect", "with_detections", True, "detect"),
    ("posepile.stages.segment", "run", False, "segment"),
    ("posepile.store.parts", "PartWriter.add", False, "write"),
    ("posepile.store.parts", "PartWriter.close", False, "write"),
    ("posepile.run.pack", "pack", False, "pack"),
    ("posepile.report", "write_report", False, "report"),
)
FOLDER = "POSEPILE_STAGE_TIMES"

spent: defaultdict[str, float] = defaultdict(float)
_inner = [0.0]  # time of the timed functions called within each of those that are running


def environment(folder: Path) -> dict[str, str]:
    """Environment variables for a process whose parts shall be timed."""
    hook = folder / "hook"
    hook.mkdir(parents=True)
    here = str(Path(__file__).parent)
    (hook / "sitecustomize.py").write_text(
        f"import sys\nsys.path.append({here!r})\nimport stage_timers\nstage_timers.install()\n"
    )
    path = os.pathsep.join([str(hook), str(Path(here).parent)])
    return {FOLDER: str(folder), "PYTHONPATH": path}


def read(folder: Path) -> dict[str, float]:
    """Sums over all processes: label to CPU seconds, ``total`` among them."""
    total: defaultdict[str, float] = defaultdict(float)
    for file in folder.glob("*.json"):
        for label, seconds in json.loads(file.read_text()).items():
            total[label] += seconds
    return dict(total)


def install() -> None:
    """Called at the start of every process."""
    atexit.register(_save)
    os.register_at_fork(after_in_child=spent.clear)
    sys.meta_path.insert(0, _Finder())


def _save() -> None:
    """Writes what was spent so far; workers may end without a farewell, so units call it too."""
    content = {**spent, "total": time.process_time()}
    Path(os.environ[FOLDER], f"{os.getpid()}.json").write_text(json.dumps(content))


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if not any(name == module for module, *_ in PLACES):
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is not None:
            run = spec.loader.exec_module

            def exec_module(module):
                run(module)
                _wrap(module)

            spec.loader.exec_module = exec_module
        return spec


def _wrap(module) -> None:
    for name, attribute, is_generator, label in PLACES:
        if name == module.__name__:
            owner, last = module, attribute
            if "." in attribute:
                owner_name, last = attribute.split(".")
                owner = getattr(module, owner_name)
            wrap = _timed_generator if is_generator else _timed
            setattr(owner, last, wrap(label, getattr(owner, last)))


def _measure(label, function, *args, **kwargs):
    _inner.append(0.0)
    start = time.process_time()
    try:
        return function(*args, **kwargs)
    finally:
        took = time.process_time() - start
        spent[label] += took - _inner.pop()
        _inner[-1] += took


def _timed(label, function):
    def wrapper(*args, **kwargs):
        result = _measure(label, function, *args, **kwargs)
        if function.__name__ in ("close", "run"):
            _save()
        return result

    return wrapper


def _timed_generator(label, function):
    def wrapper(*args, **kwargs):
        items = iter(function(*args, **kwargs))
        end = object()
        while (item := _measure(label, next, items, end)) is not end:
            yield item

    return wrapper
