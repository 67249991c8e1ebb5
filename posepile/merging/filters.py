"""Which examples of a dataset are good enough to be trained on, decided by columns."""

from __future__ import annotations

import fnmatch
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from posepile.errors import UsageError, WorkError
from posepile.joint_info import JointInfo
from posepile.merging.exclusion_lines import is_glob, pattern_and_reason
from posepile.store import bulk
from posepile.store.bones import compute_mean_bones
from posepile.store.joint_chunks import JointChunk, in_picture, joint_chunks


class Filters(BaseModel):
    """Conditions that examples must meet; by default there are none.

    A joint is in the box, or in the picture, where it is annotated; of an example of which no
    joint is annotated in the picture, where its camera projects it. Bones are compared with their
    means over the training examples. An example without joints in the world has no bones to be
    odd.

    >>> Filters(min_joints=7, only={"subject": ("S1", "S[5-8]")}, needs=("camera",)).min_joints
    7

    Attributes:
        only: Texts, by column (``subject``, ``sequence``, ``activity_name``, …): names or globs,
            one of which must match.
        without: The same; none of them may match.
        exclusions: Files of image paths or globs of them, one a line; ``#`` begins a comment.
        needs: What an example must have: ``camera``, ``mask``, ``parameters``, ``world_coords``, …
        min_joints: Joints with coordinates, in the world or in the picture.
        min_joints_in_box: Joints in the box of the person.
        min_share_in_box: Share of the joints with a place in the picture that are in the box.
        box_margin: By how much the box is enlarged for that on each side, as a share of its width
            or height.
        min_joints_in_picture: Joints in the stored picture, whose size must be known.
        min_box_side: Pixels of the box's shorter side.
        bone_range: A bone is odd if its length divided by its mean is outside of it.
        bone_mm: A bone is odd if it differs from its mean by more than this. With both, only a
            bone is odd that is so by both.
        odd_bones_allowed: Odd bones that an example may have.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    only: dict[str, tuple[str, ...]] = {}
    without: dict[str, tuple[str, ...]] = {}
    exclusions: tuple[Path, ...] = ()
    needs: tuple[str, ...] = ()
    min_joints: int = Field(0, ge=0)
    min_joints_in_box: int = Field(0, ge=0)
    min_share_in_box: float = Field(0.0, ge=0, le=1)
    box_margin: float = Field(0.0, ge=-0.5)
    min_joints_in_picture: int = Field(0, ge=0)
    min_box_side: float = Field(0.0, ge=0)
    bone_range: tuple[float, float] | None = None
    bone_mm: float | None = Field(None, gt=0)
    odd_bones_allowed: int = Field(0, ge=0)

    @field_validator("only", "without", mode="before")
    @classmethod
    def _texts(cls, value: Any) -> Any:
        """Takes one name for a list of one."""
        if not isinstance(value, dict):
            return value
        value = {k: [v] if isinstance(v, str) else v for k, v in value.items()}
        unknown = next((name for name in value if name not in bulk.TEXTS), None)
        if unknown is not None:
            raise ValueError(f"{unknown!r}: expected one of {', '.join(bulk.TEXTS)}")
        return value

    @field_validator("exclusions", "needs", mode="before")
    @classmethod
    def _several(cls, value: Any) -> Any:
        """Takes one for a list of one."""
        return [value] if isinstance(value, str | Path) else value

    @field_validator("needs")
    @classmethod
    def _fields(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        """Refuses what is no field that examples can be without."""
        known = [name.removeprefix("has_") for name in bulk.PRESENCES]
        unknown = next((name for name in value if name not in known), None)
        if unknown is not None:
            raise ValueError(f"{unknown!r}: expected one of {', '.join(known)}")
        return value

    @model_validator(mode="after")
    def _rising(self) -> Filters:
        """Refuses a range in which nothing lies."""
        if self.bone_range is not None and not 0 <= self.bone_range[0] < self.bone_range[1]:
            found = list(self.bone_range)
            raise ValueError(f"bone_range: found {found}, expected the smaller number first")
        return self

    @property
    def is_empty(self) -> bool:
        """Whether every example meets the conditions."""
        return self == Filters(
            box_margin=self.box_margin, odd_bones_allowed=self.odd_bones_allowed
        )


def keep(
    examples: Any, joint_info: JointInfo, filters: Filters, bones: np.ndarray | None = None
) -> tuple[np.ndarray, Counter[str]]:
    """Returns which examples meet all conditions, and why the others do not.

    No example is built; memory grows by some bytes per example.

    >>> from posepile.datasets3d import TRAIN, get_dataset
    >>> ds = get_dataset("aspset")
    >>> filters = Filters(only={"view": ("left",)})
    >>> kept, reasons = keep(ds.examples[TRAIN], ds.joint_info, filters, ds.train_bones)
    >>> int(kept.sum()), dict(reasons)
    (12, {'view not wanted': 12})

    Args:
        examples: An ``ExampleList``, of one dataset or merged.
        joint_info: Its skeleton.
        filters: The conditions.
        bones: Mean length of each bone, ``[n_edges]`` millimetres, NaN = unknown; None = those of
            the examples themselves.

    Returns:
        bool ``[n]``, and how many examples were left out for each reason. An example is counted
        once, under the first condition that it does not meet.

    Raises:
        UsageError: A file of exclusions cannot be read.
    """
    kept, reasons = np.ones(len(examples), bool), Counter()

    def leave_out(wrong, reason):
        n = np.count_nonzero(kept & wrong)
        if n:
            reasons[reason] += int(n)
            np.logical_and(kept, ~wrong, out=kept)

    for name, patterns in filters.only.items():
        leave_out(~_matching(examples, name, patterns), f"{name} not wanted")
    for name, patterns in filters.without.items():
        leave_out(_matching(examples, name, patterns), f"{name} excluded")
    if filters.exclusions:
        listed = [line for path in filters.exclusions for line in exclusion_lines(path)]
        leave_out(_matching(examples, "image_path", listed), "image_path in a list of exclusions")
    for name in filters.needs:
        leave_out(~examples.column(f"has_{name}"), f"no {name}")
    if filters.min_box_side:
        sides = examples.column("bbox")[:, 2:].min(axis=1)
        small = ~(sides >= filters.min_box_side)
        leave_out(small, f"box smaller than {filters.min_box_side:g} pixels")
    for reason, wrong in _by_joints(examples, kept.copy(), joint_info, filters, bones):
        leave_out(wrong, reason)
    return kept, reasons


def exclusion_lines(path: Path | str) -> list[str]:
    """Returns the image paths and globs of a file of exclusions, without comments.

    Raises:
        UsageError: It cannot be read.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")  # some editors put a mark first
    except (OSError, UnicodeDecodeError) as e:
        why = getattr(e, "strerror", None) or "not UTF-8 text"
        raise UsageError(
            f"exclusions: {path}: {why}; expected a text file of image paths"
        ) from None
    lines = (pattern_and_reason(line)[0] for line in text.splitlines())
    return [line for line in lines if line]


