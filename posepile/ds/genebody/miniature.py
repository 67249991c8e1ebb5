"""A tiny GeneBody in the official layout, made from the data's description alone.

Four performers in a ring of cameras with strong lens distortion, posed by an SMPL-X model that is
made up here (same arrays as the licensed files, human proportions, a few hundred vertices).
Kinematics, skinning and projection are written out in plain numpy, so that agreement with the
pipeline means something. What is odd about the real data is odd here, too:

* dannier: no view 32; D of shape (1, 5); one image without parameters; tensors in one file where
  torch is installed; one empty mask and one black picture;
* zhuna2: image names of three digits, mask names of four; a hand pose shaped (15, 3);
* anastasia: annotations of the old list form in the old unit; views 16.. that the authors skip;
* natacha: in Test10, not used by default.
"""

from __future__ import annotations

import colorsys
import importlib.util
import sys
from pathlib import Path

import cv2
import numpy as np

from posepile.miniature import kit

WIDTH, HEIGHT = 1024, 1224  # half of the real 2048 x 2448
BODY = [-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19]
PARENTS = [
    *BODY,
    *[15, 15, 15],
    *[p for f in range(5) for p in (20, 25 + 3 * f, 26 + 3 * f)],
    *[p for f in range(5) for p in (21, 40 + 3 * f, 41 + 3 * f)],
]
# Rest pose of the left half and the middle, metres, y up, facing +z; the right half is mirrored.
REST = {
    0: (0, 0, 0),
    1: (0.09, -0.08, 0),
    3: (0, 0.12, -0.02),
    4: (0.11, -0.48, 0.01),
    6: (0, 0.25, -0.01),
    7: (0.12, -0.90, -0.02),
    9: (0, 0.34, 0),
    10: (0.14, -0.95, 0.11),
    12: (0, 0.51, -0.02),
    13: (0.07, 0.43, -0.01),
    15: (0, 0.62, 0.01),
    16: (0.18, 0.44, -0.01),
    18: (0.45, 0.44, -0.02),
    20: (0.70, 0.44, -0.01),
    22: (0, 0.60, 0.03),
    23: (0.03, 0.68, 0.08),
}
RIGHT_OF = {1: 2, 4: 5, 7: 8, 10: 11, 13: 14, 16: 17, 18: 19, 20: 21, 23: 24}
DRAWN = [0, 4, 5, 7, 8, 12, 15, 16, 17, 18, 19, 20, 21]  # joints that get a coloured disc
GENDERS = {"neutral": 1, "male": 2, "female": 3}
LENS = np.array([-0.16, 0.05, 0.001, -0.0015, 0.01])
OLD_UNIT = 2.87


def build(root: Path, seed: int = 0) -> None:
    """Writes the raw tree, SMPL-X files in ``body_models`` and ``miniature_truth.json``.

    Args:
        root: Raw folder of the dataset; created.
        seed: Varies poses and shapes.
    """
    root = Path(root)
    models = {gender: make_smplx(s) for gender, s in GENDERS.items()}
    write_smplx(root / "body_models" / "smplx", models)
    rng = np.random.default_rng(seed)
    train, test = root / "GeneBody-Train40", root / "GeneBody-Test10"
    for part in (train, test):
        part.mkdir(parents=True)
        split = {"train": ["dannier", "zhuna2", "anastasia"], "test": ["natacha"]}
        _save(part / "genebody_split.npy", split)

    cast = [
        (train / "dannier", "male", ["00", "01", "13", "25", "37"], list(range(45, 52)), 1.0),
        (train / "zhuna2", "female", ["00", "01", "13", "32", "37"], [98, 99, 100, 101], 0.71),
        (train / "anastasia", "female", ["00", "16", "25"], [400, 401, 402], 1.04),
        (test / "natacha", "female", ["00", "01", "13", "25", "37"], [7, 8], 0.97),
    ]
    counts, joints_of = {"train": 0, "val": 0, "test": 0}, {}
    for folder, gender, views, frames, scale in cast:
        joints = write_performer(folder, models[gender], views, frames, scale, rng)
        joints_of[folder.name] = dict(zip(map(str, frames), joints.tolist(), strict=True))
        if folder.parent == test:
            continue
        # The last frame of dannier has no parameters, so it takes no part.
        n = len(frames) - (folder.name == "dannier")
        kept = [frames[k] for k in kept_frames(joints[:n])]
        used = [v for v in views if not (folder.name == "anastasia" and "16" <= v <= "23")]
        counts["train"] += len(kept) * len(used)
        if folder.name == "dannier":  # spoiled pictures, see spoil()
            counts["train"] -= (frames[0] in kept) + (frames[2] in kept)
    spoil(train / "dannier")

    colors = [None] * len(PARENTS)
    for j, color in zip(DRAWN, disc_colors(), strict=True):
        colors[j] = color.tolist()
    kit.write_truth(root, counts=counts, colors=colors, raw_masks=True, joints_mm=joints_of)


