"""A tiny GeneBody in the official layout, made from the data's description alone.

Four performers in a ring of cameras with strong lens distortion, posed by a made-up SMPL-X model.
What is odd about the real data is odd here, too:

* dannier: no view 32; D of shape (1, 5); one image without parameters; tensors in one file; one
  empty mask and one black picture;
* zhuna2: image names of three digits, mask names of four; a hand pose shaped (15, 3);
* anastasia: annotations of the old list form in the old unit; views 16.. that the authors skip;
* natacha: in Test10, not used by default.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np

from posepile.miniature import actor, rig, writers
from posepile.miniature.bodies import (
    JOINT_NAMES,
    SEEDS,
    make_model,
    smplx_fit,
    whole_pose,
    write_body_models,
)
from posepile.miniature.pickled import tensor, write_object_npy
from posepile.miniature.shoot import Actor, Backdrop, Picture, shoot
from posepile.miniature.skeleton import make_figure
from posepile.miniature.truth import SequenceTruth, frames_kept, make_truth, write_truth

SIZE = (1024, 1224)  # half of the real 2048 x 2448
FIGURE = make_figure(JOINT_NAMES["smplx"])
N_VERTICES = 440
LENS = np.array([-0.16, 0.05, 0.001, -0.0015, 0.01])
OLD_UNIT = 2.87

# performer, gender, views, frames, scale
CAST = (
    ("dannier", "male", "00 01 13 25 37", range(45, 52), 1.0),
    ("zhuna2", "female", "00 01 13 32 37", range(98, 102), 0.71),
    ("anastasia", "female", "00 16 25", range(400, 403), 1.04),
    ("natacha", "female", "00 01 13 25 37", range(7, 9), 0.97),
)


def build(root: Path, seed: int = 0) -> None:
    """Writes the raw tree, SMPL-X files in ``body_models`` and the truth.

    Args:
        root: Raw folder of the dataset; created.
        seed: Varies poses and shapes.
    """
    root = Path(root)
    write_body_models(root / "body_models", ("smplx",), N_VERTICES)
    rng = np.random.default_rng(seed)
    train, test = root / "GeneBody-Train40", root / "GeneBody-Test10"
    for part in (train, test):
        split = {"train": ["dannier", "zhuna2", "anastasia"], "test": ["natacha"]}
        write_object_npy(part / "genebody_split.npy", split)
    backdrops = {f"{v:02d}": Backdrop(SIZE, v) for v in (0, 1, 13, 16, 25, 32, 37)}
    sequences, joints_of = {}, {}
    for name, gender, views, frames, scale in CAST:
        folder = (test if name == "natacha" else train) / name
        cameras = {view: make_camera(int(view), rng) for view in views.split()}
        write_cameras(folder, cameras)
        model = make_model("smplx", N_VERTICES, SEEDS[gender])
        joints = write_bodies(folder, model, frames, scale, rng)
        starts = {view: 11 * len(sequences) + 5 * i for i, view in enumerate(cameras)}
        for i, frame in enumerate(frames):
            for view, camera in cameras.items():
                actors = [Actor(joints[i], FIGURE)]
                picture = shoot(backdrops[view], camera, actors, starts[view] + frame)
                write_view(folder, view, frame, picture)
        joints_of[name] = dict(zip(map(str, frames), joints.tolist(), strict=True))
        if name == "natacha":
            continue
        # The last frame of dannier has no parameters, so it takes no part.
        n = len(frames) - (name == "dannier")
        kept = [(frames[k], 0) for k in frames_kept(joints[:n], "all")]
        for view, start in starts.items():
            # Views that the authors skip, and what spoil() does.
            if not (name == "anastasia" and "16" <= view <= "23"):
                lost = {("dannier", "13"): 45, ("dannier", "25"): 47}.get((name, view))
                seen = [(frame, person) for frame, person in kept if frame != lost]
                sequences[f"{name}/image/{view}"] = SequenceTruth("train", seen, start)
    spoil(train / "dannier")
    pattern = r"(?P<sequence>\w+/image/\d\d)/(?P<frame>\d+)\.jpg$"
    facts = {"joints_mm": joints_of}
    write_truth(root, make_truth(FIGURE, pattern, sequences, raw_masks=True, facts=facts))


def make_camera(view: int, rng: np.random.Generator) -> rig.RigCamera:
    """Returns one of 48 cameras in a ring of 2.9 m, looking at the middle; world y points down."""
    position = rig.around((0, 0, 0), 2900, 7.5 * view + 17, rng.uniform(-300, 500), up="-y")
    return rig.make_camera(
        SIZE, position, (0, 0, 0), 1060 + 5 * rng.random(), up="-y", shift=(4, -5.75),
        stretch=1.0008, distortion=LENS * rng.uniform(0.9, 1.1),
    )  # fmt: skip


def annotation(camera: rig.RigCamera, unit_mm: float = 1000) -> dict[str, np.ndarray]:
    """Returns a camera as annots.npy holds it: camera to world."""
    c2w = np.linalg.inv(camera.matrix(unit_mm))
    return {"K": camera.intrinsics, "c2w": c2w, "D": np.array(camera.distortion)}


def write_cameras(folder: Path, cameras: dict[str, rig.RigCamera]) -> None:
    """Writes annots.npy in one of its forms."""
    cams = {view: annotation(camera) for view, camera in cameras.items()}
    if folder.name == "anastasia":
        old = [annotation(camera, 1000 * OLD_UNIT) for camera in cameras.values()]
        cams = {
            key: [cam[new] for cam in old] for key, new in (("K", "K"), ("RT", "c2w"), ("D", "D"))
        }
    elif folder.name == "dannier":
        cams = {view: cam | {"D": cam["D"].reshape(1, 5)} for view, cam in cams.items()}
    write_object_npy(folder / "annots.npy", {"cams": cams})


def write_bodies(
    folder: Path, model: dict, frames: range, scale: float, rng: np.random.Generator
) -> np.ndarray:
    """Writes parameters and meshes of a performer.

    Returns:
        ``[n, 55, 3]`` joints in millimetres: of the official call ``SMPLX(**smplx) * scale``,
        whose hands have ``use_pca=False`` and ``flat_hand_mean=False``, i.e. the mean is added.
    """
    betas = rng.normal(0, 0.4, 10).astype(np.float32)
    at = (0, 150 * scale, 0)  # of the pelvis; y points down
    motion = actor.move(len(frames), int(rng.integers(1000)), up="-y", at=at, turned=15)
    everything = []
    for i, frame in enumerate(frames):
        pose = actor.body_rotvecs(motion, i, 55).astype(np.float32)
        pose[22] = 0.1, 0, 0
        pose[25:] = rng.normal(0, 0.1, (30, 3))
        transl = (motion.positions[i] / 1000 / scale + (0, 0.22, -0.02)).astype(np.float32)
        expression = rng.normal(0, 0.5, 10).astype(np.float32)
        posed = actor.pose_body(model, whole_pose(model, pose), betas, transl, expression)
        joints, vertices = (points * scale for points in posed)
        everything.append(joints * 1000)
        if (folder.name, frame) == ("dannier", 51):
            continue
        smplx = smplx_fit(pose, betas, transl, expression)
        if folder.name == "zhuna2":
            smplx["left_hand_pose"] = smplx["left_hand_pose"].reshape(15, 3)
        if (folder.name, frame) == ("dannier", 46):
            smplx = {key: tensor(value) for key, value in smplx.items()}
        param = {"smplx": smplx, "smplx_scale": np.array([scale], np.float32)}
        param["keypoints3d"] = joints.astype(np.float32)
        write_object_npy(folder / "param" / f"{stem(folder, frame)}.npy", param)
        lines = [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in vertices]
        lines += [f"f {a} {b} {c}" for a, b, c in model["f"][:4] + 1]
        mesh = folder / "smpl" / f"{stem(folder, frame)}.obj"
        writers.write_text(mesh, "\n".join(lines) + "\n")
    return np.array(everything)


def stem(folder: Path, frame: int) -> str:
    """Returns the name of a frame's files."""
    return f"{frame:03d}" if folder.name == "zhuna2" else f"{frame:04d}"


