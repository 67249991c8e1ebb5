"""Takes of a studio of markerless capture: 14 cameras, labels in the axes of each, video masks.

They lie as the official scripts put them: ``S<k>/Seq<q>/annot.mat`` and ``camera.calibration``,
``imageSequence/video_<c>.avi`` and ``FGmasks/video_<c>.avi``. Row ``i`` of the labels belongs to
frame ``i`` of the videos.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from posepile.formats.folders import names_like
from posepile.geometry import markerless
from posepile.geometry.skeletool import read_skeletool
from posepile.imaging.masks import MaskFrames
from posepile.recipe import Unit, Video
from posepile.shapes.units import same_count, unit_files, view_units

if TYPE_CHECKING:
    import deltacamera

SIZE, N_CAMERAS, VIDEO = (2048, 2048), 14, r"video_(\d+)\.avi"
WORLD_UP = (0.0, 1.0, 0.0)
FRAMES = {  # of the videos of Seq1 and Seq2; there are more labels
    **{"S1": (6416, 12430), "S2": (6502, 6081), "S3": (12488, 12283), "S4": (6171, 6675)},
    **{"S5": (12820, 12312), "S6": (6188, 6145), "S7": (6239, 6320), "S8": (6468, 6054)},
}
NO_RED = ("S1/Seq2", "S4/Seq2")  # their masks are not of the person


@dataclass(frozen=True)
class View:
    """One take seen by one camera.

    Attributes:
        camera: In the world of the take.
        points: ``[n, 28, 3]`` millimetres in the axes of the camera, joints as stored.
        video: Maybe shorter than the labels.
        red: Frame -> RLE mask of what was found to be the person; None without.
        checks: Self-checks made.
    """

    camera: deltacamera.Camera
    points: np.ndarray
    video: Video
    red: MaskFrames | None
    checks: dict[str, float]


def take_units(root: Path, splits: Mapping[str, str], cameras: Collection[int]) -> Iterator[Unit]:
    """Yields one unit per video, ``<subject>/<take>/<camera>``.

    >>> for name in ("annot.mat", "imageSequence/video_3.avi", "imageSequence/video_12.avi"):
    ...     path = folder / "S1/Seq2" / name
    ...     path.parent.mkdir(parents=True, exist_ok=True)
    ...     path.touch()
    >>> [unit.id for unit in take_units(folder, {"S1": "train"}, range(11))]
    ['S1/Seq2/3']

    Args:
        root: Folder of the takes.
        splits: Subject -> split, of those that are wanted.
        cameras: Those that are wanted.
    """
    for subject, split in splits.items():
        for take in ("Seq1", "Seq2"):
            folder, views = root / subject / take, {}
            shared = {"labels": folder / "annot.mat", "cameras": folder / "camera.calibration"}
            for name, (c,) in names_like(folder / "imageSequence", VIDEO).items():
                if int(c) in cameras:
                    kinds = {"video": "imageSequence", "masks?": "FGmasks"}
                    views[c] = {key: folder / kind / name for key, kind in kinds.items()}
            yield from view_units(f"{subject}/{take}", split, views, shared)


def load_view(unit: Unit, max_projection_px: float, max_views_mm: float) -> View:
    """Returns what a unit of :func:`take_units` holds, as many rows as its take has frames.

    >>> from posepile.miniature import markerless as studio
    >>> rng, video = np.random.default_rng(0), folder / "S1/Seq2/imageSequence/video_3.avi"
    >>> cameras = studio.studio_cameras(rng, distance=3900)
    >>> joints = studio.studio_joints(range(3), rng, at=(0, 950, 0), turned=20)
    >>> told = [studio.label_joints(c, joints, studio.STUDIO, size=0.9) for c in cameras]
    >>> studio.write_take(folder / "S1/Seq2", cameras, told)
    >>> video.parent.mkdir(exist_ok=True)
    >>> video.touch()
    >>> (unit,) = take_units(folder, {"S1": "train"}, [3])
    >>> load_view(unit, max_projection_px=0.5, max_views_mm=5).points.shape
    (3, 28, 3)

    Args:
        unit: The unit.
        max_projection_px: As of :func:`posepile.geometry.markerless.check_labels`.
        max_views_mm: As of :func:`posepile.geometry.markerless.check_views`, of two cameras.

    Raises:
        CorruptInput: A file is damaged, or they do not fit together.
    """
    files, (subject, take, view) = unit_files(unit), unit.id.split("/")
    cameras = read_skeletool(files["cameras"], N_CAMERAS, size=SIZE, world_up=WORLD_UP)
    pixels, points = markerless.read_views(files["labels"])
    same_count({files["cameras"]: N_CAMERAS, files["labels"]: len(points)}, "cameras")
    c, other, n = int(view), (int(view) + 1) % N_CAMERAS, FRAMES[subject][take == "Seq2"]
    camera, mine = cameras[c], points[c][:n]
    some, listed = slice(0, n, 1 + len(mine) // 100), list(markerless.OF_STUDIO)
    labels = camera.camera_to_world(points[c][some][:, listed]), pixels[c][some][:, listed]
    checks = markerless.check_labels(files["labels"], camera, *labels, max_projection_px)
    both = camera, cameras[other], points[c][some], points[other][some]
    checks["views_mm"] = markerless.check_views(files["cameras"], *both, max_views_mm)
    red = None
    if "masks" in files and f"{subject}/{take}" not in NO_RED:
        red = MaskFrames(Video(files["masks"], size=SIZE), lambda picture: picture[..., 0] > 32)
    video = Video(files["video"], n_frames=len(mine), mismatch_known=True, size=SIZE)
    return View(camera, mine, video, red, checks)
