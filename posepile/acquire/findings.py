"""What a look at a raw folder has found, as text and as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from posepile.acquire.mending import Mend
from posepile.acquire.moves import Move

KINDS = ("missing", "truncated", "misplaced", "unexpected")
_EXAMPLES = 5


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a raw folder; :attr:`line` makes a sentence of it.

    Attributes:
        kind: One of ``KINDS``: ``missing``: not there; ``truncated``: of the wrong size or cut
            off, or (with checksums) of other content; ``misplaced``: belongs elsewhere;
            ``unexpected``: belongs nowhere, a remark and not a fault.
        path: The file, or folder or pattern of files, in the raw folder or absolute; empty where
            ``fault`` names it.
        fault: What is wrong, in words; empty where the kind and the path say it.
        place: Where it belongs, or what is there already.
        source: What it is to come from, and how.
        telling: Whether it explains others of its kind, so that it is said before these.
    """

    kind: str
    path: str
    fault: str = ""
    place: str = ""
    source: str = ""
    telling: bool = False

    @property
    def line(self) -> str:
        """The finding in words.

        >>> Finding("misplaced", "x/a.csv", "belongs at", "poses/a.csv").line
        'x/a.csv: belongs at poses/a.csv'
        >>> Finding("missing", "a.zip", "not downloaded", source="train").line
        'a.zip: not downloaded (train)'
        """
        words = " ".join(filter(None, [self.fault, self.place]))
        said = ": ".join(filter(None, [self.path, words]))
        return f"{said} ({self.source})" if self.source else said


@dataclass
class DoctorReport:
    """What is wrong with a raw folder.

    Attributes:
        name: Dataset.
        root: Its raw folder.
        findings: What is wrong with the files.
        notes: Other things worth saying.
        problems: What the dataset's own checks and those of its networks have found.
        n_files: How many files were looked at.
        moves: What is misplaced, files that lie together as one.
        aside: Damaged files that come again once they are put aside.
        mends: A command for each thing that is wrong.
    """

    name: str
    root: Path
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    n_files: int = 0
    moves: list[Move] = field(default_factory=list)
    aside: list[str] = field(default_factory=list)
    mends: list[Mend] = field(default_factory=list)

    def add(self, kind: str, path: str, fault: str = "", **more: Any) -> None:
        """Adds a :class:`Finding`."""
        self.findings.append(Finding(kind, path, fault, **more))

    def sort(self) -> None:
        """Brings the findings into the order of their lines, each once."""
        once = {(f.kind, f.line): f for f in self.findings}
        self.findings = [once[key] for key in sorted(once)]

    def of(self, kind: str) -> list[Finding]:
        """Returns the findings of a kind."""
        return [f for f in self.findings if f.kind == kind]

    @property
    def missing(self) -> list[str]:
        """What is missing, in words."""
        return [f.line for f in self.of("missing")]

    @property
    def truncated(self) -> list[str]:
        """What is truncated, in words."""
        return [f.line for f in self.of("truncated")]

    @property
    def misplaced(self) -> list[str]:
        """What is misplaced, in words, file by file."""
        return [f.line for f in self.of("misplaced")]

    @property
    def unexpected(self) -> list[str]:
        """What is unexpected, in words."""
        return [f.line for f in self.of("unexpected")]

    @property
    def ok(self) -> bool:
        """Whether everything that is needed is there and whole."""
        return not self.problems and all(f.kind == "unexpected" for f in self.findings)

    @property
    def counts(self) -> dict[str, int]:
        """How much of each kind of trouble."""
        return {kind: len(self.of(kind)) for kind in KINDS}

    @property
    def misplaced_lines(self) -> list[str]:
        """What is misplaced, one line for files that lie together."""
        return [move.line for move in self.moves] + [f.line for f in self._moved_alone()]

    def _moved_alone(self) -> list[Finding]:
        moved = {path for move in self.moves for path in move.files}
        return [f for f in self.of("misplaced") if f.path not in moved]

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
            found = self.of(kind)
            if found:
                lines.append(f"  {kind}: {len(found)}")
                together = []
                if kind == "misplaced":
                    found, together = self._moved_alone(), [move.line for move in self.moves]
                said = [f.line for f in found if f.telling] + together
                said += [f.line for f in found if not f.telling]
                lines += [f"    {text}" for text in said[:_EXAMPLES]]
                if len(said) > _EXAMPLES:
                    lines.append(f"    ... and {len(said) - _EXAMPLES} more")
        lines += [f"  note: {text}" for text in self.notes]
        lines += self.problems
        for mend in self.mends:
            lines += Mend(f"to mend {mend.what}", mend.command).lines
        lines.append("  ok" if self.ok else "  not ok")
        return lines
