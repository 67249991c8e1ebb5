"""The augmentation that a training loop writes by itself, with NumPy, OpenCV and simplejpeg.

It draws from the same ranges as ``posepile.augmentation`` and hands over the same arrays, in the
way that is known: the picture is warped at twice the size and shrunk, objects are floats. Nothing
of the package is imported. Run as a program it compares the two on one core, without a loader:

    python benchmarks/handwritten.py [--examples 300]
"""

from __future__ import annotations

import argparse
import os
import pickle
import tempfile
import time
import types
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import simplejpeg

SIDE, FILL, ZOOM, TURN, SHIFT = 256, 0.85, (0.85, 1 / 0.85), np.radians(30), 0.09
TO_LUMA = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.321], [0.211, -0.523, 0.311]])


@dataclass
class Row:
    """What such a loop keeps of an example beside its JPEG file."""

    bbox: np.ndarray
    world: np.ndarray
    rotation: np.ndarray
    center: np.ndarray
    intrinsics: np.ndarray
    up: np.ndarray
    mask: dict | None = None


def augment_by_hand(
    data: bytes,
    row: Row,
    mirror_mapping: np.ndarray,
    rng: np.random.Generator,
    occluders: list | None = None,
    backgrounds: list[str] | None = None,
    oversample: int = 2,
) -> dict[str, np.ndarray]:
    """An example as arrays of fixed shapes.

    Args:
        data: The crop's JPEG file.
        row: Its labels.
        mirror_mapping: The joint of the other side, for each.
        rng: Random numbers.
        occluders: (uint8 ``[h, w, 3]``, float32 ``[h, w]``) each; None: none.
        backgrounds: JPEG files; None: backgrounds stay. Not used without a mask.
        oversample: Pixels per side that a pixel is the mean of; 1: no anti-aliasing.
    """
    image = simplejpeg.decode_jpeg(data, "RGB")
    mirror = rng.random() < 0.5
    rotation, k = look(row, mirror, rng)
    back = row.intrinsics @ row.rotation @ rotation.T @ np.linalg.inv(k)
    picture = warp(image, back, oversample)
    mask = np.zeros((SIDE, SIDE), np.uint8)
    if row.mask is not None:
        import rlemasklib

        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        whole = rlemasklib.decode(row.mask) * np.uint8(255)
        mask = cv2.warpPerspective(whole, back, (SIDE, SIDE), flags=flags)
    if row.mask is not None and backgrounds and rng.random() < 0.7:
        share = mask[..., None].astype(np.float32) / 255
        behind = background(backgrounds, rng)
        picture = np.uint8(share * picture + (1 - share) * behind + 0.5)
    elif rng.random() < 0.5:
        fill_border(picture, back, image.shape, rng)
    if occluders and rng.random() < 0.5:
        occlude(picture, occluders, rng)
    picture = recolor(picture, rng)
    coords = (row.world - row.center) @ rotation.T
    if mirror:
        coords = coords[mirror_mapping]
    pixels = coords[:, :2] / coords[:, 2:] * k[0, 0] + k[:2, 2]
    x, y, w, h = row.bbox
    corners = np.array([[x, y, 1], [x + w, y, 1], [x + w, y + h, 1], [x, y + h, 1]])
    corners = corners @ np.linalg.inv(back).T
    corners = corners[:, :2] / corners[:, 2:]
    low, high = corners.min(axis=0), corners.max(axis=0)
    return {
        "image": picture,
        "coords3d": coords.astype(np.float32),
        "joint_mask3d": np.isfinite(coords[:, 0]),
        "coords2d": pixels.astype(np.float32),
        "joint_mask2d": np.isfinite(pixels[:, 0]),
        "intrinsics": k.astype(np.float32),
        "rotation": rotation.astype(np.float32),
        "center": row.center,
        "box": np.concatenate([low, high - low]).astype(np.float32),
        "mask": mask,
        "has_mask": np.array(row.mask is not None),
    }


