"""A tiny MoVi in the official layout: two actors in round F, one of them in S1 and S2.

A missing point is zero in all three coordinates; others are negative as often as not. In round F
everything is lost in one frame of video. Phones have no calibration, and a phone's recording of an
inertial round lies there as well.
"""

import shutil
from pathlib import Path

import numpy as np

from posepile.miniature import actor, bodies, kit, rig, shoot, skeleton, truth, video, writers

# Markers in the order of the files with the joint that each is fixed to. They are not drawn.
MIDDLE = "backneck:neck upperback:thor clavicle:thor sternum:thor umbilicus:bell"
LEFT = (
    "fronthead:head backhead:head back:spin shom:sho upperarm:sho elbm:elb forearm:elb "
    "writhumbside:wri wripinkieside:wri fin:han asis:pelv psis:pelv frontthigh:hip thigh:hip "
    "knem:kne ankm:ank hee:ank fifthmetatarsal:toe toe:toe cheek:head breast:thor elbinner:elb "
    "waist:bell thumb:wri frontinnerthigh:hip innerknee:kne shin:kne firstmetatarsal:toe "
    "fourthtoe:toe scapula:cla bum:hip"
).split()
VIRTUAL = (
    "head mhip pelv thor lank lelb lhip lhan lkne lsho lwri lfoo rank relb rhip rhan rkne rsho "
    "rwri rfoo"
).split()
MARKERS = [pair.split(":") for pair in MIDDLE.split()]
for side in "lr":
    for name, to in (pair.split(":") for pair in LEFT):
        MARKERS.append((side + name, to if to in skeleton.TURNING else side + to))
NAMES = [name for name, _ in MARKERS] + VIRTUAL
FIGURE = skeleton.make_figure([name if name in VIRTUAL else f"_{name}" for name in NAMES])
# Columns of the full set that rounds S have; after the fifth and the tenth comes one that F lacks.
FEW = [5, 6, 12, 13, 20, 36, 37, 43, 44, 51, 67, 71, 77, 79, 85]
SIZE, RATE = (800, 600), 30
CAMERAS = {  # fx, fy, cx, cy as MATLAB counts; k1, k2; centre; what it looks at
    "PG1": ((979.179, 978.102, 408.027, 291.170), (-0.18236, 0.18389), (4927, 7, 1345), 1050),
    "PG2": ((980.043, 980.699, 392.275, 309.911), (-0.22932, 0.35465), (438, -3850, 1379), 660),
}
TAKES = (  # round, subject, its cameras, frames of the videos, samples of the markers
    ("F", 1, ("PG1", "PG2"), 12, 46),
    ("F", 46, ("PG1",), 9, 36),
    ("S1", 46, ("PG2",), 5, 20),
    ("S2", 46, ("PG1",), 5, 17),
)
LOST = 6  # frame of video of rounds F for which there is nothing
MOTIONS = ["walking", "jumping_jacks"]


def build(root: Path, seed: int = 0) -> None:
    """Writes the miniature below ``root``; the seed is that of poses and scene."""
    root, rng, sequences, moves = Path(root), np.random.default_rng(seed), {}, {}
    backdrop = shoot.Backdrop(SIZE, seed)
    cameras = {view: make_camera(view) for view in CAMERAS}
    for view, camera in cameras.items():
        lens = {"IntrinsicMatrix": make_camera(view, 1).intrinsics.T}  # as MATLAB has matrices
        lens |= {"RadialDistortion": np.array(camera.distortion[:2])}
        pose = {"rotationMatrix": camera.rotation.T, "translationVector": camera.translation}
        writers.write_npz(root / f"Calib/cameraParams_{view}.npz", **lens)
        writers.write_npz(root / f"Calib/Extrinsics_{view}.npz", **pose)
    for kind, subject, views, n, n_samples in TAKES:
        at, turned = (140 if kind == "F" else -300, 60, 930), 45 + 10 * rng.uniform()
        motion = actor.move(
            4 * n, int(rng.integers(99)), at=at, turned=turned, step_mm=9.5, swing=0.06
        )
        points = place_markers(motion, rng)
        told = points[:n_samples].copy()
        told[5:9, NAMES.index("rhan")] = told[7:18, 7] = told[11:14, 5] = np.nan
        if kind == "F":
            told[4 * LOST - 1 : 4 * LOST + 3] = np.nan
        known = told if kind == "F" else told[:, FEW]
        moves[kind[0], subject] = [*moves.get((kind[0], subject), []), make_move(known, n, rng)]
        kept = truth.frames_kept(known[::4], "all", carried=True)
        for view in views:
            file, start = f"{kind}_{view}_Subject_{subject}_L", 31 * len(sequences)
            shots = shoot.shoot_frames(backdrop, cameras[view], points[::4], FIGURE, start)
            video.write_video(root / f"{file}.avi", shots, RATE, b_frames=0)
            sequences[file] = truth.SequenceTruth("train", [(k, 0) for k in kept], start)
        if (kind, subject) == ("F", 1):
            write_amass(root / "AMASS/F_amass_Subject_1.mat", motion, moves["F", 1][0])
    for (kind, subject), entries in moves.items():
        folder = "S" if kind == "S" else f"F_Subjects_{'1_45' if subject <= 45 else '46_90'}"
        # One movement is a cell of one, or no cell at all.
        move = entries[0] if subject == 46 and kind == "F" else make_cell(entries)
        name = f"Subject_{subject}_{kind}"
        content = {"id": name, "subject": float(subject), "move": move}
        writers.write_mat(root / folder / f"{kind}_v3d_Subject_{subject}.mat", {name: content})
    phone = [shoot.Picture(shoot.Backdrop((1920, 1080), seed), [], [])] * 3
    video.write_video(root / "F_CP1_Subject_1.mp4", phone, RATE)
    shutil.copyfile(root / "F_CP1_Subject_1.mp4", root / "I1_CP1_Subject_1.mp4")
    pattern = r"(?P<sequence>\w+_PG\d_Subject_\d+_L)(?:\.avi)?/(?P<frame>\d+)\.jpg$"
    truth.write_truth(root, truth.make_truth(FIGURE, pattern, sequences, box="loose"))


