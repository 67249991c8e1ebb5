"""Whether a person in a frame can be right: bones, distances, the box and the picture.

Every selected person-frame of every dataset passes here before a pixel of it is warped, whatever
the recipe has checked by itself. Nothing is asked of the pose, so people may lie, sit or stand on
their hands. What is not plausible is dropped and counted with the reason; of a unit in which it is
too large a share, nothing is believed.

Limb lengths are compared with shares of the stature by R. Drillis and R. Contini (Body Segment
Parameters, 1966; in D. Winter, Biomechanics and Motor Control of Human Movement, 4th ed., fig.
4.1): upper arm 0.186, forearm 0.146, thigh 0.245, shank 0.246. They are halved and raised by half
for what a dataset calls a joint, for children's proportions and for noise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Sequence as List
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator

from posepile.errors import CorruptInput
from posepile.geometry.pictures import inside
from posepile.geometry.rotations import check_rotation

if TYPE_CHECKING:
    import deltacamera

    from posepile.joint_info import JointInfo

# What :func:`check_poses` and :func:`check_view` find; counts have it as the reason.
IMPLAUSIBLE = "implausible: "
TWICE = IMPLAUSIBLE + "somebody else in the frame has the same joints"
INFINITE = IMPLAUSIBLE + "a coordinate is infinite"
FAR = IMPLAUSIBLE + "more than a kilometre from the origin"
ONE_PLACE = IMPLAUSIBLE + "all joints in one place"
BONE_LENGTH = IMPLAUSIBLE + "a bone of no human length"
BONE_CHANGE = IMPLAUSIBLE + "a bone far from its usual length"
NOT_IN_PICTURE = IMPLAUSIBLE + "no joint in the picture"
OUTSIDE_BOX = IMPLAUSIBLE + "joints outside of the box"
BOX_TOO_SMALL = IMPLAUSIBLE + "box too small for the joints"
BOX_TOO_LARGE = IMPLAUSIBLE + "box too large for the joints"

# Of the stature
LIMB_SHARES = {
    ("sho", "elb"): 0.186,
    ("elb", "wri"): 0.146,
    ("hip", "kne"): 0.245,
    ("kne", "ank"): 0.246,
}
LIMB_TOLERANCE = (0.5, 1.5)
LONGEST_BONE = 0.45  # of the largest stature: pelvis to neck is 0.33 of it
MAX_DISTANCE_MM = 1e6
MIN_EXTENT_MM = 20  # of five joints; the smallest child's hand has twice as much
# In units of the longer side: how far around the box joints count as inside, and how much longer
# or shorter the box of the limbs may be. Half of a person may be hidden, or most of them.
BOX_MARGIN, USUAL_BOX_MARGIN, BOX_SIZES = 0.25, 0.05, (1 / 12, 6)
# Of the longer side of what joints reach, on each side; joints of limbs from which a fit is told.
FLESH, MIN_LIMB_JOINTS, N_LIMB_JOINTS = 0.05, 10, 12
FEW = 2  # so many implausible frames say nothing about a unit, unless there are no others


Metres = Annotated[float, Field(gt=0, lt=4)]


class CheckParams(BaseModel):
    """Keys below ``check:`` in a dataset's configuration.

    Attributes:
        enabled: False = people are not checked, nobody is dropped for it.
        max_share: Share of a unit's selected person-frames that may be implausible; if more are,
            the unit is set aside as corrupt; one or two are not counted as many unless there are
            no others. 1 = any.
        statures: Metres: smallest and largest stature of the people in the dataset, from which
            follows how long limbs can be.
        bone_change: A bone is implausible if it differs from its median length in the track by
            more than this share of it …
        bone_change_mm: … and by more than this.
        joints_in_box: Share of a person's joints in the picture that must be in the box or near
            it.
        usual_joints_in_box: The same for half of a unit's people, much nearer: when views or
            recordings are mixed up, joints are not far from boxes of the same studio.
        usual_box_fit: Intersection over union of the box and that of the joints with flesh around
            them, which half of a unit's people must have.
        mask_in_box: What the frame of a person's mask and the box must have in common, as a share
            of the smaller one.
        usual_joints_on_mask: Share of the joints in the picture that must be on the mask or near
            it, in half of a unit's people: some are behind others.
        max_backwards: Share of a sequence's poses in which knees, toes and nose may point
            backwards.
        max_asymmetry: How many times as long as on the other side a limb may be, in the median of
            a sequence.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = True
    max_share: float = Field(0.2, ge=0, le=1)
    statures: tuple[Metres, Metres] = (0.7, 2.3)
    bone_change: float = Field(0.5, ge=0)
    bone_change_mm: float = Field(150.0, ge=0)
    joints_in_box: float = Field(0.2, ge=0, le=1)
    usual_joints_in_box: float = Field(0.7, ge=0, le=1)
    usual_box_fit: float = Field(0.4, ge=0, le=1)
    mask_in_box: float = Field(0.2, ge=0, le=1)
    usual_joints_on_mask: float = Field(0.4, ge=0, le=1)
    max_backwards: float = Field(0.8, ge=0, le=1)
    max_asymmetry: float = Field(1.4, ge=1)

    @field_validator("statures")
    @classmethod
    def _ascending(cls, statures: tuple[float, float]) -> tuple[float, float]:
        if statures[0] > statures[1]:
            raise ValueError(f"smallest {statures[0]:g} is above largest {statures[1]:g}")
        return statures


