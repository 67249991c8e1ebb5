"""Faults that a recipe could have, planted one at a time for the contract test to see.

Most change the sequences that ``load_unit`` returns, as a mistake in the reader would; some change
the list of units, the chosen boxes or the stored pictures.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from posepile.recipe import SPLITS, DatasetSpec, Sequence, Stills, Track, Unit

SHIFT_PX = 3.0  # of the stored crop


@dataclass(frozen=True)
class Planting:
    """What a fault may know of the dataset.

    Attributes:
        spec: Facts of the dataset.
        config: Parameters of its run, as in the manifest.
        drawn: Indices of the joints that have a disc; all where none has.
    """

    spec: DatasetSpec
    config: dict[str, Any]
    drawn: list[int]


@dataclass(frozen=True)
class Fault:
    """One kind of fault. Each of the functions returns how many places it changed.

    Attributes:
        name: What is wrong.
        absent: What is absent where the fault changes nothing.
        sequence: Changes a sequence in place.
        units: Returns changed units.
        boxes: Changes the boxes of the people of one frame, a list, in place.
        picture: Returns a changed crop.
    """

    name: str
    absent: str
    sequence: Callable[[Planting, Sequence], int] | None = None
    units: Callable[[list[Unit]], tuple[list[Unit], int]] | None = None
    boxes: Callable[[list], int] | None = None
    picture: Callable[[np.ndarray], np.ndarray] | None = None


# ---------------------------------------------------------------- joints


def shift_joints(planting: Planting, sequence: Sequence) -> int:
    """Moves all joints to the right by 3 px of the stored crop."""
    crop, box = planting.config["crop"], planting.config["box"]
    n = 0
    for track in sequence.tracks:
        moved_world, moved_image = _copy(track.world_coords), _copy(track.image_coords)
        for k, frame in enumerate(map(int, track.frames)):
            camera = camera_at(sequence, frame)
            points = None
            if moved_image is not None:
                points = track.image_coords[k]
            elif moved_world is not None and camera is not None:
                points = camera.world_to_image(np.asarray(track.world_coords[k], np.float32))
            if points is None or not np.isfinite(points).all(axis=1).any():
                continue
            side = _side(track, k, points) * box["expand"]
            scale = min(crop["max_scale"], crop["margin"] * crop["target"] / side)
            if moved_image is not None:
                moved_image[k, :, 0] += SHIFT_PX / scale
            else:
                right, forward = np.asarray(camera.R, float)[[0, 2]]
                depth = (track.world_coords[k] - np.asarray(camera.t, float)) @ forward
                focal = float(camera.intrinsic_matrix[0, 0])
                moved_world[k] += (SHIFT_PX / scale / focal * depth)[:, None] * right
            n += 1
        _keep_selection(track)
        track.world_coords, track.image_coords = moved_world, moved_image
    return n


def _side(track: Track, k: int, points: np.ndarray) -> float:
    box = None if track.bbox is None else np.asarray(track.bbox[k], float)
    if box is None or not np.isfinite(box).all() or max(box[2:]) <= 0:
        known = points[np.isfinite(points).all(axis=1)]
        return float(max(np.ptp(known, axis=0).max(), 1.0))
    return float(max(box[2:]))


def swap_sides(planting: Planting, sequence: Sequence) -> int:
    """Exchanges left and right joints."""
    mapping = np.asarray(planting.spec.joint_info.mirror_mapping, int)
    if not len(mapping) or (mapping == np.arange(len(mapping))).all():
        return 0
    return _reorder(sequence, mapping)


def permute_joints(planting: Planting, sequence: Sequence) -> int:
    """Exchanges two joints that are no mirror pair, e.g. two neighbours of an arm."""
    mapping = planting.spec.joint_info.mirror_mapping
    pairs = [
        (a, b) for a, b in zip(planting.drawn, planting.drawn[1:], strict=False) if mapping[a] != b
    ]
    if not pairs:
        return 0
    order = np.arange(planting.spec.joint_info.n_joints)
    a, b = pairs[0]
    order[[a, b]] = b, a
    return _reorder(sequence, order)


def _reorder(sequence: Sequence, order: np.ndarray) -> int:
    n = 0
    for track in sequence.tracks:
        _keep_selection(track)
        for name in ("world_coords", "image_coords"):
            coords = getattr(track, name)
            if coords is not None and len(coords):
                setattr(track, name, np.asarray(coords)[:, order])
                n += 1
    return n


def _keep_selection(track: Track) -> None:
    """Has frames be chosen by the true poses, so that counts do not tell."""
    if track.motion_coords is None and track.world_coords is not None:
        track.motion_coords = np.array(track.world_coords)


def use_metres(planting: Planting, sequence: Sequence) -> int:
    """Leaves joints and cameras in metres; so the joints still fall on the drawn person."""
    n = 0
    for track in sequence.tracks:
        if track.world_coords is not None and len(track.world_coords):
            _keep_selection(track)
            track.world_coords = np.asarray(track.world_coords) / 1000
            n += 1
    if n and sequence.camera is not None:
        change_camera(sequence, lambda c: c.copy(optical_center=np.asarray(c.t, float) / 1000))
    return n


# ---------------------------------------------------------------- cameras


def invert_cameras(planting: Planting, sequence: Sequence) -> int:
    """Takes camera-to-world matrices for world-to-camera ones, or the other way."""
    if planting.spec.kind == "2d" or sequence.camera is None:
        return 0
    if not callable(sequence.camera) and _is_own_inverse(sequence.camera):
        return 0

    def inverted(c):
        rotation = np.asarray(c.R, float)
        return c.copy(rot_world_to_cam=rotation.T, optical_center=-rotation @ np.asarray(c.t))

    frames = [int(frame) for track in sequence.tracks for frame in track.frames]
    cameras = [c for frame in frames if (c := camera_at(sequence, frame)) is not None]
    if all(np.array_equal(c.R, np.eye(3)) and not np.any(c.t) for c in cameras):
        return 0  # the world is that of the camera
    return change_camera(sequence, inverted)


def _is_own_inverse(camera: Any) -> bool:
    """Whether the world's axes are those of the camera."""
    return np.allclose(camera.R, np.eye(3)) and not np.any(camera.t)


