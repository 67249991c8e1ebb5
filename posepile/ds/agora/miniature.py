"""A tiny AGORA in the official layout: pictures by each kind of camera, three people each.

The third person is partly hidden, hidden too much, invalid or too far away. The second one is a
child in every other picture; in one, their mask is missing.
"""

from pathlib import Path

import numpy as np

from posepile.miniature import actor, bodies, pickled, shoot, skeleton, truth, unreal, writers

SIZE, N_SKIN = (3840, 2160), {"smpl": 6890, "smplx": 10475}
BODY, SMPLX = skeleton.TURNING, bodies.OUTPUT_NAMES["smplx"]
KEPT = [*range(25), 28, 43, *range(55, 67), 68, 71, 73]  # of SMPL-X
# Of two joints of the same name that of SMPL is drawn.
DRAWN = [*BODY, *(SMPLX[j] + "_" * (SMPLX[j] in BODY) for j in KEPT)]
FIGURE = skeleton.make_figure(DRAWN, radius_mm=42, disc=0.5)
# Split, scene, camera and numbers in the names of pictures; focal length (mm), place (cm), yaw and
# pitch (degrees) of the camera, the last of which the frames tell; people's distance (cm).
SCENES = (
    ("train", "renderpeople_bfh_hdri_50mm_5_10", "", (7, 24), 50, (0, 0, 170), 0, 0, 900),
    ("train", "3dpeople_bfh_archviz_5_10", "_cam00", (0,), 18, (400, -275, 265), 135, 30, 480),
    ("train", "3dpeople_bfh_archviz_5_10", "_cam02", (31,), 18, (-490, 170, 265), -45, 30, 480),
    ("validation", "axyz_body_ag2_5_15", "", (2, 3), 28, (0, 0, 170), 0, 15, 600),
    ("validation", "renderpeople_bfh_flowers_5_15", "", (49, 50), 28, (120, -60, 180), 25, 0, 600),
)
IN_FRAMES = {"camX": 120.0, "camY": -60.0, "camZ": 10.0, "camYaw": 25.0}  # 170 cm too low
THIRD = ("seen", "hidden", "invalid", "far")  # in turn
MISSING = ("ag_trainset_3dpeople_bfh_archviz_5_10_mask_cam00_000000_00002.png",)
# Colours of people in masks, by index; the first of AirSim's, and that of no one.
PALETTE = np.array([[55, 181, 57], [153, 108, 6], [112, 105, 191], [89, 121, 72]])
NOBODY = (255, 0, 0)


def build(root: Path, seed: int = 0) -> None:
    """Writes the miniature below ``root``; the seed is that of poses and scene."""
    root, rng, sequences, frames = Path(root), np.random.default_rng(seed), {}, {}
    bodies.write_body_models(root / "body_models", ("smplx",))
    palette = [f"{i}\t{color}\n" for i, color in enumerate(PALETTE.tolist())]
    writers.write_text(root / "seg_rgbs.txt", "".join(palette))
    backdrop, pictures = shoot.Backdrop(SIZE, seed), [(row, n) for row in SCENES for n in row[3]]
    for i, ((split, scene, cam, _, *view), number) in enumerate(pictures):
        name, part, third = f"ag_{split}set_{scene}", f"{split}_0", THIRD[i % 4]
        stem, (focal, place, yaw, pitch, _) = f"{name}{cam}_{number:05d}", view
        camera = unreal.unreal_camera(SIZE, place, yaw, -pitch, focal_mm=focal)
        people = [make_person(root, f"{stem}_{p}", view, (p, i, third), rng) for p in range(3)]
        told, points = zip(*people, strict=True)
        drawn = [np.concatenate([at["smpl"][:24], at["smplx"][KEPT]]) for at in points]
        actors = [shoot.Actor(joints, FIGURE, p) for p, joints in enumerate(drawn)]
        picture = shoot.shoot(backdrop, camera, actors, 9 * i)
        folder = root / (part if split == "train" else split)
        writers.write_png(folder / f"{stem}.png", picture.image)
        masks = root / split / "_".join(name.split("_")[:5])
        write_masks(masks / f"{name}_mask{cam}_{number:06d}", picture)
        for kind, n in N_SKIN.items():
            row = {"imgPath": f"{stem}.png", **IN_FRAMES}
            row |= {key: [who[key] for who in told] for key in told[0]}
            row["gt_joints_2d"] = [camera.project(at[kind]) + 0.5 for at in points]
            row["gt_joints_3d"] = [np.float32(camera.from_world(at[kind]) / 1000) for at in points]
            skins = [np.float32(camera.from_world(at["skin"]) / 1000) for at in points]
            row["gt_verts"] = [np.resize(skin, (n, 3)) for skin in skins]
            frames.setdefault(f"{kind.upper()}/{part}_withjv.pkl", []).append(row)
        seen = [(0, p) for p in range(2 + (third == "seen"))]
        sequences[stem] = truth.SequenceTruth(split.replace("idation", ""), seen, 9 * i)
    for file, rows in frames.items():
        pickled.write_pickle(root / file, pickled.frame(rows))
    pattern = r"(?P<sequence>ag_\w+_\d{5})_(?P<person>\d+)\.jpg$"
    more = {"raw_masks": True, "n_people": 3, "moving": False}
    truth.write_truth(root, truth.make_truth(FIGURE, pattern, sequences, **more))


