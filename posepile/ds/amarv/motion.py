"""The AMASS motion that a clip shows: parameters and joints by video frame."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from posepile.bodies.amass import AmassIndex, AmassMotion, read_amass
from posepile.bodies.joints import SMPLH_JOINT_NAMES
from posepile.bodies.models import body_joints, find_body_model, move_body, parameters_note
from posepile.ds.amarv.layout import AmarvLayout
from posepile.errors import CorruptInput
from posepile.formats.arrays import read_array
from posepile.shapes.described.clips import TO_Z_UP, ClipData, load_clip
from posepile.shapes.described.layout import Clip


@lru_cache(maxsize=2)
def open_index(amass_root: Path) -> AmassIndex:
    """Returns the index of a folder, kept for the life of the process: a search takes a while."""
    return AmassIndex(amass_root)


def load_amarv_clip(
    root: Path,
    layout: AmarvLayout,
    clip: Clip,
    amass_path: str | None,
    amass: AmassIndex | None,
    limit: float,
) -> ClipData:
    """Reads all annotations of a clip, and the parameters of its AMASS motion.

    Args:
        root: Raw folder.
        layout: The manifest.
        clip: The clip.
        amass_path: Path of its motion inside the AMASS archive, None if not known.
        amass: Where AMASS is, None if it is not on disk.
        limit: Beyond this (mm) a clip does not show the AMASS frames that the manifest says.
    """
    note = "from AMASS"
    if layout.body is None:
        note = "none: the layout manifest has no body"
    elif amass_path is None:
        note = "none: clip is not in name_map"
    elif amass is None:
        note = "none: AMASS not found"
    known = note == "from AMASS"

    def joints(fps: float, n: int) -> np.ndarray | None:
        if not known:
            return None
        return load_motion(root, layout, clip, amass_path, amass, fps).joints(np.arange(n))

    data = load_clip(root, layout, clip, SMPLH_JOINT_NAMES, joints)
    motion = load_motion(root, layout, clip, amass_path, amass, data.fps) if known else None
    if motion is not None and layout.pose is not None:
        off = amass_distance(motion, data.world_coords)
        data.residuals |= {} if off is None else {"AMASS joints": off}
        if off is not None and off > limit:
            motion, note = None, f"left out: AMASS joints are {off:.0f} mm from the clip's joints"
    if motion is not None and motion.is_moved():
        lost = parameters_note("smplh", motion.motion.gender, n_betas=16)
        motion, note = (None, f"none: {lost}") if lost else (motion, note)
    data.parameters, data.parameters_note = motion and motion.parameters, note
    return data


def load_motion(
    root: Path, layout: AmarvLayout, clip: Clip, amass_path: str, amass: AmassIndex, fps: float
) -> ClipMotion:
    """Returns the AMASS motion of a clip, indexed by video frame."""
    path = amass.find(amass_path)
    if path is None:
        raise CorruptInput(
            amass.root / amass_path,
            f"AMASS motion of clip {clip.id} is missing",
            hint="extract that AMASS part, or remove body from the layout manifest",
        )
    body, motion = layout.body, read_amass(path)
    start, transform = 0.0, np.eye(4)
    if body.path is not None:
        stored = layout.path("body", root, clip)
        if body.start_frame_key is not None:
            start = float(read_array(stored, body.start_frame_key, ()))
        if body.root_transform_key is not None:
            transform = read_array(stored, body.root_transform_key, (4, 4))
            transform[:3] = np.array(TO_Z_UP[layout.camera.world_up]) @ transform[:3]
    return ClipMotion(motion, path, start, body.step or motion.framerate / fps, transform)


def amass_distance(motion: ClipMotion, joints: np.ndarray) -> float | None:
    """Returns how far AMASS's joints are from the stored ones, mm; None without the body model.

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
        """Returns the AMASS frame of each video frame.

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

    def is_moved(self) -> bool:
        """Returns whether the motion is moved in the world, which needs the body model."""
        return not np.array_equal(self.transform, np.eye(4))

    def parameters(self, frame: int) -> dict:
        """Returns parameters of a video frame, in the form of docs/FORMAT.md."""
        k = int(self.indices(np.array([frame]))[0])
        motion = self.motion
        parameters = {"pose": motion.poses[k], "shape": motion.betas, "trans": motion.trans[k]}
        if self.is_moved():
            parameters = move_body("smplh", motion.gender, parameters, self.transform)
        plain = {name: np.float32(value) for name, value in parameters.items()}
        return {"type": "smplh", "gender": motion.gender, **plain}

    def joints(self, frames: np.ndarray) -> np.ndarray:
        """Returns world joints ``[n, 52, 3]`` in millimetres of video frames.

        Raises:
            WorkError: The body model is not on disk.
        """
        k, motion = self.indices(frames), self.motion
        params = {"pose": motion.poses[k], "shape": motion.betas, "trans": motion.trans[k]}
        joints = body_joints("smplh", motion.gender, params)
        moved = joints @ self.transform[:3, :3].T + self.transform[:3, 3]
        return (1000 * moved).astype(np.float32)
