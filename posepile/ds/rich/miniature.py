"""A tiny RICH in the official layout: three scenes, two cameras each, and one that moves.

Someone's fit is missing in a frame of the recording of two. Of one scene everything lies where its
archives put it, below a long prefix; one camera stands upright, and its pictures are ``.jpeg``.
The test recording has contacts, and a scene that is scanned twice.
"""

import dataclasses
from pathlib import Path

import numpy as np

from posepile.miniature import actor, bodies, pickled, rig, shoot, skeleton, truth, writers

NAMES = [*bodies.OUTPUT_NAMES["smplx"][:76], *bodies.LANDMARK_NAMES]
DISCS = "lwri rwri lelb relb lsho rsho lank rank lkne rkne lhip rhip head pelv spin".split()
FIGURE = skeleton.make_figure(NAMES, DISCS, radius_mm=45, disc=0.5)
N_SKIN = bodies.FULL_SIZE["smplx"]
SIZE, FOCAL, N = (1028, 752), 1100, 3  # a quarter of the real ones
MALE = (0, 1, 2, 3, 4, 5, 6, 7, 8, 11, 14, 15, 20)
PREFIX = "ps/project/multi-ioi/rich_release/"  # of members of archives
TAKES = (  # set, recording, first frame, view that is upright, prefix
    ("train", "BBQ_001_x1", 12, None, ""),
    ("val", "Pavallion_003_018_y1", 46, 3, PREFIX),
    ("test", "LectureHall_011_z1", 344, None, ""),
)
# What of a scene is up, from its scan; of all others the numbers in a file that has that name.
UP = {
    "BBQ": (0.029, -0.991, -0.132),
    "Pavallion": (0.048, -0.985, -0.166),
    "LectureHall_yoga": (0.1, -0.9, -0.4),  # another scan, of which there is no recording here
    "LectureHall_chair": (0.022, -0.951, -0.308),
}
MISSING = ("Pavallion_003_018_y1", "018", 2)  # no fit
MOVING = 10  # its pictures have no calibration
COLUMNS = "sequence_name capture_name scan_name id moving_cam gender".split()
MORE_COLUMNS = "scene action/scene-interaction subjects".split()


def build(root: Path, seed: int = 0) -> None:
    """Writes the miniature below ``root``; the seed is that of poses, shapes and scenes."""
    root, rng, sequences = Path(root), np.random.default_rng(seed), {}
    bodies.write_body_models(root / "body_models", ("smplx",), N_SKIN)
    bodies.write_body_models(root / "body_models", ("smpl",))
    transfer = bodies.make_transfer(330, N_SKIN)
    pickled.write_pickle(root / "body_models/smplx/smplx2smpl.pkl", {"matrix": transfer})
    for t, (part, name, first, upright, prefix) in enumerate(TAKES):
        scene, *subjects, _ = name.split("_")
        tilt = write_scene(root, scene, UP)
        cameras = make_cameras(tilt, upright)
        for view, camera in cameras.items():
            place = root / f"{prefix}scan_calibration/{scene}"
            numbers = {"CameraMatrix": camera.matrix(1000)[:3], "Intrinsics": camera.intrinsics}
            numbers["Distortion"] = np.array([camera.distortion])
            writers.write_opencv_xml(place / f"calibration/{view:03d}.xml", numbers)
            writers.write_ply(place / "scan_camcoord.ply", 2 * np.eye(3), [[0, 1, 2]])
        points, told = np.empty((N, len(subjects), 127, 3)), np.ones((N, len(subjects)), bool)
        for p, subject in enumerate(subjects):
            for k, (fit, joints, skin, faces) in enumerate(make_body(subject, p, tilt, rng)):
                points[k, p] = 1000 * joints
                told[k, p] = (name, subject, k) != MISSING
                if told[k, p]:
                    file = f"{name}/{first + k:05d}/{subject}"
                    pickled.write_pickle(root / f"{prefix}{part}_body/{file}.pkl", fit)
                    writers.write_ply(root / f"{prefix}{part}_body/{file}.ply", skin, faces)
                    if part == "test":
                        contact = make_contact(skin, tilt[:, 1])
                        pickled.write_pickle(root / f"{part}_hsc/{file}.pkl", contact)
        known = np.where(told[..., None, None], points, np.nan)
        kept = [truth.frames_kept(known[:, p], "all") for p in range(len(subjects))]
        assert all(k in ([0, 2], [0]) for k in kept)  # whatever the joints that are asked
        for v, (view, camera) in enumerate({**cameras, MOVING: cameras[0]}.items()):
            backdrop, start = shoot.Backdrop(camera.size, seed + v), 40 * t + 20 * v - first
            for k in range(N):
                actors = [shoot.Actor(points[k, p], FIGURE, p) for p in range(len(subjects))]
                picture = shoot.shoot(backdrop, camera, actors, start + first + k)
                ending = "jpeg" if view == upright else "jpg"
                file = f"{part}/{name}/cam_{view:02d}/{first + k:05d}_{view:02d}.{ending}"
                writers.write_jpeg(root / prefix / file, picture.image)
            if part != "test" and view != MOVING:
                seen = sorted((first + k, p) for p, frames in enumerate(kept) for k in frames)
                who = {subject: p for p, subject in enumerate(subjects)}
                expected = truth.SequenceTruth(part, seen, start, who)
                sequences[f"{part}/{name}/cam_{view:02d}"] = expected
        scan = "scan_chair_scene_camcoord" if scene == "LectureHall" else "scan_camcoord"
        rows = [COLUMNS if part == "train" else [*COLUMNS, *MORE_COLUMNS]]
        for s in subjects:
            more = [] if part == "train" else [scene, "x", ",".join(subjects)]
            rows.append([name, scene, scan, s, "V", gender(s), *more])
        rows = [[*rows[0], "view_id"], *([*row, ",".join(map(str, cameras))] for row in rows[1:])]
        writers.write_csv(root / f"resource/meta/{part}.txt", rows, "\t")
    writers.write_json(root / "resource/gender.json", {str(s): gender(s) for s in range(22)})
    pattern = r"(?P<sequence>\w+/\w+/cam_\d+)/(?P<frame>\d+)(?:_\d\d)?_(?P<person>\d{3})\.jpg$"
    more = {"n_people": 2, "box": "loose"}
    truth.write_truth(root, truth.make_truth(FIGURE, pattern, sequences, **more))


