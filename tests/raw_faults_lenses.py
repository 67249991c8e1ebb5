"""How intrinsics in raw files are made those of pictures half as large, for raw_faults.py."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from raw_faults import RawFiles, edit_json
from raw_faults_bodies import DANNIER, read_object, write_object
from raw_faults_video import EGO_PART, h36m_numbers, panoptic_calibration

HALF = "intrinsics of half the size"


def halve(matrix: np.ndarray) -> np.ndarray:
    """Intrinsics ``[3, n]`` of pictures half as large."""
    return np.array(matrix, float) * np.array([[0.5], [0.5], [1]])


def aspset(root: Path) -> None:
    def change(camera: dict) -> None:
        matrix = halve(np.reshape(camera["intrinsic_matrix"], (3, 4)))
        camera["intrinsic_matrix"] = matrix.ravel().tolist()

    for path in root.rglob("cameras/*/*.json"):
        edit_json(path, change)


def egoexo4d(root: Path) -> None:
    def change(content: dict) -> None:
        for camera in content.values():
            if "distortion_coeffs" in camera:
                camera["camera_intrinsics"] = halve(camera["camera_intrinsics"])

    for path in root.glob(f"{EGO_PART}/*/camera_pose/*.json"):
        edit_json(path, change)


def genebody(root: Path) -> None:
    path = root / DANNIER / "annots.npy"
    annots = read_object(path)
    for camera in annots["cams"].values():
        camera["K"] = halve(camera["K"])
    write_object(path, annots)


def h36m(root: Path) -> None:
    def change(poses: np.ndarray, lenses: np.ndarray) -> None:
        lenses[:, :4] /= 2

    h36m_numbers(root, change)


def panoptic(root: Path) -> None:
    def change(cameras: list[dict]) -> None:
        for camera in cameras:
            camera["K"] = halve(camera["K"])

    panoptic_calibration(root, change)


HALVED = {
    "aspset": aspset, "egoexo4d": egoexo4d, "genebody": genebody, "h36m": h36m,
    "panoptic": panoptic,
}  # fmt: skip


def with_lenses(raw: dict[str, RawFiles]) -> dict[str, RawFiles]:
    """Returns how raw files are edited, lenses included where they are in a file of their own."""
    return {
        name: replace(of, own={**of.own, HALF: HALVED[name]}) if name in HALVED else of
        for name, of in raw.items()
    }