def look(row: Row, mirror: bool, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rotation and intrinsics of a camera that looks at the box, shifted, rolled and zoomed."""
    x, y, w, h = row.bbox.astype(float)
    angle, radius = rng.uniform(0, 2 * np.pi), SHIFT * np.sqrt(rng.random()) * max(w, h)
    aim = np.array([x + w / 2 + radius * np.cos(angle), y + h / 2 + radius * np.sin(angle), 1])
    to_ray = row.rotation.T @ np.linalg.inv(row.intrinsics)
    forward = to_ray @ aim
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, row.up)
    right /= np.linalg.norm(right)
    upright = np.stack([right, np.cross(forward, right), forward])
    half = np.array([w / 2, 0, 0]) if w > h else np.array([0, h / 2, 0])
    ends = np.stack([aim - half, aim + half]) @ (upright @ to_ray).T
    ends = ends[:, :2] / ends[:, 2:]
    zoom = np.exp(rng.uniform(*np.log(ZOOM)))
    focal = SIDE * FILL * zoom / np.linalg.norm(ends[1] - ends[0])
    roll = rng.uniform(-TURN, TURN)
    c, s = np.cos(roll), np.sin(roll)
    rotation = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ upright
    if mirror:
        rotation[0] *= -1
    middle = (SIDE - 1) / 2
    return rotation, np.array([[focal, 0, middle], [0, focal, middle], [0, 0, 1]])


def warp(image: np.ndarray, back: np.ndarray, oversample: int) -> np.ndarray:
    """The picture, bilinear at a multiple of the size, then shrunk."""
    n = SIDE * oversample
    offset = (1 / oversample - 1) / 2
    finer = back @ np.array([[1 / oversample, 0, offset], [0, 1 / oversample, offset], [0, 0, 1]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    large = cv2.warpPerspective(image, finer, (n, n), flags=flags)
    return cv2.resize(large, (SIDE, SIDE), interpolation=cv2.INTER_AREA) if n > SIDE else large


def fill_border(picture: np.ndarray, back: np.ndarray, shape, rng: np.random.Generator) -> None:
    """One colour where the crop ends."""
    h, w = shape[:2]
    corners = np.array([[0, 0, 1], [w, 0, 1], [w, h, 1], [0, h, 1]]) - [0.5, 0.5, 0]
    seen = corners @ np.linalg.inv(back).T
    inside = np.zeros((SIDE, SIDE), np.uint8)
    cv2.fillPoly(inside, [np.int32(np.rint(seen[:, :2] / seen[:, 2:]))], 255)
    if not inside.all():
        picture[inside == 0] = rng.integers(0, 256, 3)


def background(files: list[str], rng: np.random.Generator) -> np.ndarray:
    """A photograph, enlarged by 1.2 to 1.5 and moved."""
    image = simplejpeg.decode_jpeg(Path(files[rng.integers(len(files))]).read_bytes(), "RGB")
    h, w = image.shape[:2]
    scale = SIDE / min(h, w) * rng.uniform(1.2, 1.5)
    angle, radius = rng.uniform(0, 2 * np.pi), np.sqrt(rng.random()) * 0.1 * SIDE
    x = (SIDE - scale * w) / 2 + radius * np.cos(angle)
    y = (SIDE - scale * h) / 2 + radius * np.sin(angle)
    return cv2.warpAffine(image, np.array([[scale, 0, x], [0, scale, y]]), (SIDE, SIDE))


def occlude(picture: np.ndarray, occluders: list, rng: np.random.Generator) -> None:
    """One to six objects, anywhere."""
    for _ in range(rng.integers(1, 7)):
        thing, share = occluders[rng.integers(len(occluders))]
        factor = rng.uniform(0.2, 1)
        size = [max(1, round(n * factor)) for n in share.shape[::-1]]
        thing = cv2.resize(thing, size, interpolation=cv2.INTER_AREA)
        share = cv2.resize(share, size, interpolation=cv2.INTER_AREA)
        left, top = (int(rng.uniform(0, SIDE) - n / 2) for n in size)
        x0, y0 = max(left, 0), max(top, 0)
        x1, y1 = min(left + size[0], SIDE), min(top + size[1], SIDE)
        part = picture[y0:y1, x0:x1]
        share = share[y0 - top : y1 - top, x0 - left : x1 - left, None]
        thing = thing[y0 - top : y1 - top, x0 - left : x1 - left]
        part[:] = np.uint8(share * thing + (1 - share) * part + 0.5)


def recolor(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Brightness, contrast, saturation and hue; now and then blur and compression."""
    contrast, saturation = (np.exp(rng.uniform(-1, 1) * np.log(most)) for most in (1.4, 1.6))
    hue = np.radians(rng.uniform(-12, 12))
    c, s = saturation * np.cos(hue), saturation * np.sin(hue)
    turn = np.linalg.inv(TO_LUMA) @ np.array([[1, 0, 0], [0, c, -s], [0, s, c]]) @ TO_LUMA
    offset = np.full((3, 1), (1 - contrast) * 127.5 + 255 * rng.uniform(-0.12, 0.12))
    picture = cv2.transform(picture, np.hstack([contrast * turn, offset]).astype(np.float32))
    if rng.random() < 0.1:
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.1, 1.5))
    if rng.random() < 0.2:
        data = simplejpeg.encode_jpeg(picture, int(rng.integers(30, 91)), "RGB", "420")
        picture = simplejpeg.decode_jpeg(data, "RGB")
    return picture


