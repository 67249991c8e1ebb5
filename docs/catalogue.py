"""The page of all datasets, and README's table of them, made from specs and sources."""

from __future__ import annotations

import functools
import re
from pathlib import Path

from posepile.acquire.about import About
from posepile.acquire.sources import Sources, load_sources
from posepile.ds import dataset_dir, dataset_names, has_evaluation, load_recipe
from posepile.recipe import DatasetSpec

ROOT = Path(__file__).parent.parent

INTRODUCTION = """\
---
hide: [toc]
---

# Datasets

The {n} datasets that have a recipe. `posepile plan NAME` prints what is downloaded, its size
where that is known, and what a person must do; checksums are in the folder's `sources.yaml`; the
README on the page of each says frame, units, joints and splits.

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
    rows = [[f"[{cells[0]}](datasets/{cells[0].strip('`')}.md)", *cells[1:]] for cells in rows]
    head = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    body = [f"| {' | '.join(cell(text) for text in cells)} |" for cells in rows]
    return "\n".join([INTRODUCTION.format(n=len(rows)), *head, *body, ""])


def dataset_pages() -> dict[str, str]:
    """Returns path -> the page of a dataset, for every dataset of the package."""
    traps = set(re.findall(r"^## (\w+)$", (ROOT / "docs" / "TRAPS.md").read_text(), re.MULTILINE))
    return {f"datasets/{name}.md": dataset_page(name, traps) for name in dataset_names()}


def dataset_page(name: str, traps: set[str]) -> str:
    """Returns the page of a dataset: what is declared of it, then the README of its folder.

    Args:
        name: The dataset.
        traps: The datasets that have a section in ``docs/TRAPS.md``.
    """
    text = (Path(dataset_dir(name)) / "README.md").read_text()
    title, _, rest = text.partition("\n")
    # Links between the folders of datasets are links between their pages.
    rest = re.sub(r"\]\(\.\./(\w+)/README\.md\)", r"](\1.md)", rest)
    sources = sources_of(name)
    spec = load_recipe(name).SPEC
    facts = dict(zip(COLUMNS[1:], row(spec, sources)[1:], strict=True))
    facts["pictures below"] = f"`{spec.image_dir}/`" if spec.image_dir else ""
    facts["up"] = f"`{spec.world_up}`" if spec.world_up else ""
    facts["joint names"] = " ".join(f"`{joint}`" for joint in spec.joint_info.names)
    facts["cited as"] = spec.citation
    facts["home page"] = f"<{sources.page}>" if sources.page else ""
    facts["configuration"] = f"[keys and defaults](../CONFIG.md#{name})"
    facts["known traps"] = f"[found and handled](../TRAPS.md#{name})" if name in traps else ""
    if has_evaluation(name):
        facts["protocols"] = f"[what decides each number](../PROTOCOLS.md#{name})"
    table = [f"| {key} | {cell(value)} |" for key, value in facts.items() if value]
    return "\n".join([title, "", f"| `{name}` | |", "|---|---|", *table, "", rest.lstrip("\n")])


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


@functools.cache
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
