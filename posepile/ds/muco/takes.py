"""What composites are made of: takes of MPI-INF-3DHP, their labels, cameras and masks."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import rlemasklib

from posepile.errors import CorruptInput
from posepile.formats.derived import derived_folder, work_folder
from posepile.formats.keys import only_one
from posepile.geometry.markerless import ALL_OF_STUDIO, OF_STUDIO, PELVIS, read_studio
from posepile.geometry.pictures import box_of_points, inside
from posepile.imaging.masks import component_in_box, read_label_image

SIZE, CAMERAS = (2048, 2048), range(11)  # those at the walls
TAKES = [(s, q) for s in range(1, 9) for q in (1, 2)]
# Rows of the studio's labels: ours, the 17 of benchmarks, the 21 of the authors' composites.
OURS = list(ALL_OF_STUDIO)
LABELLED = list(OF_STUDIO)
EXTENDED = [*LABELLED, 17, 12, 27, 22]
MASKS, RED, DARK = ("FGmasks", "ChairMasks"), 100, 32
FEW_JOINTS = 5  # with fewer in the picture, a mask cannot be told from that of somebody else
LABELS = {"pixels": (28, 2), "points": (28, 3), "depth": ()}  # of a person


def tdhp_root(root: Path, configured: str | None) -> Path:
    """Returns the folder of MPI-INF-3DHP: configured, or ``3dhp`` in the raw folder or beside it.

    Raises:
        CorruptInput: It is at none of these places, or at two.
    """
    beside = [root.parent / name for name in ("tdhp", "3dhp")]
    places = [Path(configured)] if configured else [root / "3dhp", *beside]
    found = only_one(places, "MPI-INF-3DHP")
    if found is None:
        hint = "link the folder of posepile/ds/tdhp there, or set dataset.tdhp_root"
        raise CorruptInput(places[0], "MPI-INF-3DHP is not there", hint=hint)
    return found


def take_folder(tdhp: Path, take: tuple[int, int]) -> Path:
    """Returns the folder of subject and sequence, both from 1."""
    return tdhp / f"S{take[0]}/Seq{take[1]}"


def frame_file(tdhp: Path, kind: str, source: np.ndarray) -> Path:
    """Returns a picture or mask of a source: subject, sequence, camera and frame, from 0."""
    s, q, c, frame = (int(v) for v in source)
    return take_folder(tdhp, (s, q)) / kind / f"img_{c}_{frame:06d}.jpg"


def take_labels(root: Path, folder: Path) -> Path:
    """Returns a folder with the labels of a take as arrays that are cheap to look into; made once.

    By camera and frame: ``pixels.npy`` ``[14, n, 28, 2]``, ``points.npy`` ``[14, n, 28, 3]`` mm in
    the axes of the camera, ``depth.npy`` ``[14, n]`` of the pelvis of universal size.
    """
    source, place = folder / "annot.mat", f"labels_{folder.parent.name}_{folder.name}"

    def make(made: Path) -> None:
        labels = read_studio(source, "univ_annot3")
        np.save(made / "pixels.npy", np.float32(labels["annot2"]))
        np.save(made / "points.npy", np.float32(labels["annot3"]))
        pelvis = np.stack(labels["univ_annot3"])[:, :, OF_STUDIO[PELVIS], 2]
        np.save(made / "depth.npy", np.float32(pelvis))

    return derived_folder([source], work_folder(root) / place, make)


def person_mask(path: Path, pixels: np.ndarray) -> dict:
    """Returns whom a mask shows where a person's joints ``[28, 2]`` are, as RLE; maybe nobody."""
    red = rlemasklib.encode((read_label_image(path)[..., 0] > RED).astype(np.uint8))
    box = box_of_points(pixels[LABELLED], SIZE, 1.05)
    found = component_in_box(red, box) if np.isfinite(box).all() else None
    if found is None:
        return rlemasklib.zeros(imsize=SIZE)
    low, high = (np.clip(box[:2] + k * box[2:], 0, SIZE).round() for k in (-0.15, 1.15))
    window = rlemasklib.from_bbox([*low, *(high - low)], imsize=SIZE)
    return rlemasklib.intersection([found, window])


def chair_mask(path: Path) -> dict:
    """Returns the chair that a mask shows, as RLE; it is dark."""
    dark = rlemasklib.encode((read_label_image(path)[..., 0] < DARK).astype(np.uint8))
    found = rlemasklib.largest_connected_component(dark) if rlemasklib.area(dark) else None
    return rlemasklib.zeros(imsize=SIZE) if found is None else found


def share_inside(mask: dict, pixels: np.ndarray) -> float:
    """Returns the share of a person's joints ``[28, 2]`` in the picture that lie in a mask."""
    seen = pixels[inside(pixels, SIZE)].round().astype(int)
    return float(rlemasklib.decode(mask)[seen[:, 1], seen[:, 0]].mean()) if len(seen) else 0.0


class Visible:
    """What one sees of the four people of some composites.

    Each one's own chair is behind them, and hides, as they do, whoever is farther. Who is hardly
    in the picture and not in the mask is not seen.

    Args:
        masks: Of each composite, of each person the mask and that of chairs.
        pixels: Of their joints ``[n, 4, 28, 2]``.
        near_first: ``[n, 4]``.
        min_in_mask: Share of the joints that must lie in a person's mask.
    """

    def __init__(
        self, masks: tuple, pixels: np.ndarray, near_first: np.ndarray, min_in_mask: float
    ):
        self._masks, self._pixels, self._order = masks, pixels, near_first
        self._min_in_mask = min_in_mask
        self._of = cache(self._look)

    def __call__(self, i: int, p: int) -> dict | None:
        """Returns the visible pixels of a person; None where a mask is not of its person."""
        seen = self._of(i)
        return None if seen is None else seen[p]

    def _look(self, i: int) -> dict[int, dict] | None:
        seen, front = {}, rlemasklib.zeros(imsize=SIZE)
        for p in self._order[i].tolist():
            person, chair = self._masks[8 * i + 2 * p : 8 * i + 2 * p + 2]
            pixels = self._pixels[i, p]
            whole = person_mask(person, pixels)
            if share_inside(whole, pixels) < self._min_in_mask:
                if inside(pixels[LABELLED], SIZE).sum() >= FEW_JOINTS:
                    return None
                whole = rlemasklib.zeros(imsize=SIZE)
            seen[p] = rlemasklib.difference(whole, front)
            front = rlemasklib.union([front, whole, chair_mask(chair)])
        return seen
