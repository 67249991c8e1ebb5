"""Cropping: every selected person-frame becomes a JPEG and a record; a unit becomes one part."""

from __future__ import annotations

import contextlib
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from posepile.errors import CorruptInput
from posepile.imaging import cropping, fingerprints, jpeg
from posepile.imaging.frames import Frame, open_frames
from posepile.recipe import Sequence, Stills
from posepile.stages import plausible
from posepile.stages.boxes import FOUND_BY, choose_boxes, project_joints
from posepile.stages.calibration import check_camera, check_lens
from posepile.stages.counts import Counts
from posepile.stages.detect import drop_absent, read_frames, with_detections
from posepile.stages.detections import Detections
from posepile.stages.examples import (
    by_frame,
    describe,
    plausible_examples,
    set_aside,
    source_name,
)
from posepile.stages.limbs import Bones
from posepile.stages.neighbours import Neighbour, to_arrays
from posepile.stages.people import neighbours, people_in_frame
from posepile.stages.select import Selected
from posepile.stages.silhouettes import check_masks
from posepile.stages.task import needs_detector
from posepile.stages.views import box_fits, check_views
from posepile.store.codec import Record
from posepile.store.parts import PartWriter

if TYPE_CHECKING:
    from posepile.stages.task import StageParams, Task

VERSION = 4


def identity(params: StageParams, kind: str) -> dict[str, Any]:
    """Returns what of the parameters (and this code) crops depend on, besides the detections.

    Args:
        params: Of all stages.
        kind: Of the dataset.
    """
    known = {
        "version": VERSION,
        "box": params.box.model_dump(mode="json"),
        "crop": params.crop.model_dump(mode="json"),
    }
    return known | {"fingerprints": fingerprints.VERSION} if kind == "2d" else known


def run(task: Task) -> None:
    """Crops all selected examples of a unit into one part.

    Boxes that are to be detected and have not been are detected in passing.
    """
    params, counts = task.params, task.counts
    detections = task.detections
    if needs_detector(params) and detections is None:
        detections = Detections(task.detector().label)
    doubts = Doubts(Bones.of(task.spec.joint_info).limbs)
    others: list[list[Neighbour]] = []
    with PartWriter(task.out) as writer:
        for i, sequence in enumerate(task.sequences()):
            selected = plausible_examples(task, sequence)
            groups = dict(by_frame(selected))
            if not groups:
                continue
            if not callable(sequence.camera):
                check_camera(sequence.camera, source_name(sequence))
            opened = open_frames(sequence.frames, threads=task.threads)
            with opened as reader, contextlib.ExitStack() as stack:
                groups = drop_absent(reader, groups, sequence, counts)
                counts.frames_read += len(groups)
                if detections is not None:
                    store = detections.boxes.setdefault(i, {})
                    pairs = with_detections(task, sequence, reader, groups, store)
                    stack.enter_context(contextlib.closing(pairs))
                else:
                    frames = read_frames(reader, groups, sequence, counts)
                    pairs = ((item, None) for item in frames)
                for (index, frame), boxes in pairs:
                    # What is counted on the way to a fault shall not stay.
                    part = replace(task, counts=Counts())
                    seen = Doubts(doubts.limbs)
                    group = groups[index]
                    try:
                        found = crop_frame(part, sequence, index, frame, group, boxes, seen)
                    except CorruptInput as e:
                        if not isinstance(sequence.frames, Stills):
                            raise
                        set_aside(counts, e, index, group)
                    else:
                        for record, data, around in found:
                            writer.add(record, data)
                            others.append(around)
                        part.counts.examples = len(found)
                        part.counts.notes.update(f"picture with {flaw}" for flaw in frame.flaws)
                        counts.add(part.counts)
                        doubts.add(seen)
                    task.progress()
        if doubts.first is not None:
            where, example = doubts.first
            n, dropped = doubts.n_judged, doubts.dropped
            plausible.refuse_if_many(where, n, dropped, example, params.check)
        doubts.judge(params)
        if detections is not None and counts.notes["box from detection"]:
            counts.notes[f"{FOUND_BY}{detections.label}"] = counts.notes.pop("box from detection")
        writer.close(task.result(), to_arrays(others))


