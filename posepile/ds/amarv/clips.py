"""Reading one clip through the manifest: joints, boxes, masks, depth, AMASS parameters."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import deltacamera
import numpy as np
import rlemasklib

from posepile.bodies.models import (
    SMPL_JOINT_NAMES,
    SMPLH_JOINT_NAMES,
    SMPLX_JOINT_NAMES,
    AmassMotion,
    body_joints,
    find_body_model,
    load_body_model,
    read_amass,
)
from posepile.ds.amarv.amass import AmassIndex
from posepile.ds.amarv.cameras import MovingCamera, load_camera, world_rotation
from posepile.ds.amarv.layout import (
    LENGTH_UNITS,
    Clip,
    Depth,
    Layout,
    Mask,
    fill,
    lookup,
    number,
    numbers,
    parse_person_rule,
    read_data,
)
from posepile.errors import CorruptInput
from posepile.imaging.frames import open_frames
from posepile.recipe import Stills, Video

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
        """Camera of a view in a frame."""
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
    sizes = {v: image_size(layout, path) for v, path in clip.views.items()}
    fps = layout.fps or video_fps(next(iter(clip.views.values())))
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
        n = count_frames(layout, next(iter(clip.views.values())))
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
    """Joints ``[T, 52, 3]`` in millimetres by video frame; world coordinates get z up."""
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
    """Camera coordinates ``[T, J, 3]`` to world coordinates."""
    at = camera if callable(camera) else lambda frame: camera
    return np.stack([at(t).camera_to_world(j) for t, j in enumerate(joints)]).astype(np.float32)


def load_boxes(
    root: Path, layout: Layout, clip: Clip, n_frames: int
) -> dict[int, np.ndarray] | None:
    """Boxes of all views as x, y, width, height."""
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
    """Joints of a frame in a view, pixels, NaN where missing or behind."""
    camera = data.camera_at(view, frame)
    joints = data.world_coords[frame]
    valid = np.isfinite(joints).all(axis=-1)
    points = np.full((len(joints), 2), np.nan)
    points[valid] = camera.world_to_image(joints[valid])
    return points


# -------------------------------------------------------------------------------------------------
# AMASS


def load_motion(
    root: Path, layout: Layout, clip: Clip, amass_path: str, *, amass: AmassIndex, fps: float
) -> ClipMotion:
    """The AMASS motion of a clip, indexed by video frame."""
    path = amass.find(amass_path)
    if path is None:
        raise CorruptInput(
            amass.root / amass_path,
            f"AMASS motion of clip {clip.id} is missing",
            hint="extract that AMASS part, or remove body from the layout manifest",
        )
    body = layout.body
    motion = read_amass(path)
    start, transform = 0.0, np.eye(4)
    if body.path is not None:
        data_path = layout.base(root) / fill(body.path, clip, None)
        data = read_data(data_path)
        if body.start_frame_key is not None:
            start = number(data, body.start_frame_key, data_path)
        if body.root_transform_key is not None:
            transform = numbers(data, body.root_transform_key, data_path)
            if transform.shape != (4, 4):
                raise CorruptInput(
                    data_path,
                    f"{body.root_transform_key} of shape {transform.shape}, expected 4x4",
                )
            up = np.eye(4)
            up[:3, :3] = world_rotation(layout.camera.world_up)
            transform = up @ transform
    step = body.step or motion.framerate / fps
    return ClipMotion(motion, path, start, step, transform)


def amass_distance(motion: ClipMotion, joints: np.ndarray) -> float | None:
    """How far AMASS's joints are from the stored ones, mm; None without the body model.

    Args:
        motion: The motion.
        joints: ``[T, 52, 3]`` millimetres; the first and last frames are compared.
    """
    if find_body_model("smplh", motion.motion.gender, n_betas=16) is None:
        return None
    frames = np.unique([0, len(joints) - 1])
    off = np.linalg.norm(motion.joints(frames) - joints[frames], axis=-1)
    return float(np.nanmax(off)) if np.isfinite(off).any() else None


@dataclass
class ClipMotion:
    """AMASS parameters by video frame.

    Attributes:
        motion: The whole motion.
        path: Its file.
        start: AMASS frame of the first video frame.
        step: AMASS frames per video frame.
        transform: 4x4 from AMASS's world to ours, metres.
    """

    motion: AmassMotion
    path: Path
    start: float
    step: float
    transform: np.ndarray

    def indices(self, frames: np.ndarray) -> np.ndarray:
        """AMASS frame of each video frame.

        Raises:
            CorruptInput: The motion is too short.
        """
        indices = np.rint(self.start + np.asarray(frames) * self.step).astype(int)
        if len(indices) and not 0 <= indices.min() <= indices.max() < len(self.motion.poses):
            raise CorruptInput(
                self.path,
                f"has {len(self.motion.poses)} frames, but the clip needs frames "
                f"{indices.min()} to {indices.max()}",
                hint="start_frame_key, step or fps of the layout manifest is wrong for this clip",
            )
        return indices

    def parameters(self, frame: int) -> dict | None:
        """Parameters of a video frame, in the form of docs/FORMAT.md.

        None if the clip is moved in the world and there is no body model on disk, without which
        the move cannot be expressed in the parameters.
        """
        k = int(self.indices(np.array([frame]))[0])
        pose, trans = self.motion.poses[k].copy(), self.motion.trans[k].copy()
        if not np.array_equal(self.transform, np.eye(4)):
            if find_body_model("smplh", self.motion.gender, n_betas=16) is None:
                return None
            model = load_body_model("smplh", self.motion.gender, n_betas=16)
            shape = np.asarray(self.motion.betas, np.float32)
            pelvis = model(np.zeros((1, 156), np.float32), shape[None], return_vertices=False)
            pelvis = pelvis["joints"][0, 0].astype(np.float64)
            rotation, move = self.transform[:3, :3], self.transform[:3, 3]
            pose[:3] = cv2.Rodrigues(rotation @ cv2.Rodrigues(pose[:3])[0])[0].ravel()
            trans = rotation @ (pelvis + trans) + move - pelvis
        return {
            "type": "smplh",
            "gender": self.motion.gender,
            "pose": pose.astype(np.float32),
            "shape": self.motion.betas.astype(np.float32),
            "trans": trans.astype(np.float32),
        }

    def joints(self, frames: np.ndarray) -> np.ndarray:
        """World joints ``[n, 52, 3]`` in millimetres of video frames, by forward kinematics.

        Raises:
            WorkError: The body model is not on disk.
        """
        k = self.indices(frames)
        motion = self.motion
        params = {"pose": motion.poses[k], "shape": motion.betas, "trans": motion.trans[k]}
        joints = body_joints("smplh", motion.gender, params)
        moved = joints @ self.transform[:3, :3].T + self.transform[:3, 3]
        return (1000 * moved).astype(np.float32)


# -------------------------------------------------------------------------------------------------
# Pixels


def frame_source(layout: Layout, kind: str, path: Path, n_frames: int | None = None):
    """Video or Stills for a path of the manifest."""
    if kind == "video":
        if not path.is_file():
            raise CorruptInput(path, "file is missing", hint="complete the clip")
        return Video(path, n_frames=n_frames)
    return Stills(tuple(numbered_files(path, layout.frame_index_base)))


def numbered_files(folder: Path, base: int) -> list[Path]:
    """Image files of a folder by the last number in their names, which must run from ``base``.

    Raises:
        CorruptInput: No files, or numbers that leave gaps.
    """
    numbered = {}
    if folder.is_dir():
        for path in sorted(folder.iterdir()):
            found = re.findall(r"\d+", path.stem)
            if path.is_file() and found and not path.name.startswith("."):
                numbered[int(found[-1])] = path
    if not numbered:
        raise CorruptInput(folder, "no numbered image files there", hint="complete the clip")
    order = sorted(numbered)
    if order != list(range(base, base + len(order))):
        gap = next(i for i, k in enumerate(order) if k != base + i)
        raise CorruptInput(
            folder,
            f"image numbers run from {order[0]} to {order[-1]}, {len(order)} files; expected "
            f"{base + gap} where {order[gap]} is",
            hint="complete the clip, or correct frame_index_base",
        )
    return [numbered[k] for k in order]


def video_fps(path: Path) -> float:
    """Frames per second as the container says.

    Raises:
        CorruptInput: Not a video with a known rate.
    """
    import av

    try:
        with av.open(str(path)) as container:
            rate = container.streams.video[0].average_rate
    except (av.FFmpegError, IndexError, OSError) as e:
        raise CorruptInput(path, f"no video stream: {e}", hint="set fps in the manifest") from e
    if not rate:
        raise CorruptInput(path, "does not say its frame rate", hint="set fps in the manifest")
    return float(rate)


def image_size(layout: Layout, path: Path) -> tuple[int, int]:
    """Width and height of the RGB frames of a view."""
    if layout.image_size is not None:
        return layout.image_size
    with open_frames(frame_source(layout, layout.rgb.kind, path)) as frames:
        return tuple(frames.size(0))


def count_frames(layout: Layout, path: Path) -> int:
    """How many RGB frames a view really has."""
    with open_frames(frame_source(layout, layout.rgb.kind, path)) as frames:
        return frames.n_frames


def person_pixels(image: np.ndarray, mask: Mask) -> np.ndarray:
    """Applies the manifest's rule to a mask image ``[h, w, 3]``; bool ``[h, w]``."""
    kind, argument = parse_person_rule(mask.person_rule)
    if kind == "value":
        return image.max(axis=-1) > argument
    if kind == "label":
        return np.isin(image[..., 0], argument)
    return np.any([np.all(image == color, axis=-1) for color in np.uint8(argument)], axis=0)


