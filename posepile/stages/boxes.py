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
    from posepile.recipe import Track
    from posepile.stages.select import Selected

MAX_PIXELS = 1e6  # where no box of a picture reaches
SOUGHT, FOUND_BY = "looked for among the detections", "box by "
NOT_LOOKED_FOR = "box from annotation (no joint is labelled)"


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
        boxes = [expanded_annotation(s, box, counts) for s in group]
    return [None if b is None else with_extent(np.asarray(b, np.float32), counts) for b in boxes]


def with_extent(box: np.ndarray, counts: Counts) -> np.ndarray | None:
    """The box, if it has any width and height in the numbers that are stored."""
    if (box[2:] > 0).all():
        return box
    counts.dropped["box without width or height"] += 1
    return None


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


def usable_box(track: Track, k: int) -> np.ndarray:
    """The raw data's box ``[4]``, NaN where there is none or an empty one."""
    bbox = np.full(4, np.nan) if track.bbox is None else np.asarray(track.bbox[k], float)[:4]
    usable = np.isfinite(bbox).all() and (bbox[2:] > 0).all() and np.abs(bbox).max() <= MAX_PIXELS
    return bbox if usable else np.full(4, np.nan)


def sought_and_found(counts: Counts) -> tuple[int, int]:
    """Returns how many people were looked for among detections, and how many of them found."""
    found = sum(n for note, n in counts.notes.items() if note.startswith(FOUND_BY))
    return counts.notes[SOUGHT], found


def compare_boxes(selected: Selected, detected: np.ndarray, counts: Counts) -> None:
    """Counts how far a detection is from the raw data's box, where there is one."""
    bbox = usable_box(selected.track, selected.k)
    if np.isfinite(bbox).all():
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
    if any(j is None for j in joints):
        raise UsageError(
            "box.source = detect tells people apart by their joints, which are not known here; "
            "set box.source to annotation"
        )
    labelled = [i for i, selected in enumerate(group) if is_labelled(selected)]
    boxes: list[np.ndarray | None] = [None] * len(group)
    for i in set(range(len(group))) - set(labelled):
        counts.notes[NOT_LOOKED_FOR] += 1
        boxes[i] = expanded_annotation(group[i], box, counts)
    if not labelled:
        return boxes
    annotated = None
    if detect.compare == "annotation":
        annotated = np.stack([usable_box(group[i].track, group[i].k) for i in labelled])
    points = np.stack([joints[i] for i in labelled])
    result = associate(detected, points, detect, annotated)
    counts.notes[SOUGHT] += len(labelled)
    for i, choice, reason in zip(labelled, result.index, result.reasons, strict=True):
        selected = group[i]
        if choice >= 0:
            counts.notes["box from detection"] += 1
            compare_boxes(selected, detected[choice, :4], counts)
            boxes[i] = boxlib.expand(detected[choice, :4], box.expand)
        elif detect.unmatched == "drop" or hidden_share(selected) > detect.max_hidden:
            counts.dropped[reason] += 1
        elif detect.unmatched == "joints":
            counts.notes[f"box from joints ({reason})"] += 1
            boxes[i] = joints_box(joints[i], image_size, box, counts)
        else:
            counts.notes[f"box from annotation ({reason})"] += 1
            boxes[i] = expanded_annotation(selected, box, counts)
    return boxes


def is_labelled(selected: Selected) -> bool:
    """Returns whether any joint of the person is annotated in this frame."""
    coords = selected.track.image_coords
    coords = selected.track.world_coords if coords is None else coords
    return bool(np.isfinite(coords[selected.k]).all(axis=-1).any())


def hidden_share(selected: Selected) -> float:
    """Returns which share of the person is hidden, 0 where that is not known."""
    hidden = selected.track.hidden
    return 0.0 if hidden is None else float(np.nan_to_num(hidden[selected.k]))


def expanded_annotation(
    selected: Selected, params: BoxParams, counts: Counts
) -> np.ndarray | None:
    """The raw data's box, expanded."""
    bbox = annotated_box(selected, counts)
    return None if bbox is None else boxlib.expand(bbox, params.expand)
