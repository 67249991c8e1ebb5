"""Compares the layout manifest with the files: nothing is processed before all of this holds.

``posepile doctor amarv`` prints the problems, the calibrate stage the whole report. Every file
pattern and view set is looked at; a sample of the clips is opened for the frame counts and the
geometric tests.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import rlemasklib

from posepile.ds.amarv.clips import ClipData, load_clip, project
from posepile.ds.amarv.finding import find_clips
from posepile.ds.amarv.layout import Clip, Layout, fill
from posepile.ds.amarv.pixels import (
    MaskReader,
    count_depth,
    count_frames,
    frame_source,
    read_depth,
)
from posepile.errors import PosePileError, WorkError
from posepile.files import read_json, write_json
from posepile.imaging.frames import open_frames

JOINTS_SHARE = 0.8  # of the joints of a frame, inside mask and box
FRAMES_SHARE = 0.8  # of the frames with that
UP_SHARE = 0.7  # of the frames, head above feet
STEREO_MM = 300.0
CAMERA_JOINTS_MM = 10.0
FRAMES_PER_CLIP = 5
HEAD, FEET, N_BODY = 15, (7, 8), 22


@dataclass
class Findings:
    """What validation found.

    Attributes:
        lines: Report.
        problems: What must be put right, each with what to do.
    """

    lines: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


@dataclass
class Geometry:
    """Sums of the geometric tests over the sampled clips."""

    frames: Counter = field(default_factory=Counter)  # per view: frames tested
    inside: Counter = field(default_factory=Counter)  # per view: frames with the joints inside
    upright: list[float] = field(default_factory=list)  # head minus feet along up, mm
    along_axes: list[np.ndarray] = field(default_factory=list)
    stereo_mm: list[float] = field(default_factory=list)
    camera_joints_mm: list[float] = field(default_factory=list)
    amass_mm: list[float] = field(default_factory=list)
    parameters: Counter = field(default_factory=Counter)
    depth_ratio: dict[str, list[float]] = field(default_factory=lambda: {"z": [], "ray": []})


def validate(root: Path, layout: Layout, context, n_clips: int = 12) -> Findings:
    """Runs all tests.

    Args:
        root: Raw folder.
        layout: The manifest.
        context: ``(clip) -> (amass_path | None, AmassIndex | None)``.
        n_clips: How many clips to open, evenly over all.
    """
    findings = Findings()
    try:
        clips, problems = find_clips(root, layout)
    except WorkError as e:
        return Findings(problems=[str(e)])
    findings.problems += problems
    sources = Counter(c.source for c in clips)
    findings.lines.append(
        f"{len(clips)} clips of {len(sources)} sources, {sum(len(c.views) for c in clips)} views"
    )
    missing = count_patterns(root, layout, clips, findings)
    complete = [
        c for c in clips if sorted(c.views) == sorted(layout.views) and c.id not in missing
    ]
    if not complete:
        findings.problems.append(f"{layout.base(root)}: no clip is complete; nothing to test")
        return findings
    sample = complete[:: max(1, len(complete) // n_clips)]
    geometry = Geometry()
    for clip in sample:
        try:
            data = load_clip(root, layout, clip, *context(clip))
            if check_counts(root, layout, data, findings):
                check_geometry(root, layout, data, geometry)
        except PosePileError as e:
            findings.problems.append(str(e))
    judge(layout, geometry, findings, len(sample))
    return findings


def count_patterns(root: Path, layout: Layout, clips: list[Clip], findings: Findings) -> set[str]:
    """Files per pattern; returns the ids of clips that lack one."""
    incomplete: set[str] = set()
    base = layout.base(root)
    for name in ("rgb", "depth", "mask", "bbox", "camera", "pose", "body"):
        part = getattr(layout, name)
        if part is None or part.path is None:
            findings.lines.append(f"{name}: not in the manifest")
            continue
        first, absent, n = None, 0, 0
        for clip in clips:
            paths = {base / fill(part.path, clip, v) for v in clip.views}
            missing = sorted(p for p in paths if not p.exists())
            n, absent = n + len(paths), absent + len(missing)
            if missing:
                first = first or missing[0]
                incomplete.add(clip.id)
        findings.lines.append(f"{name}: {n - absent} of {n} files")
        if absent:
            findings.problems.append(
                f"{first}: {name} is missing ({absent} of {n} files of this pattern); complete "
                f"the clips, or correct {name}.path in the layout manifest"
            )
    return incomplete


def check_counts(root: Path, layout: Layout, data: ClipData, findings: Findings) -> bool:
    """Frame counts of all modalities of a clip must be the same."""
    counts = {"joints": len(data.world_coords)}
    for v, path in layout.rgb_paths(root, data.clip).items():
        counts[f"rgb {v}"] = count_frames(layout, path)
        if layout.mask is not None:
            masks = layout.path(layout.mask, root, data.clip, v)
            with open_frames(frame_source(layout, layout.mask.kind, masks)) as frames:
                counts[f"mask {v}"] = frames.n_frames
        if layout.depth is not None:
            folder = layout.path(layout.depth, root, data.clip, v)
            counts[f"depth {v}"] = count_depth(layout, folder, data.clip, v)
    same = len(set(counts.values())) == 1
    if not same:
        listed = ", ".join(f"{k}: {n}" for k, n in counts.items())
        findings.problems.append(
            f"{data.clip.id}: frame counts differ ({listed}); set fps, pose.fps or "
            "frame_index_base in the layout manifest right, or remove the clip"
        )
    return same


def check_geometry(root: Path, layout: Layout, data: ClipData, geometry: Geometry) -> None:
    """Adds a clip's reprojection, stereo, up-axis and depth tests."""
    n = len(data.world_coords)
    frames = sorted({round(i) for i in np.linspace(0, n - 1, min(n, FRAMES_PER_CLIP))})
    masks = {
        v: MaskReader(layout, layout.path(layout.mask, root, data.clip, v))
        for v in data.clip.views
        if layout.mask is not None
    }
    depth = {}
    for v in data.clip.views if layout.depth is not None else ():
        path = layout.path(layout.depth, root, data.clip, v)
        depth[v] = dict(read_depth(layout, path, data.clip, v, frames))
    for t in frames:
        joints = data.world_coords[t]
        if np.isfinite(joints[[HEAD, *FEET]]).all():
            rise = joints[HEAD] - joints[list(FEET)].mean(axis=0)
            geometry.upright.append(float(rise[2]))
            geometry.along_axes.append(rise)
        pixels, centers = {}, {}
        for v in data.clip.views:
            pixels[v] = rlemasklib.decode(masks[v](t)).astype(bool) if masks else None
            box = data.boxes[v][t] if data.boxes is not None else None
            share = joints_inside(data, v, t, pixels[v], box)
            if share is not None:
                geometry.frames[v] += 1
                geometry.inside[v] += share >= JOINTS_SHARE
            center = silhouette_center(pixels[v], box)
            if center is not None:
                centers[v] = center
            if depth:
                add_depth(data, v, t, pixels=pixels[v], depth=depth[v][t], geometry=geometry)
        if len(centers) > 1:
            geometry.stereo_mm.append(stereo_residual(data, t, centers))
    geometry.parameters[data.parameters_note] += 1
    if data.amass_mm is not None:
        geometry.amass_mm.append(data.amass_mm)
    if data.joints_by_view is not None:
        stacked = np.stack(list(data.joints_by_view.values()))
        geometry.camera_joints_mm.append(float(np.nanmax(np.ptp(stacked, axis=0))))


