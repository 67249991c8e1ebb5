"""Questions about what is seen in the pictures: joints, boxes, masks, frames, people."""

from __future__ import annotations

import numpy as np
import rlemasklib

from posepile.checking import pixels
from posepile.checking.findings import Answer, Finding, not_asked
from posepile.checking.sample import Sample, Shown
from posepile.miniature import kit, marks

SIGNED_PX = 0.75  # signed mean offset of one joint over the dataset
EXAMPLE_PX = 1.5  # signed mean offset of all joints of one example, and median distance
MIN_FOUND = 0.3  # share of the drawn joints inside the pictures whose disc is found
MIN_IOU = 0.8  # of one mask
MEAN_IOU = 0.93
# A joint may lie this far outside the box: pixels, and a share of the person's larger side.
OUTSIDE_PX, OUTSIDE_SHARE = 3.0, 0.04
# A box may be so much larger than the drawn person, besides twice the above.
LARGER = {"person": 1.15, "joints": 1.15, "loose": 1.5}
MIN_COVERED = 0.75  # share of the visible body that lies in the box


def joints_are_on_the_discs(sample: Sample) -> Answer:
    """Whether every joint is recorded where its disc is, by signed means per joint and example."""
    name, truth = sample.name, sample.truth
    if not truth.colors:
        return not_asked("no joints are drawn")
    if len(truth.colors) != len(sample.joint_names):
        n = len(sample.joint_names)
        text = f"the miniature draws {len(truth.colors)} joints, the dataset has {n}"
        return Answer([Finding(name, text)])
    drawn = np.array([c is not None for c in truth.colors])
    offsets, expected, unlabelled, findings = [], 0, 0, []
    for shown in sample.shown:
        offset = shown.discs - shown.points
        offsets.append(offset)
        looked_for = int((shown.inside & drawn).sum())
        expected += looked_for
        seen = np.isfinite(offset).all(axis=1)
        if not shown.labelled:
            unlabelled += 1
        elif not looked_for:
            findings.append(Finding(name, "no drawn joint lies in the picture", shown.path))
        elif not seen.any():
            text = f"no disc of {looked_for} joints inside the picture was found at its place"
            findings.append(Finding(name, text, shown.path))
        else:
            findings += _of_example(sample, shown, offset[seen], np.flatnonzero(seen))
    offsets = np.array(offsets).reshape(-1, len(drawn), 2)
    seen = np.isfinite(offsets).all(axis=-1)
    n = int(seen.sum())
    findings[:0] = _never_found(sample, seen, np.array([s.inside & drawn for s in sample.shown]))
    if n < MIN_FOUND * expected or n == 0:
        text = f"{n} of {expected} discs were found; expected {MIN_FOUND:.0%} or more"
        findings.insert(0, Finding(name, text))
    note = f"{n} of {expected} discs"
    if unlabelled:
        note = f"{unlabelled} examples without drawn joints, {note}"
    if n:
        mean = np.linalg.norm(offsets[seen], axis=-1).mean()
        limit = truth.joint_error_px
        if mean > limit:
            text = f"mean distance to the discs is {mean:.2f} px; expected at most {limit:g}"
            findings.insert(0, Finding(name, text))
        worst = 0.0
        for j in np.flatnonzero(seen.sum(axis=0) >= 3):
            signed = offsets[seen[:, j], j].mean(axis=0)
            worst = max(worst, float(np.abs(signed).max()))
            if np.abs(signed).max() > SIGNED_PX + limit - 1:
                text = f"discs lie there on average over {seen[:, j].sum()} examples"
                joint = sample.joint_names[j]
                findings.insert(0, Finding(name, text, joint=joint, offset=tuple(signed)))
        note += f", mean distance {mean:.2f} px, largest signed mean {worst:.2f} px"
    return Answer(findings, note)


def _never_found(sample: Sample, seen: np.ndarray, inside: np.ndarray) -> list[Finding]:
    """Findings about joints whose disc is nowhere near their place in any of the examples."""
    if not len(inside):
        return []
    n = inside.sum(axis=0)
    return [
        Finding(sample.name, f"its disc is in none of {n[j]} places", joint=sample.joint_names[j])
        for j in np.flatnonzero((n >= 3) & (seen.sum(axis=0) == 0))
    ]