def make_helpers(folder: Path, n: int = 40) -> tuple[list, list[str]]:
    """Objects and photographs of about the size and detail of the official ones.

    The objects are written to ``folder / "pascal_voc_occluders.pkl"``.
    """
    rng = np.random.default_rng(7)
    occluders, files = [], []
    for i in range(n):
        noise = sum(
            cv2.resize(rng.normal(0, s, (512 // c + 2,) * 2 + (3,)).astype(np.float32), (512, 512))
            for c, s in ((120, 50), (30, 25), (8, 12), (2, 6))
        )
        picture = np.uint8(np.clip(noise + 128, 0, 255))
        files.append(str(folder / f"{i:03d}.jpg"))
        Path(files[-1]).write_bytes(simplejpeg.encode_jpeg(picture, 95, "RGB", "420"))
        h, w = rng.integers(30, 170, 2)
        share = np.zeros((h, w), np.float32)
        middle = (int(w // 2), int(h // 2))
        cv2.ellipse(share, middle, (int(w // 2 - 1), int(h // 2 - 1)), 0, 0, 360, 1, -1)
        occluders.append((np.ascontiguousarray(picture[:h, :w]), share))
    (folder / "pascal_voc_occluders.pkl").write_bytes(pickle.dumps(occluders, 3))
    return occluders, files


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--examples", type=int, default=300)
    parser.add_argument("--passes", type=int, default=3)
    args = parser.parse_args()
    import deltacamera
    import rlemasklib
    from common import report
    from loader import make_crops

    from posepile.augmentation import Augmentation, Backgrounds, Occluders
    from posepile.datasets3d import Pose3DExample
    from posepile.joint_info import JointInfo
    from posepile.store.images import decode_image

    cv2.setNumThreads(1)
    rng = np.random.default_rng(0)
    jpegs, rows, examples = make_crops(60), [], []
    for data in jpegs:
        h, w, *_ = simplejpeg.decode_jpeg_header(data)
        box = np.array([w / 2 - 85, h / 2 - 192, 170, 384], np.float32)
        k = np.array([[1500, 0, w / 2], [0, 1500, h / 2], [0, 0, 1.0]])
        turn = cv2.Rodrigues(np.array([np.pi / 2, 0, 0.0]))[0]
        world = rng.normal((0, 4000, 0), 300, (17, 3))
        mask = np.zeros((h, w), np.uint8)
        mask[h // 2 - 180 : h // 2 + 180, w // 2 - 50 : w // 2 + 50] = 1
        rle = rlemasklib.encode(mask)
        rows.append(Row(box, world, turn, np.zeros(3), k, np.array([0, 0, 1.0]), rle))
        camera = deltacamera.Camera(
            rot_world_to_cam=turn, intrinsic_matrix=k, world_up=(0, 0, 1), image_shape=(h, w)
        )
        examples.append(Pose3DExample("", world.astype(np.float32), box, camera, mask=rle))
    joints = JointInfo([f"{side}{i}" for i in range(8) for side in "lr"] + ["pelv"])
    mapping = np.array(joints.mirror_mapping)
    with tempfile.TemporaryDirectory() as folder:
        occluders, files = make_helpers(Path(folder))
        ours = {}
        for case in ("all", "own backgrounds"):
            replaceable = case == "all"
            ours[case] = Augmentation(
                None,
                joints,
                Backgrounds(files),
                Occluders(Path(folder, "pascal_voc_occluders.pkl")),
                replaceable=replaceable,
            )

        def by_hand(i, case, oversample):
            n = i % len(jpegs)
            behind = files if case == "all" else None
            rng = np.random.default_rng(i)
            augment_by_hand(jpegs[n], rows[n], mapping, rng, occluders, behind, oversample)

        def by_us(i, case):
            n = i % len(jpegs)
            examples[n].image = decode_image(jpegs[n])
            draw = types.SimpleNamespace(index=i, epoch=0, rng=np.random.default_rng(i))
            ours[case](examples[n], draw)
            examples[n].image = None

        def seconds(function, *what):
            start = time.process_time()
            for i in range(args.examples):
                function(i, *what)
            return (time.process_time() - start) / args.examples

        for case in ("all", "own backgrounds"):
            runs = [(by_us, case), (by_hand, case, 2), (by_hand, case, 1)]
            best = [np.inf] * len(runs)
            for _ in range(args.passes + 1):
                for k, run in enumerate(runs):
                    best[k] = min(best[k], seconds(*run))
            for k, name in ((1, "by hand"), (2, "by hand without anti-aliasing")):
                what = f"augmentation to 256x256 with decoding, {case}, against {name}"
                report("handwritten", what, "1/s", 1 / best[0], 1 / best[k])


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
