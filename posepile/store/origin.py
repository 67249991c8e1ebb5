"""Where an example comes from: its dataset and licence, and what its sequence's id says."""

from __future__ import annotations

import functools
import re
from typing import NamedTuple

from posepile.errors import WorkError

UNKNOWN = "unknown"


class Origin(NamedTuple):
    """Where an example comes from; ``unknown`` where that is not told.

    Attributes:
        dataset: Name of the dataset.
        licence: Licence of its raw data.
        subject: Who is seen.
        view: Which camera of several that recorded the same.
        recording: Id of the sequence without the view: the same for all cameras.
        motion: What is performed: an action or a take, or the motion capture it was taken from.
    """

    dataset: str = UNKNOWN
    licence: str = UNKNOWN
    subject: str = UNKNOWN
    view: str = UNKNOWN
    recording: str = UNKNOWN
    motion: str = UNKNOWN


NOWHERE = Origin()


class NamesOfSequences:
    """What the ids of sequences say.

    >>> NamesOfSequences(r"(?P<subject>S[0-9]+)/[^/]+/(?P<view>[^/]+)").of("S9/Walking/left")
    ('S9', 'left', 'S9/Walking/*', 'unknown')

    Args:
        pattern: A regular expression of whole ids with any of the groups ``subject``, ``view``
            and ``motion``, as :class:`posepile.recipe.DatasetSpec` declares it; empty = ids say
            nothing.
        where: Where it stands, for the message.

    Raises:
        WorkError: It is no regular expression.
    """

    def __init__(self, pattern: str, where: str = "sequence_names"):
        try:
            self._pattern = re.compile(pattern) if pattern else None
        except (re.error, RecursionError) as e:
            raise WorkError(f"{where}: sequence_names {pattern!r} cannot be read ({e})") from None
        self.of = functools.lru_cache(maxsize=10_000)(self._of)

    def _of(self, sequence: str) -> tuple[str, str, str, str]:
        """Returns subject, view, recording and motion."""
        match = self._pattern.fullmatch(sequence) if self._pattern else None
        if match is None:
            return UNKNOWN, UNKNOWN, sequence or UNKNOWN, UNKNOWN
        found = match.groupdict()
        recording = sequence
        if found.get("view") is not None:
            start, end = match.span("view")
            recording = f"{sequence[:start]}*{sequence[end:]}"
        subject, view, motion = (
            found.get(name) or UNKNOWN for name in ("subject", "view", "motion")
        )
        return subject, view, recording, motion
