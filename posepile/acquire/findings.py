"""What a look at a raw folder has found, as text and as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from posepile.acquire.mending import Mend
from posepile.acquire.moves import Move

KINDS = ("missing", "truncated", "misplaced", "unexpected")
_EXAMPLES = 5
# What tells most is said first.
_FIRST = ("download unfinished", "not all of it is there", "holds what belongs", "was put aside")


@dataclass
class DoctorReport:
    """What is wrong with a raw folder.

    Attributes:
        name: Dataset.
        root: Its raw folder.
        missing: What is not there, one phrase each.
        truncated: Files of the wrong size or cut off, or (with checksums) of other content.
        misplaced: Files that belong elsewhere, with the place.
        unexpected: Files that belong nowhere; a remark, not a fault.
        notes: Other things worth saying.
        problems: What the dataset's own checks and those of its networks have found.
        n_files: How many files were looked at.
        moves: What is misplaced, files that lie together as one.
        aside: Damaged files that come again once they are put aside.
        mends: A command for each thing that is wrong.
    """

    name: str
    root: Path
    missing: list[str] = field(default_factory=list)
    truncated: list[str] = field(default_factory=list)
    misplaced: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    n_files: int = 0
    moves: list[Move] = field(default_factory=list)
    aside: list[str] = field(default_factory=list)
    mends: list[Mend] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether everything that is needed is there and whole."""
        return not (self.missing or self.truncated or self.misplaced or self.problems)

    @property
    def counts(self) -> dict[str, int]:
        """How much of each kind of trouble."""
        return {kind: len(getattr(self, kind)) for kind in KINDS}

    @property
    def misplaced_lines(self) -> list[str]:
        """What is misplaced, one line for files that lie together."""
        moved = {path for move in self.moves for path in move.files}
        others = [t for t in self.misplaced if t.partition(": belongs at ")[0] not in moved]
        return [move.line for move in self.moves] + others

    @property
    def facts(self) -> dict[str, Any]:
        """The report as plain data."""
        return {
            "dataset": self.name,
            "root": str(self.root),
            "ok": self.ok,
            "files": self.n_files,
            **{kind: getattr(self, kind) for kind in KINDS},
            "moves": [{"from": m.source, "to": m.target, "files": m.files} for m in self.moves],
            "problems": [line.strip() for line in self.problems],
            "notes": self.notes,
            "mends": [mend.facts for mend in self.mends],
        }

    @property
    def lines(self) -> list[str]:
        """The report as text, with the first few examples of each kind."""
        lines = [f"{self.name}: {self.root}: {self.n_files} files"]
        for kind in KINDS:
            found = getattr(self, kind)
            if found:
                lines.append(f"  {kind}: {len(found)}")
                found = self.misplaced_lines if kind == "misplaced" else found
                found = sorted(found, key=lambda text: not any(word in text for word in _FIRST))
                lines += [f"    {text}" for text in found[:_EXAMPLES]]
                if len(found) > _EXAMPLES:
                    lines.append(f"    ... and {len(found) - _EXAMPLES} more")
        lines += [f"  note: {text}" for text in self.notes]
        lines += self.problems
        for mend in self.mends:
            lines += Mend(f"to mend {mend.what}", mend.command).lines
        lines.append("  ok" if self.ok else "  not ok")
        return lines
