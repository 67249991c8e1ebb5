"""The forms of the files, as pydantic models."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict


class JointsForm(BaseModel):
    """The ``joints.yaml`` of a dataset.

    Attributes:
        how: How the points of the family ``own`` come about, which is this dataset's alone.
        sources: Where the facts are from.
        notes: Joint to what else must be known of it.
        joints: Family to joints, ``name`` or ``name=place``, with spaces between them.
    """

    model_config = ConfigDict(extra="forbid")
    how: str = ""
    sources: list[str]
    notes: dict[str, str] = {}
    joints: dict[str, str]


class ConventionForm(JointsForm):
    """An entry of ``conventions.yaml``.

    Attributes:
        title: What it is, in words.
        aliases: Other names of it, in small letters without signs.
        edges: Paths of joints, with commas between them; they are mirrored.
        official: Names of the joints at the source.
    """

    title: str
    aliases: list[str] = []
    edges: str
    official: str


class FamilyForm(BaseModel):
    """An entry of ``families``.

    Attributes:
        how: How its points come about.
        sources: Where that is from.
    """

    model_config = ConfigDict(extra="forbid")
    how: str
    sources: list[str]


class FamiliesForm(BaseModel):
    """The file ``families.yaml``.

    Attributes:
        families: Families by name.
        near: Pairs of places or points, with the reason and its source.
    """

    model_config = ConfigDict(extra="forbid")
    families: dict[str, FamilyForm]
    near: list[tuple[str, str, str, str]]


FORMS: dict[str, Any] = {
    "places.yaml": dict[str, dict[str, tuple[float, float, str]]],
    "families.yaml": FamiliesForm,
    "conventions.yaml": dict[str, ConventionForm],
}
