"""What is true of a dataset and its files do not tell: said by who imports it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pydantic
from pydantic import BaseModel, ConfigDict, Field

from posepile.errors import UsageError
from posepile.formats.yaml_files import describe, read_yaml
from posepile.geometry.cameras import MM_PER_UNIT
from posepile.joint_info import JointInfo
from posepile.recipe import DatasetSpec
from posepile.store.origin import UNKNOWN

# Facts that exports and archives tell.
TOLD = (
    "licence", "citation", "world_up", "single_person", "synthetic", "realistic_background",
    "body_shape", "n_valid_betas", "image_dir", "sequence_names", "far_from_origin",
)  # fmt: skip

# How each fact is given on the command line, for those that files often lack.
ASKED = {
    "units": "--units mm, cm or m",
    "axes": "--axes world or camera",
    "world_up": "--world-up=-y (or y, z, …), or unknown",
    "licence": "--licence TEXT (unknown is an answer)",
    "split": "--split train, val or test",
    "joints": "joints: [names] or a convention's name in --facts FILE.yaml",
}


class Facts(BaseModel):
    """Facts about a dataset that is imported; None: not said.

    Attributes:
        kind: ``3d``, ``2d`` or ``parametric`` (body parameters alone).
        units: Of 3D coordinates in the files.
        axes: Of 3D coordinates: those of the world or of each picture's camera.
        world_up: Where up is in world coordinates: ``y``, ``-z``, three numbers, or ``unknown``.
        licence: Of the raw data; ``unknown`` is an answer.
        citation: Key and short reference.
        image_dir: First component of every image path; default: the name, or what the files say.
        split: Of examples whose files do not tell.
        joints: Names in the order of the files, or the name of a convention.
        edges: Paths of names, ``neck-lsho-lelb``.
        category: Of annotation files like COCO's, where several have key points.
        min_confidence: Key points of less are missing.
        sequence_names: Pattern of sequence ids, with the groups subject, view and motion.
        single_person: At most one person is visible per image.
        synthetic: Rendered rather than photographed.
        realistic_background: The background belongs to the scene and must not be replaced.
        body_shape: How far body-model shape can be trusted.
        n_valid_betas: Number of shape components that hold shape, None for all.
        far_from_origin: World coordinates are too far from the origin for float32.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["3d", "2d", "parametric"] | None = None
    units: Literal["mm", "cm", "m"] | None = None
    axes: Literal["world", "camera"] | None = None
    world_up: str | tuple[float, float, float] | None = None
    licence: str | None = Field(None, min_length=1)
    citation: str = ""
    image_dir: str | None = Field(None, pattern=r"^[^/\\]+$")
    split: Literal["train", "val", "test"] | None = None
    joints: str | list[str] | None = None
    edges: str = ""
    category: str | None = None
    min_confidence: float = Field(0.0, ge=0, le=1)
    sequence_names: str = ""
    single_person: bool = False
    synthetic: bool = False
    realistic_background: bool = True
    body_shape: Literal["exact", "fitted", "untrusted", "none"] | None = None
    n_valid_betas: int | None = Field(None, ge=0)
    far_from_origin: bool = False

    @pydantic.field_validator("world_up")
    @classmethod
    def _up(cls, value):
        up_vector(value)
        return value

    @property
    def millimetres(self) -> float:
        """Millimetres in the unit of the files."""
        return MM_PER_UNIT[self.units or "mm"]


def up_vector(value: str | tuple | None) -> tuple[float, float, float] | None:
    """Returns the unit vector that is meant; None where it is not known.

    >>> up_vector("-y"), up_vector("unknown"), up_vector("0, 0, 2")
    ((0.0, -1.0, 0.0), None, (0.0, 0.0, 1.0))

    Raises:
        ValueError: It is none.
    """
    if value in (None, UNKNOWN):
        return None
    if isinstance(value, str):
        sign, axis = (-1.0, value[1:]) if value[:1] == "-" else (1.0, value.removeprefix("+"))
        if axis in ("x", "y", "z"):
            return tuple(sign * (name == axis) + 0.0 for name in "xyz")
        try:
            value = [float(v) for v in value.split(",")]
        except ValueError:
            value = ()
    length = float(np.linalg.norm(value)) if len(value) == 3 else 0.0
    if not (np.isfinite(length) and length > 0):
        raise ValueError("expected x, -x, y, …, three numbers, or unknown")
    return tuple(float(v) / length for v in value)


def read_facts(path: Path | None, given: dict[str, Any]) -> Facts:
    """Returns the facts of a YAML file and those of the command line, which come first.

    Args:
        path: The file; None = none.
        given: Fact -> value; None = not given.

    Raises:
        UsageError: Not allowed, with the key named.
    """
    facts = Facts() if path is None else read_yaml(path, Facts, kind="file of facts")
    more = {key: value for key, value in given.items() if value is not None}
    raw = {**facts.model_dump(exclude_unset=True), **more}
    try:
        return Facts(**raw)
    except pydantic.ValidationError as e:
        raise UsageError(describe(e, "import", raw, Facts)) from None


def complete(facts: Facts, found: dict[str, Any], needed: tuple[str, ...], where: Any) -> Facts:
    """Returns facts with those added that the files tell.

    Args:
        facts: What was said, which comes first.
        found: What the files tell.
        needed: Facts without which these files cannot be understood.
        where: Named in the message.

    Raises:
        UsageError: Facts are missing; all are named, and how they are given.
    """
    said = facts.model_dump(exclude_unset=True, exclude_none=True)
    raw = {**{k: v for k, v in found.items() if v is not None}, **said}
    try:
        facts = Facts(**raw)
    except pydantic.ValidationError as e:
        raise UsageError(describe(e, where, raw, Facts)) from None
    missing = [name for name in needed if getattr(facts, name) is None]
    if missing:
        how = "; ".join(ASKED[name] for name in missing)
        raise UsageError(f"{where}: does not tell {', '.join(missing)}: {how}")
    return facts


def make_spec(name: str, facts: Facts, joint_info: JointInfo, kind: str) -> DatasetSpec:
    """Returns the facts as what an archive is packed with."""
    more = {"sequence_names": facts.sequence_names} if facts.sequence_names else {}
    return DatasetSpec(
        name,
        joint_info,
        facts.image_dir or name,
        kind=kind,
        world_up=up_vector(facts.world_up),
        single_person=facts.single_person,
        synthetic=facts.synthetic,
        realistic_background=facts.realistic_background,
        body_shape=facts.body_shape or "none",
        n_valid_betas=facts.n_valid_betas,
        far_from_origin=facts.far_from_origin,
        citation=facts.citation,
        licence=facts.licence or UNKNOWN,
        **more,
    )


def skeleton(facts: Facts, n_joints: int, where: Any) -> JointInfo:
    """Returns the skeleton whose joints are said, for so many key points.

    Raises:
        UsageError: Of another number, or no convention of that name.
    """
    if isinstance(facts.joints, str):
        from posepile.imports.names import convention

        info = convention(facts.joints)
    else:
        info = JointInfo(facts.joints or [], facts.edges, strict=False)
    if info.n_joints != n_joints:
        raise UsageError(
            f"{where}: found {n_joints} key points, the joints that are said are "
            f"{info.n_joints}; correct joints"
        )
    return info
