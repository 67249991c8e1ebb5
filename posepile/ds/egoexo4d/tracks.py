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

    Cameras = deltacamera.Camera | MovingCameras  # the latter in the ego view

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
        camera: The camera.
        dropped: Counter to add to.
        min_joints: Fewest joints, valid and inside the image.
    """
    kept, boxes, motion = [], [], []
    for k, now, in_camera in posed(frames, coords, camera, dropped):
        size, points = now.image_shape[::-1], project(now, coords[k])
        if callable(camera):
            points[~aria.in_field(in_camera)] = np.nan
        seen = inside(points, size)
        if np.isfinite(coords[k]).all(axis=-1).sum() < min_joints:
            dropped[f"fewer than {min_joints} joints"] += 1
        elif seen.sum() < min_joints:
            dropped[f"fewer than {min_joints} joints in the image"] += 1
        else:
            kept.append(k)
            motion.append(in_camera)
            points = points[seen] if callable(camera) else points
            boxes.append(box_of_points(points, size, BOX_EXPANSION))
    return make_track(
        frames[kept], coords[kept], boxes, np.reshape(motion, (-1, *coords.shape[1:]))
    )


def prediction_track(
    frames: np.ndarray, camera: Cameras, wearer: dict[int, np.ndarray], dropped: Counter
) -> Track:
    """Returns frames without labels, for prediction: joints are all missing.

    The wearer is found by the pose of the glasses: the box is that of a person-sized column below
    them. In the ego view it is the whole image.

    Args:
        frames: Frames to take ``[n]``.
        camera: The camera.
        wearer: Frame -> points around the wearer, world millimetres ``[8, 3]``; gaps are missing.
        dropped: Counter to add to.
    """
    known = np.array([frame for frame in frames.tolist() if frame in wearer], np.int64)
    dropped.update([GAP] * (len(frames) - len(known)))
    outlines, kept, boxes = [wearer[frame] for frame in known.tolist()], [], []
    for k, now, _ in posed(known, outlines, camera, dropped):
        w, h = now.image_shape[::-1]
        box = np.array([-0.5, -0.5, w, h], np.float32)
        if not callable(camera):
            box = box_of_points(project(now, outlines[k]), (w, h), BOX_EXPANSION)
        if np.isnan(box).any():
            dropped["wearer outside the image"] += 1
            continue
        kept.append(k)
        boxes.append(box)
    # There is no pose to select by, so each frame is made to look far from all others.
    motion = np.arange(len(kept))[:, None, None] * np.full((1, 1, 3), 1e6)
    return make_track(
        known[kept], np.full((len(kept), len(JOINT_NAMES), 3), np.nan), boxes, motion
    )


def make_track(frames: np.ndarray, coords: np.ndarray, boxes: list, motion: np.ndarray) -> Track:
    """Returns the track of the wearer in the frames that are used."""
    bbox = np.array(boxes, np.float32).reshape(-1, 4)
    return Track(frames, world_coords=np.float32(coords), bbox=bbox, motion_coords=motion)


def posed(frames: np.ndarray, coords: np.ndarray | list, camera: Cameras, dropped: Counter):
    """Yields row, camera and points in camera axes (mm) where there is a pose of the camera."""
    for k, frame in enumerate(frames.tolist()):
        now = camera(frame) if callable(camera) else camera
        if now is None:
            dropped[GAP] += 1
        else:
            yield k, now, (coords[k] - now.t) @ np.array(now.R, np.float64).T


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
        for k, _, in_camera in posed(labels.frames, labels.coords, camera, Counter()):
            points = project_undistorted(in_camera, released, np.eye(3), np.zeros(3))
            off = np.linalg.norm(points - labels.image[k], axis=-1)
            residuals.append(off[np.isfinite(off)])
    return np.concatenate(residuals)