def make_smplx(seed: int, vertices_per_joint: int = 8) -> dict[str, np.ndarray]:
    """Returns arrays of an SMPL-X model file with human proportions; every gender its own.

    Args:
        seed: Proportions, shape space and skin.
        vertices_per_joint: They surround the joint, and their mean is the joint.

    Returns:
        float32 arrays by the official names; metres.
    """
    rng = np.random.default_rng(seed)
    n_joints = len(PARENTS)
    rest = np.zeros((n_joints, 3))
    for left, position in REST.items():
        rest[left] = position
        if left in RIGHT_OF:
            rest[RIGHT_OF[left]] = np.array(position) * (-1, 1, 1)
    for hand, wrist, side in ((25, 20, 1), (40, 21, -1)):
        for finger in range(5):
            for k in range(3):
                across = 0.02 * (2 - finger)
                reach = 0.08 + 0.03 * k
                rest[hand + 3 * finger + k] = rest[wrist] + (side * reach, 0, across)
    rest *= 1 + 0.04 * (seed - 2) + rng.normal(0, 0.01, (n_joints, 1))

    n = n_joints * vertices_per_joint
    owner = np.arange(n) % n_joints
    offsets = rng.normal(0, 0.03, (vertices_per_joint, n_joints, 3))
    offsets -= offsets.mean(axis=0)
    parents = np.array(PARENTS)
    weights = np.zeros((n, n_joints))
    weights[np.arange(n), owner] = 0.8
    np.add.at(weights, (np.arange(n), np.maximum(parents[owner], 0)), 0.2)
    regressor = np.zeros((n_joints, n))
    regressor[owner, np.arange(n)] = 1 / vertices_per_joint
    model = {
        "v_template": rest[owner] + offsets.reshape(n, 3),
        "weights": weights,
        "J_regressor": regressor,
        "shapedirs": rng.normal(0, 0.002, (n, 3, 20)),
        "posedirs": rng.normal(0, 1e-4, (n, 3, 9 * (n_joints - 1))),
        "lmk_bary_coords": np.full((51, 3), 1 / 3),
        "dynamic_lmk_bary_coords": np.full((79, 17, 3), 1 / 3),
    }
    for side in "lr":
        model[f"hands_components{side}"] = np.linalg.qr(rng.normal(size=(45, 45)))[0]
        model[f"hands_mean{side}"] = rng.normal(0, 0.2, 45)
    model = {key: value.astype(np.float32) for key, value in model.items()}
    model["kintree_table"] = np.array([[2**32 - 1, *PARENTS[1:]], range(n_joints)], np.uint32)
    model["f"] = np.stack([np.arange(n - 2) + k for k in range(3)], axis=1).astype(np.uint32)
    model["lmk_faces_idx"] = np.arange(51)
    model["dynamic_lmk_faces_idx"] = np.zeros((79, 17), int)
    return model


def write_smplx(folder: Path, models: dict[str, dict]) -> None:
    """Writes ``SMPLX_*.npz`` and a kid template of zeros (= there is none)."""
    folder.mkdir(parents=True)
    for gender, model in models.items():
        np.savez_compressed(folder / f"SMPLX_{gender.upper()}.npz", **model)
    np.save(folder / "kid_template.npy", np.zeros_like(models["neutral"]["v_template"]))


