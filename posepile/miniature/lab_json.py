"""A laboratory that publishes its recordings as JSON: four cameras, joints by markers, fits.

Metres, z up. Each action has files of its own: videos and cameras, 25 joints, SMPL-X and GHUM. The
test people have one camera each and no truth.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from posepile.miniature import actor, bodies, rig, shoot, skeleton, truth, video, writers

JOINTS = (
    "pelv lhip lkne lank rhip rkne rank spin neck head htop lsho lelb lwri rsho relb rwri lfoo "
    "ltoe rfoo rtoe lthu lfin rthu rfin"
).split()
FIGURE = skeleton.make_figure(JOINTS)
VIEWS = ("50591643", "58860488", "60457274", "65906101")
SIZE, RATE = (900, 900), 50
# Of the frames of one person: joints that nobody has seen; the second is a frame without any.
UNSEEN = {2: [13, 21, 22], 4: range(25)}


def write_lab(
    root: Path,
    seed: int,
    name: str,
    subjects: Mapping[str, str],
    actions: Mapping[str, tuple[int, int, int]],
    annotations: tuple[str, Any],
    n_people: int = 1,
) -> None:
    """Writes recordings of the first subject of training, and a video of the first of the test.

    >>> write_lab(folder, 0, "x", {"train": "s03", "test": "s02"}, {"a 1": (3, 1, 4)}, ("a", {}))
    >>> (folder / "x_info.json").is_file()
    True

    Args:
        root: Raw folder.
        seed: Of poses, shapes and scene.
        name: Of the dataset, with which the names of its tables begin.
        subjects: ``train`` and ``test``: ids, separated by spaces.
        actions: Name -> frames that have fits, rows of joints for each, frames of the videos.
        annotations: Name of the file of a subject with annotations, and what is in it.
        n_people: How many are in each picture; 2: arrays have a leading axis.
    """
    root, rng, sequences = Path(root), np.random.default_rng(seed), {}
    bodies.write_body_models(root / "body_models", ("smplx",))
    (subject, *_), (tested, *_) = subjects["train"].split(), subjects["test"].split()
    folder = root / "train" / subject
    backdrops = [shoot.Backdrop(SIZE, seed + v) for v in range(4)]
    people = [int(rng.integers(99)) for _ in range(n_people)]
    betas = rng.normal(0, 0.3, (n_people, 10))
    for action, (n, rate, n_video) in actions.items():
        cameras = _make_cameras(rng)
        drawn, told, fits = [], [], []
        for p, person in enumerate(people):
            at = (900 * p - 450 * (n_people - 1), 250 * p, 950)
            motion = actor.move(n_video, person, at=at, turned=15 + 150 * p)
            joints = actor.pose_skeleton(motion, JOINTS)
            known = joints[:n].copy()
            for frame in [k for k in UNSEEN if p == 0 and k < n]:
                known[frame, list(UNSEEN[frame])] = np.nan
            rows = np.linspace(0, n - 1, rate * (n - 1) + 1)  # the last frame ends it
            drawn.append(joints)
            told.append(np.stack([_between(known, row) for row in rows]))
            fits.append(_make_fits(motion, n, betas[p]))
        kept = [truth.frames_kept(joints[::rate], "all", carried=True) for joints in told]
        one = lambda parts: parts[0] if n_people == 1 else np.stack(parts)  # noqa: E731
        points = {"joints3d_25": np.round(one(told) / 1000, 6).tolist()}
        writers.write_json(folder / f"joints3d_25/{action}.json", points)
        fit = {key: np.round(one([f[key] for f in fits]), 7).tolist() for key in fits[0]}
        writers.write_json(folder / f"smplx/{action}.json", fit)
        shape = (n_people, n) if n_people > 1 else (n,)
        ghum = {"posing_values": (*shape, 381), "body_code": (*shape, 16)}
        ghum = {key: rng.normal(size=size).round(3).tolist() for key, size in ghum.items()}
        writers.write_json(folder / f"gpp/{action}.json", ghum)
        for v, (view, camera) in enumerate(zip(VIEWS, cameras, strict=True)):
            place, start = f"{view}/{action}", 31 * len(sequences)
            writers.write_json(folder / f"camera_parameters/{place}.json", _describe(camera))
            shots = []
            for k in range(n_video):
                actors = [shoot.Actor(joints[k], FIGURE, p) for p, joints in enumerate(drawn)]
                shots.append(shoot.shoot(backdrops[v], camera, actors, start + k))
            video.write_video(folder / f"videos/{place}.mp4", shots, RATE)
            seen = sorted((k, p) for p, frames in enumerate(kept) for k in frames)
            expected = truth.SequenceTruth("train", seen, start)
            sequences[f"train/{subject}/videos/{view}/{action}"] = expected
        test, camera = root / "test" / tested, _describe(cameras[0])
        writers.write_json(test / f"camera_parameters/{action}.json", camera)
        video.write_video(test / f"videos/{action}.mp4", [backdrops[0].image] * 2, RATE)
    writers.write_json(folder / annotations[0], annotations[1])
    ids = sorted(" ".join(subjects.values()).split())
    info = {"train_subj_names": subjects["train"].split(), "all_camera_names": VIEWS}
    info["subj_to_act"] = {one: list(actions) for one in ids}
    writers.write_json(root / f"{name}_info.json", info)
    writers.write_json(root / f"{name}_template.json", {tested: {key: {} for key in actions}})
    pattern = r"(?P<sequence>train/\w+/videos/\d+/[^/]+)\.mp4/(?P<frame>\d+)(?:_(?P<person>\d+))?"
    more = {"n_people": n_people, "box": "loose"}
    truth.write_truth(root, truth.make_truth(FIGURE, pattern + r"\.jpg$", sequences, **more))


def _between(joints: np.ndarray, row: float) -> np.ndarray:
    """Returns joints ``[J, 3]`` between two frames; those of a frame are its own."""
    k, part = int(row), row % 1
    return joints[k] if part == 0 else (1 - part) * joints[k] + part * joints[k + 1]


def _make_cameras(rng: np.random.Generator) -> list[rig.RigCamera]:
    """Returns the cameras of an action, lenses as those of Human3.6M."""
    cameras, target = [], (0, 0, 950)
    for k in range(4):
        place = rig.around(target, 4300 + 80 * k, 45 + 90 * k, 500 + 60 * k)
        lens = tuple(np.array([-0.18, 0.16, 0.0012, -0.0009, -0.03]) * (1 + rng.normal(0, 0.1, 5)))
        more = {"shift": rng.uniform(-9, 9, 2), "stretch": 1.002}
        made = rig.make_camera(SIZE, place, target, 1120 + 9 * k, **more)
        pose = made.rotation, made.translation
        cameras.append(rig.RigCamera(SIZE, made.intrinsics, *pose, lens, half_tangential=True))
    return cameras


def _describe(camera: rig.RigCamera) -> dict:
    """Returns a camera as its file has it. Without distortion, another pinhole has been fitted."""
    (fx, _, cx), (_, fy, cy), _ = camera.intrinsics.tolist()
    k1, k2, p1, p2, k3 = camera.distortion
    lens = {"f": [[fx, fy]], "c": [[cx, cy]], "k": [[k1, k2, k3]], "p": [[p1, p2]]}
    pose = {"R": camera.rotation.tolist(), "T": [(camera.center / 1000).tolist()]}
    other = {"f": [0.93 * fx, 0.93 * fy], "c": [cx + 8, cy - 6]}
    return {"extrinsics": pose, "intrinsics_w_distortion": lens, "intrinsics_wo_distortion": other}


def _make_fits(motion: actor.Motion, n: int, betas: np.ndarray) -> dict[str, np.ndarray]:
    """Returns SMPL-X as rotation matrices, hands complete: nothing is to be added to them."""
    model = bodies.make_model("smplx", 330, bodies.SEEDS["neutral"])
    pelvis = actor.pose_body(model, np.zeros((55, 3)), betas, vertices=False)[0][0]
    poses = [bodies.whole_pose(model, actor.body_rotvecs(motion, k, 55)) for k in range(n)]
    turns = np.array([[actor.matrix(joint) for joint in pose] for pose in poses])
    parts = "global_orient body_pose jaw_pose leye_pose reye_pose left_hand_pose right_hand_pose"
    cut = np.split(turns, [1, 22, 23, 24, 25, 40], axis=1)
    fit = {"transl": motion.positions[:n] / 1000 - pelvis, "betas": np.tile(betas, (n, 1))}
    return fit | dict(zip(parts.split(), cut, strict=True)) | {"expression": np.zeros((n, 10))}
