"""A tiny EHF in the official layout: five of its pictures, whose numbers do not sort as text.

All of them are seen by the one camera. Meshes have the topology of SMPL-X; what evaluations need
besides lies with the body models.
"""

from pathlib import Path

import numpy as np

from posepile.miniature import actor, bodies, pickled, rig, shoot, skeleton, truth, writers

OUTPUT, N_SKIN = bodies.OUTPUT_NAMES["smplx"], bodies.FULL_SIZE["smplx"]
KEPT = [*range(55), *range(66, 76)]  # joints of the model, tips of fingers
DISCS = "lwri rwri lelb relb lsho rsho lkne rkne lhip rhip head pelv spin".split()
FIGURE = skeleton.make_figure([OUTPUT[j] for j in KEPT], DISCS, radius_mm=45, disc=0.5)
NUMBERS = (1, 2, 3, 10, 100)
SIZE, FOCAL, MIDDLE = (1600, 1200), 1498.22426237, (790.263706, 578.90334)
ROTVEC = (-2.98747896, 0.01172457, -0.05704687)  # world to camera; up is y
TRANSLATION = np.array([-0.03609917, 0.43416458, 2.37101226])  # metres
J14 = "rank rkne rhip lhip lkne lank rwri relb rsho lsho lelb lwri neck head".split()
# Joints of SMPL-X and tips of its fingers (76 in all) in OpenPose's order; 8 is between the hips.
BODY_25 = (55, 12, 17, 19, 21, 16, 18, 20, 0, 2, 5, 8, 1, 4, 7, 56, 57, 58, 59, 60, 61, 62, 63)
BODY_25 += (64, 65)
HANDS = {
    "left": (20, 37, 38, 39, 66, 25, 26, 27, 67, 28, 29, 30, 68, 34, 35, 36, 69, 31, 32, 33, 70),
    "right": (21, 52, 53, 54, 71, 40, 41, 42, 72, 43, 44, 45, 73, 49, 50, 51, 74, 46, 47, 48, 75),
}


def build(root: Path, seed: int = 0) -> None:
    """Writes the miniature below ``root``; the seed is that of poses, shape and detections."""
    root, rng = Path(root), np.random.default_rng(seed)
    bodies.write_body_models(root / "body_models", ("smplx",), N_SKIN)
    write_subsets(root / "body_models" / "smplx", rng)
    model = bodies.make_model("smplx", N_SKIN, bodies.SEEDS["neutral"])
    intrinsics = np.array([[FOCAL, 0, MIDDLE[0]], [0, FOCAL, MIDDLE[1]], [0, 0, 1]])
    camera = rig.RigCamera(SIZE, intrinsics, actor.matrix(ROTVEC), 1000 * TRANSLATION)
    write_camera(root / "EHF" / "EHF_camera.txt")
    backdrop, betas = shoot.Backdrop(SIZE, seed), rng.normal(0, 0.5, 10)
    for number in NUMBERS:
        place = (rng.uniform(-80, 80), 420, rng.uniform(-750, -500))
        motion = actor.move(1, number, up="y", at=place, turned=rng.uniform(-40, 40))
        pose = bodies.whole_pose(
            model, actor.body_rotvecs(motion, 0, 55), rng.normal(0, 0.3, (2, 6))
        )
        joints, skin = actor.pose_body(model, pose, betas, expression=rng.normal(0, 0.5, 10))
        skin = np.float32(skin + motion.positions[0] / 1000 - joints[0])
        # Nothing but the mesh is published; joints are what the regressor makes of it.
        points = 1000 * bodies.output_points(model, model["J_regressor"] @ skin, skin)
        stem = root / "EHF" / f"{number:02d}"
        actors = [shoot.Actor(points[KEPT], FIGURE)]
        picture = shoot.shoot(backdrop, camera, actors, number).image
        writers.write_png(Path(f"{stem}_img.png"), picture)
        writers.write_jpeg(Path(f"{stem}_img.jpg"), picture)
        writers.write_ply(Path(f"{stem}_align.ply"), skin, model["f"])
        writers.write_json(Path(f"{stem}_2Djnt.json"), detect(camera.project(points), rng))
    seen = [(number, 0) for number in NUMBERS]
    pattern = r"/(?P<frame>\d+)(?:_img)?(?:_0)?\.jpg$"
    expected = {"": truth.SequenceTruth("test", seen)}
    more = {"moving": False, "box": "loose"}
    truth.write_truth(root, truth.make_truth(FIGURE, pattern, expected, **more))


def write_subsets(folder: Path, rng: np.random.Generator) -> None:
    """Writes the 14 joints of evaluations, and which vertices are hands and face."""
    pickled.write_pickle(folder / "SMPLX_to_J14.pkl", bodies.make_regressor("smplx", J14, N_SKIN))
    owner = np.arange(N_SKIN) % 55
    of_hands = {"left_hand": [20, *range(25, 40)], "right_hand": [21, *range(40, 55)]}
    chosen = {
        name: np.sort(rng.choice(np.flatnonzero(np.isin(owner, joints)), 60, replace=False))
        for name, joints in {**of_hands, "face": [15, 22, 23, 24]}.items()
    }
    np.save(folder / "SMPL-X__FLAME_vertex_ids.npy", chosen.pop("face"))
    pickled.write_pickle(folder / "MANO_SMPLX_vertex_ids.pkl", chosen)


def write_camera(path: Path) -> None:
    """Writes the camera: headings, and a number a line below each."""
    blocks = {"Focal length (px)": (FOCAL, FOCAL), "Principal Point (px)": MIDDLE}
    blocks |= {"Translation (m)": TRANSLATION, "Rotation (Rodrigues)": ROTVEC}
    texts = ["\n ".join(f"[{v:.8f}]" for v in values) for values in blocks.values()]
    lines = [f"{name}:\n[{text}]\n" for name, text in zip(blocks, texts, strict=True)]
    writers.write_text(path, "\n".join(lines))


def detect(points: np.ndarray, rng: np.random.Generator) -> dict:
    """Returns what OpenPose finds: pixels with some noise, and how sure it is."""
    points = points + rng.normal(0, 1, points.shape)
    body = points[list(BODY_25)]
    body[8] = points[1:3].mean(axis=0)
    face = np.full((70, 2), np.nan)
    face[17:68] = points[76:]
    found = {"pose_keypoints_2d": body, "face_keypoints_2d": face}
    found |= {f"hand_{side}_keypoints_2d": points[list(at)] for side, at in HANDS.items()}
    people = {}
    for name, at in found.items():
        sure = np.where(np.isfinite(at[:, :1]), rng.uniform(0.5, 1, (len(at), 1)), 0)
        people[name] = np.concatenate([np.nan_to_num(at), sure], axis=1).round(3).ravel()
    return {"version": 1.1, "people": [people]}
