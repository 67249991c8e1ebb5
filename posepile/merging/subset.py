"""A small dataset cut out of a big one, which stands alone: rows and images are copied.

Each archive that examples are taken from has one of its own in the subset, with the same name,
licence and facts; so a subset of a merged dataset is merged, too, and says of every example where
it is from. Images are copied byte for byte.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from posepile import paths
from posepile.errors import UsageError
from posepile.export.writing import require_replaceable
from posepile.files import disk_error, is_disk_error, locked
from posepile.merging.filters import Filters, keep
from posepile.merging.merge import counts_by_dataset
from posepile.merging.row_copies import RowCopies
from posepile.recipe import SPLIT_NAMES, SPLITS
from posepile.store import bulk, reading
from posepile.store.example_list import ExampleList, as_example_list
from posepile.store.layout import find_index
from posepile.store.new_names import kind_of_archive
from posepile.store.placed import PlacedSource, without_placing
from posepile.version import __version__

MADE_BY_HAND = "made in memory, of no archive"
THERE_AS_IT_WAS = "changed in memory, and there as it was, too"


@dataclass
class Subset:
    """What was written.

    Attributes:
        dataset: The subset, its lists in the order of those it was cut out of.
        archives: The archives, by the name of the dataset.
        n_images: Images in them.
        left_out: Reason -> examples that were not written.
    """

    dataset: Any
    archives: dict[str, Path] = field(default_factory=dict)
    n_images: int = 0
    left_out: Counter[str] = field(default_factory=Counter)


def choose(
    dataset: Any,
    *,
    splits: Sequence[str] = SPLITS,
    filters: Filters | None = None,
    every: int = 1,
    n: int | None = None,
) -> tuple[Any, Counter[str]]:
    """Returns a dataset of some examples of another one, which stays as it is.

    >>> from posepile.datasets3d import get_dataset
    >>> small, reasons = choose(get_dataset("aspset"), splits=("train",), n=5)
    >>> small, dict(reasons)
    (<Pose3DDataset aspset (CC0 1.0), 17 joints, train: 5, val: 0, test: 0>, {})

    Args:
        dataset: The dataset, merged or not.
        splits: Splits from which examples are taken; the others become empty.
        filters: Conditions; see :func:`posepile.merging.filters.keep`.
        every: Of those that are left, take each ``every``-th of a dataset and split.
        n: Of those, take at most ``n`` of a dataset and split, evenly spread.

    Returns:
        The dataset, and reason -> number of examples that the filters left out.
    """
    result, reasons = copy.copy(dataset), Counter()
    result.examples = {}
    for number, split in SPLIT_NAMES.items():
        examples = as_example_list(dataset.examples[number])
        if split not in splits:
            result.examples[number] = examples[:0]
            continue
        if filters is not None:
            bones = dataset.train_bones
            kept, why = keep(examples, dataset.joint_info, filters, bones)
            examples, reasons = examples[kept], reasons + why
        codes, names = examples.codes("dataset")
        taken = np.zeros(len(examples), bool)
        for k in range(len(names)):
            own = np.flatnonzero(codes == k)[::every]
            if n is not None and len(own) > n:
                own = own[np.arange(n) * len(own) // max(1, n)]
            taken[own] = True
        result.examples[number] = examples[taken]
    _count_parts(result)
    return result, reasons


def counts_of(dataset: Any) -> dict[str, int]:
    """Returns the number of examples of each split."""
    return {split: len(dataset.examples[number]) for number, split in SPLIT_NAMES.items()}


def _count_parts(dataset):
    """Sets the counts of what a merged dataset is made of."""
    if not dataset.is_merged:
        return
    counts = counts_by_dataset(dataset.examples)
    dataset.parts = {
        name: {**facts, "counts": {split: counts[split].get(name, 0) for split in counts}}
        for name, facts in dataset.parts.items()
    }


def write_subset(
    dataset: Any,
    path: Path,
    facts: Mapping[str, Any],
    progress: Callable[[int], None] | None = None,
) -> Subset:
    """Writes all examples of a dataset as archives of their own.

    >>> from posepile.datasets3d import get_dataset
    >>> small, _ = choose(get_dataset("aspset"), n=2)
    >>> write_subset(small, folder / "tiny.barecat", {"of": "aspset"}).dataset
    <Pose3DDataset aspset (CC0 1.0), 17 joints, train: 2, val: 2, test: 0>

    Args:
        dataset: What :func:`choose` returned, or any other dataset of packed archives.
        path: The archive to make; of a merged dataset ``<name>_<dataset>.barecat`` beside it, one
            for each dataset that examples are of.
        facts: JSON-serialisable; in the manifests under ``subset``.
        progress: Is told now and then how many examples are written.

    Returns:
        What was written. Rows are in the order of the archive that they are of, each once, with
        the split they have there; the order of the lists is in the lists.

    Raises:
        UsageError: There is an archive of that name which is no subset, no example to write, or an
            archive without a table.
        WorkError: An example cannot be read, or disks are full.
    """
    path = Path(paths.ensure_absolute(path))
    work = path.with_name(f"{path.name.removesuffix('.barecat')}_work")
    lists = {number: as_example_list(dataset.examples[number]) for number in SPLIT_NAMES}
    taken, left_out = _collect(lists.values(), dataset.is_merged)
    if not taken:
        why = "".join(f" ({n} {reason})" for reason, n in left_out.items())
        raise UsageError(f"{path}: no example to write{why}; choose less strictly")
    targets = _targets(taken, path, dataset.is_merged, "mix" if "mix" in facts else "subset")
    result = Subset(copy.copy(dataset), left_out=left_out)
    written = 0

    def told(n):
        if progress is not None:
            progress(written + n)

    try:
        work.mkdir(parents=True, exist_ok=True)
        with locked(work / ".lock-pack", busy=f"another run writes {path}; wait for it"):
            for own in taken.values():
                target = targets[own.name]
                manifest = _manifest(own, facts)
                summary = own.write(target, work / "subset", manifest, told)
                written += len(own.stored)
                result.archives[own.name] = target
                result.n_images += summary["n_images"]
    except OSError as e:
        if is_disk_error(e):
            raise disk_error(e, work) from e
        raise
    result.dataset.examples = {number: _new_list(lists[number], taken) for number in SPLIT_NAMES}
    result.dataset.update_bones()
    _count_parts(result.dataset)
    return result


def _collect(lists, is_merged) -> tuple[dict[str, RowCopies], Counter[str]]:
    """Returns what is taken of each archive, by its path, and what cannot be."""
    taken: dict[str, RowCopies] = {}
    for examples in lists:
        for _, rows, source in bulk.by_source(examples):
            if source is not None:
                _of(taken, source).add(rows)
    left_out: Counter[str] = Counter()
    for example in _in_memory(lists):
        place = _origin(example)
        if place is None:
            left_out[MADE_BY_HAND] += 1
            continue
        own, row = _of(taken, place[0]), place[1]
        if own.placed is None and is_merged:
            left_out["of a dataset of which no other example is there"] += 1
        elif row in own or own.changed.setdefault(row, example) is not example:
            left_out[THERE_AS_IT_WAS] += 1
    return {path: own for path, own in taken.items() if len(own)}, left_out


def _in_memory(lists):
    seen = set()
    for examples in lists:
        for positions, _, source in bulk.by_source(examples):
            for i in () if source is not None else positions.tolist():
                example = examples[i]
                if id(example) not in seen:
                    seen.add(id(example))
                    yield example


def _origin(example):
    """Returns (source, row) of the example that one in memory was loaded from, or None."""
    origin = getattr(example, "_origin", None)
    place = getattr(origin, "place", None)
    return None if place is None or isinstance(place[1], str) else place


def _of(taken, source):
    base = without_placing(source)
    own = taken.get(base.annotation_path)
    if not hasattr(base, "table"):
        raise UsageError(
            f"{base.annotation_path}: an archive of entries, which has no table to take rows of; "
            "posepile import --from upstream makes a dataset of it"
        )
    if own is None:
        source.check()
        name = getattr(source, "dataset", None)
        if name is None:
            metadata = reading.open_archive(base.annotation_path).metadata
            name = metadata.get("name") or Path(base.annotation_path).name.removesuffix(".barecat")
        own = RowCopies(base, _unused(name, taken))
        taken[base.annotation_path] = own
    if own.placed is None and isinstance(source, PlacedSource):
        source.check()
        own.placed = source
    return own


def _unused(name, taken):
    names, found, i = {own.name for own in taken.values()}, name, 2
    while found in names:
        found, i = f"{name}-{i}", i + 1
    return found


def _targets(taken, path, is_merged, kind):
    """Returns the archive to make for each dataset.

    Raises:
        UsageError: There is one that another command made, or it is read from.
    """
    stem, single = path.name.removesuffix(".barecat"), len(taken) == 1 and not is_merged
    result = {}
    for own in taken.values():
        name = own.name.replace("@", "-").replace("/", "-")
        result[own.name] = path if single else path.with_name(f"{stem}_{name}.barecat")
    for target in result.values():
        is_own = find_index(target) is None or kind_of_archive(target) == kind
        require_replaceable(target, taken, kind, is_own)
    return result


def _manifest(own, facts):
    return {
        "name": own.name,
        "made_by": f"posepile {__version__}",
        "subset": {
            **facts,
            "archive": own.base.annotation_path,
            "identity": own.facts.get("identity"),
            "examples": len(own),
            "changed_in_memory": len(own.changed),
        },
        "sources": {"sources_sha256": own.facts.get("sources_sha256")},
    }


def _new_list(examples, taken) -> ExampleList:
    """Returns a list of the same examples, of the new archives."""
    result, order = ExampleList(), [np.zeros(0, np.int64)]

    def add(own, like, rows, positions):
        source = own.source
        if isinstance(like, PlacedSource):
            source = PlacedSource(source, like.placement, like.dataset, like.kind)
        result.extend(ExampleList(source, own.new_rows(np.asarray(rows))))
        order.append(np.asarray(positions))

    for positions, rows, source in bulk.by_source(examples):
        if source is not None:
            add(taken[without_placing(source).annotation_path], source, rows, positions)
            continue
        for i in positions.tolist():
            example = examples[i]
            place = _origin(example)
            path = None if place is None else without_placing(place[0]).annotation_path
            own = taken.get(path)
            if own is not None and own.changed.get(place[1]) is example:
                add(own, own.placed, [place[1]], [i])
    return result[np.argsort(np.concatenate(order))]
