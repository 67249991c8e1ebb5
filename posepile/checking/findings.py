"""What a question of the contract test answers."""

from __future__ import annotations

from dataclasses import dataclass, field

SHOWN = 6  # findings of one question that are printed


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it must be.

    Attributes:
        dataset: Name.
        text: What was found and what was expected.
        example: Image path of the example; empty where it concerns all.
        joint: Joint name; empty where it concerns none.
        offset: Found minus recorded position in pixels of the stored crop, (right, down).
    """

    dataset: str
    text: str
    example: str = ""
    joint: str = ""
    offset: tuple[float, float] | None = None

    def __str__(self) -> str:
        place = ", ".join(filter(None, [self.dataset, self.example, self.joint]))
        offset = "" if self.offset is None else " ({:+.1f}, {:+.1f}) px".format(*self.offset)
        return f"{place}:{offset} {self.text}"


@dataclass(frozen=True)
class Answer:
    """Answer to one question about one dataset.

    Attributes:
        findings: What is wrong; empty = all well.
        note: Measured figures, or why the question was not asked.
        asked: Whether there was something to ask.
    """

    findings: list[Finding] = field(default_factory=list)
    note: str = ""
    asked: bool = True

    @property
    def verdict(self) -> str:
        """``ok``, ``FAILED`` or ``not asked``."""
        if not self.asked:
            return "not asked"
        return "FAILED" if self.findings else "ok"

    def lines(self, question: str) -> list[str]:
        """Returns the answer to the question of that name as lines for a person."""
        head = f"  {self.verdict:9} {question}" + (f": {self.note}" if self.note else "")
        more = [f"      … and {len(self.findings) - SHOWN} more"]
        return [
            head,
            *(f"      {f}" for f in self.findings[:SHOWN]),
            *(more if len(self.findings) > SHOWN else []),
        ]


def not_asked(why: str) -> Answer:
    """Returns the answer of a question that has nothing to ask."""
    return Answer(note=why, asked=False)
