"""A tiny COCO 2017 in the official layout, readable by pycocotools.

Two training and two validation photographs (drawings). Between them: people fully visible, half
labelled, hidden in part, tiny, without key points; masks as polygons, as plain and as compressed
RLE; a crowd region; a photograph without people. Whoever is kept stands alone in their crop, so
that masks can be compared with what is drawn there.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from posepile.miniature.kit import background, draw_person, joint_colors, write_truth

JOINTS = (
    "nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow "
    "right_elbow left_wrist right_wrist left_hip right_hip left_knee right_knee left_ankle "
    "right_ankle"
).split()
# Official pairs, 1-based
SKELETON = (
    [16, 14], [14, 12], [17, 15], [15, 13], [12, 13], [6, 12], [7, 13], [6, 7], [6, 8], [7, 9],
    [8, 10], [9, 11], [2, 3], [1, 2], [1, 3], [2, 4], [3, 5], [4, 6], [5, 7],
)  # fmt: skip
# A figure 1 high in the order of JOINTS; the face is large, so that its discs stay apart
POSE = np.array(
    [
        [0.00, 0.10], [0.05, 0.04], [-0.05, 0.04], [0.11, 0.08], [-0.11, 0.08], [0.13, 0.24],
        [-0.13, 0.24], [0.22, 0.38], [-0.24, 0.36], [0.30, 0.50], [-0.33, 0.46], [0.09, 0.55],
        [-0.09, 0.55], [0.13, 0.77], [-0.12, 0.76], [0.16, 1.00], [-0.15, 0.99],
    ]
)  # fmt: skip
PHOTOS = {
    # name of the split -> (image id, width, height)
    "train": [(7, 1500, 480), (31, 640, 420)],
    "val": [(285, 1500, 460), (139, 500, 400)],
}


class Drawing:
    """One photograph and its annotations while it is being drawn."""

    def __init__(self, image_id: int, width: int, height: int, seed: int):
        self.id = image_id
        self.pixels = background(width, height, seed)
        self.people: list[dict] = []

    def add(
        self,
        at: tuple[float, float],
        height: float,
        visibility: list[int],
        mask: str = "polygon",
        *,
        crowd: bool = False,
    ) -> None:
        """Draws a person with the top of the face at ``at`` and annotates them.

        Args:
            at: x, y in pixels.
            height: From the eyes to the feet in pixels.
            visibility: v of every joint.
            mask: ``polygon``, ``plain`` or ``compressed`` RLE.
            crowd: Annotate as a crowd region, without key points.
        """
        joints = np.round(np.array(at) + POSE * height)
        edges = [(a - 1, b - 1) for a, b in SKELETON]
        discs = np.where(np.array(visibility)[:, None] > 0, joint_colors(len(JOINTS)), 70)
        silhouette = draw_person(
            self.pixels, joints, edges, radius=0.032 * height, colors=discs.astype(np.uint8)
        )
        # A polygon cannot have holes, so the figure has none either.
        holes = fill_holes(silhouette) & ~silhouette
        self.pixels[holes] = (70, 70, 80)
        silhouette |= holes
        area = int(silhouette.sum())
        ys, xs = np.nonzero(silhouette)
        box = [xs.min(), ys.min(), xs.max() + 1 - xs.min(), ys.max() + 1 - ys.min()]
        labelled = np.array(visibility) > 0
        points = np.where(labelled[:, None], joints, 0).astype(int)
        keypoints = np.concatenate([points, np.array(visibility)[:, None]], axis=1)
        person = {
            "image_id": self.id,
            "category_id": 1,
            "iscrowd": int(crowd),
            "bbox": [int(v) for v in box],
            "area": area,
            "num_keypoints": int(labelled.sum()),
            "keypoints": keypoints.ravel().tolist(),
            "segmentation": encode_mask(silhouette, mask),
        }
        self.people.append(person)


def encode_mask(silhouette: np.ndarray, form: str) -> list | dict:
    """Returns the mask in one of the forms COCO uses."""
    h, w = silhouette.shape
    if form == "compressed":
        rle = coco_mask.encode(np.asfortranarray(silhouette.astype(np.uint8)))
        return {"size": [h, w], "counts": rle["counts"].decode("ascii")}
    if form == "plain":
        flat = silhouette.ravel(order="F")
        changes = np.flatnonzero(np.diff(flat)) + 1
        runs = np.diff(np.concatenate([[0], changes, [flat.size]])).tolist()
        return {"size": [h, w], "counts": [0, *runs] if flat[0] else runs}
    # Contours run through pixel centres, so they are traced on a magnified mask. Polygons count
    # from the corner of the first pixel.
    zoom = 4
    large = silhouette.astype(np.uint8).repeat(zoom, axis=0).repeat(zoom, axis=1)
    contours, _ = cv2.findContours(large, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return [((c[:, 0] + 0.5) / zoom).ravel().tolist() for c in contours if len(c) >= 3]


def fill_holes(mask: np.ndarray) -> np.ndarray:
    """Returns the mask without its holes, bool."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    canvas = np.zeros(mask.shape, np.uint8)
    cv2.drawContours(canvas, contours, -1, 1, cv2.FILLED)
    return canvas.astype(bool)


