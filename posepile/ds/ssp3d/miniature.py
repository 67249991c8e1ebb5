"""A tiny SSP-3D in the official layout: four pictures of three people, cut out of videos.

Nobody is in the middle, so rows and columns of boxes differ. The pictures' numbers are those of
their video frames. Body models have as many vertices as the real ones, since evaluation takes some
of them for eyes and ears.
"""

from pathlib import Path

import numpy as np

from posepile.miniature import actor, bodies, rig, shoot, skeleton, truth, writers

SIZE, N_VERTICES = (512, 512), 6890
FIGURE = skeleton.make_figure(skeleton.TURNING, radius_mm=70, disc=0.45)
INTRINSICS = np.array([[5000.0, 0, 256], [0, 5000, 256], [0, 0, 1]])
COCO = (
    "nose leye reye lear rear lsho rsho lelb relb lwri rwri lhip rhip lkne rkne lank rank"
).split()
MODELS = {"m": "male", "f": "female"}
PICTURES = (  # video, clip and person, frame, gender, where the pelvis is (mm)
    ("0a1Bc_-d9_clip_2_person_0", 27, "m", (620, -390, 39500)),
    ("0a1Bc_-d9_clip_2_person_0", 104, "m", (-540, 330, 43000)),
    ("gym-Vault_clip_1_person_1", 3, "f", (470, 520, 38000)),
    ("x_person_clip_10_person_0", 60, "f", (-700, -280, 41000)),
)
CONFIDENCE, UNDETECTED = 0.9, 3  # the left ear of a picture was not found


def build(root: Path, seed: int = 0) -> None:
    """Writes the miniature below ``root``; the seed is that of poses, shapes and scene."""
    root, rng, sequences, rows = Path(root), np.random.default_rng(seed), {}, []
    bodies.write_body_models(root / "body_models", ("smpl",), N_VERTICES)
    camera = rig.RigCamera(SIZE, INTRINSICS, np.eye(3), np.zeros(3))
    betas = {group: rng.normal(0, 0.7, 10) for group, *_ in PICTURES}  # one shape for a person
    for i, (group, frame, gender, place) in enumerate(PICTURES):
        row, joints, points = make_person(gender, place, betas[group], rng)
        start = 17 * len(set(sequences) | {group})
        picture = shoot.shoot(
            shoot.Backdrop(SIZE, seed + i), camera, [shoot.Actor(joints, FIGURE)], frame + start
        )
        row["fnames"] = f"{group}_frame_{frame}.png"
        writers.write_png(root / "images" / row["fnames"], picture.image)
        person = picture.people[0].mask(SIZE)
        writers.write_png(root / "silhouettes" / row["fnames"], person.astype(np.uint8))
        row["joints2D"] = see(camera, points, rng, hidden=3 if i == UNDETECTED else None)
        left, top, right, bottom = picture.people[0].box()
        row["bbox_centres"] = [(top + bottom) / 2, (left + right) / 2]
        row["bbox_whs"] = max(right - left, bottom - top)
        rows.append(row)
        seen = sequences.setdefault(group, truth.SequenceTruth("test", [], start))
        seen.examples.append((frame, 0))
    columns = {key: np.array([row[key] for row in rows]) for key in rows[0]}
    writers.write_npz(root / "labels.npz", **columns)
    pattern = r"(?P<sequence>[\w-]+_clip_\d+_person_\d+)_frame_(?P<frame>\d+)(_00)?\.jpg$"
    more = {"raw_masks": True, "moving": False, "box": "loose"}  # boxes are squares
    truth.write_truth(root, truth.make_truth(FIGURE, pattern, sequences, **more))


def make_person(
    gender: str, place: tuple[float, ...], betas: np.ndarray, rng: np.random.Generator
) -> tuple[dict, np.ndarray, np.ndarray]:
    """Returns what the file tells of a body, its joints and COCO's, millimetres in the camera.

    The root is turned by about half a turn round x, since y points down in the camera.
    """
    model = bodies.make_model("smpl", N_VERTICES, bodies.SEEDS[MODELS[gender]])
    turned = rng.uniform(-40, 40)
    motion = actor.move(1, int(rng.integers(99)), up="-y", at=place, turned=turned)
    pose = actor.body_rotvecs(motion, 0, 24)
    joints, _ = actor.pose_body(model, pose, betas, vertices=False)
    trans = motion.positions[0] / 1000 - joints[0]
    joints = 1000 * (joints + trans)
    # What the model lacks keeps its place beside the head.
    head, *points = actor.pose_skeleton(motion, ["head", *COCO])[0]
    points = points + joints[skeleton.TURNING.index("head")] - head
    for j, name in enumerate(COCO):
        if name in skeleton.TURNING:
            points[j] = joints[skeleton.TURNING.index(name)]
    row = {"shapes": betas, "poses": pose.ravel(), "genders": gender, "cam_trans": trans}
    return row, joints, points


def see(camera: rig.RigCamera, points: np.ndarray, rng, hidden: int | None) -> np.ndarray:
    """Returns x, y and confidence of COCO's joints as seen by a detector, ``[17, 3]``."""
    found = camera.project(points) + rng.normal(0, 0.7, (17, 2))
    hips = [COCO.index("lhip"), COCO.index("rhip")]
    found[hips] += 0.3 * (found[hips] - found[hips[::-1]])  # its hips lie farther apart
    seen = np.column_stack([found, np.full(17, CONFIDENCE)])
    if hidden is not None:
        seen[hidden] = 0
    return seen
