"""The same photograph in several datasets, or in several splits of one, by its fingerprint.

Pictures are compared as :mod:`posepile.merging.alike` says: re-encoded, scaled and cut ones are
found. All examples of a picture share its fingerprint, which 2D datasets get when they are made.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from posepile.errors import UsageError, WorkError
from posepile.imaging import fingerprints
from posepile.imaging.frames import open_frames
from posepile.merging import alike
from posepile.recipe import SPLIT_NAMES, TRAIN, Stills
from posepile.store.example_list import as_example_list
from posepile.store.fields import FIELDS
from posepile.store.placed import without_placing
from posepile.store.row_sources import run_command

_FIELD = FIELDS["fingerprint"]


@dataclass(frozen=True)
class Pair:
    """One photograph in two places.

    Attributes:
        dataset: Name of the dataset that comes first.
        split: ``train``, ``val`` or ``test``.
        image: Image path of the first example of the picture there.
        other_dataset: The other dataset; perhaps the same one.
        other_split: Its split.
        other_image: Image path there.
        distance: 0 = the same pixels; 0.2 at most, less where there is little in the picture.
    """

    dataset: str
    split: str
    image: str
    other_dataset: str
    other_split: str
    other_image: str
    distance: float


class Photographs:
    """The source pictures of the examples of one split.

    Attributes:
        dataset: Name of the dataset.
        split: ``train``, ``val`` or ``test``.
        examples: The examples.
        picture: Number of the picture of each example, int64 ``[n]``.
        first: Position of the first example of each picture.
        ready: The pictures, made ready to be compared.
        vague: Fingerprint of the others, which show too little to be compared -> their numbers.
            Of these only the same pixels are the same picture.
    """

    def __init__(self, dataset: str, split: str, examples: Any):
        self.dataset, self.split, self.examples = dataset, split, as_example_list(examples)
        self.picture, packed = _pictures(dataset, self.examples)
        self.first = np.full(len(packed), len(self.picture), np.int64)
        np.minimum.at(self.first, self.picture, np.arange(len(self.picture)))
        self.ready, self.vague = _prepared(packed)

    @property
    def n_vague(self) -> int:
        """How many pictures show too little to be compared."""
        return len(self.first) - len(self.ready)

    def image(self, picture: int) -> str:
        """Returns the image path of the first example of a picture."""
        return self.examples[int(self.first[picture])].image_path


def photographs(datasets: Mapping[str, Any]) -> list[Photographs]:
    """Returns the pictures of all splits that have any.

    Args:
        datasets: Datasets by name.

    Raises:
        UsageError: Examples without a fingerprint.
    """
    return [
        Photographs(name, split, dataset.examples[i])
        for name, dataset in datasets.items()
        for i, split in SPLIT_NAMES.items()
        if len(dataset.examples[i])
    ]


def find(datasets: Mapping[str, Any], max_distance: float = alike.MAX_DISTANCE) -> Iterator[Pair]:
    """Finds photographs that are in two datasets, or in two splits of one.

    >>> from posepile import datasets2d
    >>> sets = {name: datasets2d.get_dataset(name) for name in ("mpii", "aic")}
    >>> pairs = list(find(sets))
    >>> len(pairs), pairs[0].distance < 0.01
    (6, True)

    Args:
        datasets: Datasets by name; one is enough.
        max_distance: Distance up to which pictures are the same.

    Yields:
        Pairs, by datasets and splits as they are named, then by the order of examples.

    Raises:
        UsageError: Examples without a fingerprint.
    """
    return pairs_among(photographs(datasets), max_distance)


def pairs_among(
    splits: Iterable[Photographs], max_distance: float = alike.MAX_DISTANCE
) -> Iterator[Pair]:
    """Finds photographs that are in two of several splits; see :func:`find`."""
    for one, other in itertools.combinations(splits, 2):
        for ours, theirs, distances in alike.search(one.ready, other.ready, max_distance):
            for i, j, distance in zip(
                ours.tolist(), theirs.tolist(), distances.tolist(), strict=True
            ):
                yield _pair(one, i, other, j, max(0.0, round(distance, 4)))
        for fingerprint, ours in one.vague.items():
            for i, j in itertools.product(ours, other.vague.get(fingerprint, ())):
                yield _pair(one, i, other, j, 0.0)


def _pair(one, i, other, j, distance):
    here = one.dataset, one.split, one.image(i)
    return Pair(*here, other.dataset, other.split, other.image(j), distance)


def held_out(
    datasets: Mapping[str, Any],
    max_distance: float = alike.MAX_DISTANCE,
    *,
    pictures: Iterable[Path] = (),
) -> dict[str, np.ndarray]:
    """Says which training examples show a photograph that somebody is tested on.

    ``dataset.examples[TRAIN] = dataset.examples[TRAIN][~mask]`` leaves them out.

    >>> from posepile import datasets2d
    >>> sets = {name: datasets2d.get_dataset(name) for name in ("mpii", "aic")}
    >>> {name: int(mask.sum()) for name, mask in held_out(sets).items()}
    {'mpii': 6, 'aic': 0}

    Args:
        datasets: Datasets by name.
        max_distance: Distance up to which pictures are the same.
        pictures: Files of further pictures that somebody is tested on. Datasets know the pictures
            of their examples alone, not those of which the recipe has left everybody out.

    Returns:
        For each dataset a mask of its training examples: True where their picture is in the
        validation or test examples of any of the datasets, its own included.

    Raises:
        UsageError: Examples without a fingerprint.
        CorruptInput: A picture file is missing or damaged.
    """
    masks = {name: np.zeros(len(d.examples[TRAIN]), bool) for name, d in datasets.items()}
    splits = photographs(datasets)
    train = SPLIT_NAMES[TRAIN]
    tested = [(s.ready, s.vague) for s in splits if s.split != train]
    tested += [_of_files(pictures)] if (pictures := tuple(map(Path, pictures))) else []
    for one in (s for s in splits if s.split == train):
        seen = np.zeros(len(one.first), bool)
        for ready, vague in tested:
            for ours, *_ in alike.search(one.ready, ready, max_distance):
                seen[ours] = True
            for fingerprint in one.vague.keys() & vague.keys():
                seen[one.vague[fingerprint]] = True
        masks[one.dataset] = seen[one.picture]
    return masks


def _prepared(packed):
    """Fingerprints made ready to be compared, and those of pictures that show too little."""
    ready = alike.prepare(packed)
    vague: dict[bytes, list[int]] = {}
    for number in np.setdiff1d(np.arange(len(packed)), ready.numbers).tolist():
        if packed[number, fingerprints.HEAD :].any():  # an even surface is nobody's photograph
            vague.setdefault(packed[number].tobytes(), []).append(number)
    return ready, vague


def _of_files(paths):
    with open_frames(Stills(paths)) as reader:
        found = [fingerprints.of_frame(frame) for _, frame in reader.read(range(len(paths)))]
    return _prepared(np.frombuffer(b"".join(found), np.uint8).reshape(-1, fingerprints.SIZE))


def _pictures(name, examples):
    """Returns the picture of each example, int64 ``[n]``, and the fingerprints of pictures."""
    picture, packed, n = np.full(len(examples), -1, np.int64), [], 0
    for positions, rows, source in examples.by_source():
        numbers, values = _of_rows(name, rows, source)
        picture[positions] = numbers + n
        packed.append(values)
        n += len(values)
    # Examples that were loaded and changed are in the list as what they are
    made: dict[bytes, int] = {}
    for i in np.flatnonzero(picture < 0).tolist():
        value = examples[i].fingerprint
        if value is None:
            raise _without(name, examples[i].KIND)
        picture[i] = n + made.setdefault(value, len(made))
    if made:
        packed.append(
            _checked(name, np.frombuffer(b"".join(made), np.uint8), list(map(len, made)))
        )
    return picture, np.concatenate(packed)


def _of_rows(name, rows, source):
    source = without_placing(source)
    if not hasattr(source, "table"):
        raise _without(name, source.kind)
    build, columns = Path(source.annotation_path).stem, source.table().columns
    rows = slice(rows.start, rows.stop) if isinstance(rows, range) else rows
    if _FIELD.name not in columns or not np.all(columns["flags"][rows] & _FIELD.flag):
        raise _without(build, source.kind)
    used, numbers = np.unique(columns[_FIELD.name][rows], return_inverse=True)
    values, ptr = (columns[f"{_FIELD.name}_strings{end}"] for end in ("", "_ptr"))
    lengths = np.diff(ptr.astype(np.int64))
    return numbers, _checked(build, values, lengths)[used]


def _checked(name, values, lengths):
    """Returns fingerprints as an array ``[n, size]``, if they are such as this version makes."""
    packed = None
    if np.all(np.asarray(lengths) == fingerprints.SIZE):
        packed = values.reshape(-1, fingerprints.SIZE)
    if packed is None or np.any(packed[:, 4] != fingerprints.VERSION):
        raise WorkError(
            f"{name}: its pictures have fingerprints of another version; {run_command(name)} "
            "makes them anew"
        )
    return packed


def _without(name, kind):
    if kind == "3d":
        return UsageError(
            f"{name}: a 3D dataset, whose pictures have no fingerprints; name 2D datasets only"
        )
    return UsageError(
        f"{name}: has examples without a fingerprint of their picture, as builds from before "
        f"there were any; {run_command(name)} makes them"
    )