def joints_inside(
    data: ClipData, view: int, frame: int, pixels: np.ndarray | None, box: np.ndarray | None
) -> float | None:
    """Share of the joints in the image that lie in mask and box; None if too few are in it."""
    points = project(data, view, frame)
    w, h = data.image_sizes[view]
    in_image = np.isfinite(points).all(axis=-1)
    in_image &= np.all(
        (np.nan_to_num(points) > -0.5) & (np.nan_to_num(points) < (w - 0.5, h - 0.5)), -1
    )
    if in_image.sum() < 4:
        return None
    points = points[in_image]
    good = np.ones(len(points), bool)
    if pixels is not None:
        # joints lie inside the body, but the outline of a lossy mask is not sharp
        grown = cv2.dilate(pixels.astype(np.uint8), np.ones((5, 5), np.uint8))
        x, y = np.rint(points * (grown.shape[1] / w, grown.shape[0] / h)).astype(int).T
        good &= grown[np.minimum(y, grown.shape[0] - 1), np.minimum(x, grown.shape[1] - 1)] > 0
    if box is not None:
        margin = 0.03 * box[2:].max()
        good &= np.all((points >= box[:2] - margin) & (points <= box[:2] + box[2:] + margin), -1)
    return float(good.mean())


def silhouette_center(pixels: np.ndarray | None, box: np.ndarray | None) -> np.ndarray | None:
    """Returns where the person is in the image by its pixels alone; None if not visible."""
    if pixels is not None and pixels.any():
        ys, xs = np.nonzero(pixels)
        return np.array([xs.mean(), ys.mean()], np.float32)
    if pixels is None and box is not None and np.isfinite(box).all():
        return (box[:2] + box[2:] / 2).astype(np.float32)
    return None