def place_markers(motion: actor.Motion, rng: np.random.Generator) -> np.ndarray:
    """Returns all 87 points over time ``[n, 87, 3]``, mm: markers some cm from their joints."""
    rest = 1000 * np.array([skeleton.REST[name] for name in skeleton.TURNING])
    joints = actor.pose_skeleton(motion, VIRTUAL)
    joints[:, 1] = joints[:, [6, 14]].mean(axis=1)  # the middle of the hips
    offsets = rng.normal(0, 30, (5 + len(LEFT), 3))
    offsets = np.concatenate([offsets, offsets[5:] * (-1, 1, 1)])  # right like left
    holders = [skeleton.TURNING.index(to) for _, to in MARKERS]
    markers = []
    for rotvecs, position in zip(motion.rotvecs, motion.positions, strict=True):
        posed, turns = actor.pose_tree(rest, skeleton.PARENTS, rotvecs)
        moved = np.einsum("jab,jb->ja", turns[holders], offsets)
        markers.append(posed[holders] + moved + position)
    return np.concatenate([markers, joints], axis=1)


def make_move(points: np.ndarray, n: int, rng: np.random.Generator) -> dict:
    """Returns what the file tells of a round; frame numbers count from 1, ends included."""
    few = points.shape[1] == len(FEW)
    told = np.where(np.isnan(points), 0, points)
    if few:  # two more markers than the full set
        extra = rng.normal(0, 800, (2, len(told), 1, 3))
        told = np.concatenate([told[:, :5], extra[0], told[:, 5:10], extra[1], told[:, 10:]], 1)
    flags = np.array([[1, n // 2], [n // 2 + 1, n]], float)
    names, parents = make_cell(MOTIONS), [3, 0, 2, 8, 9, 2, 10, 6, 3, 5, 4, 16, 17, 2, 18, 14, 3]
    move = {"motions_list": names, "flags30": flags, "flags120": 4 * flags - 3}
    move |= {"markerLocation": told, "virtualMarkerLocation": told[:, -5 if few else -20 :]}
    gaps = (told == 0).all(axis=2).sum(axis=0, keepdims=True).astype(float)
    return move | {
        "virtualMarkerParent": np.array([[*parents, 13, 12]], float),
        "markerGaps": gaps,
    }


def write_amass(path: Path, motion: actor.Motion, move: dict) -> None:
    """Writes the fitted bodies, trimmed to single motions: axes and unit as of the markers."""
    joints, entries = actor.pose_skeleton(motion, bodies.JOINT_NAMES["smplh"]), []
    for name, (first, last) in zip(MOTIONS, move["flags120"].astype(int), strict=True):
        rows = slice(first - 1, last)
        turns = np.stack([actor.body_rotvecs(motion, k, 52) for k in range(first - 1, last)])
        parents = np.array([bodies._PARENTS["smplh"]], float) + 1
        entry = {
            "description": name,
            "jointsLocation_amass": joints[rows],
            "jointsParent": parents,
        }
        entry |= {"RootTranslation_amass": joints[rows, 0], "jointsExpMaps_amass": turns}
        entries.append(entry | {"jointsBetas_amass": np.zeros((1, 16))})
    content = {"id": "Subject_1", "subject": 1.0, "move": make_cell(entries)}
    writers.write_mat(path, {"Subject_1_F_amass": content})


def make_cell(items: list) -> np.ndarray:
    """Returns a MATLAB cell of one row."""
    cell = np.empty((1, len(items)), object)
    cell[0, :] = items
    return cell


def make_camera(view: str, pixels_from: int = 0) -> rig.RigCamera:
    """Returns a camera; MATLAB counts pixels from 1."""
    (fx, fy, cx, cy), radial, center, height = CAMERAS[view]
    middle = np.array([cx, cy]) - 1 + pixels_from
    lens = np.array([[fx, 0, middle[0]], [0, fy, middle[1]], [0, 0, 1]])
    pose = kit.look_at(np.array(center, float), np.array([240.0, 120, height]))
    return rig.RigCamera(SIZE, lens, *pose, (*radial, 0.0, 0.0, 0.0))