class MaskReader:
    """Person masks of one view as RLE by frame.

    A video is decoded in runs of 32 frames and what was decoded is kept as RLE, so that asking in
    order, as the pipeline does, costs about one pass.
    """

    def __init__(self, layout: Layout, path: Path):
        self.layout = layout
        self.path = path
        self._known: dict[int, dict] = {}

    def __call__(self, frame: int) -> dict | None:
        """Mask of a frame."""
        if frame not in self._known:
            self._read(range(frame, frame + 32))
        return self._known[frame]

    def _read(self, wanted: range) -> None:
        source = frame_source(self.layout, self.layout.mask.kind, self.path)
        with open_frames(source) as frames:
            inside = [i for i in wanted if i < frames.n_frames]
            if not inside:
                raise CorruptInput(
                    self.path,
                    f"has {frames.n_frames} masks",
                    frame=wanted[0],
                    hint="extract again",
                )
            for i, image in frames.read(inside):
                pixels = person_pixels(image.rgb(), self.layout.mask)
                self._known[i] = rlemasklib.encode(pixels.astype(np.uint8))


def count_depth(layout: Layout, path: Path, clip: Clip, view: int) -> int:
    """Number of depth frames."""
    depth = layout.depth
    if depth.kind == "video":
        with open_frames(frame_source(layout, "video", path)) as frames:
            return frames.n_frames
    if depth.kind in ("png16", "exr"):
        return len(numbered_files(path, layout.frame_index_base))
    return len(depth_array(depth, path, clip, view))