def stereo_residual(data: ClipData, frame: int, centers: dict[int, np.ndarray]) -> float:
    """Distance of the rays through the silhouettes' centres from the middle of the joints, mm.

    Catches swapped views and clocks that do not run together, which one view alone may not show.
    """
    middle = np.nanmean(data.world_coords[frame, :N_BODY], axis=0)
    residuals = []
    for view, center in centers.items():
        camera = data.camera_at(view, frame)
        origin = np.asarray(camera.t, np.float64)
        far = np.asarray(camera.image_to_world(center[None], camera_depth=1000.0))[0]
        direction = (far - origin) / np.linalg.norm(far - origin)
        to_middle = middle - origin
        residuals.append(np.linalg.norm(to_middle - direction * (direction @ to_middle)))
    return float(np.max(residuals))


def add_depth(
    data: ClipData,
    view: int,
    frame: int,
    *,
    pixels: np.ndarray | None,
    depth: np.ndarray,
    geometry: Geometry,
) -> None:
    """Ratio of stored depth to the joints' distance, for both meanings of depth."""
    points = project(data, view, frame)
    w, h = data.image_sizes[view]
    in_camera = data.camera_at(view, frame).world_to_camera(
        np.nan_to_num(data.world_coords[frame])
    )
    x, y = np.rint(np.nan_to_num(points, nan=-1) * (depth.shape[1] / w, depth.shape[0] / h)).T
    for j in range(len(points)):
        column, row = int(x[j]), int(y[j])
        if not (0 <= column < depth.shape[1] and 0 <= row < depth.shape[0]):
            continue
        if pixels is not None and depth.shape == pixels.shape and not pixels[row, column]:
            continue
        if np.isfinite(depth[row, column]):
            for meaning, distance in (
                ("z", in_camera[j, 2]),
                ("ray", np.linalg.norm(in_camera[j])),
            ):
                geometry.depth_ratio[meaning].append(depth[row, column] / distance)


