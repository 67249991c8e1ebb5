"""A tiny AGORA in the official layout: two pictures of each kind of camera, three people each.

The third person is partly hidden, hidden too much, invalid or too far away. The second one is a
child in every other picture; in one, their mask is missing.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from posepile.miniature import actor, bodies, pickled, rig, shoot, skeleton, truth, writers

SIZE = (3840, 2160)
BODY = skeleton.TURNING
MORE = (
    "nose reye leye rear lear lto2 lto3 lhee rto2 rto3 rhee lthu lindex lmiddle lring lpinky rthu "
    "rindex rmiddle rring rpinky"
).split()
SMPL, SMPLX = [*BODY, *MORE], [*bodies.JOINT_NAMES["smplx"], *MORE, *["nose"] * 51]
KEPT = [*range(25), 28, 43, *range(55, 67), 68, 71, 73]  # of SMPL-X
# Of two joints of the same name that of SMPL is drawn.
DRAWN = [*BODY, *(SMPLX[j] + "_" * (SMPLX[j] in BODY) for j in KEPT)]
FIGURE = skeleton.make_figure(DRAWN, radius_mm=42, disc=0.5)
VIEWS = {  # in the name -> focal length mm, place cm, yaw and pitch degrees, people's distance
    "hdri": (50, (0, 0, 170), 0, 0, 900),
    "cam00": (18, (400, -275, 265), 135, 30, 480),
    "cam02": (18, (-490, 170, 265), -45, 30, 480),
    "ag2": (28, (0, 0, 170), 0, 15, 600),
    "": (28, (120, -60, 180), 25, 0, 600),  # told in the frames, 170 cm too low
}
PICTURES = (  # part, name, focal length in it, number of people in it, camera in it, number
    ("train_0", "ag_trainset_renderpeople_bfh_hdri", "_50mm", "_5_10", "", 7),
    ("train_0", "ag_trainset_renderpeople_bfh_hdri", "_50mm", "_5_10", "", 24),
    ("train_0", "ag_trainset_3dpeople_bfh_archviz", "", "_5_10", "_cam00", 0),
    ("train_0", "ag_trainset_3dpeople_bfh_archviz", "", "_5_10", "_cam02", 31),
    ("validation_0", "ag_validationset_axyz_body_ag2", "", "_5_15", "", 2),
    ("validation_0", "ag_validationset_axyz_body_ag2", "", "_5_15", "", 3),
    ("validation_0", "ag_validationset_renderpeople_bfh_flowers", "", "_5_15", "", 49),
    ("validation_0", "ag_validationset_renderpeople_bfh_flowers", "", "_5_15", "", 50),
)
THIRD = ("seen", "hidden", "invalid", "far")  # in turn
MISSING = ("ag_trainset_3dpeople_bfh_archviz_5_10_mask_cam00_000000_00002.png",)
# Colours of people in masks, by index; the first of AirSim's, and that of no one.
PALETTE = np.array([[55, 181, 57], [153, 108, 6], [112, 105, 191], [89, 121, 72]])
NOBODY = (255, 0, 0)
KID_TEMPLATE = 0.6 * bodies.make_model("smplx", seed=1)["v_template"]
N_SKIN = {"SMPL": 6890, "SMPLX": 10475}


def build(root: Path, seed: int = 0) -> None:
    """Writes the miniature below ``root``; the seed is that of poses and scene."""
    root, rng, sequences, rows = Path(root), np.random.default_rng(seed), {}, {}
    bodies.write_body_models(root / "body_models", ("smplx",))
    writers.write_npy(root / "body_models/smplx/kid_template.npy", KID_TEMPLATE)
    palette = [f"{i}\t[{r}, {g}, {b}]\n" for i, (r, g, b) in enumerate(PALETTE)]
    writers.write_text(root / "seg_rgbs.txt", "".join(palette))
    backdrop = shoot.Backdrop(SIZE, seed)
    for i, (part, scene, focal, many, cam, number) in enumerate(PICTURES):
        split, stem = part.split("_")[0], f"{scene}{focal}{many}{cam}_{number:05d}"
        view = next(key for key in VIEWS if key in stem)
        camera, third = make_camera(view), THIRD[i % 4]
        people = [make_person(root, f"{stem}_{p}", view, (p, i, third), rng) for p in range(3)]
        actors = [
            shoot.Actor(np.concatenate([who["SMPL"][:24], who["SMPLX"][KEPT]]), FIGURE, p)
            for p, who in enumerate(people)
        ]
        picture = shoot.shoot(backdrop, camera, actors, 9 * i)
        folder = part if split == "train" else split
        writers.write_png(root / folder / f"{stem}.png", picture.image)
        masks = root / split / scene / f"{scene}{focal}{many}_mask{cam}_{number:06d}"
        write_masks(masks, picture)
        for kind in ("SMPL", "SMPLX"):
            told = {"imgPath": f"{stem}.png", **describe(view, camera, people, kind)}
            rows.setdefault((kind, part), []).append(told)
        seen = [(0, p) for p in range(2 + (third == "seen"))]
        sequences[stem] = truth.SequenceTruth(split.replace("idation", ""), seen, 9 * i)
    for (kind, part), told in rows.items():
        columns = {key: [row[key] for row in told] for key in told[0]}
        pickled.write_pickle(root / kind / f"{part}_withjv.pkl", pickled.frame(columns))
    pattern = r"(?P<sequence>ag_\w+_\d{5})_(?P<person>\d+)\.jpg$"
    more = {"raw_masks": True, "n_people": 3, "moving": False}
    truth.write_truth(root, truth.make_truth(FIGURE, pattern, sequences, **more))


def make_camera(view: str) -> rig.RigCamera:
    """Returns a camera; principal points in files count from the corner of the first pixel."""
    focal, place, yaw, pitch, _ = VIEWS[view]
    turn = actor.matrix([np.radians(pitch), 0, 0]) @ actor.matrix([0, np.radians(-yaw), 0])
    f = focal / 36 * SIZE[0]
    lens = np.array([[f, 0, (SIZE[0] - 1) / 2], [0, f, (SIZE[1] - 1) / 2], [0, 0, 1]])
    return rig.RigCamera(SIZE, lens, turn, -turn @ to_opencv(place))


def to_opencv(place: Sequence[float]) -> np.ndarray:
    """Returns millimetres, y down, for centimetres in Unreal's axes."""
    x, y, z = place
    return 10 * np.array([y, -z, x], float)


