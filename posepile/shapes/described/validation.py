"""Compares the layout with the files: nothing is processed before all of this holds.

Every file pattern and view set is looked at; a sample of the clips is opened for the frame counts
and for what the geometry must fulfil.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import rlemasklib

from posepile.errors import PosePileError, Shortage, WorkError
from posepile.geometry.agreement import in_box, in_silhouette, ray_distance, values_at
from posepile.geometry.bones import middle_of_joints
from posepile.geometry.pictures import inside, project
from posepile.imaging.frames import open_frames
from posepile.imaging.masks import MaskFrames, person_rule
from posepile.shapes.described.clips import ClipData
from posepile.shapes.described.finding import find_clips
from posepile.shapes.described.layout import Clip, Layout, fill

JOINTS_SHARE = 0.8  # of the joints of a frame, inside mask and box
FRAMES_SHARE = 0.8  # of the frames with that
UP_SHARE = 0.7  # of the frames, head above feet
MIN_JOINTS = 4  # in the image, or the frame says nothing
FRAMES_PER_CLIP = 5
HEAD, FEET = "head", ("lank", "rank")
CONVENTIONS = "camera.direction, axes, units"

# Distances that must be small: statistic, limit in mm, what it is, what to look at.
DISTANCES = {
    "rays": (
        np.median,
        300.0,
        "rays through the silhouettes of the views pass the body at {:.0f} mm",
        "the views are swapped, not synchronous or not in one world: check view numbers and "
        "camera keys in the layout",
    ),
    "views": (
        np.max,
        10.0,
        "the joints of the views differ by {:.1f} mm in the world",
        f"check {CONVENTIONS}",
    ),
}


OWN_TESTS = {*DISTANCES, "rise", "depth"}


@dataclass
class Findings:
    """What validation found.

    Attributes:
        lines: Report.
        problems: What must be put right, each with what to do.
        measured: Test -> what it measured in frames and clips.
        parameters: Where body parameters come from, in how many clips.
    """

    lines: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    measured: dict[str, list] = field(default_factory=lambda: defaultdict(list))
    parameters: Counter = field(default_factory=Counter)


def validate(
    root: Path,
    layout: Layout,
    load: Callable[[Clip], ClipData],
    joint_names: Sequence[str],
    n_clips: int = 12,
) -> Findings:
    """Runs all tests.

    Args:
        root: Raw folder.
        layout: The layout.
        load: Reads a clip's annotations.
        joint_names: The dataset's joints; with a head and ankles they tell what is up.
        n_clips: How many clips to open, evenly over all.
    """
    try:
        clips, problems = find_clips(root, layout)
    except WorkError as e:
        return Findings(problems=[str(e)])
    views, sources = sum(len(c.views) for c in clips), len({c.source for c in clips})
    findings = Findings([f"{len(clips)} clips of {sources} sources, {views} views"], problems)
    missing = _count_patterns(root, layout, clips, findings)
    complete = [c for c in clips if c.id not in missing and set(c.views) == set(layout.views)]
    if not complete:
        findings.problems.append(f"{layout.base(root)}: no clip is complete; nothing to test")
        return findings
    sample = complete[:: max(1, len(complete) // n_clips)]
    for clip in sample:
        try:
            data = load(clip)
            if _counts_agree(root, layout, data, findings):
                _measure(root, layout, data, joint_names, findings)
        except Shortage:
            raise
        except PosePileError as e:
            findings.problems.append(str(e))
    _judge(layout, findings, len(sample))
    return findings


def _count_patterns(root: Path, layout: Layout, clips: list[Clip], findings: Findings) -> set[str]:
    """Files per pattern; returns the ids of clips that lack one."""
    incomplete: set[str] = set()
    base = layout.base(root)
    for name in ("rgb", "depth", "mask", "bbox", "camera", "pose", "body"):
        part = getattr(layout, name, None)
        if part is None or part.path is None:
            findings.lines.append(f"{name}: not in the layout")
            continue
        absent, n = [], 0
        for clip in clips:
            paths = {base / fill(part.path, clip, v) for v in clip.views}
            missing = sorted(p for p in paths if not p.exists())
            n += len(paths)
            absent += missing
            if missing:
                incomplete.add(clip.id)
        findings.lines.append(f"{name}: {n - len(absent)} of {n} files")
        if absent:
            findings.problems.append(
                f"{absent[0]}: {name} is missing ({len(absent)} of {n} files of this pattern); "
                f"complete the clips, or correct {name}.path in the layout"
            )
    return incomplete


def _counts_agree(root: Path, layout: Layout, data: ClipData, findings: Findings) -> bool:
    """Returns whether all modalities of a clip have the same number of frames."""
    clip, counts = data.clip, {"joints": len(data.world_coords)}
    for v in clip.views:
        for name in ("rgb", "mask"):
            if getattr(layout, name) is not None:
                with open_frames(layout.pictures(name, root, clip, v)) as frames:
                    counts[f"{name} {v}"] = frames.n_frames
        if layout.depth is not None:
            counts[f"depth {v}"] = len(layout.depth_maps(root, clip, v))
    same = len(set(counts.values())) == 1
    if not same:
        listed = ", ".join(f"{k}: {n}" for k, n in counts.items())
        findings.problems.append(
            f"{clip.id}: frame counts differ ({listed}); set fps, pose.fps or "
            "frame_index_base in the layout right, or move the clip out of the tree"
        )
    return same


def _measure(
    root: Path, layout: Layout, data: ClipData, joint_names: Sequence[str], findings: Findings
) -> None:
    """Adds what a clip's joints, silhouettes and depth say of each other in some frames."""
    clip, n, measured = data.clip, len(data.world_coords), findings.measured
    frames = sorted({round(i) for i in np.linspace(0, n - 1, min(n, FRAMES_PER_CLIP))})
    findings.parameters[data.parameters_note] += 1
    for name, residual in data.residuals.items():
        measured[name].append(residual)
    if {HEAD, *FEET} <= set(joint_names):
        head, *feet = (joint_names.index(name) for name in (HEAD, *FEET))
        measured["rise"] += list(
            data.world_coords[frames, head] - data.world_coords[frames][:, feet].mean(axis=1)
        )
    # Fingers, whose names are numbered, are most of the joints and little of the silhouette.
    body = [j for j, joint in enumerate(joint_names) if not joint[-1].isdigit()]
    rays = defaultdict(list)
    for v in clip.views:
        size, masks, depth = data.sizes[v], None, None
        if layout.mask is not None:
            rule = person_rule(layout.mask.person_rule)
            masks = MaskFrames(layout.pictures("mask", root, clip, v), rule)
        if layout.depth is not None:
            depth = layout.depth_maps(root, clip, v)
        for t in frames:
            camera, joints = data.camera_at(v, t), data.world_coords[t]
            points = project(camera, joints)
            seen = inside(points, size)
            points, mask = points[seen], None if masks is None else rlemasklib.decode(masks(t))
            box = None if data.boxes is None else data.boxes[v][t]
            if seen.sum() >= MIN_JOINTS:
                good = np.ones(len(points), bool)
                good &= True if mask is None else in_silhouette(points, size, mask)
                good &= True if box is None else in_box(points, box)
                measured[f"inside {v}"].append(good.mean() >= JOINTS_SHARE)
            center = _silhouette_center(mask, box)
            if center is not None:
                middle = middle_of_joints(joints[body])
                rays[t].append(ray_distance(camera, center, middle))
            if depth is not None:
                stored = values_at(points, size, depth[t])
                if mask is not None:
                    stored = np.where(values_at(points, size, mask), stored, np.nan)
                along = camera.world_to_camera(joints[seen])
                ray = layout.depth.meaning == "ray"
                distance = np.linalg.norm(along, axis=-1) if ray else along[:, 2]
                measured["depth"] += list(stored / distance)
    measured["rays"] += [max(by_view) for by_view in rays.values() if len(by_view) > 1]