def check_poses(
    coords: np.ndarray,
    joint_info: JointInfo,
    params: CheckParams,
    *,
    one_person: bool = True,
    far_from_origin: bool = False,
) -> dict[int, tuple[str, str]]:
    """Returns which poses of a track cannot be right.

    Args:
        coords: ``[n, J, 3]`` millimetres in the world, NaN = missing.
        joint_info: The skeleton.
        params: Limits.
        one_person: All poses are of one person, so that bones keep their lengths.
        far_from_origin: Coordinates may be that.

    Returns:
        Position along the first axis -> the reason, and what was found there.
    """
    coords = np.array(coords, np.float64)
    if not coords.size:
        return {}
    faults: dict[int, tuple[str, str]] = {}
    infinite = np.isinf(coords).any(axis=(1, 2))
    _add(faults, infinite, INFINITE, lambda k: "a coordinate is infinite")
    coords[infinite] = np.nan
    missing = np.isnan(coords)
    high = np.where(missing, -np.inf, coords).max(axis=1)
    low = np.where(missing, np.inf, coords).min(axis=1)
    if not far_from_origin:
        largest = np.maximum(high, -low).max(axis=1)
        far = largest > MAX_DISTANCE_MM
        _add(faults, far, FAR, lambda k: f"a coordinate is {largest[k]:.3g} mm")
    extent = (high - low).max(axis=1)
    collapsed = (extent < MIN_EXTENT_MM) & ((~missing[..., 0]).sum(axis=1) >= 5)
    text = "all joints lie within {:.2g} mm"
    _add(faults, collapsed, ONE_PLACE, lambda k: text.format(extent[k]))
    _check_bones(faults, coords, Bones.of(joint_info), params, one_person)
    return dict(sorted(faults.items()))


def check_views(
    people: List[tuple[np.ndarray | None, np.ndarray | None]],
    size: tuple[int, int],
    limbs: np.ndarray,
    params: CheckParams,
) -> tuple[dict[int, tuple[str, str]], dict[int, tuple[float, bool]]]:
    """Returns which people of a frame cannot be where their box says, and how well the others fit.

    Args:
        people: Joints ``[J, 2]`` in pixels, NaN = missing, and box x, y, width, height of each;
            who lacks one of them is not looked at.
        size: Width and height of the picture.
        limbs: Indices of the joints of arms and legs.
        params: Limits.

    Returns:
        Position in ``people`` -> the reason, and what was found there; and of each other one the
        share of the joints in the picture that are in the box, or hardly outside, and whether
        arms and legs are nearly all in the picture.
    """
    known = [i for i, (points, box) in enumerate(people) if points is not None and box is not None]
    if not known:
        return {}, {}
    points = np.array([people[i][0] for i in known], np.float64)
    boxes = np.array([people[i][1] for i in known], np.float64)
    longer = boxes[:, 2:].max(axis=1)
    low, high = boxes[:, None, :2], boxes[:, None, :2] + boxes[:, None, 2:]
    outside = np.maximum(low - points, points - high).max(axis=-1) / longer[:, None]
    pictured = inside(points, size)
    n_pictured = pictured.sum(axis=1)
    n_boxed = (pictured & (outside <= BOX_MARGIN)).sum(axis=1)
    faults: dict[int, tuple[str, str]] = {}
    _add(faults, n_pictured == 0, NOT_IN_PICTURE, lambda k: "no joint is in the picture")
    few = (n_pictured > FEW) & (n_boxed < params.joints_in_box * n_pictured)
    text = "{} of {} joints in the picture are in or near the box {}"
    _add(
        faults, few, OUTSIDE_BOX,
        lambda k: text.format(n_boxed[k], n_pictured[k], boxes[k].round().tolist()),
    )  # fmt: skip
    of_limbs = points[:, limbs]
    unknown = ~np.isfinite(of_limbs)
    enough = (~unknown[..., 0]).sum(axis=1) >= 4
    # A foot near the plane of the camera lands tens of thousands of pixels away.
    w, h = size
    of_limbs = np.clip(of_limbs, (-w, -h), (2 * w, 2 * h))
    span = (
        np.where(unknown, -np.inf, of_limbs).max(axis=1, initial=-np.inf)
        - np.where(unknown, np.inf, of_limbs).min(axis=1, initial=np.inf)
    ).max(axis=1)
    ratio = longer / np.where(enough & (span > 0), span, longer)
    text = "the box {} is {:.2g} times as long as arms and legs reach"
    for wrong, reason in (
        (ratio < BOX_SIZES[0], BOX_TOO_SMALL),
        (ratio > BOX_SIZES[1], BOX_TOO_LARGE),
    ):
        _add(faults, wrong, reason, lambda k: text.format(boxes[k].round().tolist(), ratio[k]))
    shares = (pictured & (outside <= USUAL_BOX_MARGIN)).sum(axis=1) / np.maximum(n_pictured, 1)
    # Some skeletons have every joint of a limb twice.
    n_limb_joints = max(1, len(limbs) / N_LIMB_JOINTS) * MIN_LIMB_JOINTS
    whole = pictured[:, limbs].sum(axis=1) >= n_limb_joints
    fitting = {
        known[k]: (float(shares[k]), bool(whole[k])) for k in range(len(known)) if k not in faults
    }
    return {known[k]: fault for k, fault in faults.items()}, fitting