def make_person(root: Path, name: str, view: str, which: tuple, rng: np.random.Generator) -> dict:
    """Writes a SMPL-X fit; returns what the frames tell, joints and skin in the world, mm."""
    (p, i, third), (_, place, yaw, _, away) = which, VIEWS[view]
    kid, gender = p == 1 and i % 2 == 1, ("male", "female")[(p + i // 2) % 2]
    seed = {"male": 2, "female": 3, "neutral": 1}[
        "neutral" if kid and gender == "female" else gender
    ]
    model, share = bodies.make_model("smplx", seed=seed), 0.5 * kid
    smaller = KID_TEMPLATE - KID_TEMPLATE.mean(axis=0) - model["v_template"]
    model["v_template"] = model["v_template"] + share * smaller
    motion = actor.move(1, int(rng.integers(99)), up="y", at=(0, 950 - 170 * kid, 0))
    pose, mean = actor.body_rotvecs(motion, 0, 55), [model["hands_meanl"], model["hands_meanr"]]
    betas, expression = rng.normal(0, 0.4, (2, 10))
    whole = pose + np.concatenate([np.zeros((25, 3)), np.reshape(mean, (30, 3))])
    joints, skin = actor.pose_body(model, whole, betas, expression=expression)
    transl = motion.positions[0] / 1000 - joints[0]
    parts = ("global_orient", "body_pose", "jaw_pose", "leye_pose", "reye_pose", "left_hand_pose")
    fit = dict(
        zip([*parts, "right_hand_pose"], np.split(pose, [1, 22, 23, 24, 25, 40]), strict=True)
    )
    fit |= {"betas": [*betas, *[share] * kid], "transl": transl, "expression": expression}
    fit = {key: np.float32(value).reshape(1, -1) for key, value in fit.items()}
    pickled.write_pickle(root / "smplx_gt/trainset_adults_bfh" / f"{name}.pkl", fit)
    # Where they stand, in Unreal's axes, facing the camera more or less.
    ahead, right = actor.matrix([0, 0, np.radians(yaw)])[:2, :2].T
    away = 6000 if (p, third) == (2, "far") else away + (0, 30, 150)[p]
    x, y = place[:2] + away * ahead + (-75 + 20 * (i % 2), 80, 25)[p] * right
    told = {"X": x, "Y": y, "Z": 0.0, "Yaw": 90 + yaw + rng.uniform(-20, 20), "gender": gender}
    turn = actor.matrix([0, np.radians(told["Yaw"] - 90), 0]) @ np.diag([1.0, -1, -1])
    height = np.linalg.norm(joints[12] - joints[0]) / np.linalg.norm(skeleton.REST["neck"])
    smpl, smplx = (actor.pose_skeleton(motion, names, height)[0] for names in (SMPL, SMPLX))
    smplx[:55] = 1000 * (joints + transl)
    for key, points in (("SMPL", smpl), ("SMPLX", smplx), ("skin", 1000 * (skin + transl))):
        told[key] = points @ turn.T + to_opencv((x, y, 0))
    odd = {"hidden": (80.0, True), "invalid": (-1.0, False)} if p == 2 else {}
    told["occlusion"], told["isValid"] = odd.get(third, (12.5 * p, True))
    return told | {"kid": kid, "age": "31-50", "ethnicity": "white", "name": name}


def describe(view: str, camera: rig.RigCamera, people: list[dict], kind: str) -> dict:
    """Returns a row of a frame, without the name of the picture."""
    keys = "X Y Z Yaw gender kid age ethnicity occlusion isValid".split()
    row = {key: [who[key] for who in people] for key in keys}
    _, (x, y, z), yaw, *_ = VIEWS[""]  # in every row, and only right where names tell nothing
    row |= {"camX": float(x), "camY": float(y), "camZ": z - 170.0, "camYaw": float(yaw)}
    for model in ("smpl", "smplx"):
        fits = [f"{model}_gt/trainset_adults_bfh/{who['name']}.obj" for who in people]
        row[f"gt_path_{model}"] = fits
    row["gt_joints_2d"] = [camera.project(who[kind]) + 0.5 for who in people]
    for key, of, n in (("joints_3d", kind, len(people[0][kind])), ("verts", "skin", N_SKIN[kind])):
        in_camera = [who[of] @ camera.rotation.T + camera.translation for who in people]
        row[f"gt_{key}"] = [np.float32(np.resize(v, (n, 3)) / 1000) for v in in_camera]
    return row


def write_masks(stem: Path, picture: shoot.Picture) -> None:
    """Writes what is seen of all in colours that are nearly the palette's, then each one whole."""
    colors = np.full((*SIZE[::-1], 3), NOBODY, np.uint8)
    for p, person in enumerate(picture.people):
        colors[person.mask(SIZE)] = PALETTE[p] - [0, 2, 0]
        path = stem.with_name(f"{stem.name}_{p + 1:05d}.png")
        if path.name not in MISSING:
            writers.write_png(path, person.mask(SIZE, amodal=True))
    writers.write_png(stem.with_name(f"{stem.name}_00000.png"), colors)
