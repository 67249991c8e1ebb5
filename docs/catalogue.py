"""The page of all datasets, and README's table of them, made from specs and sources."""

from __future__ import annotations

from pathlib import Path

from posepile.acquire.about import About
from posepile.acquire.sources import Sources, load_sources
from posepile.ds import dataset_dir, dataset_names, load_recipe
from posepile.recipe import DatasetSpec

INTRODUCTION = """\
# Datasets

The {n} datasets that have a recipe. `posepile plan NAME` prints what is downloaded, its size
where that is known, and what a person must do; checksums are in the folder's `sources.yaml`; the
README beside it says frame, units, joints and splits.

*Size* is that of the downloads whose size is known, and how many of them that is. *Verified* says
what of the authors' a recipe has been compared with, beside a miniature in their layout, on which
each runs; none has been run on a whole licensed download by those who wrote it, which is why
recipes check on the data what they take for granted. Then how many downloads have a published
checksum, and how many of the authors' numbers a run compares.
"""
COLUMNS = "name what joints splits size by-hand licence verified".split()


def datasets_page() -> str:
    """Returns the page with a row for every dataset of the package."""
    rows = [row(load_recipe(name).SPEC, sources_of(name)) for name in dataset_names()]
    head = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    body = [f"| {' | '.join(cell(text) for text in cells)} |" for cells in rows]
    return "\n".join([INTRODUCTION.format(n=len(rows)), *head, *body, ""])


def readme_table() -> list[str]:
    """Returns the lines of the table of datasets in README.md."""
    lines = ["| name | what | by hand |", "|---|---|---|"]
    for name in dataset_names():
        about = about_of(name)
        link = f"[{name}](posepile/ds/{name}/README.md)"
        lines.append(f"| {link} | {cell(about.what)} | {cell(about.by_hand)} |")
    return lines


def row(spec: DatasetSpec, sources: Sources) -> list[str]:
    """Returns the cells of a dataset's row."""
    about = about_of(spec.name)
    joints = f"{spec.joint_info.n_joints} ({spec.kind})" if spec.joint_info.n_joints else spec.kind
    return [
        f"`{spec.name}`",
        about.what,
        joints,
        ", ".join(about.splits) or "none",
        size_of(sources),
        about.by_hand,
        spec.licence,
        f"{about.verified}; {compared(sources)}",
    ]


def size_of(sources: Sources) -> str:
    """Returns what is downloaded unless more is asked for, as far as sizes are known."""
    wanted = sources.select()
    known = [s.size for s in wanted if s.size is not None]
    if sum(known) < 1e6:  # nothing, or some lists beside the data
        return "not published"
    total = f"{sum(known) / 1e9:.3g} GB"
    return total if len(known) == len(wanted) else f"{total} ({len(known)} of {len(wanted)} files)"


def compared(sources: Sources) -> str:
    """Returns how many downloads have checksums, and how many stated numbers are compared."""
    summed = [s for s in sources.sources if any(p.md5 or p.sha256 for p in s.places)]
    numbers = sum(len(count.numbers) for count in sources.counts)
    return f"checksums {len(summed)}/{len(sources.sources)}, counts {numbers}"


def sources_of(name: str) -> Sources:
    """Returns a dataset's sources."""
    return load_sources(Path(dataset_dir(name)) / "sources.yaml")


def about_of(name: str) -> About:
    """Returns what is said of a dataset.

    Raises:
        ValueError: Nothing is.
    """
    about = sources_of(name).about
    if about is None:
        raise ValueError(f"posepile/ds/{name}/sources.yaml has no about:")
    return about


def cell(text: str) -> str:
    """Returns text that can stand in a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")
