"""The command ``list``: the datasets there are, what they ask for, and what of them is here."""

from __future__ import annotations

import argparse
import contextlib
import fnmatch
import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from posepile.cli.builds import require_mounted
from posepile.cli.options import add_json
from posepile.errors import PosePileError
from posepile.terminal import colourful, paint, print_json, print_lines, printable

# Of sets that a person has made of others; the rest are kinds of recipes.
MADE = ("merged", "subset", "imported")
KINDS = ("3d", "2d", "parametric", "helper", *MADE)

_WIDE = 120  # columns in which all that is said of most datasets fits

_STYLES = {"packed": "good", "outdated": "doubt", "raw": "name", "broken": "bad"}


def add_list_options(parser: argparse.ArgumentParser) -> None:
    """Which datasets to list."""
    parser.add_argument(
        "patterns", nargs="*", metavar="NAME", help="only these names; patterns like 'coco*'"
    )
    parser.add_argument("--kind", nargs="+", choices=KINDS, help="only of these kinds")
    parser.add_argument("--here", action="store_true", help="only what is in DATA_ROOT")
    parser.add_argument(
        "--open", action="store_true", help="only what can be fetched without asking anybody"
    )
    parser.add_argument(
        "--licence", metavar="WORD", help="only with this in the licence, e.g. 'CC BY'"
    )
    add_json(parser, "as JSON, with counts, sizes in bytes and places")


def cmd_list(args: argparse.Namespace) -> int:
    """Lists datasets; exit 1 if a recipe cannot be imported."""
    from posepile.ds import missing_folders

    for folder in missing_folders():
        print(f"POSEPILE_DATASETS: {folder} is no folder", file=sys.stderr)
    rows = [row for row in all_rows(args.patterns) if _is_wanted(row, args)]
    if args.json:
        print_json(rows)
    else:
        print_lines(_lines(rows))
    return 1 if any(row["fault"] for row in rows) else 0


def _is_wanted(row: dict[str, Any], args: argparse.Namespace) -> bool:
    if args.kind and row["kind"] not in args.kind:
        return False
    if args.licence and args.licence.casefold() not in (row["licence"] or "").casefold():
        return False
    if args.open and row["access"] != "open":
        return False
    return not args.here or row["state"] not in (None, "-")


def all_rows(patterns: Iterable[str] = ()) -> Iterator[dict[str, Any]]:
    """Yields the facts about each dataset, its variants, and the sets made of others.

    Args:
        patterns: Only of names that match one of them; none: of all.
    """
    chosen = tuple(patterns)

    def is_chosen(name: str) -> bool:
        return not chosen or any(fnmatch.fnmatchcase(name, pattern) for pattern in chosen)

    from posepile.ds import dataset_names
    from posepile.files import names_in

    names = dataset_names()
    root = os.environ.get("DATA_ROOT")
    files = sorted(names_in(root)) if root else []
    builds = [f.removesuffix(".barecat") for f in files if f.endswith(".barecat")]
    for name in names:
        variants = [build for build in builds if build.startswith(f"{name}@")]
        yield from (_row_of_recipe(name, b) for b in (name, *variants) if is_chosen(b))
    if root:
        yield from (row for row in _rows_made(names, builds) if is_chosen(row["name"]))


# ---------------------------------------------------------------- facts


def _row(name: str, kind: str, **more: Any) -> dict[str, Any]:
    empty = {"joints": None, "licence": None, "what": None, "access": None, "by_hand": None}
    sizes = {"bytes": None, "bytes_unknown": 0}
    here = {"state": None, "outdated": [], "miniature": None, "counts": None, "places": {}}
    return {"name": name, "kind": kind, **empty, **sizes, **here, "fault": None, **more}


def _row_of_recipe(name: str, build: str) -> dict[str, Any]:
    from posepile.ds import load_recipe

    row = _row(build, "")
    try:
        spec = load_recipe(name).SPEC
        row["kind"], row["licence"] = spec.kind, spec.licence
        row["joints"] = None if spec.kind == "helper" else spec.joint_info.n_joints
        row.update(_asked_for(name))
        if os.environ.get("DATA_ROOT"):
            row.update(_here(build))
    except Exception as e:  # a recipe at work in somebody's own folder
        row["fault"] = str(e) if isinstance(e, PosePileError) else f"{type(e).__name__}: {e}"
        row["state"] = "broken"
    return row