def pose_body(model: dict, smplx: dict, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Joints and vertices in metres, as the official call ``SMPLX(**smplx) * scale`` gives them.

    Hands: ``use_pca=False`` and ``flat_hand_mean=False``, i.e. the mean is added.
    """
    m = {key: np.asarray(value, np.float64) for key, value in model.items()}
    hands = [
        smplx[f"{name}_hand_pose"].reshape(-1) + m[f"hands_mean{name[0]}"]
        for name in ("left", "right")
    ]
    keys = ("global_orient", "body_pose", "jaw_pose", "leye_pose", "reye_pose")
    rotvecs = np.concatenate([*(smplx[k].reshape(-1) for k in keys), *hands]).reshape(-1, 3)
    local = np.stack([cv2.Rodrigues(r)[0] for r in rotvecs])
    blend = np.concatenate([smplx["betas"].reshape(-1), smplx["expression"].reshape(-1)])
    shaped = m["v_template"] + m["shapedirs"] @ blend
    rest = m["J_regressor"] @ shaped
    rotations, joints = [local[0]], [rest[0]]
    for j in range(1, len(PARENTS)):
        p = PARENTS[j]
        rotations.append(rotations[p] @ local[j])
        joints.append(joints[p] + rotations[p] @ (rest[j] - rest[p]))
    joints = np.array(joints)
    bent = shaped + m["posedirs"] @ (local[1:] - np.eye(3)).reshape(-1)
    moved = np.einsum("jab,vjb->vja", np.array(rotations), bent[:, None] - rest) + joints
    vertices = np.einsum("vj,vja->va", m["weights"], moved)
    offset = smplx["transl"].reshape(3)
    return (joints + offset) * scale, (vertices + offset) * scale


def write_performer(
    folder: Path,
    model: dict,
    views: list[str],
    frames: list[int],
    scale: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Writes one performer's folder.

    Returns:
        ``[n, 55, 3]`` joints in millimetres.
    """
    old, digits = folder.name == "anastasia", 3 if folder.name == "zhuna2" else 4
    cameras = {view: make_camera(int(view), rng) for view in views}
    if old:
        annots = {
            "K": [cameras[v]["K"] for v in views],
            "RT": [_in_unit(cameras[v]["c2w"], OLD_UNIT) for v in views],
            "D": [cameras[v]["D"] for v in views],
        }
    elif folder.name == "dannier":
        annots = {v: c | {"D": c["D"].reshape(1, 5)} for v, c in cameras.items()}
    else:
        annots = cameras
    for name in ("param", "smpl"):
        (folder / name).mkdir(parents=True)
    _save(folder / "annots.npy", {"cams": annots})

    betas = rng.normal(0, 0.7, (1, 10)).astype(np.float32)
    everything = []
    for i, frame in enumerate(frames):
        smplx = make_pose(i, len(frames), betas, scale, rng)
        joints, vertices = pose_body(model, smplx, scale)
        everything.append(joints * 1000)
        for view, camera in cameras.items():
            draw(folder, view, f"{frame:0{digits}d}", joints, camera, scale, seed=int(view))
        if folder.name == "dannier" and frame == frames[-1]:
            continue
        if folder.name == "zhuna2":
            smplx["left_hand_pose"] = smplx["left_hand_pose"].reshape(15, 3)
        if folder.name == "dannier" and i == 1 and importlib.util.find_spec("torch"):
            import torch

            smplx = {key: torch.from_numpy(value) for key, value in smplx.items()}
        param = {"smplx": smplx, "smplx_scale": np.array([scale], np.float32)}
        param["keypoints3d"] = joints.astype(np.float32)
        _save(folder / "param" / f"{frame:0{digits}d}.npy", param)
        lines = [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in vertices]
        lines += [f"f {a} {b} {c}" for a, b, c in model["f"][:4] + 1]
        (folder / "smpl" / f"{frame:0{digits}d}.obj").write_text("\n".join(lines) + "\n")
    return np.array(everything)


def make_pose(
    i: int, n: int, betas: np.ndarray, scale: float, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """SMPL-X arguments of frame ``i``; every third frame hardly differs from the one before.

    Limbs are held away from the body and from each other, so that every joint is seen.
    """
    step = i - (i % 3 == 1)
    swing = 0.5 * np.sin(1.9 * step)
    body = np.zeros((21, 3))
    body[0], body[1] = (-0.5 - 0.2 * swing, 0, 0.25), (0.35 + 0.2 * swing, 0, -0.3)  # hips
    body[3], body[4] = (0.4, 0, 0), (0.5 + 0.3 * swing, 0, 0)  # knees
    body[15], body[16] = (0, -0.5, 0.45 + 0.3 * swing), (0, -0.7, 0.55 - 0.3 * swing)  # shoulders
    body[17], body[18] = (0, -0.9 - 0.4 * swing, 0.3), (0, 0.5, -0.9 + 0.3 * swing)  # elbows
    body += rng.normal(0, 0.01, body.shape) * (i % 3 != 1)
    upright = np.array([np.pi, 0, 0.05 * swing])  # the world's y axis points down
    arrays = {
        "global_orient": upright,
        "body_pose": body,
        "betas": betas,
        "transl": np.array([0.04 * step, -0.05 / scale, 0.03 * step]),
        "expression": rng.normal(0, 0.5, 10),
        "jaw_pose": np.array([0.1, 0, 0]),
        "leye_pose": np.zeros(3),
        "reye_pose": np.zeros(3),
        "left_hand_pose": rng.normal(0, 0.1, 45) * (i % 3 != 1),
        "right_hand_pose": rng.normal(0, 0.1, 45) * (i % 3 != 1),
    }
    return {k: np.asarray(v, np.float32).reshape(1, -1) for k, v in arrays.items()}


def make_camera(view: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Returns one of 48 cameras in a ring of 2.9 m, looking at the middle; world y points down."""
    angle = 2 * np.pi * view / 48 + 0.3
    center = np.array([2.9 * np.sin(angle), rng.uniform(-0.5, 0.3), 2.9 * np.cos(angle)])
    forward = -center / np.linalg.norm(center)
    right = np.cross([0, 1, 0], forward)
    right /= np.linalg.norm(right)
    c2w = np.eye(4)
    c2w[:3, :3] = np.stack([right, np.cross(forward, right), forward], axis=1)
    c2w[:3, 3] = center
    focal = 1360 + 5 * rng.random()
    k = np.array([[focal, 0, WIDTH / 2 + 3.5], [0, focal + 1, HEIGHT / 2 - 6.25], [0, 0, 1]])
    return {"K": k, "c2w": c2w, "D": LENS * rng.uniform(0.9, 1.1)}


def draw(
    folder: Path, view: str, stem: str, joints: np.ndarray, camera: dict, scale: float, seed: int
) -> None:
    """Writes one image and its matte; masks of zhuna2 have four digits whatever the image has."""
    rotation = camera["c2w"][:3, :3].T
    translation = -rotation @ camera["c2w"][:3, 3]
    points = kit.project(joints, camera["K"], rotation, translation, camera["D"])
    depth = (joints @ rotation.T + translation)[:, 2]
    image = kit.background(WIDTH, HEIGHT, seed)
    edges = [(p, j) for j, p in enumerate(PARENTS) if p >= 0 and j < 25]
    radius = 28 * scale * 2.9 / depth[0]
    disc = 0.43 * radius
    silhouette = kit.draw_person(image, points, edges, radius, discs=False)
    # A disc that another one would touch is left out: it could not be found whole.
    shown: list[int] = []
    for j in sorted(DRAWN, key=lambda j: depth[j]):
        apart = [np.linalg.norm(points[j] - points[i]) for i in DRAWN if i != j]
        if min(apart) > 3.5 * disc:
            shown.append(j)
    for j in shown:
        center = tuple(round(float(v) * 256) for v in points[j])
        color = disc_colors()[DRAWN.index(j)].tolist()
        cv2.circle(image, center, round(disc * 256), color, -1, cv2.LINE_AA, 8)
    # A matte: soft outside of the figure, but below the threshold there; nothing far from it.
    ys, xs = np.nonzero(silhouette)
    near = np.s_[max(0, ys.min() - 40) : ys.max() + 40, max(0, xs.min() - 40) : xs.max() + 40]
    soft = cv2.GaussianBlur(silhouette[near] * 200.0, (0, 0), 3).clip(0, 127)
    matte = np.zeros((HEIGHT, WIDTH), np.uint8)
    matte[near] = np.where(silhouette[near], 255, soft)
    for kind in ("image", "mask"):
        (folder / kind / view).mkdir(parents=True, exist_ok=True)
    jpeg = str(folder / "image" / view / f"{stem}.jpg")
    cv2.imwrite(jpeg, image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
    cv2.imwrite(str(folder / "mask" / view / f"mask{int(stem):04d}.png"), matte)


def disc_colors() -> np.ndarray:
    """uint8 RGB, evenly spaced hues, one per drawn joint; neighbours in the list far apart."""
    hues = [(5 * i % len(DRAWN)) / len(DRAWN) for i in range(len(DRAWN))]
    return np.array(
        [[round(255 * c) for c in colorsys.hsv_to_rgb(h, 1, 1)] for h in hues], np.uint8
    )


def kept_frames(joints: np.ndarray) -> list[int]:
    """Frames far (100 mm for some joint) from all poses kept before; fewer than 100 here."""
    kept: list[int] = []
    for i, pose in enumerate(joints):
        if all(np.linalg.norm(pose - joints[k], axis=1).max() >= 100 for k in kept):
            kept.append(i)
    return kept


def spoil(folder: Path) -> None:
    """One empty mask (first frame) and one black picture (third frame)."""
    path = str(folder / "mask" / "13" / "mask0045.png")
    cv2.imwrite(path, np.zeros((HEIGHT, WIDTH), np.uint8))
    noise = np.random.default_rng(5).integers(0, 9, (HEIGHT, WIDTH, 3), np.uint8)
    cv2.imwrite(str(folder / "image" / "25" / "0047.jpg"), noise)


def _in_unit(c2w: np.ndarray, unit: float) -> np.ndarray:
    result = c2w.copy()
    result[:3, 3] /= unit
    return result


def _save(path: Path, content: dict) -> None:
    """A pickled dictionary in a 0-dimensional object array, as numpy.save writes it."""
    np.save(path, np.array(content, dtype=object))


if __name__ == "__main__":
    build(Path(sys.argv[1]))
