"""Counting what happened to the data, so that nothing disappears without a reason."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field, fields
from typing import Any

from posepile.errors import CorruptInput


@dataclass
class Counts:
    """Counts of one unit of work, added up over units for the manifest.

    Attributes:
        annotated: Annotated person-frames offered by the recipe.
        selected: Person-frames kept by selection.
        examples: Examples written.
        dropped: Person-frames left out, by reason.
        excluded: Person-frames left out by exclusions.yaml, by reason.
        quarantined: Corrupt input: ``{file, frame, reason}`` each.
        frames_read: Frames whose pixels were wanted.
        notes: What happened to examples that stayed in, by kind (e.g. box from joints).
        checks: Residuals of self-checks, name -> number, sum and maximum of the values.
    """

    annotated: int = 0
    selected: int = 0
    examples: int = 0
    dropped: Counter = field(default_factory=Counter)
    excluded: Counter = field(default_factory=Counter)
    quarantined: list[dict[str, Any]] = field(default_factory=list)
    frames_read: int = 0
    notes: Counter = field(default_factory=Counter)
    checks: dict[str, list] = field(default_factory=dict)

    def quarantine(self, error: CorruptInput, frame: int | None = None) -> None:
        """Records one corrupt input."""
        self.quarantined.append(
            {
                "file": error.file,
                "frame": error.frame if error.frame is not None else frame,
                "reason": error.reason,
                "hint": error.hint,
            }
        )

    def check(self, name: str, value: float) -> None:
        """Takes in one residual of a self-check."""
        n, total, largest = self.checks.get(name, (0, 0.0, -math.inf))
        self.checks[name] = [n + 1, total + value, max(largest, value)]

    def add(self, other: Counts) -> None:
        """Adds the counts of another unit."""
        self.annotated += other.annotated
        self.selected += other.selected
        self.examples += other.examples
        self.frames_read += other.frames_read
        self.dropped.update(other.dropped)
        self.excluded.update(other.excluded)
        self.notes.update(other.notes)
        self.quarantined.extend(other.quarantined)
        self._add_checks(other.checks)

    def _add_checks(self, checks: dict[str, list]) -> None:
        for name, (n, total, largest) in checks.items():
            own = self.checks.get(name, (0, 0.0, -math.inf))
            self.checks[name] = [own[0] + n, own[1] + total, max(own[2], largest)]

    def quarantined_share(self) -> float:
        """Returns the share of the frames that is quarantined, 0..1."""
        return len(self.quarantined) / max(1, self.frames_read)

    def add_json(self, data: dict[str, Any]) -> float:
        """Adds counts as :meth:`to_json` gives them; returns their share of quarantined frames."""
        self.annotated += data["annotated"]
        self.selected += data["selected"]
        self.examples += data["examples"]
        self.frames_read += data["frames_read"]
        for total, name in (
            (self.dropped, "dropped"),
            (self.excluded, "excluded"),
            (self.notes, "notes"),
        ):
            for reason, n in data[name].items():
                total[reason] += n
        self.quarantined += data["quarantined"]
        self._add_checks(data["checks"])
        return len(data["quarantined"]) / max(1, data["frames_read"])

    def to_json(self) -> dict[str, Any]:
        """Plain data for the header of a part and the manifest."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {k: dict(v) if isinstance(v, Counter) else v for k, v in values.items()}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Counts:
        """Inverse of :meth:`to_json`."""
        counts = cls(**data)
        for name in ("dropped", "excluded", "notes"):
            setattr(counts, name, Counter(getattr(counts, name)))
        return counts