def _asked_for(name: str) -> dict[str, Any]:
    """What a dataset's sources say: size and what a person must do."""
    from posepile.acquire.sources import load_sources
    from posepile.ds import dataset_dir

    path = dataset_dir(name) / "sources.yaml"
    if not path.is_file():
        return {}
    sources = load_sources(path)
    sizes = [source.size for source in sources.select()]
    known = [size for size in sizes if size is not None]
    found = {"bytes": sum(known) if known else None, "bytes_unknown": len(sizes) - len(known)}
    if not known:
        found["bytes"] = _asked_by_recipe(name)
    if sources.about is not None:
        by_hand = sources.about.by_hand
        found |= {"what": sources.about.what, "by_hand": by_hand}
        found["access"] = "open" if by_hand == "nothing" else "by hand"
    return found


def _asked_by_recipe(name: str) -> int | None:
    """What a recipe's own download amounts to by its plan, where nothing is on disk."""
    from posepile.acquire.amounts import Amount
    from posepile.ds import load_recipe
    from posepile.run.job import make_run

    recipe = load_recipe(name)
    if not hasattr(recipe, "plan") or not os.environ.get("DATA_ROOT"):
        return None
    with contextlib.suppress(Exception):  # it is at work in somebody's own folder
        lines = recipe.plan(Path(os.devnull) / name, make_run(name).config.dataset)
        return sum(line.bytes for line in lines if isinstance(line, Amount)) or None
    return None


def _here(build: str) -> dict[str, Any]:
    """What there is of a build in DATA_ROOT."""
    from posepile.files import names_in
    from posepile.miniature import TRUTH
    from posepile.run.job import make_run
    from posepile.store.layout import find_index

    run = make_run(build)
    places = {}
    if names_in(run.root):
        places["raw"] = run.root
    if find_index(run.archive) is None:
        require_mounted(run)
        state = "raw" if places else "-"
        return {"state": state, "miniature": (run.root / TRUTH).is_file(), "places": places}
    places["archive"] = run.archive
    if run.pickle.is_file():
        places["pickle"] = run.pickle
    stored, changed = _stored(run)
    return {
        "state": "outdated" if changed else "packed",
        "outdated": changed,
        "miniature": bool(stored.get("miniature")),
        "counts": stored.get("counts"),
        "places": places,
    }


def _stored(run: Any) -> tuple[dict[str, Any], list[str]]:
    """The manifest of an archive, and what has changed since that was made."""
    from posepile.run.code import recipe_code
    from posepile.run.keys import WORDS, changed_keys
    from posepile.run.manifest import settings, stored_manifest

    stored = stored_manifest(run)
    if stored is None:
        return {}, ["its manifest is absent or damaged"]
    now, then = settings(run), stored["config"]
    then["run"]["max_quarantined"] = now["run"]["max_quarantined"]
    changed = changed_keys(then, now)
    producer = stored.get("producer")
    recipe = producer.get("recipe") if isinstance(producer, dict) else None
    if not isinstance(recipe, dict) or recipe.get("code") != recipe_code(run.recipe):
        changed.append(WORDS["recipe"])
    return stored, changed


