"""The list of examples that a person has marked as bad: a text file, one image path a line.

It is what ``exclusions`` of :class:`posepile.merging.filters.Filters` reads. Lines that somebody
wrote by hand, comments and globs among them, stay as they are.
"""

from __future__ import annotations

import fnmatch
import glob
import os
import re
import threading
import weakref
from pathlib import Path

import numpy as np

from posepile.errors import UsageError, WorkError
from posepile.files import locked, write_atomically
from posepile.merging.exclusion_lines import is_glob, pattern_and_reason
from posepile.terminal import printable
from posepile.viewer.browsing import Browsed

HEAD = "# Examples that are left out: an image path or glob a line; # begins a comment"
# What ends a line for ``str.splitlines``, and what UTF-8 cannot hold.
_UNWRITABLE = re.compile(r"[\n\r\v\f\x1c-\x1e\x85\u2028\u2029\ud800-\udfff]")
_MOST_OF_A_REASON = 300


class Marks:
    """A file of exclusions, read again when it has changed; several viewers may write to it.

    Args:
        path: The file; it need not be there.
    """

    def __init__(self, path: Path):
        self.path = path
        self._lock = threading.RLock()
        self._stamp: tuple | None = None
        self._reasons: dict[str, str] = {}
        self._globs: list[str] = []
        self._masks: weakref.WeakKeyDictionary[Browsed, tuple] = weakref.WeakKeyDictionary()
        self._automatic: set[str] = set()  # lines of this viewer, nothing of which was typed

    def reason_of(self, image_path: str) -> str | None:
        """Returns why an example is left out (an empty text: nobody has said); None if it is not.

        Raises:
            UsageError: The file cannot be read.
        """
        with self._lock:
            self._read()
            own = pattern_of(image_path)
            for pattern in (image_path, own):
                if pattern in self._reasons:
                    return self._reasons[pattern]
            covering = self._covering(image_path)
            return None if covering is None else self._reasons[covering]

    def _covering(self, image_path):
        for pattern in self._globs:
            if fnmatch.fnmatchcase(image_path, pattern):
                return pattern
        return None

    def mark(self, image_path: str, reason: str = "", typed: bool = True) -> None:
        """Adds an example, or gives another reason for it.

        Args:
            image_path: The example.
            reason: Why it is bad.
            typed: A person wrote the reason. Any other one does not take the place of what is
                in the file, also not of what was commented out by :meth:`unmark`.

        Raises:
            UsageError: The file cannot be read or written.
        """
        reason = " ".join(printable(reason[:_MOST_OF_A_REASON]).split())
        line = pattern_of(image_path) + (f"  # {reason}" if reason else "")

        def change(lines, end):
            own = [i for i, old in enumerate(lines) if _is_of(old, image_path)]
            outs = [i for i, old in enumerate(lines) if _is_of(_uncommented(old), image_path)]
            if own and typed:
                lines[own[0]] = line + _end_of(lines[own[0]])
            elif outs and not own and not typed:
                lines[outs[-1]] = _uncommented(lines[outs[-1]])
            elif not own:
                lines = [*(lines or [HEAD + end]), line + end]
                if not typed:
                    self._automatic.add(line)
            return lines

        self._change(change)

    def unmark(self, image_path: str) -> None:
        """Takes an example off the list; a line with what a person wrote becomes a comment.

        Raises:
            UsageError: A glob in the file covers it, or the file cannot be read or written.
        """

        def change(lines, end):
            kept = []
            for line in lines:
                if not _is_of(line, image_path):
                    kept.append(line)
                elif "#" in line[len(_pattern(line)) :] and _body(line) not in self._automatic:
                    kept.append(f"# {line}")
            return kept

        self._change(change)
        with self._lock:
            self._read()
            covering = self._covering(image_path)
        if covering is not None:
            raise UsageError(
                f"{self.path}: the line {covering!r} covers {image_path}; change it in the file"
            )

    def _change(self, change):
        place = Path(os.path.realpath(self.path))  # others may share it by links
        try:
            with locked(place.with_name(f".{place.name}.lock")), self._lock:
                text = self._text()
                mark = text[: text.startswith("\ufeff")]
                lines = text[len(mark) :].splitlines(keepends=True)
                end = "\r\n" if any(line.endswith("\r\n") for line in lines) else "\n"
                if lines and not _end_of(lines[-1]):
                    lines[-1] += end
                changed = mark + "".join(change(lines, end))
                if changed != text:
                    mode = place.stat().st_mode & 0o777 if place.exists() else None
                    write_atomically(place, changed.encode())
                    if mode is not None:
                        place.chmod(mode)
        except OSError as e:
            raise UsageError(
                f"{self.path}: cannot be written ({e.strerror or e}); --exclusions FILE names "
                "another file"
            ) from e

    def _text(self):
        try:
            return self.path.read_bytes().decode()
        except FileNotFoundError:
            return ""
        except (OSError, UnicodeDecodeError) as e:
            why = getattr(e, "strerror", None) or "not UTF-8 text"
            raise UsageError(
                f"{self.path}: {why}; expected a text file of image paths, or none yet"
            ) from e

    def _read(self):
        stamp = self.stamp()
        if stamp == self._stamp:
            return
        self._reasons, self._globs = {}, []
        for line in self._text().removeprefix("\ufeff").splitlines():
            pattern, reason = pattern_and_reason(line)
            if pattern:
                self._reasons.setdefault(pattern, reason)
        self._globs = [p for p in self._reasons if is_glob(p) and _literal(p) is None]
        self._stamp = stamp

    def stamp(self) -> tuple | None:
        """Returns what tells this state of the file from others; None where there is none."""
        try:
            found = os.stat(self.path)
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def mask(self, browsed: Browsed) -> tuple[np.ndarray, tuple | None]:
        """Returns which examples of a split are on the list, bool ``[n]``, and the stamp of it."""
        with self._lock:
            self._read()
            known = self._masks.get(browsed)
            if known is not None and known[1] == self._stamp:
                return known
            found = np.zeros(len(browsed), bool)
            for pattern in self._reasons:
                path = pattern if not is_glob(pattern) else _literal(pattern)
                for name in {pattern, path} - {None}:
                    found[browsed.find(name)] = True
            if self._globs:
                numbers, texts = browsed.codes("image_path")
                match = re.compile("|".join(map(fnmatch.translate, self._globs))).match
                found |= np.array([match(text) is not None for text in texts], bool)[numbers]
            self._masks[browsed] = found, self._stamp
            return found, self._stamp

    def covers(self, image_path: str, browsed: Browsed) -> int:
        """Returns how many examples of a split the line of an image path means."""
        pattern = pattern_of(image_path)
        if pattern == image_path or _literal(pattern) == image_path:
            return len(browsed.find(image_path))
        numbers, texts = browsed.codes("image_path")
        meet = np.array([fnmatch.fnmatchcase(text, pattern) for text in texts], bool)
        return int(meet[numbers].sum()) if len(texts) else 0

    def __len__(self):
        with self._lock:
            self._read()
            return len(self._reasons)


