"""How raw files of the sets by markerless capture are edited, for raw_faults.py."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from raw_faults import RawFiles, exchange_files, matrix_edit, names
from scipy.io import loadmat

from posepile.miniature.markerless import TESTED
from posepile.miniature.writers import write_mat

TAKE = "S1/Seq1"


def read(path: Path) -> dict:
    return {k: v for k, v in loadmat(path).items() if not k.startswith("__")}


# ---------------------------------------------------------------- 3DHP


def tdhp_thin(root: Path) -> None:
    for folder in [*root.glob("S[2-8]"), root / "S1/Seq2", root / "mpi_inf_3dhp_test_set"]:
        shutil.rmtree(folder, ignore_errors=True)


def tdhp_joints(root: Path, edit: Callable) -> None:
    content = read(root / TAKE / "annot.mat")
    for c in range(14):
        joints = content["annot3"][c, 0].reshape(-1, 28, 3)
        content["annot3"][c, 0] = edit(joints).reshape(len(joints), 84)
    write_mat(root / TAKE / "annot.mat", content)


def tdhp_half(root: Path) -> None:
    content = read(root / TAKE / "annot.mat")
    content["frames"] = content["frames"][:8]
    for key in ("annot2", "annot3", "univ_annot3"):
        for c in range(14):
            content[key][c, 0] = content[key][c, 0][:8]
    write_mat(root / TAKE / "annot.mat", content)


def tdhp_lines(root: Path, key: str, change: Callable) -> None:
    path, n = root / TAKE / "camera.calibration", -1
    lines = path.read_text().splitlines()
    for i, line in enumerate(lines):
        n += line.startswith("name")
        if line.split()[0] == key:
            numbers = change(n, np.array(line.split()[1:], float).reshape(4, 4))
            lines[i] = f"  {key} {' '.join(map(repr, np.ravel(numbers).tolist()))}"
    path.write_text("\n".join(lines))


def tdhp_cameras(root: Path, edit: Callable) -> None:
    tdhp_lines(root, "extrinsic", lambda _, matrix: matrix_edit(matrix, edit)[0])


def tdhp_half_lens(root: Path) -> None:
    half = np.diag([0.5, 0.5, 1, 1])
    tdhp_lines(root, "intrinsic", lambda _, matrix: half @ matrix)


def tdhp_views(root: Path) -> None:
    text = (root / TAKE / "camera.calibration").read_text()
    head, *blocks = text.split("name")
    blocks[0], blocks[8] = blocks[8].replace("8", "0", 1), blocks[0].replace("0", "8", 1)
    (root / TAKE / "camera.calibration").write_text("name".join([head, *blocks]))


TDHP = RawFiles(
    (f"{TAKE}/*",),
    names(
        "thor spi4 spi2 spin pelv neck head htop lcla lsho lelb lwri lhan rcla rsho relb rwri "
        "rhan lhip lkne lank lfoo ltoe rhip rkne rank rfoo rtoe"
    ),
    tdhp_joints,
    tdhp_cameras,
    thin=tdhp_thin,
    own={
        "intrinsics of half the size": tdhp_half_lens,
        "mask of another": lambda root: exchange_files(
            root / TAKE / "FGmasks/video_0.avi", root / TAKE / "FGmasks/video_8.avi"
        ),
        "half of the files missing": tdhp_half,
        "two views swapped": tdhp_views,
    },
    without=("distortion dropped", "distortion tenfold"),
)


# ---------------------------------------------------------------- MuPoTS


def mupots_thin(root: Path) -> None:
    for k in range(3, 21):
        shutil.rmtree(root / f"TS{k}")


def mupots_joints(root: Path, edit: Callable) -> None:
    for folder in root.glob("TS*"):
        content = read(folder / "annot.mat")
        for p in range(content["annotations"].shape[1]):
            people = [row[p][0, 0] for row in content["annotations"]]
            joints = np.stack([person["annot3"].T for person in people])
            for person, coords in zip(people, edit(joints), strict=True):
                person["annot3"] = coords.T
        write_mat(folder / "annot.mat", content)


MUPOTS = RawFiles(
    ("TS1", "TS2"),
    list(TESTED),
    mupots_joints,
    thin=mupots_thin,
    settings=("dataset.sequences=[TS1,TS2]",),
    own={"half of the files missing": lambda root: (root / "TS2/img_000001.jpg").unlink()},
)
