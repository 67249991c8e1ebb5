"""Reading one metadata file: shapes, the two cameras, and whether its numbers agree."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import boxlib
import numpy as np

from posepile.ds.synthego.splice import parse_metadata
from posepile.errors import CorruptInput

if TYPE_CHECKING:
    import deltacamera

NEAR_PLANE = 0.05  # metres; closer landmarks (neck, collars) have meaningless image coordinates
MIN_LANDMARKS = 4
IMAGE_SIZE = (1280, 720)
EYES = {"L": "left", "R": "right"}  # of the stereo camera


def group_by_identity(paths: list[Path]) -> dict[int, list[Path]]:
    """Groups metadata files by identity number, in order of the pose number."""
    groups = defaultdict(dict)
    for path in paths:
        m = re.fullmatch(r"metadata_(\d+)_(\d+)\.json", path.name)
        if not m:
            raise CorruptInput(path, "is not named metadata_<identity>_<frame>.json")
        frames = groups[int(m[1])]
        if int(m[2]) in frames:
            raise CorruptInput(path, f"is there twice, also as {frames[int(m[2])]}")
        frames[int(m[2])] = path
    return {i: [frames[k] for k in sorted(frames)] for i, frames in groups.items()}


def image_path(metadata: Path, eye: str) -> Path:
    """The image that belongs to a metadata file: ``metadata_*.json`` -> ``img_L_*.jpg``."""
    return metadata.with_name(f"img_{eye}_{metadata.stem.removeprefix('metadata_')}.jpg")


def read_metadata(path: Path) -> dict:
    """Reads one spliced metadata file into arrays of checked shapes (metres, pixels)."""
    raw = parse_metadata(path.read_bytes(), path)
    shapes = {
        "pose": (52, 3),
        "translation": (3,),
        "identity": (10,),
        "3D_world": (54, 3),
        **{f"3D_camera_{eye}": (54, 3) for eye in EYES},
        **{f"2D_camera_{eye}": (54, 2) for eye in EYES},
        **{f"world_to_camera_{eye}": (4, 4) for eye in EYES},
        **{f"camera_to_image_{eye}": (3, 3) for eye in EYES},
        **{f"resolution_{eye}": (2,) for eye in EYES},
    }
    if any(isinstance(row, str) for row in raw["pose"]):
        raise CorruptInput(path, "the pose is not spliced", hint="run the calibrate stage first")
    try:
        values = {**raw, **raw["landmarks"]}
        for eye in EYES:
            values |= {f"{k}_{eye}": v for k, v in raw["cameras"][f"camera_{eye}"].items()}
        arrays = {key: np.array(values[key], np.float64) for key in shapes}
    except (KeyError, TypeError, ValueError, AttributeError) as e:
        raise CorruptInput(path, f"missing or malformed entry: {type(e).__name__} {e}") from e
    for key, shape in shapes.items():
        if arrays[key].shape != shape or not (
            key.startswith("2D_") or np.isfinite(arrays[key]).all()
        ):
            raise CorruptInput(
                path, f"{key}: expected finite numbers of shape {shape}, got {arrays[key].shape}"
            )
    return arrays


def make_camera(
    file: dict, eye: str, path: Path, world_up: tuple[float, float, float]
) -> deltacamera.Camera:
    """Returns the pinhole camera of one view, in millimetres."""
    extrinsics = file[f"world_to_camera_{eye}"]
    rotation = extrinsics[:3, :3]
    if (
        np.abs(rotation @ rotation.T - np.eye(3)).max() > 1e-4
        or np.linalg.det(rotation) < 0
        or np.abs(extrinsics[3] - (0, 0, 0, 1)).max() > 1e-6
    ):
        raise CorruptInput(path, f"world_to_camera of {eye} is not a rotation and a translation")
    if tuple(file[f"resolution_{eye}"]) != IMAGE_SIZE:
        raise CorruptInput(path, f"resolution is {file[f'resolution_{eye}']}, not {IMAGE_SIZE}")
    import deltacamera

    return deltacamera.Camera(
        rot_world_to_cam=rotation,
        optical_center=-1000 * rotation.T @ extrinsics[:3, 3],
        intrinsic_matrix=file[f"camera_to_image_{eye}"],
        world_up=world_up,
    )


def self_check(
    file: dict, eye: str, camera: deltacamera.Camera, path: Path, allowed_px: float
) -> tuple[float, float]:
    """Compares our camera's coordinates with the file's own: (largest mm, largest px).

    Pixels are compared where they mean something: beyond the near plane and within an image size
    around the image.
    """
    world = (1000 * file["3D_world"]).astype(np.float32)
    off_mm = float(np.abs(camera.world_to_camera(world) - 1000 * file[f"3D_camera_{eye}"]).max())
    given = file[f"2D_camera_{eye}"]
    size = np.array(IMAGE_SIZE)
    near = file[f"3D_camera_{eye}"][:, 2] > NEAR_PLANE
    near &= np.all((given > -size) & (given < 2 * size), axis=-1)
    off = np.abs(camera.world_to_image(world[near]) - given[near])
    off_px = float(off.max(initial=0))
    if not (off_px <= allowed_px and off_mm <= 1):
        raise CorruptInput(
            path,
            f"3D_world through the {EYES[eye]} camera is {off_mm:.2g} mm from 3D_camera_{eye} and "
            f"{off_px:.2g} px from 2D_camera_{eye} (allowed: 1 mm and "
            f"{allowed_px:g} px)",
            hint="axes or units are not what this recipe assumes",
        )
    return off_mm, off_px


def landmark_box(file: dict, eye: str) -> np.ndarray | None:
    """Returns the box around the landmarks seen in the image, enlarged; None if too few."""
    points = file[f"2D_camera_{eye}"]
    seen = file[f"3D_camera_{eye}"][:, 2] > NEAR_PLANE
    seen &= np.all((points > -0.5) & (points < np.array(IMAGE_SIZE) - 0.5), axis=-1)
    if seen.sum() < MIN_LANDMARKS:
        return None
    box = boxlib.expand(boxlib.bb_of_points(points[seen].astype(np.float32)), 1.1)
    return boxlib.intersection(box, np.array([-0.5, -0.5, *IMAGE_SIZE], np.float32))
