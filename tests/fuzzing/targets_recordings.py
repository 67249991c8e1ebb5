"""Calibrations and key points of people's own recordings."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from fuzzing.looking import look_at
from fuzzing.mutators import GENERIC
from fuzzing.mutators_text import JSON, TEXT, XML, YAML
from fuzzing.target import Target
from posepile.formats.colmap_files import read_colmap_cameras, read_colmap_images
from posepile.formats.opencv_files import read_opencv_storage
from posepile.formats.point_files import read_points
from posepile.formats.toml_files import read_toml
from posepile.geometry.calibrations import read_calibration
from posepile.geometry.cameras import make_camera
from posepile.miniature import rig
from posepile.miniature.recordings import write_calibration, write_points

CAMERAS = {
    name: rig.make_camera((640, 480), (x, -4000, 900), (0, 0, 900), 500, distortion=(0.1, 0, 0, 0))
    for name, x in (("left", -900), ("right", 900))
}
POINTS = np.random.default_rng(0).normal(size=(3, 2, 3)).round(3)
POINTS[1, 0] = np.nan


def calibration_samples(form: str, name: str):
    def samples(folder: Path) -> list[Path]:
        write_calibration(folder / name, CAMERAS, 1.0, form)
        return [folder / name]

    return samples


def use_calibration(path: Path, output: Path) -> None:
    for name, given in read_calibration(path).items():
        camera = make_camera(name, **given)
        look_at([camera.R, camera.t, camera.intrinsic_matrix])


def use_toml(path: Path, output: Path) -> None:
    look_at(read_toml(path, {"cam_0": {"name": str, "size": [float]}, "*": None}))


def use_storage(path: Path, output: Path) -> None:
    look_at(read_opencv_storage(path))


def xml_samples(folder: Path) -> list[Path]:
    write_calibration(folder / "cameras.xml", CAMERAS, 1.0, "named")
    write_calibration(folder / "cameras.yml", CAMERAS, 1.0, "named")
    return [folder / "cameras.xml", folder / "cameras.yml"]


def colmap_samples(folder: Path) -> list[Path]:
    write_calibration(folder / "text", CAMERAS, 1.0, "colmap")
    write_calibration(folder / "binary", CAMERAS, 1.0, "colmap_binary")
    names = "text/cameras.txt", "text/images.txt", "binary/cameras.bin", "binary/images.bin"
    return [folder / name for name in names]


def use_colmap(path: Path, output: Path) -> None:
    if path.stem == "cameras":
        look_at([lens.distortion for lens in read_colmap_cameras(path).values()])
    else:
        look_at([[*image.quaternion, *image.translation] for image in read_colmap_images(path)])


def counts(data: bytes, rng) -> bytes:
    """Another count or number at a place where one may stand."""
    at = rng.randrange(0, max(1, len(data) - 8))
    value = rng.choice([0, 1, 2, 7, 11, 2**31, 2**63, 2**64 - 1])
    return data[:at] + struct.pack("<Q", value) + data[at + 8 :]


def trc_samples(folder: Path) -> list[Path]:
    write_points(folder / "walk.trc", POINTS, ["Hip", "Neck"])
    return [folder / "walk.trc"]


def csv_samples(folder: Path) -> list[Path]:
    files = {"wide.csv": "", "dlc.csv": "deeplabcut", "long.csv": "long"}
    for name, form in files.items():
        write_points(folder / name, POINTS, ["Hip", "Neck"], form=form)
    return [folder / name for name in files]


def points_samples(folder: Path) -> list[Path]:
    for name in ("walk.npy", "walk.trc"):
        write_points(folder / name, POINTS, ["Hip", "Neck"])
    return [folder / "walk.npy", folder / "walk.trc"]


def use_points(path: Path, output: Path) -> None:
    look_at(read_points(path).points)


TARGETS = [
    Target("own_toml", calibration_samples("anipose", "a.toml"), use_toml, TEXT),
    Target("own_calibration", calibration_samples("anipose", "a.toml"), use_calibration, TEXT),
    Target("own_calibrations", calibration_samples("easymocap", "c"), use_calibration, YAML),
    Target("own_json", calibration_samples("json", "a.json"), use_calibration, JSON),
    Target("own_storage", xml_samples, use_storage, (*XML, *YAML)),
    Target("colmap", colmap_samples, use_colmap, (counts, *TEXT, *GENERIC)),
    Target("trc", trc_samples, use_points, TEXT),
    Target("point_csv", csv_samples, use_points, TEXT),
    Target("points", points_samples, use_points, GENERIC),
]
