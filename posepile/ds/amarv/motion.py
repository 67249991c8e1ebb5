"""The AMASS motion that a clip shows: parameters and joints by video frame."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from posepile.bodies.amass import AmassMotion, read_amass
from posepile.bodies.models import body_joints, find_body_model, load_body_model
from posepile.ds.amarv.amass import AmassIndex
from posepile.ds.amarv.cameras import world_rotation
from posepile.ds.amarv.layout import Clip, Layout, fill
from posepile.ds.amarv.values import number, numbers, read_data
from posepile.errors import CorruptInput


def load_motion(
    root: Path, layout: Layout, clip: Clip, amass_path: str, *, amass: AmassIndex, fps: float
) -> ClipMotion:
    """Returns the AMASS motion of a clip, indexed by video frame."""
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
        """Returns parameters of a video frame, in the form of docs/FORMAT.md.

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