def depth_array(depth: Depth, path: Path, clip: Clip, view: int) -> np.ndarray:
    """The array of an npy or npz file."""
    data = read_data(path)
    return (
        data
        if depth.kind == "npy"
        else np.asarray(lookup(data, fill(depth.key, clip, view), path))
    )


def read_depth(
    layout: Layout, path: Path, clip: Clip, view: int, frames: list[int]
) -> Iterator[tuple[int, np.ndarray]]:
    """Depth maps ``[h, w]`` in millimetres as the manifest claims, NaN where invalid.

    Raises:
        CorruptInput: Unreadable maps, or 8-bit ones where 16 are claimed.
    """
    depth = layout.depth
    if depth.kind == "video":
        with open_frames(frame_source(layout, "video", path)) as reader:
            maps = [(i, image.rgb()[..., 0]) for i, image in reader.read(frames)]
    elif depth.kind in ("png16", "exr"):
        if depth.kind == "exr":
            os.environ.setdefault("OPENCV_IO_ENABLE_OPENEXR", "1")
        files = numbered_files(path, layout.frame_index_base)
        maps = [(i, cv2.imread(str(files[i]), cv2.IMREAD_UNCHANGED)) for i in frames]
    else:
        stored = depth_array(depth, path, clip, view)
        maps = [(i, stored[i]) for i in frames]
    for i, stored_values in maps:
        if stored_values is None:
            hint = "extract again"
            if depth.kind == "exr" and not cv2.haveImageWriter("depth.exr"):
                hint = "this OpenCV has no OpenEXR: set depth: null, it is used for a test only"
            raise CorruptInput(path, "depth image cannot be read", frame=i, hint=hint)
        values = stored_values[..., 0] if stored_values.ndim == 3 else stored_values
        if depth.kind == "png16" and values.dtype != np.uint16:
            raise CorruptInput(path, f"depth image is {values.dtype}, not 16 bit", frame=i)
        millimetres = values.astype(np.float64) * depth.scale_to_mm
        if depth.invalid is not None:
            millimetres[values == depth.invalid] = np.nan
        yield i, millimetres
