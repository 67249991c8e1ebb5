"""Which people and motions of different datasets are the same, where that is public.

What is known lies in ``identities.yaml`` beside this file, with the source of each entry.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, model_validator

from posepile.formats.yaml_files import read_yaml
from posepile.merging.sequences import SequenceFacts
from posepile.store.origin import UNKNOWN


class Rule(BaseModel):
    """How a dataset's names become names that several datasets share.

    Attributes:
        of: What of a sequence is looked at.
        find: Expression that finds each person or motion in it; its groups, or all that it
            matches, are put into ``name``.
        name: With ``{0}``, ``{1}`` and so on.
        everybody: People of whom the whole dataset is made.
        source: Where that is said.
    """

    model_config = ConfigDict(extra="forbid")

    of: Literal["subject", "motion", "subject/motion"] = "subject"
    find: str = ""
    name: str = "{0}"
    everybody: tuple[str, ...] = ()
    source: str

    @model_validator(mode="after")
    def _says_one(self):
        if bool(self.find) == bool(self.everybody):
            raise ValueError("expected either find or everybody")
        re.compile(self.find)
        return self

    def names(self, facts: SequenceFacts) -> tuple[str, ...]:
        """Returns whom or what a sequence shows; nothing where its id does not tell."""
        if self.everybody:
            return self.everybody
        parts = [getattr(facts, part) for part in self.of.split("/")]
        if UNKNOWN in parts:
            return ()
        found = re.finditer(self.find, "/".join(parts))
        return tuple(self.name.format(*(m.groups() or (m[0],))) for m in found)


class Identities(BaseModel):
    """What ``identities.yaml`` holds: dataset -> rule."""

    model_config = ConfigDict(extra="forbid")

    persons: dict[str, Rule]
    motions: dict[str, Rule]


@lru_cache(maxsize=1)
def known_identities() -> Identities:
    """Returns what is known, with its sources.

    >>> known_identities().persons["tdhp_full"].name
    'tdhp/{0}'
    """
    return read_yaml(Path(__file__).with_name("identities.yaml"), Identities, kind="table")


def persons_of(facts: SequenceFacts) -> tuple[str, ...]:
    """Returns who is seen in a sequence, by names that are the same in all datasets.

    >>> persons_of(SequenceFacts("whole", "S1/Seq2/3", subject="S1", recipe="tdhp_full"))
    ('tdhp/S1',)
    >>> persons_of(SequenceFacts("h36m", "S1/Eating/5", subject="S1", recipe="h36m"))
    ('h36m/S1',)
    """
    rule = known_identities().persons.get(facts.recipe)
    if rule is not None:
        return rule.names(facts)
    return () if facts.subject == UNKNOWN else (f"{facts.recipe}/{facts.subject}",)


def motions_of(facts: SequenceFacts) -> tuple[str, ...]:
    """Returns which motion of AMASS a sequence shows; nothing where none is known.

    >>> facts = SequenceFacts("surreal", "train/run0/01_02/01_02_c1", motion="01_02",
    ...                       recipe="surreal")
    >>> motions_of(facts)
    ('CMU/01/01_02',)
    """
    rule = known_identities().motions.get(facts.recipe)
    return () if rule is None else rule.names(facts)