def without_match(examples: Any, path: Path | str) -> list[str]:
    """Returns the lines of a file of exclusions that no example matches, in their order.

    Args:
        examples: An ``ExampleList``.
        path: The file.

    Raises:
        UsageError: It cannot be read.
    """
    numbers, texts = examples.codes("image_path")
    there = [texts[code] for code in np.unique(numbers)] if len(texts) else []
    names = frozenset(there)
    return [
        line
        for line in dict.fromkeys(exclusion_lines(path))
        if line not in names
        and not (is_glob(line) and any(map(re.compile(fnmatch.translate(line)).match, there)))
    ]


def _matching(examples, name, patterns):
    """Returns which examples have a text that is or matches one of some patterns."""
    numbers, texts = examples.codes(name)
    names = frozenset(patterns)
    globs = [fnmatch.translate(p) for p in patterns if is_glob(p)]
    matches = re.compile("|".join(globs)).match if globs else lambda text: None
    found = np.array([text in names or matches(text) is not None for text in texts], bool)
    return found[numbers] if len(texts) else np.zeros(len(examples), bool)


def _by_joints(examples, candidates, joint_info, filters, bones):
    """Yields (reason, which examples do not meet the condition) of conditions on joints."""
    checks = _JointChecks(filters, joint_info)
    if not checks.reasons:
        return
    few = examples if candidates.all() else examples[candidates]
    if checks.about_bones:
        bones = compute_mean_bones(few, joint_info) if bones is None else np.asarray(bones)
        n = len(joint_info.stick_figure_edges)
        if bones is not None and bones.shape != (n,):
            raise WorkError(f"bone lengths: found {bones.shape}, expected ({n},), one per bone")
    boxes = few.column("bbox") if checks.about_boxes else None
    sizes = few.column("imshape") if filters.min_joints_in_picture else None
    failed = np.zeros((len(checks.reasons), len(few)), bool)
    for chunk in joint_chunks(few, pixels=checks.about_pixels):
        here = chunk.positions
        failed[:, here] = checks(
            chunk,
            bones,
            None if boxes is None else boxes[here],
            None if sizes is None else sizes[here],
        )
    for reason, wrong in zip(checks.reasons, failed, strict=True):
        result = np.zeros(len(candidates), bool)
        result[np.flatnonzero(candidates)] = wrong
        yield reason, result