def box_fits(points: np.ndarray, boxes: np.ndarray, expand: float = 1.0) -> np.ndarray:
    """Returns IoU ``[n]`` of boxes with the boxes of joints that have some flesh around them.

    Args:
        points: ``[n, J, 2]`` pixels, NaN = missing.
        boxes: ``[n, 4]`` x, y, width, height.
        expand: Factor by which boxes have been enlarged; it is undone.
    """
    points, boxes = np.asarray(points, np.float64), np.asarray(boxes, np.float64)
    known = np.isfinite(points)
    low = np.where(known, points, np.inf).min(axis=1)
    high = np.where(known, points, -np.inf).max(axis=1)
    flesh = FLESH * (high - low).max(axis=1, keepdims=True)
    low, high = low - flesh, high + flesh
    half = boxes[:, 2:] / 2 / expand
    center = boxes[:, :2] + boxes[:, 2:] / 2
    common = np.minimum(high, center + half) - np.maximum(low, center - half)
    common = np.prod(np.maximum(common, 0), axis=1)
    return common / (np.prod(high - low, axis=1) + np.prod(2 * half, axis=1) - common)


def check_camera(camera: deltacamera.Camera | None, where: str) -> None:
    """Compares a camera with what all cameras have.

    Raises:
        CorruptInput: It mirrors, its rotation is none, or it has no place or focal length.
    """
    if camera is None:
        return
    check_rotation(camera.R, f"{where}: camera")
    lens = np.asarray(camera.intrinsic_matrix, np.float64)
    if not np.isfinite(camera.t).all():
        raise CorruptInput(where, f"camera: found it at {camera.t.tolist()}; expected numbers")
    if not (np.isfinite(lens).all() and lens[0, 0] > 0 and lens[1, 1] > 0):
        raise CorruptInput(where, f"camera: found intrinsics {lens.round(3).tolist()}; expected "
                           "finite numbers and focal lengths above 0")  # fmt: skip


def refuse_if_many(
    where: str, n: int, dropped: Mapping[str, int], example: str, params: CheckParams
) -> None:
    """Sets a unit aside of which too much is implausible.

    Args:
        where: The unit's file, for the message.
        n: How many person-frames were looked at.
        dropped: How many were dropped, by reason.
        example: Which one of them, and what was found there.
        params: Limits.

    Raises:
        CorruptInput: More than ``max_share`` of them are implausible.
    """
    reasons = {r: count for r, count in dropped.items() if r.startswith(IMPLAUSIBLE) and count}
    bad = sum(reasons.values())
    if bad <= params.max_share * n or (bad <= FEW and bad < n):
        return
    most = max(reasons, key=reasons.get).removeprefix(IMPLAUSIBLE)
    raise CorruptInput(
        where,
        f"{bad} of {n} selected person-frames are implausible (mostly: {most}), e.g. {example}; "
        f"expected at most {params.max_share:.0%} of them",
        hint="units, axes, joint order, boxes or camera are not what the recipe takes them for, "
        "or the files are of different recordings; if they are right, widen the limit (lengths: "
        "check.statures), or raise check.max_share",
    )