def build(root: Path, seed: int = 0) -> None:
    """Writes the miniature below ``root``."""
    root = Path(root)
    full = [2] * 17
    nine = [2, 1, 2, 0, 0, 2, 2, 1, 2, 0, 2, 0, 2, 0, 0, 1, 0]  # 9 labelled, 6 of them visible
    eight = [2, 0, 2, 0, 0, 2, 2, 0, 2, 0, 2, 0, 2, 0, 0, 1, 0]  # one fewer
    hidden = [1] * 12 + [2] * 5  # all labelled, 5 visible
    drawings = {
        split: [Drawing(*photo, seed + photo[0]) for photo in photos]
        for split, photos in PHOTOS.items()
    }

    (wide, other), (crowded, plain) = drawings["train"], drawings["val"]
    wide.add((170, 90), 330, full)  # kept
    wide.add((750, 300), 40, full)  # tiny
    wide.add((1330, 90), 330, nine, "compressed")  # kept
    other.add((180, 60), 300, eight)  # too few labelled
    other.add((470, 60), 300, hidden)  # too few visible
    crowded.add((180, 80), 320, full, "plain")  # kept
    crowded.add((720, 250), 60, [0] * 17, "plain", crowd=True)
    crowded.add((790, 250), 50, [0] * 17)  # nothing labelled
    crowded.add((1330, 80), 320, full)  # kept
    del plain  # nobody in it

    (root / "annotations").mkdir(parents=True)
    next_id = 1000
    for split, items in drawings.items():
        phase = f"{split}2017"
        (root / phase).mkdir()
        images, annotations = [], []
        for drawing in items:
            name = f"{drawing.id:012d}.jpg"
            h, w = drawing.pixels.shape[:2]
            quality = [cv2.IMWRITE_JPEG_QUALITY, 97]
            cv2.imwrite(str(root / phase / name), drawing.pixels[..., ::-1], quality)
            images.append({"id": drawing.id, "file_name": name, "width": w, "height": h})
            # The file's order is neither that of the ids nor that of the images.
            for person in reversed(drawing.people):
                annotations.append({"id": next_id + drawing.people.index(person), **person})
            next_id += 100
        category = {"id": 1, "name": "person", "keypoints": JOINTS, "skeleton": list(SKELETON)}
        data = {"images": images, "annotations": annotations, "categories": [category]}
        path = root / "annotations" / f"person_keypoints_{phase}.json"
        path.write_text(json.dumps(data) + "\n")
    write_truth(
        root,
        counts={"train": 2, "val": 2},
        colors=joint_colors(len(JOINTS)).tolist(),
        raw_masks=True,
        dropped={
            "tiny": 1,
            "few labelled": 1,
            "few visible": 1,
            "crowd": 1,
            "nothing labelled": 1,
        },
    )


if __name__ == "__main__":
    build(Path(sys.argv[1]))