def _of_example(sample: Sample, shown: Shown, offset: np.ndarray, joints: np.ndarray) -> list:
    """Findings about one example: offsets ``[n, 2]`` of the joints whose disc was found."""
    limit = EXAMPLE_PX + sample.truth.joint_error_px - 1
    distance = np.linalg.norm(offset, axis=1)
    findings = []
    far = distance > pixels.NEAR
    if far.sum() >= 2 or far.sum() > 0.25 * len(far):
        for j, off in zip(joints[far], offset[far], strict=True):
            joint = sample.joint_names[j]
            findings.append(
                Finding(sample.name, "its disc is there", shown.path, joint, tuple(off))
            )
    elif len(offset) >= 3 and max(np.abs(np.median(offset, axis=0)).max(), 0) > limit:
        worst = int(distance.argmax())
        findings.append(
            Finding(
                sample.name,
                f"and {len(offset) - 1} more; half of the discs lie {np.median(distance):.1f} px "
                "or more from their joints",
                shown.path,
                sample.joint_names[joints[worst]],
                tuple(offset[worst]),
            )
        )
    return findings


def boxes_fit_the_person(sample: Sample) -> Answer:
    """Whether each box holds its person's visible joints and body, and not much more."""
    findings, n, unknown = [], 0, 0
    growth = LARGER[sample.truth.box] * sample.manifest["config"]["box"]["expand"]
    for shown in sample.shown:
        box = np.asarray(shown.example.bbox)
        if shown.example.bbox.dtype != np.float32 or not np.isfinite(box).all():
            findings.append(Finding(sample.name, f"box {box} ({box.dtype})", shown.path))
            continue
        if shown.bounds is None and not shown.labelled:
            unknown += 1
            continue
        if shown.bounds is None:
            findings.append(Finding(sample.name, "no person is seen in the picture", shown.path))
            continue
        n += 1
        findings += _of_box(sample, shown, box, growth)
    note = f"{n} boxes, at most {growth:.2f} times the person"
    if unknown:
        note += f"; {unknown} not asked: the person is neither labelled nor told by a tint"
    return Answer(findings, note)


def _of_box(sample: Sample, shown: Shown, box: np.ndarray, growth: float) -> list[Finding]:
    low, high = shown.bounds[:2], shown.bounds[2:]
    size = float((high - low).max())
    allowed = OUTSIDE_PX + OUTSIDE_SHARE * size
    findings = []
    # Discs prove that a joint is visible; undrawn joints may be hidden.
    visible = shown.inside & np.isfinite(shown.discs).all(axis=1)
    if not sample.truth.colors:
        visible = shown.inside
    end = box[:2] + box[2:]
    for j in np.flatnonzero(visible):
        p = shown.points[j]
        off = np.maximum(p - end, 0) - np.maximum(box[:2] - p, 0)
        if np.abs(off).max() > allowed:
            text = f"lies outside its box; expected within {allowed:.1f} px"
            joint = sample.joint_names[j]
            findings.append(Finding(sample.name, text, shown.path, joint, tuple(off)))
    recorded = shown.points[np.isfinite(shown.points).all(axis=1)]
    within = (recorded >= box[:2] - allowed) & (recorded <= end + allowed)
    if shown.labelled and not within.all(axis=1).any():
        findings.append(Finding(sample.name, "no joint lies in the box", shown.path))
    if sample.truth.box != "joints" and shown.figure is not None and shown.figure.any():
        rows, columns = np.nonzero(shown.figure)
        points = np.stack([columns, rows], axis=1)
        held = ((points >= box[:2] - allowed) & (points <= end + allowed)).all(axis=1).mean()
        if held < MIN_COVERED:
            text = f"box holds {held:.0%} of the person; expected {MIN_COVERED:.0%} or more"
            findings.append(Finding(sample.name, text, shown.path))
    # What of the box lies in the picture; joints tell how far a hidden body goes.
    known = shown.points[shown.inside]
    low = np.minimum(low, known.min(axis=0)) if len(known) else low
    high = np.maximum(high, known.max(axis=0)) if len(known) else high
    within = np.clip(end, -0.5, shown.size - 0.5) - np.clip(box[:2], -0.5, shown.size - 0.5)
    # Without a tint only the middles of the joints are known, so the body around them is guessed.
    limit = growth * (high - low) + 2 * allowed + (0.25 * size if shown.figure is None else 0)
    if (within > limit).any():
        found, most = ("{:.0f}x{:.0f}".format(*v) for v in (within, limit))
        text = f"box is {found} px in the picture; expected at most {most} px for its person"
        findings.append(Finding(sample.name, text, shown.path))
    return findings


