"""A tiny 3DPW in the official layout: three recordings by a moving phone, two people in one.

One person's camera does not fit them in a frame, another one was not detected in a frame; some
shapes have more than ten numbers. Pickles are as Python 2 writes them.
"""

from pathlib import Path

import numpy as np

from posepile.miniature import actor, bodies, pickled, rig, shoot, skeleton, truth, writers

ORDER = [*range(1, 24), 0]
FIGURE = skeleton.make_figure([skeleton.TURNING[j] for j in ORDER], radius_mm=60, disc=0.5)
COCO18 = (
    "nose neck rsho relb rwri lsho lelb lwri rhip rkne rank lhip lkne lank reye leye rear lear"
).split()
N = 6  # frames
SEQUENCES = (  # folder, split, name, size of pictures, genders, focal length
    ("train", "train", "courtyard_basketball_00", (1080, 1920), "mf", 1960),
    ("validation", "val", "outdoors_parcours_00", (1920, 1080), "f", 1500),
    ("test", "test", "downtown_walking_00", (1920, 1080), "m", 1500),
)
BAD_CAMERA = {("courtyard_basketball_00", 0): 1, ("downtown_walking_00", 0): 0}  # who -> frame
UNDETECTED = {("courtyard_basketball_00", 1): 3, ("outdoors_parcours_00", 0): 5}
N_BETAS = {"m": 10, "f": 16}  # in the files; ten of them count
WORDS = {"m": "male", "f": "female"}


def build(root: Path, seed: int = 0) -> None:
    """Writes the miniature below ``root``; the seed is that of poses, shapes and scene."""
    root, rng, sequences = Path(root), np.random.default_rng(seed), {}
    bodies.write_body_models(root / "body_models", ("smpl",))
    for s, (folder, split, name, size, genders, focal) in enumerate(SEQUENCES):
        cameras = move_camera(size, focal, rng)
        people = [make_person(p, gender, rng) for p, gender in enumerate(genders)]
        seen, start = [], 31 * s
        for p, person in enumerate(people):
            person["poses2d"] = np.stack([detect(c, person, i) for i, c in enumerate(cameras)])
            person["campose_valid"] = np.ones(N, np.int64)
            if (name, p) in BAD_CAMERA:
                person["campose_valid"][BAD_CAMERA[name, p]] = 0
            if (name, p) in UNDETECTED:
                person["poses2d"][UNDETECTED[name, p]] = 0
            valid = person["campose_valid"].astype(bool) & person["poses2d"].any(axis=(1, 2))
            seen += [(int(i), p) for i in np.flatnonzero(valid)]
        drawn = [1000 * person["jointPositions"].reshape(N, 24, 3)[:, ORDER] for person in people]
        for i, camera in enumerate(cameras):
            actors = [shoot.Actor(joints[i], FIGURE, p) for p, joints in enumerate(drawn)]
            picture = shoot.shoot(shoot.Backdrop(size, seed + s), camera, actors, start + i)
            writers.write_jpeg(root / f"imageFiles/{name}/image_{i:05d}.jpg", picture.image)
        told = {key: [person[key] for person in people] for key in people[0] if key != "detected"}
        told |= {"sequence": np.array(name) if s else name, "texture_maps": []}
        told["img_frame_ids"] = 2 * np.arange(N)  # of the 60 Hz data
        told["cam_poses"] = np.stack([camera.matrix(unit_mm=1000) for camera in cameras])
        told["cam_intrinsics"] = cameras[0].intrinsics
        pickled.write_pickle(root / f"sequenceFiles/{folder}/{name}.pkl", told, python2=True)
        sequences[name] = truth.SequenceTruth(split, sorted(seen), start)
    pattern = r"(?P<sequence>\w+)/image_(?P<frame>\d+)_(?P<person>\d+)\.jpg$"
    more = {"n_people": 2, "box": "joints"}
    truth.write_truth(root, truth.make_truth(FIGURE, pattern, sequences, **more))


def move_camera(size: tuple[int, int], focal: float, rng) -> list[rig.RigCamera]:
    """Returns a hand-held camera, which drifts and rolls: one for each frame."""
    drift, cameras = rng.normal(0, 40, (2, 3)), []
    for i in range(N):
        place = rig.around((0, 0, 0), 4300, 25, 200, up="y") + i * drift[0]
        camera = rig.make_camera(size, place, i * drift[1], focal, up="y", shift=(7, -12))
        roll = actor.matrix([0, 0, 0.02 * (i - 2)])
        pose = roll @ camera.rotation, roll @ camera.translation
        cameras.append(rig.RigCamera(size, camera.intrinsics, *pose))
    return cameras


def make_person(p: int, gender: str, rng: np.random.Generator) -> dict:
    """Returns what the files tell of a person in the world, y up, in metres and radians."""
    model = bodies.make_model("smpl", seed=bodies.SEEDS[WORDS[gender]])
    at, turned = [(-400, 0, 100), (360, 60, -500)][p], rng.uniform(0, 50)
    motion = actor.move(N, int(rng.integers(99)), up="y", at=at, turned=turned)
    poses, joints, trans = np.empty((N, 72)), np.empty((N, 24, 3)), np.empty((N, 3))
    betas = rng.normal(0, 0.6, N_BETAS[gender])
    pelvis = actor.pose_body(model, np.zeros((24, 3)), betas[:10], vertices=False)[0][0]
    for i in range(N):
        pose, trans[i] = actor.body_rotvecs(motion, i, 24), motion.positions[i] / 1000 - pelvis
        joints[i], _ = actor.pose_body(model, pose, betas[:10], trans[i], vertices=False)
        poses[i] = pose.ravel()
    clothed = np.resize(model["v_template"], (6890, 3)) + rng.normal(0, 0.01, (6890, 3))
    return {
        "genders": gender,
        "betas": betas,
        "poses": poses,
        "trans": trans,
        "poses_60Hz": poses.repeat(2, axis=0),
        "trans_60Hz": trans.repeat(2, axis=0),
        "betas_clothed": betas[:10] + 0.2,
        "v_template_clothed": clothed,
        "jointPositions": joints.reshape(N, 72),
        "detected": actor.pose_skeleton(motion, COCO18),
    }


def detect(camera: rig.RigCamera, person: dict, i: int) -> np.ndarray:
    """Returns what OpenPose found in frame ``i``: x, y, confidence in rows, ``[3, 18]``."""
    points = camera.project(person["detected"][i])
    found = np.concatenate([points, np.full((18, 1), 0.8)], axis=1).T
    found[:, 14 + i % 4] = 0  # one joint of the face was not
    return found
