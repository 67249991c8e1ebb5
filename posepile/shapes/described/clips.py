"""Annotations of one clip, read through the layout: cameras, joints, boxes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from posepile.bodies.joints import SMPL_JOINT_NAMES, SMPLH_JOINT_NAMES, SMPLX_JOINT_NAMES
from posepile.errors import CorruptInput
from posepile.formats.arrays import read_array
from posepile.geometry.cameras import MM_PER_UNIT, make_camera, moving_cameras
from posepile.imaging.frames import open_frames
from posepile.imaging.videos import frame_rate
from posepile.recipe import Video
from posepile.shapes.described.layout import Clip, Layout, fill

if TYPE_CHECKING:
    import deltacamera

    Camera = deltacamera.Camera | Callable[[int], deltacamera.Camera | None]

JOINT_NAMES = {
    "smplh52": SMPLH_JOINT_NAMES,
    "smpl24": SMPL_JOINT_NAMES,
    "smplx55": SMPLX_JOINT_NAMES,
}
WORLD_UP = (0.0, 0.0, 1.0)

# Rotations that bring the released world's up axis to z
TO_Z_UP = {
    "z": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "-z": [[1, 0, 0], [0, -1, 0], [0, 0, -1]],
    "y": [[1, 0, 0], [0, 0, -1], [0, 1, 0]],
    "-y": [[1, 0, 0], [0, 0, 1], [0, -1, 0]],
    "x": [[0, 0, -1], [0, 1, 0], [1, 0, 0]],
    "-x": [[0, 0, 1], [0, 1, 0], [-1, 0, 0]],
}


@dataclass
class ClipData:
    """Annotations of a clip, over its video frames.

    Attributes:
        clip: Which.
        fps: Frames per second of the video.
        world_coords: float32 ``[T, J, 3]`` millimetres, z up; NaN = missing.
        cameras: View -> camera, or function from frame to camera.
        sizes: View -> (width, height) of its pictures.
        boxes: View -> float32 ``[T, 4]`` x, y, width, height; None without boxes.
        residuals: What -> how far things are apart that should be one, millimetres; the world
            joints of the views where they are stored in camera coordinates.
        parameters: Frame -> body-model parameters; None where there are none to trust.
        parameters_note: Where they come from, or why there are none.
    """

    clip: Clip
    fps: float
    world_coords: np.ndarray
    cameras: dict[int, Camera]
    sizes: dict[int, tuple[int, int]]
    boxes: dict[int, np.ndarray] | None
    residuals: dict[str, float] = field(default_factory=dict)
    parameters: Callable[[int], dict | None] | None = None
    parameters_note: str = "none"

    def camera_at(self, view: int, frame: int) -> deltacamera.Camera:
        """Returns the camera of a view in a frame."""
        camera = self.cameras[view]
        return camera(frame) if callable(camera) else camera


def load_clip(
    root: Path,
    layout: Layout,
    clip: Clip,
    joint_names: Sequence[str],
    other_joints: Callable[[float, int], np.ndarray | None] = lambda fps, n: None,
) -> ClipData:
    """Reads all annotations of a clip; opens videos only for what the layout leaves to them.

    Args:
        root: Raw folder.
        layout: The layout.
        clip: The clip.
        joint_names: The dataset's joints.
        other_joints: Where the layout has no ``pose``: from frames per second and number of
            frames to world joints ``[T, J, 3]`` in millimetres, None where there are none.

    Raises:
        CorruptInput: Anything that is missing or does not fit, with the file.
    """
    fps, sizes, n = _look_into_videos(root, layout, clip)
    stored, residuals = {}, {}
    if layout.pose is not None:
        stored = {v: load_joints(root, layout, clip, v, fps, joint_names) for v in clip.views}
        joints = stored[min(stored)]
    else:
        joints = other_joints(fps, n)
    if joints is None:
        raise CorruptInput(
            layout.base(root) / clip.id,
            "has no joints: the layout has no pose, and nothing else gives them",
            hint="describe pose in the layout, or give the clip's motion",
        )
    n = len(joints)
    cameras = {v: load_camera(root, layout, clip, v, sizes[v], n) for v in clip.views}
    if layout.pose is not None and layout.pose.frame == "camera":
        worlds = np.stack([_to_world(j, cameras[v]) for v, j in stored.items()])
        joints, residuals["views"] = worlds[0], float(np.nanmax(np.ptp(worlds, axis=0)))
    boxes = load_boxes(root, layout, clip, n)
    return ClipData(clip, fps, joints, cameras, sizes, boxes, residuals)


def _look_into_videos(
    root: Path, layout: Layout, clip: Clip
) -> tuple[float, dict[int, tuple[int, int]], int]:
    """Returns frames per second, picture size of each view and number of frames of a clip."""
    fps, sizes, n = layout.fps, dict.fromkeys(clip.views, layout.image_size), None
    if fps is not None and layout.image_size is not None and layout.pose is not None:
        return fps, sizes, 0
    for view in reversed(clip.views):
        source = layout.pictures("rgb", root, clip, view)
        with open_frames(source) as frames:
            sizes[view] = layout.image_size or tuple(frames.size(0))
            n = frames.n_frames
            if layout.fps is None:
                fps = frame_rate(source.path) if isinstance(source, Video) else None
    if not fps:
        path = source.path if isinstance(source, Video) else source.paths[0].parent
        raise CorruptInput(path, "does not say its frame rate", hint="set fps in the layout")
    return float(fps), sizes, n


def load_camera(
    root: Path, layout: Layout, clip: Clip, view: int, size: tuple[int, int], n_frames: int
) -> Camera:
    """Returns the camera of a view, or a function from frame to camera where it moves.

    Raises:
        CorruptInput: Missing keys or matrices that are no camera.
    """
    part = layout.camera
    path = layout.path("camera", root, clip, view)
    frames = (n_frames,) if part.per_frame else ()
    matrix = read_array(path, fill(part.extrinsic_key, clip, view), (*frames, "rows", 4))
    turn, rows = np.eye(4), matrix.shape[-2]
    turn[:3, :3] = TO_Z_UP[part.world_up]
    to_camera = part.direction == "world_to_camera"
    lens = {"size": size, "axes": part.axes, "unit": part.units, "world_up": WORLD_UP}
    lens[part.direction] = matrix @ turn.T if to_camera else turn[:rows, :rows] @ matrix
    if part.intrinsic_key is not None:
        lens["intrinsics"] = read_array(path, fill(part.intrinsic_key, clip, view), (3, 3))
    elif part.fov_key is not None:
        fov = read_array(path, fill(part.fov_key, clip, view), ())
        lens["focal"] = float(size[0] / 2 / np.tan(np.deg2rad(fov) / 2))
    else:
        focal_mm = read_array(path, fill(part.focal_key, clip, view), ())
        lens["focal"] = float(focal_mm / part.sensor_width_mm * size[0])
    where = f"{path}, view {view}"
    if part.per_frame:
        return moving_cameras(where, np.arange(n_frames), **lens)
    return make_camera(where, **lens)


def load_joints(
    root: Path, layout: Layout, clip: Clip, view: int, fps: float, joint_names: Sequence[str]
) -> np.ndarray:
    """Returns joints ``[T, J, 3]`` in millimetres by video frame; world coordinates get z up."""
    pose = layout.pose
    names = pose.joint_names
    names = JOINT_NAMES[names] if isinstance(names, str) else names
    path = layout.path("pose", root, clip, view)
    shape = ("T", len(names), 3) if pose.shape == "TJ3" else (len(names), "T", 3)
    joints = read_array(path, fill(pose.joints_key, clip, view), shape, finite=False)
    if pose.shape == "JT3":
        joints = joints.swapaxes(0, 1)
    if pose.fps is not None and pose.fps != fps:
        n = round(len(joints) * fps / pose.fps)
        nearest = np.rint(np.arange(n) * pose.fps / fps).astype(int)
        joints = joints[np.minimum(nearest, len(joints) - 1)]
    out = np.full((len(joints), len(joint_names), 3), np.nan)
    for i, name in enumerate(names):
        if name in joint_names:
            out[:, joint_names.index(name)] = joints[:, i]
    out *= MM_PER_UNIT[pose.units]
    if pose.frame == "world":
        out = out @ np.transpose(TO_Z_UP[layout.camera.world_up])
    return out.astype(np.float32)


def _to_world(joints: np.ndarray, camera: Camera) -> np.ndarray:
    """Converts camera coordinates ``[T, J, 3]`` to world coordinates."""
    at = camera if callable(camera) else lambda frame: camera
    return np.stack([at(t).camera_to_world(j) for t, j in enumerate(joints)]).astype(np.float32)


def load_boxes(
    root: Path, layout: Layout, clip: Clip, n_frames: int
) -> dict[int, np.ndarray] | None:
    """Returns boxes of all views as x, y, width, height; None where the layout has none."""
    if layout.bbox is None:
        return None
    result = {}
    for view in clip.views:
        path = layout.path("bbox", root, clip, view)
        boxes = read_array(path, fill(layout.bbox.key, clip, view), (n_frames, 4))
        low, high = boxes[:, :2], boxes[:, 2:]
        if layout.bbox.format == "xyxy":
            high = high - low
        elif layout.bbox.format == "cxcywh":
            low = low - high / 2
        result[view] = np.concatenate([low, high], axis=1).astype(np.float32)
    return result
