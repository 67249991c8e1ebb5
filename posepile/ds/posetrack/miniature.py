"""A tiny PoseTrack18 in the official layout: labels v0.45, one file per video.

People who move much and little, a joint that is labelled only later, boxes that lack, ears that
nobody ever labelled, pictures without labels and one that the file passes over; regions where
nobody is labelled. Besides what must not be read: a merged file, predictions, a test video.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from posepile.miniature import photos, truth, writers

FIGURE = photos.photo_figure(photos.POSETRACK_NAMES, without=["lear", "rear"])
V = [int("ear" not in name) for name in photos.POSETRACK_NAMES]
HEAD = np.array([36, 44])  # width and height of its box
FAR = np.hypot(*HEAD) / 2  # whoever has moved so far shows something new
LWRI, LATE = 9, {3: 6}  # track -> first frame in which the left wrist is labelled
NO_BOX = {12: (0, 2), 2: range(4)}  # track -> frames


def sit(x: float, track: int, step_mm: float, swing: float) -> photos.Sitter:
    """Returns somebody who moves so much."""
    return photos.Sitter(x, 250, V, more={"track_id": track}, step_mm=step_mm, swing=swing)


VIDEOS = (  # split, video, size, labelled frames, frames on disk, passed over, people
    ("train", "000001_bonn_train", (640, 360), range(1, 10), 12, 4,
     [sit(230, 0, 75, 0.3), sit(520, 3, 4, 0.02)]),
    ("val", "003418_mpii_test", (520, 340), range(4), 4, None,
     [sit(390, 12, 4, 0.02), sit(140, 1, 75, 0.3), sit(260, 2, 4, 0.02)]),
    ("test", "001735_mpii_test", (320, 240), (), 2, None, []),
)  # fmt: skip


def build(root: Path, seed: int = 0) -> None:
    """Writes the miniature below ``root``; the seed is that of poses and scenes."""
    root, sequences = Path(root), {}
    for v, (split, video, size, labelled, n, passed_over, people) in enumerate(VIDEOS):
        images, annotations, lens = [], [], {"seed": seed, "names": photos.POSETRACK_ACTOR}
        shots = photos.take_photos(size, people, FIGURE, n, number=31 * v, **lens)
        for k, photo in enumerate(shots):
            image = f"images/{split}/{video}/{k:06d}.jpg"
            writers.write_jpeg(root / image, photo.image, 97)
            if k != passed_over:
                images.append(enter(image, k, n, k in labelled))
                annotations += describe(photo, k, images[-1]["id"]) if k in labelled else []
        # The order in the file is neither that of time nor that of the ids.
        content = {"images": images[::-1], "annotations": annotations[::-1]}
        folder = root / "posetrack_data/annotations"
        names = {"val": ["posetrack18_val", f"preds_val/{video}"]}.get(split, [])
        for name in [f"{split}/{video}", *names]:
            writers.write_json(
                folder / f"{name}.json", content | {"categories": [photos.POSETRACK_PERSON]}
            )
        tracks = {f"{s.more['track_id']:02d}": i for i, s in enumerate(people)}
        boxed = [p for p in annotations if "bbox" in p]
        kept = truth.examples_with_news(boxed, tracks, lambda id: id % 10000, lambda points: FAR)
        if split != "test":
            sequences[f"{split}/{video}"] = truth.SequenceTruth(split, kept, 31 * v, tracks)
    pattern = r"/(?P<sequence>\w+/\w+)/(?P<frame>\d{6})_(?P<person>\d+)\.jpg$"
    known = truth.make_truth(FIGURE, pattern, sequences, n_people=3, box="joints")
    truth.write_truth(root, known)


def enter(name: str, k: int, n: int, labelled: bool) -> dict:
    """Returns what the file says of a picture; its size is not among that."""
    video = name.split("/")[2][:6]
    id = int(f"1{video}{k:04d}")
    found = {"is_labeled": labelled, "file_name": name, "nframes": n, "frame_id": id}
    found |= {"vid_id": video, "id": id} | ({} if k % 2 else {"has_no_densepose": True})
    region = {"ignore_regions_x": [[0, 60, 40, 0]], "ignore_regions_y": [[0, 0, 90, 80]]}
    return found | (region if labelled else {})


def describe(photo: photos.Photo, k: int, image_id: int) -> list[dict]:
    """Returns the annotations of a picture."""
    found = []
    for i, shot in enumerate(photo.shots):
        told = photo.annotation(i, 3)
        person = {key: told[key] for key in ("bbox", "keypoints", "track_id")}
        track, head = person["track_id"], (shot.points[1:3].mean(axis=0) - HEAD / 2).round()
        if k < LATE.get(track, 0):
            person["keypoints"][3 * LWRI : 3 * LWRI + 3] = [0, 0, 0]
        if k in NO_BOX.get(track, ()):
            del person["bbox"]
        person |= {"id": 100 * image_id + track, "image_id": image_id, "category_id": 1}
        found.append(person | {"bbox_head": [*head, *HEAD], "scores": []})
    return found
