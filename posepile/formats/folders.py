"""Folders of numbered files."""

from __future__ import annotations

import filecmp
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

from posepile.errors import CorruptInput
from posepile.files import files_below, names_in
from posepile.formats.keys import by_key

ONE_OF_BOTH = "move the one that does not belong there out of the raw folder"


def numbered_files(folder: Path, first: int = 0) -> tuple[Path, ...]:
    r"""Returns the files of a folder by the last number in their names, which must leave no gap.

    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> for name in ("cam2_002.png", "cam2_001.png", "notes.txt"):
    ...     Path(folder.name, name).touch()
    >>> [path.name for path in numbered_files(Path(folder.name), 1)]
    ['cam2_001.png', 'cam2_002.png']

    Args:
        folder: The folder; hidden files in it and names without a number do not count.
        first: The number of the first picture.

    Raises:
        CorruptInput: No such files, two of one number, or numbers that leave gaps.
    """
    found = (
        (int(digits[-1]), name, name)
        for name in sorted(names_in(folder))
        if (digits := re.findall(r"\d+", Path(name).stem)) and not name.startswith(".")
    )
    numbered = by_key(found, folder, "number", hint=ONE_OF_BOTH)
    if not numbered:
        raise CorruptInput(folder, "no numbered picture there", hint="fetch or extract it again")
    files = tuple(folder / numbered[k] for k in sorted(numbered))
    check_numbers(files, first)
    return files


def check_numbers(files: Sequence[Path], first: int = 0) -> None:
    """Makes sure that files of a folder are numbered without a gap, by the last number in a name.

    >>> check_numbers([Path("cam2_001.png"), Path("cam2_003.png")], 1)
    Traceback (most recent call last):
    posepile.errors.CorruptInput: .: no number 2 among 2 files numbered 1 to 3; ...

    Args:
        files: In order.
        first: The number of the first one.

    Raises:
        CorruptInput: There is a gap.
    """
    order = [int(re.findall(r"\d+", path.stem)[-1]) for path in files]
    gap = next((n for n, k in enumerate(order, first) if n != k), None)
    if gap is not None:
        raise CorruptInput(
            files[0].parent,
            f"no number {gap} among {len(order)} files numbered {order[0]} to {order[-1]}; "
            f"expected all from {first} on",
            hint="extract it again, or correct the number of the first picture",
        )


def names_like(folder: Path, pattern: str) -> dict[str, tuple[str, ...]]:
    r"""Returns the names in a folder that look like a pattern, in order, with what its groups are.

    >>> (folder / "Walking 1.5413.mp4").touch()
    >>> (folder / "_ALL.5413.mp4").touch()
    >>> names_like(folder, r"([^_]+)\.(\d+)\.mp4")
    {'Walking 1.5413.mp4': ('Walking 1', '5413')}

    Args:
        folder: The folder; if there is none, nothing is found.
        pattern: Of whole names, with groups. Other names do not count.
    """
    matches = (re.fullmatch(pattern, name) for name in sorted(names_in(folder)))
    return {match[0]: match.groups() for match in matches if match}


def files_by_number(folder: Path, pattern: str) -> dict[int, Path]:
    r"""Returns the files of a folder by the number in their names, in its order; gaps are fine.

    Numbers, not names, are compared between folders.

    >>> (folder / "mask0046.png").touch()
    >>> (folder / "notes.txt").touch()
    >>> {number: path.name for number, path in files_by_number(folder, r"mask(\d+)\.png").items()}
    {46: 'mask0046.png'}

    Args:
        folder: The folder; if there is none, nothing is found.
        pattern: Of whole names; its first group is the number. Other names do not count.

    Raises:
        CorruptInput: Two files of one number, as with and without leading zeros.
    """
    matches = (re.fullmatch(pattern, name) for name in sorted(names_in(folder)))
    found = ((int(match[1]), match[0], folder / match[0]) for match in matches if match)
    return dict(sorted(by_key(found, folder, "number", hint=ONE_OF_BOTH).items()))


def files_by_id(folder: Path, pattern: str) -> dict[str, Path]:
    r"""Returns files by the id in their names, whatever folders people have sorted them into.

    >>> (folder / "0000/14").mkdir(parents=True)
    >>> (folder / "0000/14/000014_mask.jpg").touch()
    >>> list(files_by_id(folder, r"(\d{6})_mask\.jpg"))
    ['000014']

    Args:
        folder: Where they lie, or below; if there is none, nothing is found.
        pattern: Of whole names; its first group is the id. Other names do not count.

    Raises:
        CorruptInput: Two files of one id.
    """
    paths = ((re.fullmatch(pattern, path.name), path) for path in files_below(folder, "**/*"))
    found = ((match[1], path, path) for match, path in paths if match)
    return by_key(found, folder, "file of", hint=ONE_OF_BOTH)


