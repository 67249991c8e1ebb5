"""Body models of examples over their pictures: how far joints are off, how much lies outside."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from posepile.bodies.batches import alike_bodies, family_of
from posepile.bodies.joints import JOINT_NAMES
from posepile.bodies.models import body_forward
from posepile.errors import UsageError
from posepile.posing.given import ExampleBodies
from posepile.skeletons.data import SAME, SIMILAR
from posepile.skeletons.mapping import to_convention
from posepile.store.cameras import example_pixels
from posepile.store.example_list import as_example_list

_CONVENTIONS = {"smpl": "smpl24", "smplh": "smplh52", "smplx": "smplx55"}


@dataclass(frozen=True)
class ReposeLimits:
    """From where on an example is odd.

    Attributes:
        same_mm: Mean distance of joints that are the very points of the model.
        similar_mm: Mean distance of joints at about the same places: of markers, or of people who
            have labelled pictures.
        outside: Share of vertices outside the mask. A mask has only what is seen: what hides the
            person, and what clothes and hair add, makes large shares without any fault.
    """

    same_mm: float = 30.0
    similar_mm: float = 150.0
    outside: float = 0.3


@dataclass(frozen=True, eq=False)
class Reposed:
    """How well the body models of examples agree with what else is known of them.

    Attributes:
        posed: Whether an example's body was posed, bool ``[n]``.
        joint_mm: Mean distance of the model's joints from those of the example, ``[n]``; NaN
            where nothing can be compared.
        joint_max_mm: The largest, ``[n]``.
        worst_joints: Name of the joint of the model that is furthest off; '' where there is none.
        same: Whether these joints are the same points, not only similar, bool ``[n]``.
        outside: Share of the vertices in the picture that lie outside the mask, ``[n]``; NaN
            without mask or camera, 1 where none is in the picture.
        lacking: Model files that are not on disk and where they belong, one line each.
        note: Why no joints are compared, where that is so for all.
    """

    posed: np.ndarray
    joint_mm: np.ndarray
    joint_max_mm: np.ndarray
    worst_joints: list[str]
    same: np.ndarray
    outside: np.ndarray
    lacking: tuple[str, ...]
    note: str

    def excess(self, limits: ReposeLimits | None = None) -> np.ndarray:
        """Returns how many times its limit each example reaches at most, ``[n]``; 0 = unknown."""
        limits = limits or ReposeLimits()
        joint_limits = np.where(self.same, limits.same_mm, limits.similar_mm)
        shares = np.stack([self.joint_mm / joint_limits, self.outside / limits.outside])
        return np.nan_to_num(shares, nan=0.0).max(axis=0)


def repose(
    examples: Any,
    joints: Any = None,
    *,
    every: int = 5,
    margin_px: int = 3,
    size: int = 64,
    skip_missing: bool = True,
    models_root: str | os.PathLike | None = None,
) -> Reposed:
    """Poses the body models of examples and compares them with joints, camera and mask.

    Joints are compared where both are in the same skeleton's terms, see
    :mod:`posepile.skeletons`: those that are the same points, else those that are similar.

    Args:
        examples: An ``ExampleList`` of 3D examples, of one dataset or merged, or any list.
        joints: The dataset whose joints they have, or a ``JointInfo``; None: none is compared.
        every: Only every n-th vertex is projected.
        margin_px: Pixels by which masks are widened, since their borders are not exact.
        size: Examples at a time.
        skip_missing: As of :func:`posepile.posing.posed.posed_chunks`.
        models_root: As there.

    Raises:
        UsageError: smplfitter is not installed.
        WorkError: A model file is not on disk and ``skip_missing`` is False.
        CorruptInput: Parameters of an example are damaged.
    """
    examples = as_example_list(examples)
    n = len(examples)
    result = Reposed(
        np.zeros(n, bool),
        np.full(n, np.nan),
        np.full(n, np.nan),
        [""] * n,
        np.zeros(n, bool),
        np.full(n, np.nan),
        (),
        "",
    )
    bodies = ExampleBodies(examples, None, skip_missing, models_root)
    compare = _Joints(joints)
    lacking: dict[str, None] = {}
    for start in range(0, n, size):
        positions = np.arange(start, min(start + size, n))
        given = bodies.at(positions)
        lacking |= dict.fromkeys(given.lacking)
        for batch in alike_bodies(given.bodies, **given.how()):
            more = {"every": every, "models_root": models_root}
            found = body_forward(batch.kind, batch.gender, batch.params, **more)
            for k, i in enumerate(positions[batch.positions].tolist()):
                example = examples[i]
                result.posed[i] = True
                compare.put(result, i, example, found["joints"][k] * 1000.0, batch.kind)
                result.outside[i] = share_outside(example, found["vertices"][k] * 1000, margin_px)
    return Reposed(**{**result.__dict__, "lacking": tuple(lacking), "note": compare.note})


class _Joints:
    """Compares joints of models with those of examples."""

    def __init__(self, joints: Any):
        self.joints, self.note = joints, "" if joints is not None else "no joints were named"
        self.mappings: dict[str, Any] = {}

    def _mapping(self, family: str) -> Any:
        if family not in self.mappings and self.joints is not None:
            try:
                self.mappings[family] = to_convention(self.joints, _CONVENTIONS[family])
            except UsageError as e:
                self.note = str(e)
        return self.mappings.get(family)

    def put(self, result: Reposed, i: int, example: Any, model: np.ndarray, kind: str) -> None:
        world = getattr(example, "world_coords", None)
        if world is None:
            return
        dense = world.to_array() if hasattr(world, "to_array") else np.asarray(world)
        family = family_of(kind)
        mapping = self._mapping(family)
        if mapping is None or not len(dense):
            return
        indices, kinds = mapping.choose(dense)
        # Two that are the same among twenty that are similar would tell little.
        same = bool((kinds == SAME).sum() >= max(1, (kinds == SIMILAR).sum()))
        there = np.flatnonzero(kinds == SAME if same else kinds > 0)
        if not len(there):
            return
        own = dense[indices[there]].astype(np.float64)
        off = np.linalg.norm(own - model[there], axis=-1)
        result.joint_mm[i], result.joint_max_mm[i] = off.mean(), off.max()
        result.worst_joints[i] = JOINT_NAMES[family][there[int(off.argmax())]]
        result.same[i] = same


def share_outside(example: Any, vertices: np.ndarray, margin_px: int = 3) -> float:
    """Returns which share of vertices in the picture lies outside the person's mask.

    Args:
        example: With camera and mask, else NaN comes out.
        vertices: ``[V, 3]`` millimetres in the world.
        margin_px: Pixels by which the mask is widened.

    Returns:
        From 0 to 1; 1 where no vertex is in the picture.
    """
    import cv2
    import rlemasklib

    if example.mask is None:
        return float("nan")
    decoded = np.ascontiguousarray(rlemasklib.decode(example.mask), dtype=np.uint8)
    pixels = example_pixels(example, vertices) if decoded.any() else None
    if pixels is None:
        return float("nan")
    if margin_px:
        around = np.ones((2 * margin_px + 1, 2 * margin_px + 1), np.uint8)
        decoded = cv2.dilate(decoded, around)
    height, width = decoded.shape
    with np.errstate(invalid="ignore"):
        x, y = np.nan_to_num(np.round(pixels), nan=-1.0, posinf=-1.0, neginf=-1.0).T
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    if not inside.any():
        return 1.0
    return float((decoded[y[inside].astype(int), x[inside].astype(int)] == 0).mean())