def drop_distortion(planting: Planting, sequence: Sequence) -> int:
    """Forgets the lens distortion, unless picture and joints are cropped by the same camera."""
    if planting.spec.kind == "2d":
        return 0
    frames = [int(f) for track in sequence.tracks for f in track.frames[:1]]
    cameras = [camera_at(sequence, f) for f in frames]
    if not any(c is not None and c.has_distortion() for c in cameras):
        return 0
    return change_camera(sequence, lambda c: c.copy(distortion_model=None))


def camera_at(sequence: Sequence, frame: int) -> Any:
    """Returns the camera of a frame, None if there is none."""
    return sequence.camera(frame) if callable(sequence.camera) else sequence.camera


def change_camera(sequence: Sequence, change: Callable[[Any], Any]) -> int:
    """Puts a changed camera in place of every camera of a sequence."""
    original = sequence.camera
    if callable(original):

        def changed(frame):
            camera = original(frame)
            return None if camera is None else change(camera)

        sequence.camera = changed
    else:
        sequence.camera = change(original)
    return 1


# ---------------------------------------------------------------- frames and people


def show_the_next_frame(planting: Planting, sequence: Sequence) -> int:
    """Reads the picture after the one that annotations and names are of."""
    if isinstance(sequence.frames, Stills):
        if len(sequence.frames.paths) < 2:
            return 0
        rows = {name: getattr(sequence.frames, name) for name in ("paths", "sizes", "spans")}
        rows = {name: (*row[1:], row[0]) for name, row in rows.items() if row is not None}
        sequence.frames = dataclasses.replace(sequence.frames, **rows)
        return 1
    last = max((int(t.frames[-1]) for t in sequence.tracks if len(t.frames)), default=-1)
    if last < 1:
        return 0
    n_frames = sequence.frames.n_frames
    for i, track in enumerate(sequence.tracks):
        frames = np.asarray(track.frames)
        # There is no picture after the last one.
        stays = np.flatnonzero(frames + 1 < (last + 1 if n_frames is None else n_frames))
        sequence.tracks[i] = dataclasses.replace(picked(track, stays), frames=frames[stays] + 1)
    name, camera = sequence.image_name, sequence.camera
    sequence.image_name = lambda frame, person: name(frame - 1, person)
    if callable(camera):
        sequence.camera = lambda frame: camera(frame - 1)
    return 1


def take_anothers_mask(planting: Planting, sequence: Sequence) -> int:
    """Gives people the mask of the next person in the same picture.

    Where nobody else is in the picture, that of somebody made up who stands beside them.
    """
    originals = [(t.mask, {int(f): k for k, f in enumerate(t.frames)}) for t in sequence.tracks]
    n = 0
    for i, track in enumerate(sequence.tracks):
        if track.mask is not None:
            track.mask = _anothers(track, originals[i + 1 :] + originals[:i])
            n += len(track.frames)
    return n


