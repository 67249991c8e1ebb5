"""The box of a person in a frame: annotated, around the projected joints, or detected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import boxlib
import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from posepile.errors import UsageError
from posepile.geometry.pictures import box_of_points, project
from posepile.models.boxes import iou_matrix
from posepile.stages.associate import associate
from posepile.stages.counts import Counts

if TYPE_CHECKING:
    from posepile.models.params import DetectParams
    from posepile.stages.select import Selected

MAX_PIXELS = 1e6  # where no box of a picture reaches


class BoxParams(BaseModel):
    """Where a person's box comes from.

    Attributes:
        source: ``annotation``: the raw data's box; ``joints``: bounding box of the projected
            joints, clipped to the image; ``detect``: a detection associated with the joints.
        expand: Factor on width and height about the centre.
        min_side: Drop people whose longer box side is shorter than this many source pixels.
    """

    model_config = ConfigDict(extra="forbid")

    source: Literal["annotation", "joints", "detect"] = "annotation"
    expand: float = Field(1.0, gt=0, le=3)
    min_side: float = Field(0.0, ge=0)


def project_joints(selected: Selected, camera) -> np.ndarray | None:
    """Joints in source pixels ``[J, 2]``, NaN where missing or behind the camera; None without."""
    if selected.track.image_coords is not None:
        with np.errstate(over="ignore"):  # becomes infinite, like what is not in the picture
            return np.asarray(selected.track.image_coords[selected.k], np.float32)
    if selected.track.world_coords is None or camera is None:
        return None
    return project(camera, selected.track.world_coords[selected.k]).astype(np.float32)


def choose_boxes(
    group: list[Selected],
    joints: list[np.ndarray | None],
    detected: np.ndarray | None,
    image_size: tuple[int, int],
    box: BoxParams,
    detect: DetectParams,
    counts: Counts,
) -> list[np.ndarray | None]:
    """The box of every selected person ``[4]`` in source pixels; None = dropped, and counted."""
    if detected is not None:
        boxes = boxes_from_detection(joints, detected, image_size, box, detect, counts, group)
    elif box.source in ("joints", "detect"):
        boxes = [joints_box(j, image_size, box, counts) for j in joints]
    else:
        boxes = [annotated_box(s, counts) for s in group]
        boxes = [None if b is None else boxlib.expand(b, box.expand) for b in boxes]
    return [None if b is None else np.asarray(b, np.float32) for b in boxes]


def annotated_box(selected: Selected, counts: Counts) -> np.ndarray | None:
    """The raw data's box."""
    bbox = None if selected.track.bbox is None else selected.track.bbox[selected.k]
    if bbox is None or not np.all(np.isfinite(bbox)):
        counts.dropped["no box in the annotations"] += 1
        return None
    if not (bbox[2] > 0 and bbox[3] > 0):
        counts.dropped["empty box in the annotations"] += 1
        return None
    if np.abs(bbox[:4]).max() > MAX_PIXELS:
        counts.dropped["box in the annotations larger than any picture"] += 1
        return None
    return bbox


def joints_box(
    joints: np.ndarray | None, image_size: tuple[int, int], params: BoxParams, counts: Counts
) -> np.ndarray | None:
    """Box around the projected joints, expanded, then clipped to the image."""
    if joints is None or np.isfinite(joints).all(axis=-1).sum() < 2:
        counts.dropped["fewer than two joints project into the camera"] += 1
        return None
    box = box_of_points(joints, image_size, params.expand)
    if not np.isfinite(box).all():
        counts.dropped["joints outside the image"] += 1
        return None
    return box


def compare_boxes(selected: Selected, detected: np.ndarray, counts: Counts) -> None:
    """Counts how far a detection is from the raw data's box, where there is one."""
    bbox = None if selected.track.bbox is None else np.asarray(selected.track.bbox[selected.k])
    if bbox is not None and np.all(np.isfinite(bbox)) and bbox[2] > 0 and bbox[3] > 0:
        overlap = float(iou_matrix(bbox[None, :4], detected[None, :4])[0, 0])
        counts.check("1 - IoU of detected and annotated box", 1 - overlap)


def boxes_from_detection(
    joints: list[np.ndarray | None],
    detected: np.ndarray,
    image_size: tuple[int, int],
    box: BoxParams,
    detect: DetectParams,
    counts: Counts,
    group: list[Selected],
) -> list[np.ndarray | None]:
    """One detection per person; unmatched people are dropped or keep another box."""
    known = [j for j in joints if j is not None]
    if len(known) < len(joints):
        raise UsageError(
            "box.source = detect tells people apart by their joints, which are not known here; "
            "set box.source to annotation"
        )
    if not known:
        return []
    result = associate(detected, np.stack(known), detect)
    boxes = []
    for selected, points, choice, reason in zip(
        group, joints, result.index, result.reasons, strict=True
    ):
        if choice >= 0:
            counts.notes["box from detection"] += 1
            compare_boxes(selected, detected[choice, :4], counts)
            boxes.append(boxlib.expand(detected[choice, :4], box.expand))
        elif detect.unmatched == "joints":
            counts.notes[f"box from joints ({reason})"] += 1
            boxes.append(joints_box(points, image_size, box, counts))
        elif detect.unmatched == "annotation":
            counts.notes[f"box from annotation ({reason})"] += 1
            annotated = annotated_box(selected, counts)
            boxes.append(None if annotated is None else boxlib.expand(annotated, box.expand))
        else:
            counts.dropped[reason] += 1
            boxes.append(None)
    return boxes