def write_view(folder: Path, view: str, frame: int, picture: Picture) -> None:
    """Writes one image and its matte; masks of zhuna2 have four digits whatever the image has."""
    (seen,) = picture.people
    # A matte: soft outside of the figure, but below the threshold there; nothing far from it.
    soft = cv2.GaussianBlur(seen.modal * np.uint8(200), (0, 0), 3)
    matte = np.zeros(SIZE[::-1], np.uint8)
    (x, y), (h, w) = seen.corner, seen.modal.shape
    matte[y : y + h, x : x + w] = np.where(seen.modal, 255, np.minimum(soft, 127))
    writers.write_jpeg(folder / "image" / view / f"{stem(folder, frame)}.jpg", picture.image)
    writers.write_png(folder / "mask" / view / f"mask{frame:04d}.png", matte)


def spoil(folder: Path) -> None:
    """One empty mask (first frame) and one black picture (third frame)."""
    writers.write_png(folder / "mask" / "13" / "mask0045.png", np.zeros(SIZE[::-1], np.uint8))
    noise = np.random.default_rng(5).integers(0, 9, (*SIZE[::-1], 3), np.uint8)
    writers.write_jpeg(folder / "image" / "25" / "0047.jpg", noise)


if __name__ == "__main__":
    build(Path(sys.argv[1]))
