"""Made-up recordings of people who walk about, as arrays: joints, cameras, masks; no pictures.

Several cameras see each recording; each example is a crop with a camera of its own that looks at
the person, as in a packed dataset. Masks are drawn around the true joints and are not exact.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import cv2
import deltacamera
import numpy as np
import rlemasklib

from posepile.joint_info import JointInfo
from posepile.recipe import DatasetSpec
from posepile.store import packing
from posepile.store.codec import Record
from posepile.store.parts import PartWriter

NAMES = (
    "pelv,lhip,rhip,lkne,rkne,lank,rank,ltoe,rtoe,neck,head,htop,nose,"
    "lsho,rsho,lelb,relb,lwri,rwri"
)
JOINTS = JointInfo(
    NAMES, "pelv-lhip-lkne-lank-ltoe,pelv-neck-head-htop,head-nose,neck-lsho-lelb-lwri"
)
INDEX = {name: i for i, name in enumerate(NAMES.split(","))}
SWAP = np.array(
    [INDEX[{"l": "r", "r": "l"}.get(n[0], n[0]) + n[1:]] if n[0] in "lr" else INDEX[n]
     for n in INDEX]
)  # fmt: skip
SPEC = DatasetSpec(
    "walkers",
    JOINTS,
    "walkers_downscaled",
    world_up=(0, 0, 1),
    citation="none",
    sequence_names=r"(?P<subject>S[0-9]+)/(?P<motion>[^/]+)/(?P<view>[^/]+)",
)
SIDE = 320


@dataclass
class Recording:
    """One camera's part of a recording.

    Attributes:
        name: Id of the sequence.
        frames: ``[n]``.
        world: ``[n, J, 3]`` millimetres.
        cameras: ``[n, 24]``.
        boxes: ``[n, 4]``.
        masks: RLE of each.
        person: The walker, called with times in frames, gives joints.
    """

    name: str
    frames: np.ndarray
    world: np.ndarray
    cameras: np.ndarray
    boxes: np.ndarray
    masks: list
    person: object


def walker(seed: int, stature: float):
    """Returns a function from times in frames to joints ``[n, J, 3]``, z up, 25 frames/s."""
    rng = np.random.default_rng(seed)
    phases, speeds = rng.uniform(0, 2 * np.pi, 12), rng.uniform(0.6, 1.4, 12)

    def slow(k, t, low, high):
        return low + (high - low) * (0.5 + 0.5 * np.sin(0.02 * speeds[k] * t + phases[k]))

    def pose(t):
        t = np.asarray(t, np.float64)
        h, n = stature, len(t)
        heading = 2.5 * np.sin(0.012 * speeds[0] * t + phases[0]) + 0.01 * speeds[1] * t
        ahead = np.stack([np.cos(heading), np.sin(heading), 0 * t], axis=-1)
        left = np.stack([-np.sin(heading), np.cos(heading), 0 * t], axis=-1)
        up = np.broadcast_to([0.0, 0, 1], (n, 3))
        step = 0.25 * speeds[2] * t + phases[2]
        crouch = slow(3, t, 0.0, 0.9)
        place = np.stack(
            [1400 * np.sin(0.011 * speeds[4] * t + phases[4]),
             1400 * np.sin(0.013 * speeds[5] * t + phases[5]), 0 * t], axis=-1,
        )  # fmt: skip
        out = np.empty((n, len(INDEX), 3))

        def turned(angle, down=-up):
            return np.cos(angle)[:, None] * down + np.sin(angle)[:, None] * ahead

        def put(name, value):
            out[:, INDEX[name]] = value

        pelvis = place + up * (h * 0.53 - 40 - 0.12 * h * crouch**2)[:, None]
        put("pelv", pelvis)
        lean = -0.1 - 0.5 * crouch
        trunk = np.cos(lean)[:, None] * up - np.sin(lean)[:, None] * ahead
        neck = pelvis + 0.29 * h * trunk
        put("neck", neck)
        put("head", neck + 0.07 * h * up)
        put("htop", neck + 0.17 * h * up)
        put("nose", neck + 0.085 * h * up + 0.07 * h * ahead)
        for side, sign in (("l", 1), ("r", -1)):
            swing = 0.45 * sign * np.sin(step)
            thigh = swing + 0.9 * crouch
            bend = 0.25 + 0.5 * np.maximum(0, -sign * np.cos(step)) + 1.1 * crouch
            hip = pelvis + sign * 0.055 * h * left
            knee = hip + 0.245 * h * turned(thigh)
            ankle = knee + 0.246 * h * turned(thigh - bend)
            put(side + "hip", hip)
            put(side + "kne", knee)
            put(side + "ank", ankle)
            put(side + "toe", ankle + 0.09 * h * ahead - 0.02 * h * up)
            shoulder = neck + sign * 0.11 * h * left - 0.02 * h * up
            raised = slow(6 + (sign > 0), t, 0.1, 2.2)
            out_ = np.cos(raised)[:, None] * turned(-swing) + np.sin(raised)[:, None] * sign * left
            fore = slow(8 + (sign > 0), t, 0.1, 1.6)[:, None]
            elbow = shoulder + 0.186 * h * out_
            fore = np.cos(fore) * out_ + np.sin(fore) * ahead
            wrist = elbow + 0.146 * h * fore / np.linalg.norm(fore, axis=1, keepdims=True)
            put(side + "sho", shoulder)
            put(side + "elb", elbow)
            put(side + "wri", wrist)
        return out

    return pose


def looking_at(eye: np.ndarray, target: np.ndarray, size: float) -> np.ndarray:
    """Returns numbers of cameras that see a target in the middle, so many millimetres wide."""
    ahead = target - eye
    distance = np.linalg.norm(ahead, axis=-1, keepdims=True)
    z = ahead / distance
    x = np.cross(z, [0.0, 0, 1])
    x /= np.linalg.norm(x, axis=-1, keepdims=True)
    y = np.cross(z, x)
    rows = np.zeros((len(target), 24))
    rows[:, :9] = np.stack([x, y, z], axis=1).reshape(-1, 9)
    rows[:, 9] = rows[:, 13] = SIDE * distance[:, 0] / size
    rows[:, 11] = rows[:, 14] = (SIDE - 1) / 2
    rows[:, 17] = 1
    rows[:, 18:21] = eye
    rows[:, 23] = 1
    return rows


def project(cameras: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Returns pixels ``[n, J, 2]``."""
    rotations, intrinsics = np.moveaxis(cameras[:, :18].reshape(-1, 2, 3, 3), 1, 0)
    seen = np.einsum("nab,njb->nja", rotations, points - cameras[:, None, 18:21])
    return np.einsum("nab,njb->nja", intrinsics, seen / seen[..., 2:])[..., :2]