@dataclass
class Doubts:
    """What the views of a unit show to be implausible.

    Attributes:
        limbs: Indices of the joints of arms and legs.
        first: The first finding: file, and where in it and what.
        n_judged: How many people had anything that could be compared.
        dropped: How many of them are not plausible, by reason.
        in_box: Of each other person, the share of joints in their box.
        whole: Joints and box of each of those whose arms and legs are in the picture.
        on_mask: Of each of those with a mask, the share of joints on it.
        where: A file of the unit.
    """

    limbs: np.ndarray
    n_judged: int = 0
    dropped: Counter = field(default_factory=Counter)
    in_box: list[float] = field(default_factory=list)
    whole: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)
    on_mask: list[float] = field(default_factory=list)
    where: str = ""
    first: tuple[str, str] | None = None

    def add(self, other: Doubts) -> None:
        """Adds what another frame shows."""
        self.n_judged += other.n_judged
        self.dropped.update(other.dropped)
        self.in_box += other.in_box
        self.whole += other.whole
        self.on_mask += other.on_mask
        self.where = self.where or other.where
        self.first = self.first or other.first

    def judge(self, params: StageParams) -> None:
        """Sets the unit aside where boxes, masks and joints do not fit each other."""
        fits: np.ndarray | list = []
        if self.whole:
            points, boxes = map(np.stack, zip(*self.whole, strict=True))
            fits = box_fits(points, boxes, params.box.expand)
        for values, what, key in (
            (self.in_box, "their joints in their box", "usual_joints_in_box"),
            (fits, "their box in common with that of their joints", "usual_box_fit"),
            (self.on_mask, "their joints on their mask", "usual_joints_on_mask"),
        ):
            plausible.refuse_unfit(self.where, values, getattr(params.check, key), what, key)


def crop_frame(
    task: Task,
    sequence: Sequence,
    index: int,
    frame: Frame,
    group: list[Selected],
    detected: np.ndarray | None,
    doubts: Doubts,
) -> list[tuple[Record, bytes, list[Neighbour]]]:
    """Crops the selected people of one frame; the frame is decoded once for all of them.

    Returns:
        Of each the example, its image and who else is seen in it.
    """
    params, counts = task.params, task.counts
    camera = sequence.camera(index) if callable(sequence.camera) else sequence.camera
    if camera is None and task.spec.kind != "2d":
        counts.dropped["no camera pose for this frame"] += len(group)
        return []
    if callable(sequence.camera):
        check_camera(camera, f"{source_name(sequence, index)}, frame {index}")
    check_lens(camera, frame.size, source_name(sequence, index), params.check)
    joints = [project_joints(s, camera) for s in group]
    boxes = choose_boxes(group, joints, detected, frame.size, params.box, params.detect, counts)
    masks = read_masks(sequence, frame, group, boxes)
    boxes = plausible_boxes(task, sequence, index, frame, group, joints, boxes, masks, doubts)

    planned = []
    for selected, box, mask in zip(group, boxes, masks, strict=True):
        if box is None:
            continue
        if max(box[2:]) < params.box.min_side:
            counts.dropped[f"box smaller than {params.box.min_side:g} px"] += 1
            continue
        try:
            plan = cropping.plan_crop(camera, box, frame.size, params.crop)
        except cropping.CannotCrop as e:
            counts.dropped[str(e)] += 1
            continue
        planned.append((selected, plan, mask))

    images = cropping.render_many(frame, camera, [plan for _, plan, _ in planned])
    people: list = []
    if any(mask is None for *_, mask in planned):
        people = people_in_frame(sequence, index, camera, group, boxes, detected)
    results = []
    for (selected, plan, mask), image in zip(planned, images, strict=True):
        data = jpeg.encode(image, params.crop.jpeg_quality)
        record = make_record(task, sequence, selected, camera, frame, plan, mask)
        around: list[Neighbour] = []
        if mask is None:
            n_joints = task.spec.joint_info.n_joints
            around = neighbours(people, selected.track, camera, plan, n_joints)
        results.append((record, data, around))
    # Of photographs only: of videos, every frame would be a picture of its own, like the next.
    if results and task.spec.kind == "2d" and isinstance(sequence.frames, Stills):
        fingerprint = fingerprints.of_frame(frame)
        for record, *_ in results:
            record.fingerprint = fingerprint
    return results