def _anothers(track: Track, others: list) -> Callable[[int], dict | None]:
    own, frames = track.mask, [int(f) for f in track.frames]

    def mask(k):
        for other, at in others:
            found = None if other is None or frames[k] not in at else other(at[frames[k]])
            if found is not None:
                return found
        return _beside(own(k))

    return mask


def _beside(mask: dict | None) -> dict | None:
    """Returns a mask moved sideways by its own width."""
    import rlemasklib

    if mask is None:
        return None
    pixels = rlemasklib.decode(mask)
    columns = np.flatnonzero(pixels.any(axis=0))
    width = int(np.ptp(columns)) + 1 if len(columns) else 0
    return rlemasklib.encode(np.ascontiguousarray(np.roll(pixels, width, axis=1)))


def picked(track: Track, positions: np.ndarray) -> Track:
    """Returns a track of some of the annotated frames of another one."""
    positions = np.asarray(positions, int)

    def through(function):
        return None if function is None else lambda k: function(int(positions[k]))

    def rows(array):
        return None if array is None else np.array([array[int(k)] for k in positions])

    def labels(given):
        return [given[k] for k in positions] if isinstance(given, list) else given

    arrays = ("world_coords", "image_coords", "bbox", "motion_coords", "hidden")
    functions = ("mask", "parameters", "densepose", "unusable")
    return dataclasses.replace(
        track,
        frames=np.asarray(track.frames)[positions],
        activity=labels(track.activity),
        note=labels(track.note),
        **{name: rows(getattr(track, name)) for name in arrays},
        **{name: through(getattr(track, name)) for name in functions},
    )


# ---------------------------------------------------------------- boxes, pictures, units


def take_anothers_box(boxes: list) -> int:
    """Gives people the box of the next person in the same picture.

    Where nobody else is in the picture, that of somebody made up who stands beside them.
    """
    known = [i for i, box in enumerate(boxes) if box is not None]
    values = [boxes[i] for i in known]
    for i, value in zip(known, [*values[1:], *values[:1]], strict=True):
        boxes[i] = value
    if len(known) == 1:
        x, _, width, _ = values[0]
        side = -1 if x >= width else 1
        boxes[known[0]] = values[0] + np.array([side * width, 0, 0, 0], np.float32)
    return len(known)


def resize_boxes(boxes: list, size: Callable[[np.ndarray], Any]) -> int:
    """Resizes boxes about their middle."""
    for i, box in enumerate(boxes):
        if box is not None:
            new = np.broadcast_to(size(box[2:]), 2)
            boxes[i] = np.concatenate([box[:2] + (box[2:] - new) / 2, new]).astype(np.float32)
    return sum(box is not None for box in boxes)


def move_a_unit(units: list[Unit]) -> tuple[list[Unit], int]:
    """Puts one unit into another split."""
    first = min(units, key=lambda unit: (not unit.inputs, unit.id))
    other = SPLITS[(SPLITS.index(first.split) + 1) % len(SPLITS)]
    return [dataclasses.replace(u, split=other) if u is first else u for u in units], 1


def stop_halfway(planting: Planting, sequence: Sequence) -> int:
    """Leaves out the second half of the frames, or of the people where all have one frame."""
    n = 0
    for i, track in enumerate(sequence.tracks):
        if len(track.frames) > 1:
            sequence.tracks[i] = picked(track, np.arange(len(track.frames) // 2))
            n += 1
    if not n:
        n = len(sequence.tracks) // 2
        sequence.tracks = sequence.tracks[n:]
    return n


FAULTS: tuple[Fault, ...] = (
    Fault("joints shifted by 3 px", "no joints", shift_joints),
    Fault("left and right swapped", "no joints with sides", swap_sides),
    Fault("joint order permuted", "no joints", permute_joints),
    Fault("metres for millimetres", "no world", use_metres),
    Fault("camera-to-world for world-to-camera", "no camera with a pose", invert_cameras),
    Fault("distortion dropped", "no distortion", drop_distortion),
    Fault("frame off by one", "single pictures", show_the_next_frame),
    Fault("mask of another person", "no masks", take_anothers_mask),
    Fault("box of another person", "no boxes", boxes=take_anothers_box),
    Fault("box 1x1", "no boxes", boxes=lambda b: resize_boxes(b, lambda size: 1.0)),
    Fault(
        "box twice too large", "no boxes", boxes=lambda b: resize_boxes(b, lambda size: 2 * size)
    ),
    Fault("picture mirrored", "no pictures", picture=lambda image: image[:, ::-1]),
    Fault("wrong split", "no units", units=move_a_unit),
    Fault("half of the examples missing", "single examples", stop_halfway),
)


def _copy(array: np.ndarray | None) -> np.ndarray | None:
    return None if array is None else np.array(array)