class _JointChecks:
    """The conditions on joints, in the order of their reasons."""

    def __init__(self, filters: Filters, joint_info: JointInfo):
        self.filters = filters
        self.edges = np.asarray(joint_info.stick_figure_edges, np.int64).reshape(-1, 2)
        self.n_joints = joint_info.n_joints
        f = filters
        self.about_bones = f.bone_range is not None or f.bone_mm is not None
        self.about_boxes = f.min_joints_in_box > 0 or f.min_share_in_box > 0
        self.about_pixels = self.about_boxes or f.min_joints > 0 or f.min_joints_in_picture > 0
        self.reasons = []
        if f.min_joints:
            self.reasons.append(f"fewer than {f.min_joints} joints")
        if f.min_joints_in_box:
            self.reasons.append(f"fewer than {f.min_joints_in_box} joints in the box")
        if f.min_share_in_box:
            self.reasons.append(f"less than {f.min_share_in_box:g} of the joints in the box")
        if f.min_joints_in_picture:
            self.reasons.append("picture of unknown size")
            self.reasons.append(f"fewer than {f.min_joints_in_picture} joints in the picture")
        if self.about_bones:
            self.reasons.append("bones of odd lengths")

    def __call__(self, chunk: JointChunk, bones, boxes, sizes) -> np.ndarray:
        f, failed = self.filters, []
        own = chunk.joint_ids >= 0
        if f.min_joints:
            failed.append(chunk.present().sum(axis=1) < f.min_joints)
        if self.about_boxes:
            corner, size = boxes[:, None, :2].astype(np.float64), boxes[:, None, 2:]
            far = (1 + f.box_margin) * size + corner
            inside = (chunk.pixels >= corner - f.box_margin * size) & (chunk.pixels <= far)
            n_inside = (inside.all(axis=2) & own).sum(axis=1)
            if f.min_joints_in_box:
                failed.append(n_inside < f.min_joints_in_box)
            if f.min_share_in_box:
                n_placed = (np.isfinite(chunk.pixels).all(axis=2) & own).sum(axis=1)
                failed.append(n_inside < f.min_share_in_box * np.maximum(n_placed, 1))
        if f.min_joints_in_picture:
            seen = in_picture(chunk.pixels, sizes[:, None]) & own
            failed.append(~(sizes > 0).all(axis=1))
            failed.append(seen.sum(axis=1) < f.min_joints_in_picture)
        if self.about_bones:
            failed.append(self._odd_bones(chunk, bones) > f.odd_bones_allowed)
        return np.array(failed)

    def _odd_bones(self, chunk, bones):
        """Returns how many bones of each example are odd."""
        if bones is None:
            return np.zeros(len(chunk.positions), int)
        place = np.full(self.n_joints, -1)
        there = np.flatnonzero(chunk.joint_ids >= 0)
        place[chunk.joint_ids[there]] = there
        ends = place[self.edges]
        known = (ends >= 0).all(axis=1)
        ends, bones = ends[known], bones[known].astype(np.float64)
        vectors = chunk.world[:, ends[:, 0]] - chunk.world[:, ends[:, 1]]
        lengths = np.sqrt(np.einsum("nek,nek->ne", vectors, vectors))
        odd = np.isfinite(lengths) & np.isfinite(bones)
        if self.filters.bone_range is not None:
            low, high = self.filters.bone_range
            odd &= (lengths < low * bones) | (lengths > high * bones)
        if self.filters.bone_mm is not None:
            odd &= np.abs(lengths - bones) > self.filters.bone_mm
        return odd.sum(axis=1)
