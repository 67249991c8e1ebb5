"""A tiny SynthEgo in the official folders, with AMASS and MANO files to splice poses from.

Identity 8 has no pose 2, and the right camera of its pose 3 sees nobody.
"""

from pathlib import Path

import numpy as np

from posepile.miniature import actor, bodies, rig, shoot, skeleton, truth, writers

SIZE = (1280, 720)
NAMES = [*bodies.JOINT_NAMES["smplh"], "leye", "reye"]
PARENTS = [*bodies.make_model("smplh")["kintree_table"][0].astype(np.int32), 15, 15]
REST = np.array([skeleton.REST[name] for name in NAMES])  # metres, y up, left at +x
FIGURE = skeleton.make_figure(NAMES)
FITS = "MoSh_MPI_{}/Data/moshpp_fits_SMPL/{}.pkl_{{}}_0"
MOSH = FITS.format("MoSh_subset", "00008/misc")
MISNAMED = FITS.format("MoSh_subset", "50002/odd.name")
LIMITS = FITS.format("PoseLimits_all", "03099/lar1")
AMASS_FILES = {  # reference -> path below the raw folder, frames per second, step between frames
    MOSH: ("MoSh/MPI_mosh/00008/misc_poses.npz", 120.0, 4),
    MISNAMED: ("MoSh/MPI_mosh/50002/odd.name_poses_poses.npz", 120.00004, 4),
    LIMITS: ("PosePrior/MPI_Limits/03099/lar1_poses.npz", 100.0, 3),
}
MANO_FILE = "manoposesv10/mano_poses_v1_0/handsOnly_REGISTRATIONS_r_lm___POSES___{}.npy"
SPLITS = {3: "train", 8: "val", 19: "test"}  # by the last digit of the identity
SAMPLES = [  # identity, pose, body reference and its frame, left hand, right hand
    (3, 0, None, None, None),  # None = the numbers are in the file
    (3, 1, (MOSH, 7), None, None),
    (3, 2, (LIMITS, 12), None, None),
    (8, 0, None, 3, None),
    (8, 1, None, None, 11),
    (8, 3, (MISNAMED, 9), 0, 5),
    (19, 0, (LIMITS, 0), 7, 8),
    (19, 1, None, 1, 1),
    (19, 2, None, None, None),
]
TURNED_AWAY = (8, 3, "R")


def build(root: Path, seed: int = 0) -> None:
    """Writes the miniature below ``root``; the seed is that of poses and scene."""
    root, rng, poses, sequences = Path(root), np.random.default_rng(seed), {}, {}
    motions = {reference: rng.normal(0, 0.04, (40, 156)) for reference in AMASS_FILES}
    for reference, (name, rate, _) in AMASS_FILES.items():
        gender = np.array(b"female") if reference == MOSH else np.array("male")
        more = {"trans": np.zeros((40, 3)), "betas": np.zeros(16), "dmpls": np.zeros((40, 8))}
        more |= {"gender": gender, "mocap_framerate": np.array(rate)}
        writers.write_npz(root / name, poses=motions[reference], **more)
    right = rng.normal(0, 0.04, (12, 45))
    hands = {"R": right, "L": right * np.tile([1, -1, -1], 15)}
    for side, recorded in hands.items():
        writers.write_npy(root / MANO_FILE.format(side), recorded)
    shapes = {identity: rng.normal(0, 1, 10) for identity in SPLITS}
    for identity, k, body, *chosen in SAMPLES:
        pose = rng.normal(0, 0.05, (52, 3))
        rows = pose.tolist()
        if body is not None:
            reference, frame = body
            recorded = motions[reference][:: AMASS_FILES[reference][2]][frame]
            pose[1:22] = recorded.reshape(52, 3)[1:22]
            rows[1:22] = [reference.format(frame)] * 21
        for side, first, choice in zip("LR", (22, 37), chosen, strict=True):
            if choice is not None:
                pose[first : first + 15] = hands[side][choice].reshape(15, 3)
                rows[first : first + 15] = [f"mano_{choice}_{side}"] * 15
        poses[f"{identity:07d}_{k:04d}"] = pose.tolist()
        shift = rng.uniform((-0.2, 0.8, -0.2), (0.2, 1.2, 0.2))
        labels = {"pose": rows, "identity": shapes[identity].tolist()}
        rest, turned = REST * (1 + 0.02 * np.tanh(shapes[identity][0])), np.zeros((54, 3))
        turned[:52] = pose
        joints = actor.pose_tree(rest, PARENTS, turned)[0] + shift
        labels |= {"translation": shift.tolist(), "cameras": {}}
        labels["landmarks"] = {"3D_world": joints.tolist()}
        tilt = actor.matrix(rng.uniform(-0.06, 0.06, 3)) @ np.diag([1.0, -1, -1])
        for eye, side in (("L", -31.5), ("R", 31.5)):
            name = f"{identity:07d}/img_{eye}"
            sequence = truth.SequenceTruth(SPLITS[identity], [], 31 * len(sequences))
            sequence = sequences.setdefault(name, sequence)
            away = (identity, k, eye) == TURNED_AWAY
            turn = (actor.matrix([0, np.pi / 2, 0]) if away else np.eye(3)) @ tilt
            camera = make_camera(turn, 1000 * joints[0] + (side, -20, 2050))
            describe(labels, eye, camera, joints)
            person = shoot.Actor(1000 * joints, FIGURE)
            backdrop = shoot.Backdrop(SIZE, identity + k)
            picture = shoot.shoot(backdrop, camera, [person], sequence.start + k)
            file = f"img_{eye}_{identity:07d}_{k:04d}.jpg"
            writers.write_jpeg(root / "SynthEgo" / file, picture.image)
            sequence.examples.extend([] if away else [(k, 0)])
        writers.write_json(root / f"SynthEgo/metadata_{identity:07d}_{k:04d}.json", labels)
    pattern = r"(?P<sequence>\d{7}/img_[LR])_\d{7}_(?P<frame>\d{4})\.jpg$"
    more = {"box": "loose", "facts": {"poses": poses}}
    truth.write_truth(root, truth.make_truth(FIGURE, pattern, sequences, **more))


def make_camera(rotation: np.ndarray, center: np.ndarray) -> rig.RigCamera:
    """Returns one of the two cameras; ``center`` is in millimetres."""
    intrinsics = np.array([[700.0, 0, 640.5], [0, 702.0, 358.0], [0, 0, 1]])
    return rig.RigCamera(SIZE, intrinsics, rotation, -rotation @ center)


def describe(labels: dict, eye: str, camera: rig.RigCamera, joints: np.ndarray) -> None:
    """Adds a camera, and the joints as it sees them, to what a metadata file says."""
    pose = camera.matrix(unit_mm=1000)
    in_camera = joints @ pose[:3, :3].T + pose[:3, 3]
    # Like the original, without regard to what is behind the camera.
    in_image = (in_camera @ camera.intrinsics.T)[:, :2] / in_camera[:, 2:]
    landmarks = {f"3D_camera_{eye}": in_camera.tolist(), f"2D_camera_{eye}": in_image.tolist()}
    lens = {"camera_to_image": camera.intrinsics.tolist(), "resolution": list(SIZE)}
    labels["landmarks"] |= landmarks
    labels["cameras"][f"camera_{eye}"] = {"world_to_camera": pose.tolist(), **lens}
