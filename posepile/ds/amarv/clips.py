"""Annotations of one clip, read through the manifest: cameras, joints, boxes, parameters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from posepile.bodies.joints import SMPL_JOINT_NAMES, SMPLH_JOINT_NAMES, SMPLX_JOINT_NAMES
from posepile.ds.amarv.amass import AmassIndex
from posepile.ds.amarv.cameras import MovingCamera, load_camera, world_rotation
from posepile.ds.amarv.layout import LENGTH_UNITS, Clip, Layout, fill
from posepile.ds.amarv.motion import amass_distance, load_motion
from posepile.ds.amarv.pixels import count_frames, image_size, video_fps
from posepile.ds.amarv.values import numbers, read_data
from posepile.errors import CorruptInput

if TYPE_CHECKING:
    import deltacamera

JOINT_NAMES = {
    "smplh52": SMPLH_JOINT_NAMES,
    "smpl24": SMPL_JOINT_NAMES,
    "smplx55": SMPLX_JOINT_NAMES,
}
N_JOINTS = len(SMPLH_JOINT_NAMES)
MAX_AMASS_MM = 50.0  # beyond this a clip does not show the AMASS frames that the manifest says


@dataclass
class ClipData:
    """Annotations of a clip, over its video frames.

    Attributes:
        clip: Which.
        fps: Frames per second of the video.
        world_coords: float32 ``[T, 52, 3]`` millimetres, z up; NaN = missing.
        cameras: View -> camera, or function from frame to camera.
        image_sizes: View -> (width, height).
        boxes: View -> float32 ``[T, 4]`` x, y, width, height; None without boxes.
        parameters: Frame -> SMPL-H parameters; None where there are none to trust.
        parameters_note: Where they come from, or why there are none.
        amass_mm: Largest distance between stored joints and those of the AMASS parameters, where
            the body model is on disk to tell.
        joints_by_view: World joints of each view where they are stored in camera coordinates.
    """

    clip: Clip
    fps: float
    world_coords: np.ndarray
    cameras: dict[int, deltacamera.Camera | MovingCamera]
    image_sizes: dict[int, tuple[int, int]]
    boxes: dict[int, np.ndarray] | None
    parameters: Callable[[int], dict | None] | None
    parameters_note: str
    amass_mm: float | None = None
    joints_by_view: dict[int, np.ndarray] | None = None

    def camera_at(self, view: int, frame: int) -> deltacamera.Camera:
        """Returns the camera of a view in a frame."""
        camera = self.cameras[view]
        return camera(frame) if callable(camera) else camera


def load_clip(
    root: Path, layout: Layout, clip: Clip, amass_path: str | None, amass: AmassIndex | None
) -> ClipData:
    """Reads all annotations of a clip; opens videos only for what the manifest leaves to them.

    Args:
        root: Raw folder.
        layout: The manifest.
        clip: The clip.
        amass_path: Path inside the AMASS archive, None if not known.
        amass: Where AMASS is, None if it is not on disk.

    Raises:
        CorruptInput: Anything that is missing or does not fit, with the file.
    """
    rgb = layout.rgb_paths(root, clip)
    first = next(iter(rgb.values()))
    sizes = {v: image_size(layout, path) for v, path in rgb.items()}
    fps = layout.fps or video_fps(first)
    cameras = {
        v: load_camera(
            layout.path(layout.camera, root, clip, v), layout.camera, clip, v, image_size=sizes[v]
        )
        for v in clip.views
    }
    motion, note = None, "none: the layout manifest has no body"
    if layout.body is not None:
        note = "none: clip is not in name_map" if amass_path is None else "none: AMASS not found"
        if amass_path is not None and amass is not None:
            motion, note = (
                load_motion(root, layout, clip, amass_path, amass=amass, fps=fps),
                "from AMASS",
            )
    by_view = None
    if layout.pose is not None:
        by_view = {v: load_joints(root, layout, clip, v, fps) for v in clip.views}
        if layout.pose.frame == "camera":
            by_view = {v: to_world(j, cameras[v]) for v, j in by_view.items()}
        joints = by_view[min(by_view)]
    elif motion is not None:
        n = count_frames(layout, first)
        joints = motion.joints(np.arange(n))
    else:
        raise CorruptInput(
            layout.base(root) / clip.id,
            "has no joints: the layout manifest has no pose, and its AMASS motion is not known or "
            "AMASS is not on disk",
            hint="add the clip to name_map and set dataset.amass_root, or describe pose",
        )
    n = len(joints)
    off = None
    if motion is not None:
        off = None if layout.pose is None else amass_distance(motion, joints)
        if off is not None and off > MAX_AMASS_MM:
            motion, note = None, f"left out: AMASS joints are {off:.0f} mm from the clip's joints"
    for v, camera in cameras.items():
        if isinstance(camera, MovingCamera) and len(camera) != n:
            path = layout.path(layout.camera, root, clip, v)
            raise CorruptInput(
                path, f"{len(camera)} cameras in view {v}, but {n} frames of joints"
            )
    return ClipData(
        clip=clip,
        fps=fps,
        world_coords=joints,
        cameras=cameras,
        image_sizes=sizes,
        boxes=load_boxes(root, layout, clip, n),
        parameters=None if motion is None else motion.parameters,
        parameters_note=note,
        amass_mm=off,
        joints_by_view=by_view if layout.pose and layout.pose.frame == "camera" else None,
    )


def load_joints(root: Path, layout: Layout, clip: Clip, view: int, fps: float) -> np.ndarray:
    """Returns joints ``[T, 52, 3]`` in millimetres by video frame; world coordinates get z up."""
    pose = layout.pose
    path = layout.path(pose, root, clip, view)
    joints = numbers(read_data(path), fill(pose.joints_key, clip, view), path)
    names = (
        JOINT_NAMES[pose.joint_names] if isinstance(pose.joint_names, str) else pose.joint_names
    )
    if joints.ndim != 3 or joints.shape[2] != 3:
        raise CorruptInput(path, f"joints of shape {joints.shape}, expected {pose.shape}")
    if pose.shape == "JT3":
        joints = joints.swapaxes(0, 1)
    if joints.shape[1] != len(names):
        raise CorruptInput(
            path,
            f"{joints.shape[1]} joints, but joint_names {pose.joint_names} means {len(names)}",
            hint="correct pose.joint_names or pose.shape in the layout manifest",
        )
    if pose.fps is not None and pose.fps != fps:
        n = round(len(joints) * fps / pose.fps)
        nearest = np.rint(np.arange(n) * pose.fps / fps).astype(int)
        joints = joints[np.minimum(nearest, len(joints) - 1)]
    out = np.full((len(joints), N_JOINTS, 3), np.nan)
    for i, name in enumerate(names):
        if name in SMPLH_JOINT_NAMES:
            out[:, SMPLH_JOINT_NAMES.index(name)] = joints[:, i]
    out *= LENGTH_UNITS[pose.units]
    if pose.frame == "world":
        out = out @ world_rotation(layout.camera.world_up).T
    return out.astype(np.float32)


def to_world(joints: np.ndarray, camera: deltacamera.Camera | MovingCamera) -> np.ndarray:
    """Converts camera coordinates ``[T, J, 3]`` to world coordinates."""
    at = camera if callable(camera) else lambda frame: camera
    return np.stack([at(t).camera_to_world(j) for t, j in enumerate(joints)]).astype(np.float32)


def load_boxes(
    root: Path, layout: Layout, clip: Clip, n_frames: int
) -> dict[int, np.ndarray] | None:
    """Returns boxes of all views as x, y, width, height."""
    if layout.bbox is None:
        return None
    result = {}
    for view in clip.views:
        path = layout.path(layout.bbox, root, clip, view)
        boxes = numbers(read_data(path), fill(layout.bbox.key, clip, view), path)
        if boxes.shape != (n_frames, 4):
            raise CorruptInput(
                path, f"boxes of view {view} have shape {boxes.shape}, expected ({n_frames}, 4)"
            )
        if layout.bbox.format == "xyxy":
            boxes = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
        elif layout.bbox.format == "cxcywh":
            boxes = np.concatenate([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, 2:]], axis=1)
        result[view] = boxes.astype(np.float32)
    return result


def project(data: ClipData, view: int, frame: int) -> np.ndarray:
    """Returns joints of a frame in a view, pixels, NaN where missing or behind."""
    camera = data.camera_at(view, frame)
    joints = data.world_coords[frame]
    valid = np.isfinite(joints).all(axis=-1)
    points = np.full((len(joints), 2), np.nan)
    points[valid] = camera.world_to_image(joints[valid])
    return points
