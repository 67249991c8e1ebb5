"""A tiny 3DOH50K in the official layout: pictures of people behind things, one person in each.

Two pictures for training show one moment from two cameras. A length of 7 in the files is a metre;
paths are written as on Windows in some entries; there are no masks of the test set.
"""

from pathlib import Path

import numpy as np

from posepile.miniature import actor, bodies, rig, shoot, skeleton, truth, writers

SIZE = (2048, 1536)
LSP = "rank rkne rhip lhip lkne lank rwri relb rsho lsho lelb lwri neck head".split()
FIGURE = skeleton.make_figure(LSP, radius_mm=55, disc=0.5)
UNITS_PER_METRE = 7.0  # and the scale of the bodies
# Cameras of the studio by name: angle round the person (degrees), height (mm), roll (radians).
CAMERAS = {"a": (20, 300, 0.16), "b": (-40, 650, -0.24), "c": (60, -100, 0.05)}
# Set, id, moment, camera, things in front (x, y, width, height in pixels).
PICTURES = (
    ("trainset", "00000", 0, "a", [(960, 1000, 420, 340)]),
    ("trainset", "00001", 0, "b", []),
    ("trainset", "00007", 1, "c", [(690, 520, 300, 260)]),
    ("testset", "00000", 2, "b", [(1000, 1120, 300, 280)]),
    ("testset", "00003", 3, "a", []),
)
BACKSLASHES = {("trainset", "00000"), ("testset", "00003")}
SPLITS = {"trainset": "train", "testset": "test"}


def build(root: Path, seed: int = 0) -> None:
    """Writes the miniature below ``root``; the seed is that of poses, shapes and scene."""
    root, rng = Path(root), np.random.default_rng(seed)
    bodies.write_body_models(root / "body_models", ("smpl",))
    studio = {name: make_camera(*view) for name, view in CAMERAS.items()}
    moments = [make_person(m, rng) for m in range(1 + max(row[2] for row in PICTURES))]
    annots: dict[str, dict] = {folder: {} for folder in SPLITS}
    starts = {"train": 0, "test": 40}
    sequences = {
        split: truth.SequenceTruth(split, [], start, masks=split == "train")
        for split, start in starts.items()
    }
    for i, (folder, id, moment, name, things) in enumerate(PICTURES):
        (body, joints, lsp), camera = moments[moment], studio[name]
        actors, start = [shoot.Actor(lsp, FIGURE)], sequences[SPLITS[folder]].start
        backdrop = shoot.Backdrop(SIZE, seed + i)
        picture = shoot.shoot(backdrop, camera, actors, int(id) + start, things)
        writers.write_jpeg(root / folder / f"images/{id}.jpg", picture.image)
        person, separator = picture.people[0], "\\" if (folder, id) in BACKSLASHES else "/"
        entry = {"img_path": f"images{separator}{id}.jpg"}
        if folder == "trainset":
            entry["mask_path"] = f"masks{separator}{id}.png"
            mask = np.repeat(person.mask(SIZE)[..., None], 3, axis=2)
            writers.write_png(root / folder / f"masks/{id}.png", mask.astype(np.uint8) * 255)
        left, top, right, bottom = person.box(amodal=True)
        entry |= {"bbox": [[left, top], [right, bottom]], "intri": camera.intrinsics}
        entry["extri"] = camera.matrix(unit_mm=1000 / UNITS_PER_METRE)
        for kind, points in (("smpl", joints), ("lsp", lsp)):
            entry[f"{kind}_joints_2d"] = camera.project(points)
            entry[f"{kind}_joints_3d"] = camera.from_world(points) * UNITS_PER_METRE / 1000
        annots[folder][id] = entry | body
        sequences[SPLITS[folder]].examples.append((int(id), 0))
    for folder, entries in annots.items():
        writers.write_json(root / folder / "annots.json", entries)
    pattern = r"(?P<sequence>train|test)(set)?/(images/)?(?P<frame>\d{5})(_00)?\.jpg$"
    more = {"raw_masks": True, "moving": False}
    truth.write_truth(root, truth.make_truth(FIGURE, pattern, sequences, **more))


def make_camera(angle: float, height: float, roll: float) -> rig.RigCamera:
    """Returns a camera of the studio, which is rolled."""
    place = rig.around((0, 0, 0), 4300, angle, height, up="y")
    camera = rig.make_camera(SIZE, place, (60, -40, 0), 2400, up="y", shift=(6, -3), stretch=1.002)
    turn = actor.matrix([0, 0, roll])
    pose = turn @ camera.rotation, turn @ camera.translation
    return rig.RigCamera(SIZE, camera.intrinsics, *pose)


def make_person(moment: int, rng: np.random.Generator) -> tuple[dict, np.ndarray, np.ndarray]:
    """Returns what the files tell of a body, its joints and those of LSP in the world, mm.

    The scale enlarges the posed body about its rest pelvis, which is not enlarged itself.
    """
    model, betas = bodies.make_model("smpl", seed=bodies.SEEDS["neutral"]), rng.normal(0, 0.6, 10)
    at, turned = (40 * moment, 30, -50), rng.uniform(-30, 30)
    motion = actor.move(1, int(rng.integers(99)), up="y", at=at, turned=turned)
    pose = actor.body_rotvecs(motion, 0, 24)
    joints, _ = actor.pose_body(model, pose, betas, vertices=False)
    pelvis = motion.positions[0] / 1000
    body = {
        "betas": betas[None],
        "pose": pose.reshape(1, 72),
        "trans": (UNITS_PER_METRE * pelvis - joints[0])[None],
        "scale": np.array([UNITS_PER_METRE]),
    }
    # LSP's hips lie elsewhere than SMPL's, and its head is the top of it.
    lsp = actor.pose_skeleton(motion, [*LSP[:-1], "htop"], 1.01)[0]
    return body, 1000 * (joints - joints[0] + pelvis), lsp
