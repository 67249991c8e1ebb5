"""A tiny NTU RGB+D in the official layout, and a rendered clip as configs/ntu_layout.yaml tells.

One take by all three Kinects, whose lengths differ; one of two people whom a frame lists the other
way round; one that is longer in the picture than in the skeletons; one on the list of missing
skeletons. Pictures of a Kinect are mirrored, so what it calls left is drawn as the right.
"""

from pathlib import Path

import numpy as np

from posepile.miniature import actor, kinect, rendered, rig, shoot, skeleton, truth, video, writers
from posepile.miniature.truth import frames_kept

NAMES = (
    "pelv bell head htop rsho relb rwri rhan lsho lelb lwri lhan rhip rkne rank rtoe "
    "lhip lkne lank ltoe neck rfin rthu lfin lthu"
).split()
FIGURE = skeleton.make_figure(NAMES, radius_mm=50, disc=0.6)
ANGLES = {1: {"C001": 45, "C002": 90, "C003": 0}, 2: {"C001": 45, "C002": 0, "C003": 90}}
FOLDERS = {"S001": "nturgb+d_skeletons", "S018": "nturgb+d_skeletons120"}
CLIPS = (  # name, split by subject, people, poses that are shown
    ("S001C001P001R001A001", "train", 1, (0, 1, 3, 4)),
    ("S001C002P001R001A001", "train", 1, (0, 1, 2, 3, 4)),
    ("S001C003P001R001A001", "train", 1, (0, 1, 3, 4)),
    ("S001C003P002R001A050", "train", 2, (0, 1, 2, 3)),
    ("S001C002P003R002A002", "test", 1, (0, 2, 4, 6)),
    ("S018C002P103R002A061", "train", 1, (0, 3, 6)),
)
MISSING, NO_BODY = "S001C002P005R002A008", {("S001C001P001R001A001", 2)}
INFERRED = {("S001C002P001R001A001", 1)}  # more than five joints of it
SWAPPED, CRLF = {("S001C003P002R001A050", 2)}, "S001C003P001R001A001"
NAN = {("S001C002P001R001A001", 3): NAMES.index("lfin")}
NAN |= {(CRLF, i): NAMES.index("lthu") for i in range(4)}  # never seen, which is no movement
IDS = (72057594037931101, 72057594037931102)  # one number, as float
RENDERED = "S001C001P001R001A001"


def build(root: Path, seed: int = 0) -> None:
    """Writes the miniature below ``root``; the seed is that of poses and scene."""
    root, rng, sequences, takes = Path(root), np.random.default_rng(seed), {}, {}
    for c, (name, split, n_people, shown) in enumerate(CLIPS):
        take = name[:4] + name[8:]  # the same for all three cameras
        people = takes.setdefault(take, make_people(n_people, rng))[:, list(shown)]
        place = rig.around((0, 950, 0), 3000, ANGLES[int(name[15])][name[4:8]], 150, up="y")
        depth_camera, color_camera = kinect.make_kinect(place, (0, 900, 0))
        backdrop, start, pictures = shoot.Backdrop(kinect.SIZE, seed + c), 20 * c, []
        for i in range(len(shown)):
            actors = [shoot.Actor(joints[i], FIGURE, p) for p, joints in enumerate(people)]
            pictures.append(shoot.shoot(backdrop, color_camera, actors, start + i))
        pictures += pictures[-1:] * (name == "S001C002P003R002A002")
        video.write_video(root / f"nturgb+d_rgb/{name}_rgb.avi", pictures, 30, b_frames=0)
        told, frames = depth_camera.from_world(people), []
        for i in range(len(shown)):
            told[:, i, NAN.get((name, i), [])] = np.nan
            states = np.where(((name, i) in INFERRED) & (np.arange(25) % 4 == 3), 1, 2)
            bodies = [(id, joints[i], states) for id, joints in zip(IDS, told, strict=False)]
            bodies = [] if (name, i) in NO_BODY else bodies
            frames.append(bodies[::-1] if (name, i) in SWAPPED else bodies)
        line_end = "\r\n" if name == CRLF else "\n"
        file = root / FOLDERS[name[:4]] / f"{name}.skeleton"
        kinect.write_kinect_bodies(file, frames, line_end)
        usable = [i for i in range(len(shown)) if (name, i) not in NO_BODY | INFERRED]
        kept = [(i, p) for p in range(n_people) for i in frames_kept(told[p], "all", among=usable)]
        sequences[name] = truth.SequenceTruth(split, sorted(kept), start, masks=False)
    writers.write_text(root / f"nturgb+d_skeletons/{MISSING}.skeleton", "0\n")
    video.write_video(root / f"nturgb+d_rgb/{MISSING}_rgb.avi", pictures[:2], 30, b_frames=0)
    text = f"1 of the samples has no skeletons.\nPlease ignore it.\n\n{MISSING}\n"
    writers.write_text(root / "NTU_RGBD120_samples_with_missing_skeletons.txt", text)
    joints = actor.pose_skeleton(actor.move(4, seed, at=(0, 0, 950), step_mm=54), NAMES)
    starts = rendered.render_clip(root / "synthetic", RENDERED, joints, FIGURE, seed, 108)
    kept = [(i, 0) for i in truth.frames_kept(joints, "all")]
    sequences |= {key: truth.SequenceTruth("train", kept, n) for key, n in starts.items()}
    pattern = r"(?P<sequence>S\d{3}C\d{3}P\d{3}R\d{3}A\d{3}(/v\d)?)[/_](?P<frame>\d{6})"
    pattern += r"(_(?P<person>\d))?\.jpg$"
    more = {"raw_masks": True, "n_people": 2, "box": "joints"}
    truth.write_truth(root, truth.make_truth(FIGURE, pattern, sequences, **more))


def make_people(n: int, rng: np.random.Generator) -> np.ndarray:
    """Returns joints ``[n, 7, 25, 3]``, mm, y up."""
    places = [(450 * (2 * p - n + 1), 950, 200 * p) for p in range(n)]
    motions = [actor.move(7, int(rng.integers(99)), up="y", at=at, step_mm=50) for at in places]
    return np.array([actor.pose_skeleton(motion, NAMES) for motion in motions])
