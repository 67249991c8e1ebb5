"""Cropping: every selected person-frame becomes a JPEG and a record; a unit becomes one part."""

from __future__ import annotations

import warnings
from pathlib import Path

import boxlib
import numpy as np

from posepile.config import Config
from posepile.errors import CorruptInput, UsageError
from posepile.imaging import cropping, jpeg
from posepile.imaging.frames import Frame, open_frames
from posepile.models.boxes import iou_matrix
from posepile.recipe import DatasetSpec, Sequence, Stills
from posepile.stages.associate import associate
from posepile.stages.counts import Counts
from posepile.stages.detect import (
    Detections,
    needs_detector,
    read_frames,
    with_detections,
)
from posepile.stages.examples import Selected, by_frame, selected_examples, source_name
from posepile.stages.exclusions import Exclusion
from posepile.store.codec import Record
from posepile.store.parts import PartWriter

VERSION = 2


def crop_unit(
    spec: DatasetSpec,
    sequences: list[Sequence],
    config: Config,
    exclusions: list[Exclusion],
    part: Path,
    counts: Counts,
    detections: Detections | None = None,
    detector=None,
    threads: int = 1,
) -> Detections | None:
    """Crops all selected examples of a unit into one part.

    Args:
        spec: The dataset.
        sequences: The unit's sequences.
        config: All parameters.
        exclusions: What to leave out.
        part: The ``.part`` file to write.
        counts: Counts are added here.
        detections: Boxes made earlier, if any.
        detector: Makes the boxes that are missing; needed if boxes come from detection.
        threads: Decoder threads.

    Returns:
        The detections used, None where boxes do not come from a detector.
    """
    uses_detector = needs_detector(config)
    if uses_detector and detections is None:
        detections = Detections(detector.label)
    with PartWriter(part) as writer:
        for i, sequence in enumerate(sequences):
            selected = selected_examples(sequence, config.select, exclusions, counts)
            groups = dict(by_frame(selected))
            if not groups:
                continue
            counts.frames_read += len(groups)
            with open_frames(sequence.frames, threads=threads) as reader:
                frames = read_frames(reader, list(groups), sequence, counts)
                if uses_detector:
                    store = detections.boxes.setdefault(i, {})
                    pairs = with_detections(frames, config, detector, store)
                else:
                    pairs = ((item, None) for item in frames)
                for (index, frame), boxes in pairs:
                    try:
                        for record, data in crop_frame(
                            spec, sequence, index, frame, groups[index], boxes, config, counts
                        ):
                            writer.add(record, data)
                            counts.examples += 1
                    except CorruptInput as e:
                        if not isinstance(sequence.frames, Stills):
                            raise
                        counts.quarantine(e, index)
    if uses_detector and counts.notes["box from detection"]:
        counts.notes[f"box by {detections.label}"] = counts.notes.pop("box from detection")
    return detections


def crop_frame(
    spec: DatasetSpec,
    sequence: Sequence,
    index: int,
    frame: Frame,
    group: list[Selected],
    detected: np.ndarray | None,
    config: Config,
    counts: Counts,
) -> list[tuple[Record, bytes]]:
    """Crops the selected people of one frame; the frame is decoded once for all of them."""
    camera = sequence.camera(index) if callable(sequence.camera) else sequence.camera
    if camera is None and spec.kind != "2d":
        counts.dropped["no camera pose for this frame"] += len(group)
        return []
    joints = [project_joints(w, camera) for w in group]
    boxes = choose_boxes(group, joints, detected, frame.size, config, counts)

    planned = []
    for selected, box in zip(group, boxes, strict=True):
        if box is None:
            continue
        if max(box[2:]) < config.box.min_side:
            counts.dropped[f"box smaller than {config.box.min_side:g} px"] += 1
            continue
        try:
            plan = cropping.plan_crop(camera, box, frame.size, config.crop)
        except cropping.CannotCrop as e:
            counts.dropped[str(e)] += 1
            continue
        planned.append((selected, plan))

    images = cropping.render_many(frame, camera, [plan for _, plan in planned])
    results = []
    for (selected, plan), image in zip(planned, images, strict=True):
        data = jpeg.encode(image, config.crop.jpeg_quality)
        results.append((make_record(spec, sequence, selected, camera, frame, plan, counts), data))
    return results