def read_masks(
    sequence: Sequence, frame: Frame, group: list[Selected], boxes: list[np.ndarray | None]
) -> list[dict | None]:
    """Returns the masks of the people of a frame, None where there is none, or no box."""
    masks = []
    for selected, box in zip(group, boxes, strict=True):
        track = selected.track
        mask = track.mask(selected.k) if track.mask is not None and box is not None else None
        if mask is not None and tuple(mask["size"]) != frame.size[::-1]:
            (w, h), (mask_h, mask_w) = frame.size, mask["size"]
            raise CorruptInput(
                source_name(sequence, selected.frame),
                f"is {w}x{h} pixels, but its mask is {mask_w}x{mask_h}",
                frame=selected.frame,
                hint="image and mask are of different releases or damaged: fetch both again",
            )
        masks.append(mask)
    return masks


def plausible_boxes(
    task: Task,
    sequence: Sequence,
    index: int,
    frame: Frame,
    group: list[Selected],
    joints: list[np.ndarray | None],
    boxes: list[np.ndarray | None],
    masks: list[dict | None],
    doubts: Doubts,
) -> list[np.ndarray | None]:
    """Returns the boxes of a frame, None also of who is not plausible; counts these."""
    params = task.params.check
    if not params.enabled:
        return boxes
    people = [
        (points if has_joints(s) else None, box)
        for s, points, box in zip(group, joints, boxes, strict=True)
    ]
    faults, fitting = check_views(people, frame.size, doubts.limbs, params)
    masked = [
        (points, box, None if i in faults else mask)
        for i, ((points, box), mask) in enumerate(zip(people, masks, strict=True))
    ]
    more, shares = check_masks(masked, params)
    faults |= more
    doubts.n_judged += sum(
        box is not None and (points is not None or mask is not None)
        for (points, box), mask in zip(people, masks, strict=True)
    )
    doubts.in_box += [share for share, _ in fitting.values()]
    doubts.whole += [people[i] for i, (_, whole) in fitting.items() if whole]
    doubts.on_mask += shares
    doubts.where = doubts.where or source_name(sequence, index)
    for i, (reason, text) in sorted(faults.items()):
        task.counts.dropped[reason] += 1
        doubts.dropped[reason] += 1
        if reason.startswith(plausible.IMPLAUSIBLE):
            found = source_name(sequence, index), describe(group[i], text)
            doubts.first = doubts.first or found
    return [None if i in faults else box for i, box in enumerate(boxes)]


def has_joints(selected: Selected) -> bool:
    """Returns whether any joint of an example is known."""
    track, k = selected.track, selected.k
    coords = track.image_coords if track.image_coords is not None else track.world_coords
    return coords is not None and bool(np.isfinite(coords[k]).any())


def make_record(
    task: Task,
    sequence: Sequence,
    selected: Selected,
    camera: Any,
    frame: Frame,
    plan: cropping.CropPlan,
    mask: dict | None,
) -> Record:
    """The annotations of one crop."""
    track, k = selected.track, selected.k
    note = track.note if isinstance(track.note, str) else track.note[k]
    if note:
        task.counts.notes[note] += 1
    if mask is not None:
        mask = cropping.warp_mask(mask, camera, plan)
        task.counts.notes["mask from the raw data"] += 1
    coords2d = None
    if track.image_coords is not None:
        coords2d = cropping.transform_points(track.image_coords[k], camera, plan)
    activity = track.activity[k] if isinstance(track.activity, list) else track.activity
    name = sequence.image_name(selected.frame, track.person)
    return Record(
        image_path=f"{task.spec.image_dir}/{name}",
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
        track=track.person,
    )


def crop_densepose(densepose: tuple | None, camera, plan: cropping.CropPlan) -> tuple | None:
    """DensePose correspondences with their image points moved into the crop."""
    if densepose is None:
        return None
    points, faces, barycoords = densepose
    return cropping.transform_points(points, camera, plan), faces, barycoords
