"""What plausible means: limits, reasons, and when too much is not.

Every selected person-frame of every dataset is looked at before a pixel of it is warped, whatever
the recipe has checked by itself. What is not plausible is dropped and counted with the reason; of
a unit in which it is too large a share, nothing is believed. The rules are in

- :mod:`posepile.stages.poses`: one person's joints in the world, pose by pose and over a track;
- :mod:`posepile.stages.motion`: how a person gets from frame to frame;
- :mod:`posepile.stages.sides`: left and right, of all poses of a sequence;
- :mod:`posepile.stages.calibration`: cameras;
- :mod:`posepile.stages.views`, :mod:`posepile.stages.silhouettes`: boxes and masks in pictures.

The first three are asked by :mod:`posepile.stages.examples`, the others when a frame is cropped. A
new rule is a reason that begins with :data:`IMPLAUSIBLE`, limits below :class:`CheckParams` that
clean data keep by far, and a call of :func:`add_faults` where the others of its kind are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Sequence as List
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator

from posepile.errors import CorruptInput

# What cannot be right is counted under a reason that begins with it.
IMPLAUSIBLE = "implausible: "

# So many say nothing: implausible person-frames of a unit that has others; people whose boxes or
# masks fit badly; poses of which a median would be taken; joints in a picture.
FEW_FAULTS, FEW_PEOPLE, FEW_POSES, FEW_JOINTS = 2, 2, 2, 2

Faults = dict[int, tuple[str, str]]  # position -> reason, and what was found there

Metres = Annotated[float, Field(gt=0, lt=4)]
Degrees = Annotated[float, Field(gt=0, lt=180)]

# Limits that judge nothing where there are no joints in the world, or no camera.
OF_WORLD_JOINTS = (
    *("statures", "bone_change", "bone_change_mm", "max_backwards", "max_asymmetry"),
    *("max_speed", "max_held"),
)
OF_CAMERAS = ("max_off_center", "fields_of_view", "min_lens_share")


class CheckParams(BaseModel):
    """Keys below ``check:`` in a dataset's configuration.

    Attributes:
        enabled: False = people are not checked, nobody is dropped for it.
        max_share: Share of a unit's person-frames that may be implausible, of those that can be
            judged; if more are, the unit is set aside as corrupt; one or two are not counted as
            many unless there are no others. 1 = any.
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
        max_speed: Metres per second that all joints of a person may move from frame to frame of a
            video and back again; nobody runs 13, and few things people ride are faster. Who does
            not come back is only counted.
        max_held: Seconds for which all joints may stay the same to the last bit in a video that is
            not synthetic; noise of measurements changes them, also of who lies still.
        max_off_center: How far the principal point may be from the middle, as a share of the
            picture's width and height. Lenses are off by some percent, intrinsics of pictures half
            as large by a quarter. Cropped pictures may need more.
        fields_of_view: Degrees across width and height that a lens may see, without distortion.
            Telephoto lenses see 2, and 6 is what some assume for crops; the widest lenses see 130.
        min_lens_share: Share of the picture in which the lens model must be one-to-one. A round
            picture of a fisheye lens is 0.44 of a wide one, and models end at 90 degrees.
        min_detected: Share of a split's people that a detector must find, of at least 100; if it
            finds fewer, or nobody of whomever there is, nothing is packed.
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
    max_speed: float = Field(30.0, gt=0)
    max_held: float = Field(2.0, ge=0)
    max_off_center: float = Field(0.2, ge=0)
    fields_of_view: tuple[Degrees, Degrees] = (1.0, 160.0)
    min_lens_share: float = Field(0.2, gt=0, le=1)
    min_detected: float = Field(0.01, ge=0, le=1)

    @field_validator("statures", "fields_of_view")
    @classmethod
    def _ascending(cls, limits: tuple[float, float]) -> tuple[float, float]:
        if limits[0] > limits[1]:
            raise ValueError(f"smallest {limits[0]:g} is above largest {limits[1]:g}")
        return limits


def refuse_if_many(
    where: str, n: int, dropped: Mapping[str, int], example: str, params: CheckParams
) -> None:
    """Sets a unit aside of which too much is implausible.

    Args:
        where: The unit's file, for the message.
        n: How many person-frames had anything that could be judged.
        dropped: How many were dropped, by reason.
        example: Which one of them, and what was found there.
        params: Limits.

    Raises:
        CorruptInput: More than ``max_share`` of them are implausible.
    """
    reasons = {r: count for r, count in dropped.items() if r.startswith(IMPLAUSIBLE) and count}
    bad = sum(reasons.values())
    if bad <= params.max_share * n or (bad <= FEW_FAULTS and bad < n):
        return
    most = max(reasons, key=reasons.get).removeprefix(IMPLAUSIBLE)
    raise CorruptInput(
        where,
        f"{bad} of {n} person-frames that can be judged are implausible (mostly: {most}), "
        f"e.g. {example}; "
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
    usual = float(np.median(values)) if len(values) > FEW_PEOPLE else 1.0
    if usual < limit:
        raise CorruptInput(
            where,
            f"half of {len(values)} people have at most {usual:.0%} of {what}; "
            f"expected at least {limit:.0%}",
            hint="boxes, masks, poses and camera are of different views or recordings, or boxes "
            f"are of another form; if they are right, lower check.{key}",
        )


def add_faults(faults: Faults, wrong: np.ndarray, reason: str, text: Callable[[int], str]) -> None:
    """Notes the first fault of each.

    Args:
        faults: Gets them.
        wrong: bool ``[n]``.
        reason: Why these are wrong.
        text: Position -> what was found there.
    """
    for k in wrong.nonzero()[0].tolist():
        if k not in faults:
            faults[k] = reason, text(k)
