"""Known-bad sequences and frames: ``exclusions.yaml`` of a dataset, applied at build.

Each entry says what is left out, why, and where that is known from, so that training code needs no
private list of bad examples.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path

import pydantic
from pydantic import BaseModel, ConfigDict, Field

from posepile.errors import UsageError
from posepile.formats.yaml_files import describe, load_yaml


class Exclusion(BaseModel):
    """One entry.

    Attributes:
        sequence: Glob over sequence ids (``*`` crosses slashes). Of a unit that cannot be read at
            all nobody knows the sequences: it is left out by its own id, with neither frames nor
            person.
        frames: First and last excluded source frame, both included; None = the whole sequence.
        person: Only this person index; None = everyone.
        reason: Why; it becomes the key under which the examples are counted.
        source: Where that is known from (issue, paper, own check).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    sequence: str
    frames: tuple[int, int] | None = None
    person: int | None = None
    reason: str = Field(min_length=3)
    source: str = Field(min_length=3)

    def covers(self, frame: int, person: int) -> bool:
        """Whether a person-frame of a matching sequence is excluded."""
        in_range = self.frames is None or self.frames[0] <= frame <= self.frames[1]
        return in_range and (self.person is None or self.person == person)


def load_exclusions(path: Path) -> list[Exclusion]:
    """Reads a dataset's ``exclusions.yaml``; an absent or empty file excludes nothing.

    Raises:
        UsageError: An entry is not of the form above.
    """
    if not path.is_file():
        return []
    entries = load_yaml(path) or []
    if isinstance(entries, dict):
        entries = entries.get("exclusions") or []
    try:
        return pydantic.TypeAdapter(list[Exclusion]).validate_python(entries)
    except pydantic.ValidationError as e:
        raise UsageError(describe(e, path, entries, list[Exclusion])) from None


def matching(exclusions: list[Exclusion], sequence_ids: list[str]) -> list[Exclusion]:
    """The entries that concern any of these sequences."""
    return [e for e in exclusions if any(fnmatchcase(s, e.sequence) for s in sequence_ids)]