def judge(layout: Layout, geometry: Geometry, findings: Findings, n_clips: int) -> None:
    """Turns the sums into report lines and problems."""
    for view in layout.views if geometry.parameters else ():
        if not geometry.frames[view]:
            findings.problems.append(
                f"reprojection test: in view {view} no frame has four joints in the image; check "
                "camera.direction, axes, units and the camera keys of this view in the layout "
                "manifest"
            )
            continue
        share = geometry.inside[view] / geometry.frames[view]
        findings.lines.append(
            f"reprojection, view {view}: joints inside in {share:.0%} of {geometry.frames[view]} "
            f"frames of {n_clips} clips"
        )
        if not share > FRAMES_SHARE:
            findings.problems.append(
                f"reprojection test: in view {view} the joints lie inside mask and box in only "
                f"{share:.0%} of {geometry.frames[view]} frames (needed: > {FRAMES_SHARE:.0%}); "
                "check camera.direction, axes, units, the view numbers and pose.units in the "
                "layout manifest"
            )
    if geometry.stereo_mm:
        worst = float(np.median(geometry.stereo_mm))
        findings.lines.append(
            f"stereo: rays through the silhouettes pass the body at {worst:.0f} mm"
        )
        if worst > STEREO_MM:
            findings.problems.append(
                f"stereo test: rays through the silhouettes of the views pass the body at "
                f"{worst:.0f} mm (allowed: {STEREO_MM:.0f}); the views are swapped, not "
                "synchronous or not in one world: check view numbers and camera keys in the "
                "manifest"
            )
    if geometry.camera_joints_mm:
        worst = max(geometry.camera_joints_mm)
        findings.lines.append(f"stereo: world joints of the views differ by {worst:.1f} mm")
        if worst > CAMERA_JOINTS_MM:
            findings.problems.append(
                f"stereo test: the joints of the views differ by {worst:.0f} mm in the world "
                f"(allowed: {CAMERA_JOINTS_MM:.0f}); check camera.direction, axes and units"
            )
    if geometry.upright:
        share = float(np.mean(np.array(geometry.upright) > 0))
        findings.lines.append(
            f"up: head above feet in {share:.0%} of {len(geometry.upright)} frames"
        )
        if share < UP_SHARE:
            rise = np.mean(geometry.along_axes, axis=0).round()
            findings.problems.append(
                f"up test: the head is above the feet along world_up in only {share:.0%} of "
                f"{len(geometry.upright)} frames (needed: {UP_SHARE:.0%}; mean rise with the "
                f"declared up as z: {rise.tolist()} mm); correct camera.world_up"
            )
    for note, n in sorted(geometry.parameters.items()):
        findings.lines.append(f"body parameters: {note} ({n} of {n_clips} clips)")
    if geometry.amass_mm:
        findings.lines.append(
            f"AMASS joints: {max(geometry.amass_mm):.0f} mm from the clips' joints"
        )
    judge_depth(layout, geometry, findings)


def judge_depth(layout: Layout, geometry: Geometry, findings: Findings) -> None:
    """Reports whether depth is what the manifest says. Never a problem: nothing is built on it."""
    if layout.depth is None:
        return
    ratios = {k: np.array(v) for k, v in geometry.depth_ratio.items() if v}
    if not ratios:
        findings.lines.append("depth: not confirmed (no joint on a valid pixel); not used")
        return
    # The surface is a little nearer than the joint below it.
    spread = {k: float(np.std(v) / abs(np.median(v) or 1)) for k, v in ratios.items()}
    nearness = float(np.median(ratios[layout.depth.meaning]))
    other = min(spread, key=spread.get)
    if 0.85 < nearness < 1.02:
        findings.lines.append(
            f"depth: confirmed as millimetres ({layout.depth.meaning}), surface at {nearness:.3f} "
            f"of the joints' distance; steadier meaning: {other}"
        )
    else:
        findings.lines.append(
            f"depth: NOT confirmed: stored values are {nearness:.4g} times the joints' distance "
            f"(expected 0.85 to 1.02); depth.scale_to_mm is probably "
            f"{layout.depth.scale_to_mm / nearness * 0.97:.3g}; not used"
        )


def stamp_path(root: Path) -> Path:
    """Returns where it is remembered that validation passed."""
    return root / ".posepile" / "validated.json"


def read_stamp(root: Path) -> dict:
    """Returns what was last found good: ``state`` of the files, ``report``; {} if nothing was."""
    stamp = read_json(stamp_path(root))
    return stamp if isinstance(stamp, dict) and "report" in stamp else {}


def write_stamp(root: Path, stamp: dict) -> None:
    """Remembers what was found good."""
    write_json(stamp_path(root), stamp)