def pattern_of(image_path: str) -> str:
    r"""Returns the line that stands for one image path, whatever characters are in it.

    >>> print(pattern_of("a/b_01.jpg"), pattern_of("a/[1] x*.jpg"), pattern_of("a\n #b "))
    a/b_01.jpg a/[[]1] x[*].jpg a? [#]b[ ]

    A line break is a ``?``, which stands for any character, as does what is no text.
    """
    escaped = _UNWRITABLE.sub("?", glob.escape(image_path))
    # Brackets keep what would begin a comment or be stripped off the line.
    escaped = re.sub(r"(?<=\s)#|^#", "[#]", escaped)
    return re.sub(r"^[\s\ufeff]+|\s+$", lambda m: "".join(f"[{c}]" for c in m[0]), escaped)


def _is_of(line, image_path):
    return _pattern(line) in (image_path, pattern_of(image_path))


def _uncommented(line):
    return line[2:] if line.startswith("# ") else ""


def _body(line):
    return line.splitlines()[0] if line else ""


def _end_of(line):
    return line[len(_body(line)) :]


def _pattern(line):
    return pattern_and_reason(line)[0]


def _literal(pattern):
    """Returns the one text that an escaped pattern stands for; None if it stands for several."""
    text = re.sub(r"\[([*?\[#\s\ufeff])\]", r"\1", pattern)
    return text if pattern in (glob.escape(text), pattern_of(text)) else None


def default_place(name: str, folder: Path) -> Path:
    """Returns where the list of a dataset is kept unless somebody says where.

    Raises:
        WorkError: The name is none of a file.
    """
    if not name or "/" in name or "\0" in name:
        raise WorkError(f"dataset {name!r}: expected a name")
    return folder / f"{name}_exclusions.txt"