def _silhouette_center(mask: np.ndarray | None, box: np.ndarray | None) -> np.ndarray | None:
    """Returns where the person is in the image by its pixels alone; None if not visible."""
    if mask is not None and mask.any():
        return np.argwhere(mask).mean(axis=0)[::-1]
    if mask is None and box is not None and np.isfinite(box).all():
        return box[:2] + box[2:] / 2
    return None


def _judge(layout: Layout, findings: Findings, n_clips: int) -> None:
    """Turns what was measured into report lines and problems."""
    measured, lines, problems = findings.measured, findings.lines, findings.problems
    for view in layout.views if findings.parameters else ():
        held = measured[f"inside {view}"]
        if not held:
            problems.append(
                f"reprojection test: in view {view} no frame has four joints in the image; check "
                f"{CONVENTIONS} and the camera keys of this view in the layout"
            )
            continue
        share = np.mean(held)
        text = f"joints lie inside mask and box in {share:.0%} of {len(held)} frames"
        lines.append(f"reprojection: in view {view} the {text} of {n_clips} clips")
        if not share > FRAMES_SHARE:
            problems.append(
                f"reprojection test: in view {view} the {text} (needed: > {FRAMES_SHARE:.0%}); "
                f"check {CONVENTIONS}, the view numbers and pose.units in the layout"
            )
    for name, (statistic, limit, text, advice) in DISTANCES.items():
        if measured[name]:
            distance = float(statistic(measured[name]))
            lines.append(f"stereo: {text.format(distance)}")
            if distance > limit:
                problems.append(
                    f"stereo test: {text.format(distance)} (allowed: {limit:.0f}); {advice}"
                )
    rises = np.array(measured["rise"]).reshape(-1, 3)
    rises = rises[np.isfinite(rises).all(axis=1)]
    if len(rises):
        share = (rises[:, 2] > 0).mean()
        lines.append(f"up: head above feet in {share:.0%} of {len(rises)} frames")
        if share < UP_SHARE:
            problems.append(
                f"up test: the head is above the feet along world_up in only {share:.0%} of "
                f"{len(rises)} frames (needed: {UP_SHARE:.0%}; mean rise with the declared up as "
                f"z: {rises.mean(axis=0).round().tolist()} mm); correct camera.world_up"
            )
    for note, n in sorted(findings.parameters.items()):
        lines.append(f"body parameters: {note} ({n} of {n_clips} clips)")
    lines += [
        f"{name}: {max(measured[name]):.0f} mm from the clips' joints"
        for name in sorted(set(measured) - OWN_TESTS)
        if not name.startswith("inside")
    ]
    if layout.depth is not None:
        lines.append(_judge_depth(layout, measured))


def _judge_depth(layout: Layout, measured: dict[str, list]) -> str:
    """Returns whether depth is what the layout says. No problem ever: nothing is built on it."""
    ratios = np.array(measured["depth"])
    ratios = ratios[np.isfinite(ratios)]
    if not len(ratios):
        return "depth: not confirmed (no joint on a valid pixel); not used"
    # The surface is a little nearer than the joint below it.
    nearness = float(np.median(ratios))
    if 0.85 < nearness < 1.02:
        return (
            f"depth: confirmed as millimetres ({layout.depth.meaning}), surface at {nearness:.3f} "
            "of the joints' distance"
        )
    return (
        f"depth: NOT confirmed: stored values are {nearness:.4g} times the joints' distance "
        f"(expected 0.85 to 1.02); depth.scale_to_mm is probably "
        f"{layout.depth.scale_to_mm / nearness * 0.97:.3g}; not used"
    )