_LIMBS = [
    (INDEX[a], INDEX[b], width)
    for side in "lr"
    for a, b, width in (
        (side + "hip", side + "kne", 75), (side + "kne", side + "ank", 52),
        (side + "ank", side + "toe", 45), (side + "sho", side + "elb", 48),
        (side + "elb", side + "wri", 38), (side + "sho", "neck", 60),
        (side + "sho", "r" * (side == "l") + "l" * (side == "r") + "hip", 90),
        (side + "sho", side + "hip", 90),
    )
]  # fmt: skip


def draw_mask(pixels: np.ndarray, scale: float, rng: np.random.Generator) -> dict:
    """Returns the mask of a figure, RLE; its limbs are thicker or thinner than they should be."""
    picture = np.zeros((SIDE, SIDE), np.uint8)
    places = np.rint((pixels + rng.normal(0, 1.0, 2)) * 16).astype(int)
    thick = rng.uniform(0.85, 1.2, len(_LIMBS))
    for (a, b, width), k in zip(_LIMBS, thick, strict=True):
        n = max(1, int(2 * width * scale * k))
        cv2.line(picture, tuple(places[a]), tuple(places[b]), 1, n, cv2.LINE_8, 4)
    head = tuple(((places[INDEX["head"]] + places[INDEX["htop"]]) / 2).astype(int))
    cv2.circle(picture, head, int(16 * 110 * scale), 1, -1, cv2.LINE_8, 4)
    return rlemasklib.encode(picture)