def refuse_unfit(where: str, values: List[float], limit: float, what: str, key: str) -> None:
    """Sets a unit aside of which things are near each other, but do not fit.

    Args:
        where: The unit's file, for the message.
        values: How well they fit, 0..1, of each person.
        limit: What half of the people must reach.
        what: What the values are.
        key: The limit's name, below ``check:``.

    Raises:
        CorruptInput: Half of the people have less.
    """
    usual = float(np.median(values)) if len(values) > FEW else 1.0
    if usual < limit:
        raise CorruptInput(
            where,
            f"half of {len(values)} people have at most {usual:.0%} of {what}; "
            f"expected at least {limit:.0%}",
            hint="boxes, masks, poses and camera are of different views or recordings, or boxes "
            f"are of another form; if they are right, lower check.{key}",
        )


@dataclass(frozen=True)
class Bones:
    """The bones of a skeleton: its edges, and arms and legs if they are none.

    Attributes:
        pairs: int ``[n, 2]`` joints.
        names: Of each, ``rhip-rkne``.
        shares: ``[n]`` of the stature, NaN where nobody has measured.
        limbs: Indices of the joints of arms and legs.
    """

    pairs: np.ndarray
    names: tuple[str, ...]
    shares: np.ndarray
    limbs: np.ndarray

    @classmethod
    def of(cls, joint_info: JointInfo) -> Bones:
        """Returns those of a skeleton; joints are known by their names up to an underscore."""
        names = joint_info.names
        plain = [name.partition("_") for name in names]
        index = {parts: j for j, parts in enumerate(plain)}
        shares = {tuple(sorted(pair)): np.nan for pair in joint_info.stick_figure_edges}
        for j, (name, *suffix) in enumerate(plain):
            for (first, second), share in LIMB_SHARES.items():
                other = index.get((name[:1] + second, *suffix))
                if name[:1] in ("l", "r") and name[1:] == first and other is not None:
                    shares[tuple(sorted((j, other)))] = share
        limb_joints = {joint for limb in LIMB_SHARES for joint in limb}
        return cls(
            np.array(list(shares), int).reshape(-1, 2),
            tuple(f"{names[a]}-{names[b]}" for a, b in shares),
            np.array(list(shares.values()), float),
            np.array([j for j, (n, *_) in enumerate(plain) if n[1:] in limb_joints], int),
        )


def _check_bones(
    faults: dict, coords: np.ndarray, bones: Bones, params: CheckParams, one_person: bool
) -> None:
    """Adds poses ``[n, J, 3]`` with a bone too short, too long, or not like in other poses."""
    if not len(bones.pairs):
        return
    vectors = coords[:, bones.pairs[:, 0]] - coords[:, bones.pairs[:, 1]]
    lengths = np.sqrt(np.einsum("nbk,nbk->nb", vectors, vectors))
    smallest, largest = (m * 1000 for m in params.statures)
    low = np.nan_to_num(LIMB_TOLERANCE[0] * smallest * bones.shares)
    high = np.where(np.isnan(bones.shares), LONGEST_BONE, LIMB_TOLERANCE[1] * bones.shares)
    high *= largest
    unfit = (lengths < low) | (lengths > high)

    def describe(k: int, b: int) -> str:
        return f"{bones.names[b]} is {lengths[k, b]:.3g} mm long"

    def unfit_text(k: int) -> str:
        b = int(np.argmax(unfit[k]))
        return f"{describe(k, b)}, expected {low[b]:.0f} to {high[b]:.0f}"

    _add(faults, unfit.any(axis=1), BONE_LENGTH, unfit_text)
    if not one_person or len(coords) <= FEW:
        return
    # Missing ones are sorted to the end.
    present = np.isfinite(lengths).sum(axis=0)
    ordered, bone = np.sort(lengths, axis=0), np.arange(len(present))
    usual = (ordered[np.maximum(present - 1, 0) // 2, bone] + ordered[present // 2, bone]) / 2
    allowed = np.maximum(params.bone_change * usual, params.bone_change_mm)
    changed = (np.abs(lengths - usual) > allowed) & (present > FEW)

    def changed_text(k: int) -> str:
        b = int(np.argmax(changed[k]))
        return f"{describe(k, b)}, {usual[b]:.3g} in the median of the track"

    _add(faults, changed.any(axis=1), BONE_CHANGE, changed_text)


def _add(faults: dict, wrong: np.ndarray, reason: str, text: Callable[[int], str]) -> None:
    """Notes the first fault of each."""
    for k in map(int, np.flatnonzero(wrong)):
        if k not in faults:
            faults[k] = reason, text(k)
