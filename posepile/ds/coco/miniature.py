"""A tiny COCO 2017 in the official layout, readable by pycocotools.

Between four photographs: people fully visible, half labelled, hidden in part, tiny, without key
points; masks as polygons, as plain and as compressed RLE; a crowd region; nobody at all.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from posepile.miniature import actor, rig, writers
from posepile.miniature.shoot import Actor, Backdrop, shoot
from posepile.miniature.skeleton import make_figure
from posepile.miniature.truth import SequenceTruth, make_truth, write_truth

JOINTS = (
    "nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow "
    "right_elbow left_wrist right_wrist left_hip right_hip left_knee right_knee left_ankle "
    "right_ankle"
).split()
NAMES = [name if name == "nose" else name[0] + name.split("_")[1][:3] for name in JOINTS]
# Official pairs, 1-based
SKELETON = (
    [16, 14], [14, 12], [17, 15], [15, 13], [12, 13], [6, 12], [7, 13], [6, 7], [6, 8], [7, 9],
    [8, 10], [9, 11], [2, 3], [1, 2], [1, 3], [2, 4], [3, 5], [4, 6], [5, 7],
)  # fmt: skip
PERSON = {"id": 1, "name": "person", "keypoints": JOINTS, "skeleton": SKELETON}
FIGURE = make_figure(NAMES, [name for name in NAMES if "eye" not in name])
# There is neither head nor neck: the trunk goes up to the nose, and a bar from ear to ear.
EDGES = [*FIGURE.edges, (0, 3), (0, 4)]
FIGURE = dataclasses.replace(FIGURE, trunk=[*FIGURE.trunk, 0], edges=EDGES)

FULL, NONE = [2] * 17, [0] * 17  # v of every joint
NINE = [2, 0, 0, 0, 0, 2, 2, 2, 2, 1, 2, 1, 0, 1, 0, 0, 0]  # 9 labelled, 6 of them visible
EIGHT = [2, 0, 0, 0, 0, 2, 2, 2, 2, 0, 2, 1, 0, 1, 0, 0, 0]
HIDDEN = [1] * 12 + [2] * 5
FAR, CROWD, NEAR = 34000, 22000, 4000  # millimetres from the camera
PHOTOS = (  # phase, image id, size, people: x in the picture, distance, v, mask, whether kept
    ("train", 7, (1500, 480), [
        (250, NEAR, FULL, "polygon", True), (750, FAR, FULL, "polygon", False),
        (1250, NEAR, NINE, "compressed", True),
    ]),
    ("train", 31, (740, 440), [
        (180, NEAR, EIGHT, "polygon", False), (560, NEAR, HIDDEN, "polygon", False),
    ]),
    ("val", 285, (1500, 460), [
        (250, NEAR, FULL, "plain", True), (720, CROWD, NONE, "plain", False),
        (830, FAR, NONE, "polygon", False), (1250, NEAR, FULL, "polygon", True),
    ]),
    ("val", 139, (500, 400), []),
)  # fmt: skip


def build(root: Path, seed: int = 0) -> None:
    """Writes the miniature below ``root``; the seed is that of poses and scenes."""
    root, rng, sequences, files = Path(root), np.random.default_rng(seed), {}, {}
    for n, (split, image_id, size, people) in enumerate(PHOTOS):
        camera = rig.make_camera(size, (0, 0, 0), (0, 1, 0), focal=900)
        actors = []
        for person, (x, distance, *_) in enumerate(people):
            at = (x - camera.intrinsics[0, 2]) * distance / 900, distance, 100
            motion = actor.move(1, int(rng.integers(1000)), at=at, turned=rng.uniform(-30, -15))
            actors.append(Actor(actor.pose_skeleton(motion, NAMES)[0], FIGURE, person))
        picture = shoot(Backdrop(size, seed + image_id), camera, actors, image_id)
        phase, name = f"{split}2017", f"{image_id:012d}.jpg"
        writers.write_jpeg(root / phase / name, picture.image, 97)
        file = files.setdefault(phase, {"images": [], "annotations": [], "categories": [PERSON]})
        image = {"id": image_id, "file_name": name, "width": size[0], "height": size[1]}
        file["images"].append(image)
        annotations = []
        for seen, (_, distance, visibility, form, _) in zip(picture.people, people, strict=True):
            ids = {"id": 1000 + 100 * n + seen.actor.person, "image_id": image_id}
            ids |= {"category_id": 1, "iscrowd": int(distance == CROWD)}
            annotations.append(ids | annotate(seen, size, visibility, form))
        # The file's order is neither that of the ids nor that of the images.
        file["annotations"].extend(reversed(annotations))
        sequence = sequences.setdefault(phase, SequenceTruth(split, []))
        sequence.examples.extend((image_id, p) for p, (*_, kept) in enumerate(people) if kept)
    for phase, content in files.items():
        writers.write_json(root / "annotations" / f"person_keypoints_{phase}.json", content)
    pattern = r"/(?P<sequence>\w+)/(?P<frame>\d+)_(?P<person>\d+)\.jpg$"
    write_truth(root, make_truth(FIGURE, pattern, sequences, raw_masks=True, n_people=4))


def annotate(seen, size: tuple[int, int], visibility: list[int], form: str) -> dict:
    """Returns key points, box and mask of what one sees of somebody.

    Key points are pixels; boxes and polygons count from the corner of the first pixel.
    """
    v, mask = np.array(visibility)[:, None], seen.mask(size)
    points = np.where(v > 0, np.round(seen.points), 0)
    left, top, right, bottom = np.array(seen.box()) + 0.5
    return {
        "keypoints": np.hstack([points, v]).astype(int).ravel(),
        "num_keypoints": int((v > 0).sum()),
        "bbox": np.array([left, top, right - left, bottom - top]).astype(int),
        "area": int(mask.sum()),
        "segmentation": encode_mask(mask, form),
    }


def encode_mask(silhouette: np.ndarray, form: str) -> list | dict:
    """Returns the mask as ``polygon``, or as ``plain`` or ``compressed`` RLE."""
    h, w = silhouette.shape
    if form == "compressed":
        rle = coco_mask.encode(np.asfortranarray(silhouette.astype(np.uint8)))
        return {"size": [h, w], "counts": rle["counts"].decode("ascii")}
    if form == "plain":
        flat = np.concatenate([[False], silhouette.ravel(order="F")])
        changes = np.flatnonzero(np.diff(flat))
        return {"size": [h, w], "counts": np.diff([0, *changes, h * w]).tolist()}
    # Contours run through pixel centres, so they are traced on a magnified mask.
    large = silhouette.astype(np.uint8).repeat(4, axis=0).repeat(4, axis=1)
    contours, _ = cv2.findContours(large, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return [((c[:, 0] + 0.5) / 4).ravel().tolist() for c in contours if len(c) >= 3]