def record(
    name: str, seed: int, stature: float, views: int, n: int, step: int = 3
) -> list[Recording]:
    """Returns a recording as several cameras see it."""
    person, rng = walker(seed, stature), np.random.default_rng(seed)
    frames = 10 + np.cumsum(rng.integers(1, 2 * step, n))
    true = person(frames)
    world = (true + rng.normal(0, 4, true.shape)).astype(np.float32)
    result = []
    for view in range(views):
        angle = 2 * np.pi * view / views + 0.3
        eye = np.array([4500 * np.cos(angle), 4500 * np.sin(angle), 1500.0])
        middle = (true.min(axis=1) + true.max(axis=1)) / 2
        cameras = looking_at(eye, middle, 2600.0)
        pixels = project(cameras, true)
        low, high = pixels.min(axis=1) - 8, pixels.max(axis=1) + 8
        boxes = np.concatenate([low, high - low], axis=1) + rng.normal(0, 2, (n, 4))
        masks = [draw_mask(p, SIDE / 2600.0, rng) for p in pixels]
        result.append(
            Recording(f"{name}/cam{view}", frames, world.copy(), cameras, boxes, masks, person)
        )
    return result


def made_up(n: int = 400, views: int = 4, recordings: int = 6) -> list[Recording]:
    """Returns recordings of three people."""
    statures = (1620.0, 1750.0, 1860.0)
    result = []
    for k in range(recordings):
        who = k % len(statures)
        result += record(f"S{who}/walk{k}", 100 + k, statures[who], views, n)
    return result


def pack(recordings: list[Recording], path, jpeg: bytes) -> None:
    """Packs recordings as a dataset; all examples have the same picture."""
    parts = []
    for recording in recordings:
        part = path.parent / "parts" / f"{recording.name.replace('/', '-')}.part"
        part.parent.mkdir(parents=True, exist_ok=True)
        with PartWriter(part) as writer:
            for i, frame in enumerate(recording.frames.tolist()):
                row = recording.cameras[i]
                camera = deltacamera.Camera(
                    rot_world_to_cam=row[:9].reshape(3, 3),
                    intrinsic_matrix=row[9:18].reshape(3, 3),
                    optical_center=row[18:21],
                    world_up=row[21:],
                    image_shape=(SIDE, SIDE),
                )
                writer.add(
                    Record(
                        image_path=f"{SPEC.image_dir}/{recording.name}/{frame:06d}.jpg",
                        split="train",
                        bbox=recording.boxes[i].astype(np.float32),
                        imshape=(SIDE, SIDE),
                        frame=frame,
                        person=0,
                        sequence=recording.name,
                        track=0,
                        world_coords=recording.world[i],
                        camera=camera,
                        mask=recording.masks[i],
                    ),
                    jpeg,
                )
        parts.append(part)
    packing.pack(parts, path, SPEC, {})


def swapped(recording: Recording, where=slice(None)) -> None:
    """Exchanges left and right."""
    recording.world[where] = recording.world[where][:, SWAP]


def shifted(recording: Recording, pixels: float) -> None:
    """Moves where the camera sees everything to the right."""
    recording.cameras[:, 11] += pixels


def scaled(recording: Recording, factor: float) -> None:
    """Makes the world larger, cameras and all; pictures stay as they are."""
    recording.world *= np.float32(factor)
    recording.cameras[:, 18:21] *= factor


def mirrored(recording: Recording) -> None:
    """Mirrors the pictures, and so masks and boxes."""
    recording.masks[:] = [
        rlemasklib.encode(np.ascontiguousarray(rlemasklib.decode(mask)[:, ::-1]))
        for mask in recording.masks
    ]
    recording.boxes[:, 0] = SIDE - 1 - recording.boxes[:, 0] - recording.boxes[:, 2]


def late(recording: Recording, by: int) -> None:
    """Gives each picture the joints of a later frame."""
    recording.world[:] = recording.person(recording.frames + by)


def copied(recordings: list[Recording]) -> list[Recording]:
    """Returns recordings that can be changed without changing those."""
    return [
        Recording(
            r.name,
            r.frames,
            r.world.copy(),
            r.cameras.copy(),
            r.boxes.copy(),
            copy.copy(r.masks),
            r.person,
        )
        for r in recordings
    ]
