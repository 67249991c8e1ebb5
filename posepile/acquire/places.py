"""What is known of a file (size, checksums), where it must lie, and whether it is that file.

A further fact about files or places, such as another checksum, is added here and nowhere else:
``sources.yaml`` takes it, the plan shows it, the download and the doctor compare it.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from posepile.acquire.addresses import without_access
from posepile.acquire.patterns import glob_regex

CHUNK = 1 << 18


class Strict(BaseModel):
    """A mapping of ``sources.yaml``: no other keys, and not changed later."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def __repr_args__(self):
        for name, value in super().__repr_args__():
            hides = isinstance(value, str | list)
            yield name, _Shown(without_access(repr(value))) if hides else value


class _Shown(str):
    """A text whose representation is itself."""

    __repr__ = str.__str__


def _relative(value: str) -> str:
    parts = value.split("/")
    if value.startswith("/") or "\\" in value or ".." in parts or re.match(r"[A-Za-z]:", value):
        raise ValueError("must be a path relative to the raw folder, with / and without ..")
    return value.removesuffix("/") if value != "/" else value


def _pattern(value: str) -> str:
    glob_regex(_relative(value))
    return value


def one_or_more(value: Any) -> Any:
    """Returns a list also where a single value is given."""
    return [value] if isinstance(value, str | dict) else value


def _hex_digest(length: int) -> Callable[[str], str]:
    def check(value: str) -> str:
        value = value.lower()
        if not re.fullmatch(f"[0-9a-f]{{{length}}}", value):
            raise ValueError(f"must be {length} hexadecimal digits")
        return value

    return check


RelativePath = Annotated[str, AfterValidator(_relative)]
Pattern = Annotated[str, AfterValidator(_pattern)]
Patterns = Annotated[list[Pattern], BeforeValidator(one_or_more)]
ExactSize = Annotated[int, Field(ge=0)]

# How a checksum is called in messages, by its key, which is also its name in hashlib.
CHECKSUMS = {"md5": "MD5", "sha256": "SHA-256"}


class FileFacts(Strict):
    """What is published about a file's content.

    Attributes:
        bytes: Exact size.
        md5: Checksum.
        sha256: Checksum.
    """

    bytes: ExactSize | None = None
    md5: Annotated[str, AfterValidator(_hex_digest(32))] | None = None
    sha256: Annotated[str, AfterValidator(_hex_digest(64))] | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """What is known, by key."""
        every = {key: getattr(self, key) for key in FileFacts.model_fields}
        return {key: value for key, value in every.items() if value is not None}

    @property
    def has_checksum(self) -> bool:
        """Whether any checksum is known."""
        return any(key in CHECKSUMS for key in self.facts)

    def fault(self, path: Path, measured: Mapping[str, Any] | None = None) -> str | None:
        """Returns what is wrong with a file, None if nothing is.

        Args:
            path: The file.
            measured: What :func:`measure` gave or what was written down of an earlier measurement.
                If left out, only the size is compared.
        """
        measured = {"bytes": os.path.getsize(path)} if measured is None else measured
        for key, expected in self.facts.items():
            found = measured.get(key, expected)
            if found != expected and key == "bytes":
                return f"{found} bytes instead of {expected}"
            if found != expected:
                return f"{CHECKSUMS[key]} is {found} instead of {expected}"
        return None

    def is_confirmed(self, path: Path, measured: Mapping[str, Any] | None) -> bool:
        """Returns whether an earlier measurement covers all that is known, and fits the file."""
        return (
            measured is not None
            and measured["bytes"] == os.path.getsize(path)
            and all(key in measured for key in self.facts)
            and self.fault(path, measured) is None
        )


class Place(FileFacts):
    """Where the files of a source must lie.

    Attributes:
        path: Pattern below the raw folder.
        min: Fewest files that must match.
    """

    path: Pattern
    min: Annotated[int, Field(ge=1)] = 1

    @property
    def instruction(self) -> str:
        """What a person who has the file must do with it."""
        return f"put it at {self.path}"


def _place(value: Any) -> Any:
    return {"path": value} if isinstance(value, str) else value


Places = Annotated[
    list[Annotated[Place, BeforeValidator(_place)]],
    Field(min_length=1),
    BeforeValidator(one_or_more),
]


PART, NOTES, KEPT = ".part", ".json", ".kept"  # endings of unfinished files


def part_path(target: Path) -> Path:
    """Returns where a file lies until it has arrived completely."""
    return target.with_name(target.name + PART)


def kept_path(target: Path) -> Path:
    """Returns where another beginning of a file lies meanwhile."""
    return target.with_name(target.name + PART + KEPT)


def notes_path(target: Path) -> Path:
    """Returns where it says from where a file comes, until that is recorded for good."""
    return target.with_name(target.name + PART + NOTES)


class Measurement:
    """Size and checksums of a file that is read (or arrives) piece by piece.

    Args:
        facts: Whose kinds of checksum are computed, besides SHA-256.
    """

    def __init__(self, facts: FileFacts | None = None):
        names = {"sha256", *(facts.facts if facts else ())} & set(CHECKSUMS)
        self._digests = {n: hashlib.new(n, usedforsecurity=False) for n in sorted(names)}
        self._bytes = 0

    def update(self, data: bytes) -> None:
        """Takes the next piece."""
        self._bytes += len(data)
        for digest in self._digests.values():
            digest.update(data)

    def read(self, path: Path, progress: Callable[[int], Any] = lambda n: None) -> None:
        """Takes a whole file, telling how many bytes have been read."""
        with open(path, "rb") as f:
            while chunk := f.read(CHUNK):
                self.update(chunk)
                progress(len(chunk))

    @property
    def result(self) -> dict[str, Any]:
        """``bytes`` and the checksums by their keys."""
        return {"bytes": self._bytes} | {n: d.hexdigest() for n, d in self._digests.items()}


def measure(
    path: Path, facts: FileFacts | None = None, progress: Callable[[int], Any] = lambda n: None
) -> dict[str, Any]:
    """Returns size, SHA-256 and the kinds of checksum in ``facts`` of a file, by their keys."""
    measurement = Measurement(facts)
    measurement.read(path, progress)
    return measurement.result