def masks_are_the_drawn_person(sample: Sample) -> Answer:
    """Whether each mask is the visible part of that very person, by IoU per example."""
    truth = sample.truth
    if not truth.raw_masks:
        return not_asked("the raw data has no masks")
    ious, findings = [], []
    for shown in sample.shown:
        if shown.key and not truth.sequences[shown.key.sequence].masks:
            continue
        if shown.example.mask is None:
            findings.append(Finding(sample.name, "has no mask", shown.path))
            continue
        mask = rlemasklib.decode(shown.example.mask).astype(bool)
        seen = shown.figure if shown.figure is not None else kit.find_silhouette(shown.image)
        if mask.shape != seen.shape:
            text = f"mask of {mask.shape} for a picture of {seen.shape} (rows, columns)"
            findings.append(Finding(sample.name, text, shown.path))
            continue
        iou = (mask & seen).sum() / max(1, (mask | seen).sum())
        ious.append(iou)
        if iou < MIN_IOU:
            text = f"IoU of mask and drawn person is {iou:.2f}; expected {MIN_IOU} or more"
            findings.append(Finding(sample.name, text, shown.path))
    if ious and np.mean(ious) < MEAN_IOU:
        text = f"mean IoU of the masks is {np.mean(ious):.3f}; expected {MEAN_IOU} or more"
        findings.insert(0, Finding(sample.name, text))
    note = f"{len(ious)} masks"
    if ious:
        note += f", IoU mean {np.mean(ious):.3f}, least {min(ious):.2f}"
    return Answer(findings, note)


def frames_are_those_recorded(sample: Sample) -> Answer:
    """Whether the number drawn in each picture is that of the frame that its path names."""
    truth = sample.truth
    if not truth.frames_drawn:
        return not_asked("no frame numbers are drawn")
    findings, read, asked = [], 0, 0
    for shown in sample.shown:
        if shown.key is None:
            continue
        asked += 1
        points = np.where(np.isfinite(shown.discs), shown.discs, shown.points)
        reading = marks.read_frame_number(
            shown.image[shown.window], shown.in_window(points), truth.limbs, shown.key.person
        )
        if reading is None or not reading.sure:
            continue
        read += 1
        off = (reading.number - shown.key.number + 64) % 128 - 64
        if off:
            text = (
                f"picture shows number {reading.number}; expected {shown.key.number}, that of "
                f"frame {shown.key.frame} ({off:+d})"
            )
            findings.append(Finding(sample.name, text, shown.path))
    if read < 0.5 * asked or not asked:
        text = f"{read} of {asked} frame numbers could be read; expected half of them or more"
        findings.insert(0, Finding(sample.name, text))
    return Answer(findings, f"{read} of {asked} numbers read")


def persons_are_those_recorded(sample: Sample) -> Answer:
    """Whether each example shows the person whose index its path names."""
    truth = sample.truth
    if not truth.persons_drawn:
        return not_asked("people are not told apart in the drawing")
    findings, read = [], 0
    for shown in sample.shown:
        if shown.key is None:
            continue
        points = shown.in_window(shown.points)
        person = marks.read_person(shown.image[shown.window], points, truth.limbs)
        if person is None:
            continue
        read += 1
        if person != shown.key.person % marks.N_PERSONS:
            text = f"shows person {person}; expected {shown.key.person}"
            findings.append(Finding(sample.name, text, shown.path))
    if read < 0.5 * len(sample.shown):
        text = f"{read} of {len(sample.shown)} bodies could be told; expected half or more"
        findings.insert(0, Finding(sample.name, text))
    return Answer(findings, f"{read} of {len(sample.shown)} bodies read")