def _rows_made(names: list[str], builds: list[str]) -> Iterator[dict[str, Any]]:
    """Sets without a recipe: archives, and pickles over the archives of others."""
    from posepile import paths
    from posepile.files import files_below, read_object
    from posepile.store.layout import manifest_path
    from posepile.store.mixed import mix_manifest_path

    for build in builds:
        if build.partition("@")[0] in names:
            continue
        archive = paths.archive_path(build)
        stored = read_object(manifest_path(archive)) or {}
        kind = next((k for k in MADE[1:] if k in stored), "imported")
        facts = (stored.get("imported") or {}).get("facts") or {}
        counts = stored.get("counts")
        places = {"archive": archive}
        if (paths.cache_dir() / f"{build}.pkl").is_file():
            places["pickle"] = paths.cache_dir() / f"{build}.pkl"
        yield _row(
            build,
            kind,
            licence=facts.get("licence"),
            state="packed",
            counts=counts if isinstance(counts, dict) else None,
            places=places,
        )
    cache = paths.cache_dir()
    for path in files_below(cache, "*.pkl"):
        name = path.stem
        if name in builds or name.partition("@")[0] in names:
            continue
        mix = read_object(mix_manifest_path(path)) or {}
        lacking = [a for a in _archives(mix) if not a.is_file()]
        yield _row(
            name,
            "merged" if mix else "subset",
            joints=mix.get("n_joints"),
            state="broken" if lacking else "packed",
            outdated=[f"{archive} is missing" for archive in lacking],
            counts=mix.get("counts"),
            places={"pickle": path},
        )


def _archives(mix: dict[str, Any]) -> list[Path]:
    from posepile.paths import ensure_absolute

    datasets = mix.get("datasets")
    parts = datasets.values() if isinstance(datasets, dict) else ()
    return [
        ensure_absolute(p["archive"]) for p in parts if isinstance(p, dict) and p.get("archive")
    ]


# ---------------------------------------------------------------- lines


def _lines(rows: list[dict[str, Any]]) -> Iterator[str]:
    width = max((len(row["name"]) for row in rows), default=0)
    seen = colourful() or sys.stdout.isatty()
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    knows_here = bool(os.environ.get("DATA_ROOT"))
    # What is worth most in a narrow terminal is whether one may use it, and how to get it.
    narrow = columns is not None and columns < _WIDE
    room = max([4, *(len(_state(row)) for row in rows)]) if narrow else 9
    if seen and rows:
        head = f"{'name':{width}}  {'kind':10} {'joints':>6}  {'download':>9}  "
        head = f"{'name':{width}}  {'download':>9}  " if narrow else head
        here = f"{'here':{room}}  " * knows_here
        head += here + ("licence ('open': nobody is asked)" if narrow else "access; licence")
        yield paint(head, "faint")
    for row in rows:
        if row["fault"]:
            name = paint(f"{row['name']:{width}}", "bad")
            yield f"{name}  cannot be read: {row['fault']}"
            continue
        joints = "" if row["joints"] is None else row["joints"]
        line = f"  {row['kind']:10} {joints:>6}  {_size(row):>9}  "
        line = f"  {_size(row):>9}  " if narrow else line
        state = _state(row)
        access = _access(row)
        access = "" if narrow and row["access"] not in ("open", None) else access
        last = "; ".join(filter(None, [access, row["licence"]])) or "-"
        used = width + len(line) + (room + 2) * knows_here
        if columns is not None:
            last = _cut(printable(last), columns - used)
        here = paint(f"{state:{room}}", _STYLES.get(row["state"], "faint")) + "  "
        yield paint(f"{row['name']:{width}}", "strong") + line + here * knows_here + last
    if seen and rows:
        n_here = sum(row["state"] not in (None, "-") for row in rows)
        here = f", {n_here} of them here" if knows_here else "; what is here needs DATA_ROOT"
        more = "posepile plan NAME tells all of one; list --json of all"
        yield paint(f"{len(rows)} listed{here}; {more}", "faint")


def _size(row: dict[str, Any]) -> str:
    from posepile.progress.words import byte_size

    if row["kind"] in MADE:
        return ""
    if row["bytes"] is None:
        return "?"
    return ">" * bool(row["bytes_unknown"]) + byte_size(row["bytes"])


def _state(row: dict[str, Any]) -> str:
    state = row["state"] or ""
    return "miniature" if row["miniature"] and state in ("raw", "packed") else state


def _access(row: dict[str, Any]) -> str:
    if row["kind"] in MADE:
        counts = row["counts"] or {}
        return ", ".join(f"{n} {split}" for split, n in counts.items() if n)
    return row["access"] if row["access"] == "open" else row["by_hand"] or ""


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else f"{text[: max(room - 1, 0)]}…"