def make_record(
    spec: DatasetSpec,
    sequence: Sequence,
    selected: Selected,
    camera,
    frame: Frame,
    plan: cropping.CropPlan,
    counts: Counts,
) -> Record:
    """The annotations of one crop."""
    track, k = selected.track, selected.k
    mask = track.mask(k) if track.mask is not None else None
    if mask is not None:
        (w, h), (mask_h, mask_w) = frame.size, mask["size"]
        if (w, h) != (mask_w, mask_h):
            raise CorruptInput(
                source_name(sequence, selected.frame),
                f"is {w}x{h} pixels, but its mask is {mask_w}x{mask_h}",
                frame=selected.frame,
                hint="image and mask are of different releases or damaged: fetch both again",
            )
        mask = cropping.warp_mask(mask, camera, plan)
        counts.notes["mask from the raw data"] += 1
    coords2d = None
    if track.image_coords is not None:
        coords2d = cropping.transform_points(track.image_coords[k], camera, plan)
    activity = track.activity[k] if isinstance(track.activity, list) else track.activity
    name = sequence.image_name(selected.frame, track.person)
    return Record(
        image_path=f"{spec.image_dir}/{name}",
        split=sequence.split,
        bbox=plan.bbox,
        imshape=(plan.size[1], plan.size[0]),
        frame=selected.frame,
        person=0,
        sequence=sequence.id,
        world_coords=None if track.world_coords is None else track.world_coords[k],
        coords2d=coords2d,
        camera=plan.camera if camera is not None else None,
        mask=mask,
        valid_poly=cropping.valid_polygon(camera, frame.size, plan),
        parameters=track.parameters(k) if track.parameters is not None else None,
        densepose=crop_densepose(track.densepose(k), camera, plan) if track.densepose else None,
        activity=activity,
        scene=sequence.scene,
    )


def crop_densepose(densepose: tuple | None, camera, plan: cropping.CropPlan) -> tuple | None:
    """DensePose correspondences with their image points moved into the crop."""
    if densepose is None:
        return None
    points, faces, barycoords = densepose
    return cropping.transform_points(points, camera, plan), faces, barycoords


def project_joints(selected: Selected, camera) -> np.ndarray | None:
    """Joints in source pixels ``[J, 2]``, NaN where missing or behind the camera; None without."""
    if selected.track.image_coords is not None:
        return np.asarray(selected.track.image_coords[selected.k], np.float32)
    if selected.track.world_coords is None or camera is None:
        return None
    with warnings.catch_warnings():  # NaN rows are missing joints
        warnings.simplefilter("ignore", RuntimeWarning)
        return camera.world_to_image(selected.track.world_coords[selected.k])


def choose_boxes(
    group: list[Selected],
    joints: list[np.ndarray | None],
    detected: np.ndarray | None,
    image_size: tuple[int, int],
    config: Config,
    counts: Counts,
) -> list[np.ndarray | None]:
    """The box of every selected person ``[4]`` in source pixels; None = dropped, and counted."""
    if detected is not None:
        boxes = boxes_from_detection(joints, detected, image_size, config, counts, group)
    elif config.box.source in ("joints", "detect"):
        boxes = [joints_box(j, image_size, config, counts) for j in joints]
    else:
        boxes = [annotated_box(w, counts) for w in group]
        boxes = [None if b is None else boxlib.expand(b, config.box.expand) for b in boxes]
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
    return bbox


def joints_box(
    joints: np.ndarray | None, image_size: tuple[int, int], config: Config, counts: Counts
) -> np.ndarray | None:
    """Box around the projected joints, expanded, then clipped to the image."""
    valid = None if joints is None else joints[np.isfinite(joints).all(axis=-1)]
    if valid is None or len(valid) < 2:
        counts.dropped["fewer than two joints project into the camera"] += 1
        return None
    box = boxlib.expand(boxlib.bb_of_points(valid), config.box.expand)
    box = boxlib.intersection(box, np.array([-0.5, -0.5, *image_size], np.float32))
    if not (box[2] > 0 and box[3] > 0):
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
    config: Config,
    counts: Counts,
    group: list[Selected],
) -> list[np.ndarray | None]:
    """One detection per person; unmatched people are dropped or keep another box, by config."""
    known = [j for j in joints if j is not None]
    if len(known) < len(joints):
        raise UsageError(
            "box.source = detect tells people apart by their joints, which are not known here; "
            "set box.source to annotation"
        )
    if not known:
        return []
    result = associate(detected, np.stack(known), config.detect)
    boxes = []
    for selected, points, choice, reason in zip(
        group, joints, result.index, result.reasons, strict=True
    ):
        if choice >= 0:
            counts.notes["box from detection"] += 1
            compare_boxes(selected, detected[choice, :4], counts)
            boxes.append(boxlib.expand(detected[choice, :4], config.box.expand))
        elif config.detect.unmatched == "joints":
            counts.notes[f"box from joints ({reason})"] += 1
            boxes.append(joints_box(points, image_size, config, counts))
        elif config.detect.unmatched == "annotation":
            counts.notes[f"box from annotation ({reason})"] += 1
            box = annotated_box(selected, counts)
            boxes.append(None if box is None else boxlib.expand(box, config.box.expand))
        else:
            counts.dropped[reason] += 1
            boxes.append(None)
    return boxes