def make_person(
    root: Path, name: str, view: tuple, which: tuple, rng: np.random.Generator
) -> tuple[dict, dict]:
    """Writes a SMPL-X fit; returns what the frames tell, and points in the world, mm."""
    (p, i, third), (_, place, yaw, _, away) = which, view
    kid, gender = p == 1 and i % 2 == 1, ("male", "female")[(p + i // 2) % 2]
    seed = bodies.SEEDS["neutral" if kid and gender == "female" else gender]
    model = bodies.make_model("smplx", seed=seed, kid=0.5 * kid)
    motion = actor.move(1, int(rng.integers(99)), up="y", at=(0, 950 - 170 * kid, 0))
    pose, (betas, expression) = actor.body_rotvecs(motion, 0, 55), rng.normal(0, 0.4, (2, 10))
    whole = bodies.whole_pose(model, pose)
    joints, skin = actor.pose_body(model, whole, betas, expression=expression)
    transl = motion.positions[0] / 1000 - joints[0]
    fit = bodies.smplx_fit(pose, [*betas, 0.5] if kid else betas, transl, expression)
    pickled.write_pickle(root / "smplx_gt/trainset_adults_bfh" / f"{name}.pkl", fit)
    # Where they stand, in Unreal's axes, facing the camera more or less.
    ahead, right = actor.matrix([0, 0, np.radians(yaw)])[:2, :2].T
    away = 6000 if (p, third) == (2, "far") else away + (0, 30, 150)[p]
    x, y = place[:2] + away * ahead + (-75 + 20 * (i % 2), 80, 25)[p] * right
    turned = 90 + yaw + rng.uniform(-20, 20)
    told = {"X": x, "Y": y, "Z": 0.0, "Yaw": turned, "gender": gender, "kid": kid}
    odd = {"hidden": (80.0, True), "invalid": (-1.0, False)} if p == 2 else {}
    told["occlusion"], told["isValid"] = odd.get(third, (12.5 * p, True))
    told |= {f"gt_path_{k}": f"{k}_gt/trainset_adults_bfh/{name}.obj" for k in N_SKIN}
    told |= {"age": "31-50", "ethnicity": "white"}
    height = np.linalg.norm(joints[12] - joints[0]) / np.linalg.norm(skeleton.REST["neck"])
    points = {k: actor.pose_skeleton(motion, bodies.OUTPUT_NAMES[k], height)[0] for k in N_SKIN}
    points["smplx"][:55], points["skin"] = 1000 * (joints + transl), 1000 * (skin + transl)
    return told, {k: unreal.put_into_scene(v, (x, y, 0), turned) for k, v in points.items()}


def write_masks(stem: Path, picture: shoot.Picture) -> None:
    """Writes what is seen of all in colours that are nearly the palette's, then each one whole."""
    colors = np.array([[NOBODY] * SIZE[0]], np.uint8).repeat(SIZE[1], axis=0)
    for p, person in enumerate(picture.people):
        person.paint(colors, PALETTE[p] - [0, 2, 0])
        path = stem.with_name(f"{stem.name}_{p + 1:05d}.png")
        if path.name not in MISSING:
            writers.write_png(path, person.mask(SIZE, amodal=True))
    writers.write_png(stem.with_name(f"{stem.name}_00000.png"), colors)
