"""The readers of :mod:`posepile.formats`, as recipes call them."""

from __future__ import annotations

from pathlib import Path

import ezc3d  # noqa: F401  here, so that not every worker imports it
import numpy as np

from fuzzing.looking import look_at
from fuzzing.mutators_mocap import C3D
from fuzzing.mutators_numpy import NPZ
from fuzzing.mutators_text import JSON
from fuzzing.target import Target
from posepile.formats.arrays import read_npz
from posepile.formats.mocap_files import read_c3d
from posepile.formats.schema import Array, OneOf
from posepile.formats.text_files import read_json
from posepile.miniature import writers

RNG = np.random.default_rng(0)


# ---------------------------------------------------------------- JSON

CAMERA = {"K": Array(3, 3), "R": Array(3, 3), "t": Array(3), "size": Array(2, dtype=int)}
CAMERA |= {"name": str, "kind": OneOf("pinhole", "fisheye"), "distCoef?": Array("n"), "*": None}
TAKE = {"cameras": [CAMERA], "joints": Array("T", 17, 3), "subject": int, "rate?": float}


def json_samples(folder: Path) -> list[Path]:
    camera = {"K": np.eye(3) * 500, "R": np.eye(3), "t": [0, 0, 3.5], "size": [640, 480]}
    camera |= {"kind": "pinhole", "distCoef": [0.1, 0, 0, 0, 0], "panel": 3, "more": {"a": [1]}}
    cameras = [{**camera, "name": f"cam{i}"} for i in range(2)]
    content = {"cameras": cameras, "joints": RNG.normal(size=(2, 17, 3)).round(3), "subject": 7}
    writers.write_json(folder / "take.json", {**content, "rate": 29.97})
    writers.write_json(folder / "short.json", content, indent=1)
    return [folder / "take.json", folder / "short.json"]


def use_json(path: Path, output: Path) -> None:
    look_at(read_json(path, TAKE))


# ---------------------------------------------------------------- NumPy

BODIES = {
    "pose": Array("T", 72),
    "betas": Array("n"),
    "gender": str,
    "frames?": Array("T", dtype=int),
}
BODIES |= {"*": None}


def npz_samples(folder: Path) -> list[Path]:
    content = {"pose": RNG.normal(size=(3, 72)), "betas": np.zeros(10, np.float32)}
    content |= {"gender": np.array("male"), "frames": np.arange(3)}
    np.savez(folder / "bodies.npz", **content)
    writers.write_npz(folder / "packed.npz", **content, names=np.array(["a", "bc"]))
    return [folder / "bodies.npz", folder / "packed.npz"]


def use_npz(path: Path, output: Path) -> None:
    look_at(read_npz(path, BODIES))


# ---------------------------------------------------------------- motion capture


def c3d_samples(folder: Path) -> list[Path]:
    points = RNG.normal(size=(6, 4, 3)) * 100
    names = ["head", "neck", "lhip", "rhip"]
    writers.write_c3d(folder / "clip.c3d", points, names, 50.0, more={"SKEL": ["human"]})
    points[2, 1] = np.nan
    writers.write_c3d(folder / "gap.c3d", points, names, 120.0)
    return [folder / "clip.c3d", folder / "gap.c3d"]


def use_c3d(path: Path, output: Path) -> None:
    look_at(tuple(read_c3d(path)))


TARGETS = [
    Target("json", json_samples, use_json, JSON),
    Target("npz", npz_samples, use_npz, NPZ),
    Target("c3d", c3d_samples, use_c3d, C3D),
]
