"""From joints and a camera to the track of the wearer: usable frames and their boxes."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from posepile.ds.egoexo4d.annotations import JOINT_NAMES, PARTS
from posepile.ds.egoexo4d.aria import MAX_ANGLE
from posepile.geometry.pictures import box_of_points, inside, project
from posepile.recipe import Track

if TYPE_CHECKING:
    from posepile.shapes.multiview import Cameras

BOX_EXPANSION = 1.05
NO_POSE = "no pose of the glasses in this frame"
# Millimetres from the glasses to the corners of an upright column around the wearer.
WEARER = np.array([[x, y, z] for x in (-600, 600) for y in (-600, 600) for z in (200, -1750)])


def labelled_track(
    frames: np.ndarray, coords: np.ndarray, camera: Cameras, dropped: Counter, min_joints: int
) -> Track:
    """Returns the frames with enough joints in the image; the others are counted in ``dropped``.

    The box is that of the projected joints, 5 % larger and clipped to the image. Hands alone make
    no box of a person. In the ego view, where much of the body is outside the image, only the
    joints inside it count for the box, and of the wearer there may be no more than hands.
    Selection compares joints in the frame of the camera.

    Args:
        frames: Annotated frames ``[n]``.
        coords: ``[n, 61, 3]`` world millimetres.
        camera: The camera, or cameras by frame.
        dropped: Counter to add to.
        min_joints: Fewest joints, valid and inside the image; seen by a GoPro, fewest of the body.
    """
    is_ego, n = callable(camera), len(frames)
    kept, boxes, motion = np.zeros(n, bool), np.zeros((n, 4), np.float32), np.zeros_like(coords)
    for k, frame in enumerate(frames.tolist()):
        now = camera(frame) if is_ego else camera
        if now is None:
            dropped[NO_POSE] += 1
            continue
        size = now.image_shape[::-1]
        points = project(now, coords[k], MAX_ANGLE if is_ego else None)
        seen = inside(points, size)
        if np.isfinite(coords[k]).all(axis=-1).sum() < min_joints:
            dropped[f"fewer than {min_joints} joints"] += 1
        elif seen.sum() < min_joints:
            dropped[f"fewer than {min_joints} joints in the image"] += 1
        elif not is_ego and seen[PARTS["body"]].sum() < min_joints:
            dropped[f"no box of the person: fewer than {min_joints} body joints in the image"] += 1
        else:
            kept[k] = True
            boxes[k] = box_of_points(points[seen] if is_ego else points, size, BOX_EXPANSION)
            motion[k] = now.world_to_camera(coords[k].astype(np.float32))
    world = coords[kept].astype(np.float32)
    return Track(frames[kept], world_coords=world, bbox=boxes[kept], motion_coords=motion[kept])


def prediction_track(
    frames: np.ndarray, camera: Cameras, glasses: dict[int, tuple], dropped: Counter
) -> Track:
    """Returns frames without labels, for prediction: joints are all missing.

    The wearer is found by the pose of the glasses: the box is that of a person-sized column below
    them. In the ego view it is the whole image.

    Args:
        frames: Frames to take ``[n]``.
        camera: The camera, or cameras by frame.
        glasses: World-to-camera rotation and translation (metres) of the glasses by frame.
        dropped: Counter to add to.
    """
    is_ego, n = callable(camera), len(frames)
    kept, boxes = np.zeros(n, bool), np.zeros((n, 4), np.float32)
    for k, frame in enumerate(frames.tolist()):
        if frame not in glasses:
            dropped[NO_POSE] += 1
            continue
        now, (rotation, translation) = camera(frame) if is_ego else camera, glasses[frame]
        size = now.image_shape[::-1]
        outline = project(now, WEARER - 1000 * rotation.T @ translation)
        boxes[k] = box_of_points(outline, size, BOX_EXPANSION)
        if is_ego:
            boxes[k] = [-0.5, -0.5, *size]
        kept[k] = np.isfinite(boxes[k]).all()
        if not kept[k]:
            dropped["wearer outside the image"] += 1
    coords = np.full((kept.sum(), len(JOINT_NAMES), 3), np.nan, np.float32)
    # There is no pose to select by, so each frame is made to look far from all others.
    motion = np.full_like(coords, 1e6) * np.arange(len(coords))[:, None, None]
    return Track(frames[kept], world_coords=coords, bbox=boxes[kept], motion_coords=motion)