def folders_holding(root: Path, inner: str) -> tuple[list[str], list[str]]:
    """Returns which folders hold a folder of a name, and which hold it in other letters or deeper.

    >>> for path in ("scene_1/images", "scene_2/Images", "train/scene_3/images", "archives"):
    ...     (folder / path).mkdir(parents=True)
    >>> folders_holding(folder, "images")
    (['scene_1'], ['scene_2', 'train'])

    Args:
        root: Where the folders lie.
        inner: The name. Its case counts.
    """
    right, odd = [], []
    for name in sorted(names_in(root)):
        there = names_in(root / name)
        if inner in there:
            right.append(name)
        elif any(inner.lower() in (n.lower(), *names_in(root / name / n)) for n in there):
            odd.append(name)
    return right, odd


def in_order(folder: Path, pattern: str) -> list[Path]:
    r"""Returns the files of a folder in the order of their numbers; of one number perhaps several.

    A unit takes them and refuses two of one number itself, so that the others go on.

    >>> for name in ("10.json", "9.json", "009.json"):
    ...     (folder / name).touch()
    >>> [path.name for path in in_order(folder, r"(\d+)\.json")]
    ['009.json', '9.json', '10.json']

    Args:
        folder: The folder; if there is none, nothing is found.
        pattern: As of :func:`files_by_number`.
    """
    found = sorted((int(number), name) for name, (number,) in names_like(folder, pattern).items())
    return [folder / name for _, name in found]


def sort_out(folder: Path, pattern: str, what: str) -> tuple[list[Path], list[str]]:
    r"""Returns the files of a folder that are called so, and why each other one is left out.

    Left out are files of other names, also in folders below, and copies of a file under another
    name: their content would be there twice. The one with the shortest name is kept.

    >>> for name in ("b.bin", "a.bin", "c.BIN", "d.bin"):
    ...     _ = (folder / name).write_text("two" if name == "b.bin" else "one")
    >>> files, reasons = sort_out(folder, r".+\.bin", "record")
    >>> [path.name for path in files], sorted(set(reasons))
    (['a.bin', 'b.bin'], ['copy of another record', 'file not named like a record'])

    Args:
        folder: The folder; if there is none, nothing is found.
        pattern: Of whole names.
        what: What such a file is called in reasons.
    """
    named = [folder / name for name in names_like(folder, pattern)]
    others = {path for path in files_below(folder, "**/*") if not path.is_dir()} - {*named}
    kept, reasons = [], [f"file not named like a {what}"] * len(others)
    of_size: dict[int, list[Path]] = defaultdict(list)
    for path in sorted(named, key=lambda path: len(path.name)):  # "a (1).bin" is the copy
        alike = of_size[path.stat().st_size if path.is_file() else 0]
        if any(_is_copy(path, other) for other in alike):
            reasons.append(f"copy of another {what}")
        else:
            alike.append(path)
            kept.append(path)
    return sorted(kept), reasons


def _is_copy(path: Path, other: Path) -> bool:
    """Whether two files have the same content; one that cannot be read is told by its own unit."""
    try:
        return path.stat().st_size > 0 and filecmp.cmp(path, other, shallow=False)
    except OSError:
        return False


def read_in_order(
    paths: Iterable[Path], read: Callable[[Path], Any], what: str = "number", *, own: bool = True
) -> dict[int, Any]:
    """Returns what is read of files by the number that their names begin with; none may be twice.

    The unit that needs them stops, and no other; see :func:`in_order`.

    >>> read_in_order([Path("007_left.json"), Path("10_left.json")], lambda path: path.suffix)
    {7: '.json', 10: '.json'}

    Args:
        paths: Files of one folder.
        read: Reads one of them.
        what: What a number is called, for the message.
        own: They are those of the unit itself; of others, what cannot be read is passed over.

    Raises:
        CorruptInput: One of its own cannot be read, or two have the same number.
    """
    entries, folder = [], Path()
    for path in paths:
        folder = path.parent
        with nullcontext() if own else suppress(CorruptInput):
            entries.append((int(re.match(r"\d+", path.name)[0]), path.name, read(path)))
    if not own:
        return {number: value for number, _, value in entries}
    return by_key(entries, folder, what, hint=ONE_OF_BOTH)


def check_start(folder: Path, names: Iterable[str]) -> None:
    """Makes sure that frames somebody has extracted count from 0, as labels count them.

    >>> (folder / "img_0_000001.jpg").touch()
    >>> check_start(folder, [f"img_{camera}_{{:06d}}.jpg" for camera in range(2)])
    Traceback (most recent call last):
    posepile.errors.CorruptInput: ...img_0_000001.jpg: is there without img_0_000000.jpg; ...

    Args:
        folder: Their folder; gaps are fine, and so is none of the first two.
        names: Of frames of each recording there, to be formatted with their number.

    Raises:
        CorruptInput: They begin at 1.
    """
    there = names_in(folder)  # perhaps a hundred thousand: listed once
    for name in names:
        first, second = name.format(0), name.format(1)
        if second in there and first not in there:
            hint = "extract them with ffmpeg -start_number 0: without, they begin at 1"
            raise CorruptInput(folder / second, f"is there without {first}", hint=hint)
