"""What a dataset's description leaves open, and frames of the data decide by their majority."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Hashable
from typing import Any

from posepile.errors import CorruptInput


class Votes:
    """Votes on some questions; which row is which joint, which axis points up, and the like.

    >>> votes = Votes("skeleton", least=0.9)
    >>> for _ in range(20):
    ...     votes.add("up", "y")
    >>> votes.winner("up"), votes.lines
    ('y', ['up: y (20 of 20 votes)'])

    Args:
        where: File or folder of what votes, for messages.
        least: Share of the votes that the winner of a question must have.
        hint: What the user can do if none has.

    Attributes:
        lines: What was decided, and how.
    """

    def __init__(self, where: str | os.PathLike, least: float, hint: str | None = None):
        self._where, self._least, self._hint = where, least, hint
        self._counts: dict[str, Counter] = {}
        self.lines: list[str] = []

    def add(self, question: str, answer: Hashable) -> None:
        """Counts a vote."""
        self._counts.setdefault(question, Counter())[answer] += 1

    def winner(
        self, question: str, *others: str, least: float | None = None, optional: bool = False
    ) -> Any:
        """Returns the answer to a question.

        Args:
            question: The question.
            *others: It put in other ways, which may have no votes, but no other winner.
            least: As of the class, of this question.
            optional: Without any vote the answer is None.

        Raises:
            CorruptInput: No vote, no large majority, or another winner of another way to put it.
        """
        least, answers = self._least if least is None else least, {}
        for asked in (question, *others):
            counts = self._counts.get(asked, Counter())
            total = counts.total()
            if not total and (optional or asked != question):
                continue
            answer, n = counts.most_common(1)[0] if total else ("nothing", 0)
            answers[asked] = answer
            line = f"{asked}: {answer} ({n} of {total} votes)"
            if not total or n < least * total:
                text = f"{line}; expected at least {least:.0%} of them"
                raise CorruptInput(self._where, text, hint=self._hint)
            self.lines.append(line)
        if len(set(answers.values())) > 1:
            found = ", ".join(f"{asked}: {answer}" for asked, answer in answers.items())
            raise CorruptInput(self._where, f"{found}; expected the same", hint=self._hint)
        return answers.get(question)
