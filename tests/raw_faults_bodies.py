"""How raw files of fitted bodies are edited, for raw_faults.py."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from raw_faults import (
    NO_DISTORTION,
    SHIFT_M,
    SMPLH,
    RawFiles,
    View,
    exchange_files,
    matrix_edit,
    mirror_pictures,
)

# ---------------------------------------------------------------- GeneBody

TRAIN, DANNIER = "GeneBody-Train40", "GeneBody-Train40/dannier"


def read_object(path: Path) -> dict:
    return np.load(path, allow_pickle=True).item()  # written by the miniature


def write_object(path: Path, content: dict) -> None:
    from posepile.miniature.pickled import write_object_npy

    path.unlink()
    write_object_npy(path, content)


def genebody_thin(root: Path) -> None:
    from posepile.formats.arrays import read_npy

    write_object(root / TRAIN / "genebody_split.npy", {"train": ["dannier"], "test": ["natacha"]})
    for name in ("zhuna2", "anastasia"):
        shutil.rmtree(root / TRAIN / name)
    path = root / DANNIER / "param/0046.npy"  # its tensors are of a library that is not here
    write_object(path, read_npy(path, {"*": None}))


def genebody_params(root: Path, change: Callable) -> None:
    """Changes the list of what the parameter files hold."""
    files = sorted(root.glob(f"{DANNIER}/param/*.npy"))
    found = [read_object(path) for path in files]
    changed = change(found)
    for path, content in zip(files, found if changed is None else changed, strict=True):
        write_object(path, content)


def genebody_shift(root: Path) -> None:
    def change(found: list[dict]) -> None:
        for content in found:
            content["smplx"]["transl"] = content["smplx"]["transl"] + np.float32([SHIFT_M, 0, 0])

    genebody_params(root, change)


def genebody_reorder(root: Path, order: list[int]) -> None:
    def change(found: list[dict]) -> None:
        for content in found:
            pose = content["smplx"]["body_pose"].reshape(21, 3)[order]
            content["smplx"]["body_pose"] = np.ascontiguousarray(pose).reshape(1, 63)

    genebody_params(root, change)


def genebody_swap(root: Path) -> None:
    body, other = SMPLH[1:22], {"l": "r", "r": "l"}
    pairs = [other.get(name[0], "-") + name[1:] for name in body]
    genebody_reorder(root, [body.index(p) if p in body else j for j, p in enumerate(pairs)])


def genebody_exchange(root: Path) -> None:
    order = list(range(21))
    order[18], order[20] = 20, 18
    genebody_reorder(root, order)


def genebody_millimetres(root: Path) -> None:
    def change(found: list[dict]) -> None:
        for content in found:
            content["smplx_scale"] = content["smplx_scale"] * 1000

    genebody_params(root, change)


def genebody_cameras(root: Path, edit: Callable) -> None:
    path = root / DANNIER / "annots.npy"
    annots = read_object(path)
    for camera in annots["cams"].values():
        matrix, lens = matrix_edit(np.linalg.inv(camera["c2w"]), edit, camera["D"])
        camera |= {"c2w": np.linalg.inv(matrix), "D": lens}
    write_object(path, annots)


def genebody_both(root: Path) -> None:
    genebody_millimetres(root)
    genebody_cameras(root, lambda v: View(v.rotation, v.translation * 1000, v.distortion))


def genebody_masks(root: Path) -> None:
    """Masks of another view, as there is nobody else."""
    exchange_files(root / DANNIER / "mask/00", root / DANNIER / "mask/37")


def genebody_split(root: Path) -> None:
    write_object(
        root / TRAIN / "genebody_split.npy", {"train": ["dannier", "natacha"], "test": []}
    )


def genebody_half(root: Path) -> None:
    for path in sorted(root.glob(f"{DANNIER}/param/*.npy"))[1::2]:
        path.unlink()


def genebody_views(root: Path) -> None:
    path = root / DANNIER / "annots.npy"
    annots = read_object(path)
    annots["cams"]["00"], annots["cams"]["13"] = annots["cams"]["13"], annots["cams"]["00"]
    write_object(path, annots)


GENEBODY = RawFiles(
    ("dannier/00",),
    [],
    cameras=genebody_cameras,
    per_metre=(1, 1),
    thin=genebody_thin,
    own={
        "joints shifted by 3 px": genebody_shift,
        "left and right swapped": genebody_swap,
        "elbow and wrist exchanged": genebody_exchange,
        "joints in metres": genebody_millimetres,
        "both in metres": genebody_both,
        "rows off by one frame": lambda root: genebody_params(
            root, lambda found: [found[0], *found[:-1]]
        ),
        "mask of another": genebody_masks,
        "picture mirrored": lambda root: mirror_pictures(root, f"{DANNIER}/image/00/*.jpg"),
        "wrong split": genebody_split,
        "half of the files missing": genebody_half,
        "two views swapped": genebody_views,
    },
)


# ---------------------------------------------------------------- AGORA


def agora_frames(root: Path) -> Iterator[Path]:
    yield from sorted(root.glob("SMPL*/*.pkl"))


def read_frame(path: Path) -> dict[str, list]:
    from posepile.formats.pickles import read_pickle

    return {key: list(column) for key, column in read_pickle(path).items()}


def write_frame(path: Path, columns: dict[str, list]) -> None:
    from posepile.miniature.pickled import frame, write_pickle

    path.unlink()
    write_pickle(path, frame(columns))


def agora_thin(root: Path) -> None:
    """Keeps the last two pictures of validation, small, whose camera is in the frames."""
    for path in agora_frames(root):
        if path.name.startswith("validation"):
            columns = read_frame(path)
            dull = ("gt_verts", "age", "ethnicity")
            kept = {key: column[2:] for key, column in columns.items() if key not in dull}
            write_frame(path, kept)
        else:
            path.unlink()
    shutil.rmtree(root / "train_0")
    shutil.rmtree(root / "train")
    for path in (root / "validation").rglob("*.png"):
        if "flowers" in path.name:
            picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
            size = (1280, 720)
            how = cv2.INTER_NEAREST if "mask" in path.name else cv2.INTER_AREA
            small = path.with_name(path.name.replace(".png", "_1280x720.png"))
            cv2.imwrite(str(small), cv2.resize(picture, size, interpolation=how))
        path.unlink()


def agora_edit(root: Path, change: Callable) -> None:
    """Changes the columns of all frames."""
    for path in agora_frames(root):
        columns = read_frame(path)
        changed = change(columns)
        write_frame(path, columns if changed is None else changed)


def agora_joints(root: Path, edit: Callable) -> None:
    """3D joints; the 2D ones stay as they are."""

    def change(columns: dict) -> None:
        rows = columns["gt_joints_3d"]
        columns["gt_joints_3d"] = [list(np.float32(edit(np.array(row)))) for row in rows]

    agora_edit(root, change)


def agora_cameras(root: Path, edit: Callable) -> None:
    """Only the place is in the frames."""

    def change(columns: dict) -> None:
        for key in ("camX", "camY", "camZ"):
            center = -np.array([[value, 0, 0] for value in columns[key]])
            views = [edit(View(np.eye(3), c)) for c in center]
            columns[key] = [float(-v.translation[0]) for v in views]

    agora_edit(root, change)


def agora_swap(root: Path) -> None:
    """In the frame of SMPL, whose 24 joints are the first."""

    def change(columns: dict) -> None:
        other = {"l": "r", "r": "l"}
        pairs = [other.get(n[0], "-") + n[1:] for n in SMPL]
        order = [SMPL.index(p) if p in SMPL else j for j, p in enumerate(pairs)]
        rows = columns["gt_joints_3d"]
        columns["gt_joints_3d"] = [
            [np.concatenate([np.array(p)[order], np.array(p)[24:]]) for p in row] for row in rows
        ]

    agora_edit(root, change)


def agora_exchange(root: Path) -> None:
    def change(columns: dict) -> None:
        for row in columns["gt_joints_3d"]:
            for joints in row:
                joints[[19, 21]] = joints[[21, 19]]

    agora_edit(root, change)


def agora_delay(root: Path) -> None:
    """Names of pictures, in both frames."""

    def change(columns: dict) -> None:
        columns["imgPath"] = columns["imgPath"][::-1]

    agora_edit(root, change)


def agora_masks(root: Path) -> None:
    for path in (root / "validation").rglob("*_mask_*_00001_1280x720.png"):
        exchange_files(path, path.with_name(path.name.replace("_00001_", "_00002_")))


def agora_split(root: Path) -> None:
    for path in agora_frames(root):
        path.rename(path.with_name(path.name.replace("validation", "train")))


def agora_half(root: Path) -> None:
    agora_edit(root, lambda columns: {key: column[:1] for key, column in columns.items()})


SMPL = [*SMPLH[:22], "lhan", "rhan"]
AGORA = RawFiles(
    ("*",),
    [],
    agora_joints,
    agora_cameras,
    per_metre=(1, 100),
    thin=agora_thin,
    settings=("dataset.height=720",),
    own={
        "left and right swapped": agora_swap,
        "elbow and wrist exchanged": agora_exchange,
        "rows off by one frame": agora_delay,
        "mask of another": agora_masks,
        "picture mirrored": lambda root: mirror_pictures(root, "validation/*1280x720.png"),
        "wrong split": agora_split,
        "half of the files missing": agora_half,
    },
    without=NO_DISTORTION,
)


# ---------------------------------------------------------------- SURREAL

CLIP = "train/run0/01_01/01_01_c0001"


def surreal_thin(root: Path) -> None:
    (root / "spare").mkdir()
    other = root / "train/run1/ung_104_46/ung_104_46_c0003_segm.mat"
    other.rename(root / "spare/segm.mat")
    for folder in ("train/run1", "train/run2", "val", "test"):
        shutil.rmtree(root / folder)
    for path in (root / CLIP).parent.glob("*_c0002*"):
        path.unlink()


def surreal_info(root: Path, change: Callable) -> None:
    from scipy.io import loadmat, savemat

    path = root / f"{CLIP}_info.mat"
    info = {k: v for k, v in loadmat(path).items() if not k.startswith("__")}
    info = change(info) or info
    path.unlink()
    savemat(path, info)


def surreal_joints(root: Path, edit: Callable) -> None:
    """3D joints; the 2D ones stay as they are."""

    def change(info: dict) -> None:
        joints = edit(np.array(info["joints3D"]).transpose(2, 1, 0))
        info["joints3D"] = np.float32(joints.transpose(2, 1, 0))

    surreal_info(root, change)


def surreal_cameras(root: Path, edit: Callable) -> None:
    """Only the place is in the files."""

    def change(info: dict) -> None:
        view = edit(View(np.eye(3), -np.ravel(info["camLoc"]).astype(float)))
        info["camLoc"] = np.float32(-view.translation[:, None])

    surreal_info(root, change)


def surreal_delay(root: Path) -> None:
    """Everything but the masks."""

    def change(info: dict) -> None:
        before = [0, *range(13)]
        for key in ("joints2D", "joints3D", "pose"):
            info[key] = info[key][..., before]
        info["zrot"] = info["zrot"][before]

    surreal_info(root, change)


def surreal_masks(root: Path) -> None:
    from scipy.io import loadmat, savemat

    own, other = root / f"{CLIP}_segm.mat", loadmat(root / "spare/segm.mat")
    masks = loadmat(own) | {f"segm_{k}": other[f"segm_{k}"] for k in range(1, 13)}
    own.unlink()
    savemat(own, {k: v for k, v in masks.items() if k[0] != "_"}, do_compression=True)


def surreal_split(root: Path) -> None:
    (root / "train").rename(root / "test")


def surreal_half(root: Path) -> None:
    def change(info: dict) -> dict:
        for key in ("joints2D", "joints3D", "pose", "shape"):
            info[key] = info[key][..., :7]
        for key in ("zrot", "gender"):
            info[key] = info[key][:7]
        return info

    surreal_info(root, change)


SURREAL = RawFiles(
    ("*",),
    SMPL,
    surreal_joints,
    surreal_cameras,
    per_metre=(1, 1),
    thin=surreal_thin,
    own={
        "rows off by one frame": surreal_delay,
        "mask of another": surreal_masks,
        "wrong split": surreal_split,
        "half of the files missing": surreal_half,
    },
    without=NO_DISTORTION,
)
