"""From joints and a camera to the track of the wearer: usable frames and their boxes."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from posepile.ds.egoexo4d import aria
from posepile.ds.egoexo4d.annotations import JOINT_NAMES, Labels
from posepile.ds.egoexo4d.cameras import project_undistorted
from posepile.geometry.cameras import MovingCameras
from posepile.geometry.pictures import box_of_points, inside, project
from posepile.recipe import Track

if TYPE_CHECKING:
    import deltacamera

    Cameras = deltacamera.Camera | MovingCameras

BOX_EXPANSION = 1.05
GAP = "no pose of the glasses in this frame"


def labelled_track(
    frames: np.ndarray, coords: np.ndarray, camera: Cameras, dropped: Counter, min_joints: int
) -> Track:
    """Returns the frames with enough joints in the image; the others are counted in ``dropped``.

    The box is that of the projected joints, 5 % larger and clipped to the image. In the ego view,
    where much of the body is outside the image, only the joints inside it count for the box.
    Selection compares joints in the frame of the camera.

    Args:
        frames: Annotated frames ``[n]``.
        coords: ``[n, 61, 3]`` world millimetres.
        camera: The camera, or cameras by frame in the ego view.
        dropped: Counter to add to.
        min_joints: Fewest joints, valid and inside the image.
    """
    kept, boxes, motion = [], [], []
    for k, frame in enumerate(frames):
        now = camera_at(camera, frame)
        if now is None:
            dropped[GAP] += 1
            continue
        in_camera = (coords[k] - now.t) @ np.array(now.R, np.float64).T
        points = project(now, coords[k])
        if callable(camera):
            points[~aria.in_field(in_camera)] = np.nan
        h, w = now.image_shape
        seen = inside(points, (w, h))
        if np.isfinite(coords[k]).all(axis=-1).sum() < min_joints:
            dropped[f"fewer than {min_joints} joints"] += 1
        elif seen.sum() < min_joints:
            dropped[f"fewer than {min_joints} joints in the image"] += 1
        else:
            kept.append(k)
            box_points = points[seen] if callable(camera) else points
            boxes.append(box_of_points(box_points, (w, h), BOX_EXPANSION))
            motion.append(in_camera)
    motion_coords = np.array(motion).reshape(-1, len(JOINT_NAMES), 3)
    return make_track(frames[kept], coords[kept], boxes, motion_coords)


def prediction_track(
    frames: np.ndarray, camera: Cameras, wearer: dict[int, np.ndarray], dropped: Counter
) -> Track:
    """Returns frames without labels, for prediction: joints are all missing.

    The wearer is found by the pose of the glasses: the box is that of a person-sized column below
    them. In the ego view it is the whole image.

    Args:
        frames: Frames to take ``[n]``.
        camera: The camera, or cameras by frame in the ego view.
        wearer: Frame -> points around the wearer, world millimetres.
        dropped: Counter to add to.
    """
    kept, boxes = [], []
    for frame in frames.tolist():
        now = camera_at(camera, frame)
        if now is None or frame not in wearer:
            dropped[GAP] += 1
            continue
        h, w = now.image_shape
        box = np.array([-0.5, -0.5, w, h], np.float32)
        if not callable(camera):
            box = box_of_points(project(now, wearer[frame]), (w, h), BOX_EXPANSION)
        if np.isnan(box).any():
            dropped["wearer outside the image"] += 1
            continue
        kept.append(frame)
        boxes.append(box)
    # There is no pose to select by, so each frame is made to look far from all others.
    motion = np.arange(len(kept))[:, None, None] * np.full((1, 1, 3), 1e6)
    coords = np.full((len(kept), len(JOINT_NAMES), 3), np.nan)
    return make_track(np.array(kept, np.int64), coords, boxes, motion)


def make_track(frames: np.ndarray, coords: np.ndarray, boxes: list, motion: np.ndarray) -> Track:
    """Returns the track of the wearer in the frames that are used."""
    bbox = np.array(boxes, np.float32).reshape(-1, 4)
    return Track(frames, world_coords=np.float32(coords), bbox=bbox, motion_coords=motion)


def camera_at(camera: Cameras, frame: int) -> deltacamera.Camera | None:
    """Returns the camera of a frame, None in a gap of the glasses' trajectory."""
    return camera(int(frame)) if callable(camera) else camera


def reprojection_residuals(
    files: list[Labels], released: np.ndarray, camera: Cameras
) -> np.ndarray:
    """Returns how far 2D labels are from their projected 3D labels, undistorted pixels ``[n]``.

    Args:
        files: With the 2D labels of this camera.
        released: Matrix of the undistorted image ``[3, 3]``.
        camera: Of which the pose is used.
    """
    residuals = [np.empty(0)]
    for labels in files:
        for frame, coords, image in zip(labels.frames, labels.coords, labels.image, strict=True):
            now = camera_at(camera, frame)
            if now is not None:
                rotation = np.array(now.R, np.float64)
                points = project_undistorted(coords, released, rotation, -rotation @ now.t / 1000)
                off = np.linalg.norm(points - image, axis=-1)
                residuals.append(off[np.isfinite(off)])
    return np.concatenate(residuals)
