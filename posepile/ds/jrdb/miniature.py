"""A tiny JRDB 2022 in the official layout: one sequence of the robot's five upper cameras.

Lenses distort. Poses have neither box nor area, their flag is ``is_crowd``, and joints that are
not labelled have coordinates all the same; boxes are in files of their own. Somebody walks,
somebody stands, and shows a wrist only later; a crowd; a pose without key points; cameras that
see nobody. The panorama's file gives the width of a single picture; one person is on its seam.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from posepile.miniature import photos, rig, truth
from posepile.miniature.robot_ring import RingVideo, write_ring

KEYPOINTS = (
    "head,right eye,left eye,right shoulder,center shoulder,left shoulder,right elbow,left elbow,"
    "center hip,right wrist,right hip,left hip,left wrist,right knee,left knee,right foot,"
    "left foot"
).split(",")
PERSON = {"id": 1, "name": "person", "keypoints": KEYPOINTS}
NAMES = (
    "htop reye leye rsho neck lsho relb lelb pelv rwri rhip lhip lwri rkne lkne rank lank".split()
)
FIGURE, SIZE, WIDE, N_FRAMES = photos.photo_figure(NAMES), (752, 480), 3760, 6
HEADINGS = (0, 72, 144, -144, -72)  # degrees to the right, of image_0, 2, 4, 6, 8
COLUMNS = (1384, 2136, 2888, -120, 632)  # of their left edges in the panorama
CROWD, POSELESS, LATE = 22, 131, {8: 3}  # tracks; first frame in which the left wrist is labelled


def sit(x: float, track: int, step: float) -> photos.Sitter:
    """Returns somebody who moves by so many millimetres from frame to frame."""
    v = [1 if name in ("rwri", "rkne") else 2 for name in NAMES]
    more = {"track_id": track, "is_crowd": int(track == CROWD)}
    pace = {"step_mm": step, "swing": step / 500}
    return photos.Sitter(x, 290, v, "compressed", turned=-20, more=more, **pace)


PEOPLE = {  # camera -> who is in its pictures
    0: [sit(530, 8, 4), sit(260, 3, 140)],
    1: [sit(376, 21, 60), sit(560, 22, 4)],
    3: [sit(120, 130, 40), sit(500, 131, 40)],
}


def build(root: Path, seed: int = 0, shift: int = 0) -> None:
    """Writes the miniature below ``root``; the seed is that of poses and scenes.

    With a shift, poses (but not boxes) stand so many frames before the picture they belong to.
    """
    top, sequences = Path(root) / "train_dataset_with_activity", {}
    # In front of each camera all is as it is in front of the first one, whatever the heading.
    lens = {"stretch": 1.006, "distortion": (-0.33, 0.15, 0.0007, -0.0005, -0.04)}
    lens |= {"size": SIZE, "position": (0, 0, 0), "target": (0, 1, 0), "focal": 476}
    cameras = [rig.make_camera(**lens, shift=(3 * i - 15, 2 * i - 20)) for i in range(10)]
    write_ring(top / "calibration/cameras.yaml", cameras, HEADINGS)
    video = RingVideo(top, "meyer-green-2019-03-16_0", SIZE, COLUMNS, WIDE)
    for c, camera in enumerate(cameras[:5]):
        people, start = PEOPLE.get(c, []), 20 * c
        how = {"number": start, "seed": seed, "camera": camera}
        for k, photo in enumerate(photos.take_photos(SIZE, people, FIGURE, N_FRAMES, **how)):
            told = [photo.annotation(i) for i in range(len(people))]
            for person in told:
                # With coordinates, also where it is not labelled
                person["keypoints"][3 * 12 + 2] = 2 * (k >= LATE.get(person["track_id"], 0))
                if person["track_id"] == POSELESS:
                    del person["keypoints"]
            video.add(c, k, photo.image, told)
        tracks = {f"{s.more['track_id']:03d}": i for i, s in enumerate(people)}
        known = [p for p in video.poses[str(2 * c)] if "keypoints" in p and not p["is_crowd"]]
        kept = truth.examples_with_news(known, tracks, lambda id: id - 1, far)
        expected = truth.SequenceTruth("train", kept, start, tracks)
        sequences[f"image_{2 * c}/{video.name}"] = expected
    video.write(PERSON, shift)
    pattern = r"/(?P<sequence>image_\d/[\w-]+)/(?P<frame>\d{6})_(?P<person>\d+)\.jpg$"
    more = {"n_people": 2, "box": "loose"}
    truth.write_truth(root, truth.make_truth(FIGURE, pattern, sequences, **more))


def far(points: np.ndarray) -> float:
    """Returns a tenth of the longer side of the joints' box, which is enlarged by 1.15."""
    return 0.1 * 1.15 * np.ptp(points[np.isfinite(points[:, 0])], axis=0).max()
