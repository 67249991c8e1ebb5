"""From joints and a camera to the track of the wearer: usable frames and their boxes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from posepile.ds.egoexo4d import aria
from posepile.ds.egoexo4d.annotations import JOINT_NAMES
from posepile.geometry.pictures import box_of_points, inside, project
from posepile.recipe import Track

if TYPE_CHECKING:
    import deltacamera

BOX_EXPANSION = 1.05


def labelled_track(
    frames: np.ndarray,
    coords: np.ndarray,
    camera: deltacamera.Camera | aria.AriaCameras,
    dropped: Counter,
    min_joints: int,
) -> Track:
    """Returns the frames with enough joints in the image; the others are counted in ``dropped``.

    The box is that of the projected joints, 5 % larger and clipped to the image. In the ego view,
    where much of the body is outside the image, only the joints inside it count for the box.
    Selection compares joints in the frame of the camera.

    Args:
        frames: Annotated frames ``[n]``.
        coords: ``[n, 61, 3]`` world millimetres.
        camera: The camera, or cameras by frame.
        dropped: Counter to add to.
        min_joints: Fewest joints, valid and inside the image.
    """
    kept, boxes, motion = [], [], []
    is_ego = callable(camera)
    for k, frame in enumerate(frames):
        now = camera(int(frame)) if is_ego else camera
        if now is None:
            dropped["no pose of the glasses in this frame"] += 1
            continue
        in_camera = (coords[k] - now.t) @ np.array(now.R, np.float64).T
        points = project(now, coords[k])
        if is_ego:
            points[~aria.in_field(in_camera)] = np.nan
        h, w = now.image_shape
        seen = inside(points, (w, h))
        if np.isfinite(coords[k]).all(axis=-1).sum() < min_joints:
            dropped[f"fewer than {min_joints} joints"] += 1
        elif seen.sum() < min_joints:
            dropped[f"fewer than {min_joints} joints in the image"] += 1
        else:
            kept.append(k)
            box_points = points[seen] if is_ego else points
            boxes.append(box_of_points(box_points, (w, h), BOX_EXPANSION))
            motion.append(in_camera)
    return Track(
        np.asarray(frames)[kept],
        world_coords=coords[kept].astype(np.float32),
        bbox=np.array(boxes, np.float32).reshape(-1, 4),
        motion_coords=np.array(motion).reshape(-1, len(JOINT_NAMES), 3),
    )


def prediction_track(
    frames: np.ndarray,
    camera: deltacamera.Camera | aria.AriaCameras,
    wearer: Callable[[int], np.ndarray | None] | None,
    dropped: Counter,
) -> Track:
    """Returns frames without labels, for prediction: joints are all missing.

    The wearer is found by the pose of the glasses: the box is that of a person-sized column below
    them. In the ego view it is the whole image.

    Args:
        frames: Frames to take ``[n]``.
        camera: The camera, or cameras by frame.
        wearer: Frame -> points around the wearer, world millimetres; None for the ego view.
        dropped: Counter to add to.
    """
    kept, boxes = [], []
    for frame in frames.tolist():
        now = camera(frame) if callable(camera) else camera
        outline = None if wearer is None else wearer(frame)
        if now is None or (wearer is not None and outline is None):
            dropped["no pose of the glasses in this frame"] += 1
            continue
        h, w = now.image_shape
        box = np.array([-0.5, -0.5, w, h], np.float32)
        if outline is not None:
            points = project(now, outline)
            box = box_of_points(points, (w, h), BOX_EXPANSION)
            if np.isnan(box).any():
                dropped["wearer outside the image"] += 1
                continue
        kept.append(frame)
        boxes.append(box)
    n = len(kept)
    # There is no pose to select by, so each frame is made to look far from all others.
    motion = np.arange(n)[:, None, None] * np.full((1, 1, 3), 1e6)
    return Track(
        np.array(kept, np.int64),
        world_coords=np.full((n, len(JOINT_NAMES), 3), np.nan, np.float32),
        bbox=np.array(boxes, np.float32).reshape(-1, 4),
        motion_coords=motion,
    )