def gender(subject: int | str) -> str:
    """Returns whether someone is male or female."""
    return "male" if int(subject) in MALE else "female"


def write_scene(root: Path, scene: str, ups: dict) -> np.ndarray:
    """Writes how a scene's scans stand; returns the turn ``[3, 3]`` from a level world, y down."""
    for name, up in ups.items():
        if name.startswith(scene):
            across = np.cross(up, [0, 0, 1])
            ahead = np.cross(across, up)
            axes = [v / np.linalg.norm(v) for v in (-across, -np.array(up), ahead)]
            turn = np.round([axes[0], axes[2], -axes[1]], 3).T
            content = {"c": 1.0, "R": turn, "t": [0.1, -0.2, 1.6]}
            writers.write_json(root / f"multicam2world/{name}_multicam2world.json", content)
            level = np.stack(axes, axis=1)
    return level


def make_cameras(tilt: np.ndarray, upright: int | None) -> dict[int, rig.RigCamera]:
    """Returns the cameras of a scene by view. The first one is where the world is."""
    size = SIZE if upright is None else SIZE[::-1]
    middle = (0, 650, 4500)
    place = rig.around(middle, 4200, 60, 900, up="-y")
    lens = {"shift": (9, -6), "distortion": (-0.32, 0.12, 0.001, -0.0005, 0.0)}
    other = rig.make_camera(size, place, middle, FOCAL, up="-y", **lens)
    other = dataclasses.replace(other, rotation=other.rotation @ tilt.T)
    matrix = np.array([[FOCAL, 0, 517.0], [0, FOCAL, 371], [0, 0, 1]])
    first = rig.RigCamera(SIZE, matrix, np.eye(3), np.zeros(3), (0.0,) * 5)
    return {0: first, upright or 1: other}


def make_body(subject: str, p: int, tilt: np.ndarray, rng: np.random.Generator):
    """Yields fit, 127 joints, skin (metres) and triangles of each frame of a person."""
    model = bodies.make_model("smplx", N_SKIN, bodies.SEEDS[gender(subject)])
    at = (800 * p - 300, 650, 4500 + 300 * p)
    motion = actor.move(N, int(rng.integers(99)), up="-y", at=at, step_mm=80)
    motion.rotvecs[1] = motion.rotvecs[0]  # they hardly move at first
    motion.positions[1] = motion.positions[0] + (30, 0, 0)
    betas, hands = rng.normal(0, 0.5, 10), np.float32(rng.normal(0, 0.3, (2, 12)))
    for k in range(N):
        pose, expression = actor.body_rotvecs(motion, k, 55), rng.normal(0, 0.5, 10)
        pose[0] = actor.rotvec(tilt @ actor.matrix(pose[0]))
        pose[22] = 0.1, 0, 0
        fit = bodies.smplx_fit(pose, betas, np.zeros(3), expression)
        fit |= {f"{side}_hand_pose": hands[[i]] for i, side in enumerate(("left", "right"))}
        pose = bodies.whole_pose(model, pose, hands)
        joints, skin = actor.pose_body(model, pose, betas, expression=expression)
        transl = tilt @ motion.positions[k] / 1000 - joints[0]
        fit["transl"] = np.float32(transl[None])
        fit["pose_embedding"] = rng.normal(size=(1, 32)).astype(np.float32)
        points = bodies.output_points(model, joints, skin)
        yield fit, points + transl, skin + transl, model["f"]


def make_contact(skin: np.ndarray, down: np.ndarray) -> dict[str, np.ndarray]:
    """Returns what touches the floor, per vertex of SMPL, and the way from SMPL-X to there."""
    away = (skin @ down).max() + 0.01 - skin @ down
    way = np.float32(away[:, None] * down)
    corners = np.float32((skin + way)[:, None] + 0.01 * np.eye(3))
    contact = np.resize(away < 0.1, 6890).astype(np.float32)
    return {"contact": contact, "s2m_dist_id": way, "closest_triangles_id": corners}
