"""Faults in raw files: how to plant them, what must become of them, and that as a table.

``python tests/raw_faults.py`` prints the table for docs/CHECKING.md. Each fault is planted in one
kind of file; the others stay as they are. How a dataset's files are edited say the modules
``raw_faults_<kind>.py``; what is expected says ``raw_faults.yaml``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import yaml

SHIFT_M = 0.016  # 3 px of the stored crop: 384 px for some 2 m
EXPECTED = Path(__file__).with_name("raw_faults.yaml")
NO_DISTORTION = ("distortion dropped", "distortion tenfold")
REFUSED, DROPPED, NOT_VISIBLE = "refused", "dropped", "not visible"


@dataclass
class View:
    """A camera of the files.

    Attributes:
        rotation: ``[3, 3]`` world to camera.
        translation: ``[3]`` in the unit of the file: x_camera = rotation x + translation.
        distortion: Coefficients, None if there are none.
    """

    rotation: np.ndarray
    translation: np.ndarray
    distortion: np.ndarray | None = None


Edit = Callable[[Path, Callable], None]
Plant = Callable[[Path], None]


@dataclass(frozen=True)
class RawFiles:
    """How the raw files of a dataset are edited; None where they hold no such thing.

    Attributes:
        units: Patterns of the units that are processed.
        names: Joints in the order of the files, ``l`` and ``r`` in front.
        joints: Edits joints: gets a function of ``[n, J, 3]`` of one sequence.
        cameras: Edits cameras: gets a function of a :class:`View`.
        boxes: Edits boxes: gets a function of ``[n, 4]`` x, y, width, height.
        per_metre: Units of length of the files in a metre, of the joints and of the cameras.
        thin: Leaves out what no unit here needs.
        settings: As of ``--set``.
        own: Faults that are planted in ways of their own, by name.
        without: Faults that the files cannot carry, although they hold what is changed elsewhere.
    """

    units: tuple[str, ...]
    names: list[str]
    joints: Edit | None = None
    cameras: Edit | None = None
    boxes: Edit | None = None
    per_metre: tuple[float, float] = (1000, 1000)
    thin: Plant = lambda root: None
    settings: tuple[str, ...] = ()
    own: dict[str, Plant] = field(default_factory=dict)
    without: tuple[str, ...] = ()


# ---------------------------------------------------------------- the same in all datasets


def shift(raw: RawFiles, root: Path) -> None:
    """Moves all joints along the first axis."""
    raw.joints(root, lambda coords: coords + np.array([SHIFT_M * raw.per_metre[0], 0, 0]))


def swap_sides(raw: RawFiles, root: Path) -> None:
    """Exchanges left and right joints."""
    other = {"l": "r", "r": "l"}
    partner = [other.get(name[:1], " ") + name[1:] for name in raw.names]
    order = [raw.names.index(p) if p in raw.names else j for j, p in enumerate(partner)]
    raw.joints(root, lambda coords: coords[:, order])


def exchange(raw: RawFiles, root: Path) -> None:
    """Exchanges the right elbow and the right wrist."""
    order = np.arange(len(raw.names))
    a, b = raw.names.index("relb"), raw.names.index("rwri")
    order[[a, b]] = b, a
    raw.joints(root, lambda coords: coords[:, order])


def other_unit(per_metre: float) -> float:
    """Metres in place of millimetres or centimetres; millimetres in place of metres."""
    return 1000.0 if per_metre == 1 else 1 / per_metre


def scale_joints(raw: RawFiles, root: Path) -> None:
    """Puts joints into another unit."""
    raw.joints(root, lambda coords: coords * other_unit(raw.per_metre[0]))


def shrink(raw: RawFiles, root: Path) -> None:
    """Makes people smaller where they are."""

    def smaller(coords: np.ndarray) -> np.ndarray:
        center = np.nanmedian(coords, axis=1, keepdims=True)
        return center + 0.3 * (coords - center)

    raw.joints(root, smaller)


def scale_cameras(raw: RawFiles, root: Path) -> None:
    """Puts cameras into another unit."""
    factor = other_unit(raw.per_metre[1])
    raw.cameras(root, lambda v: View(v.rotation, v.translation * factor, v.distortion))


def scale_both(raw: RawFiles, root: Path) -> None:
    """Puts both into another unit."""
    scale_joints(raw, root)
    scale_cameras(raw, root)


def invert(raw: RawFiles, root: Path) -> None:
    """Stores camera-to-world for world-to-camera, or the other way."""
    raw.cameras(root, lambda v: View(v.rotation.T, -v.rotation.T @ v.translation, v.distortion))


def distort(raw: RawFiles, root: Path, factor: float) -> None:
    """Multiplies distortion coefficients."""

    def changed(v: View) -> View:
        assert np.any(v.distortion)
        return View(v.rotation, v.translation, factor * np.asarray(v.distortion))

    raw.cameras(root, changed)


def delay(raw: RawFiles, root: Path) -> None:
    """Gives every frame the joints of the one before."""
    raw.joints(root, lambda coords: np.concatenate([coords[:1], coords[:-1]]))


def box_beside(raw: RawFiles, root: Path) -> None:
    """Moves boxes by their own width, as if of somebody who stands beside."""

    def beside(boxes: np.ndarray) -> np.ndarray:
        side = np.where(boxes[:, 0] >= boxes[:, 2], -1, 1)
        return boxes + np.stack([side * boxes[:, 2], *np.zeros((3, len(boxes)))], axis=1)

    raw.boxes(root, beside)


def resize(raw: RawFiles, root: Path, size: Callable) -> None:
    """Resizes boxes about their middle."""

    def resized(boxes: np.ndarray) -> np.ndarray:
        new = np.broadcast_to(size(boxes[:, 2:]), (len(boxes), 2))
        return np.hstack([boxes[:, :2] + (boxes[:, 2:] - new) / 2, new])

    raw.boxes(root, resized)


# Fault -> what must be there, how it is planted.
FAULTS: dict[str, tuple[str, Callable[[RawFiles, Path], None] | None]] = {
    "joints shifted by 3 px": ("joints", shift),
    "left and right swapped": ("joints", swap_sides),
    "elbow and wrist exchanged": ("joints", exchange),
    "joints in metres": ("joints", scale_joints),
    "people 0.3 times as large": ("joints", shrink),
    "cameras in metres": ("cameras", scale_cameras),
    "both in metres": ("cameras", scale_both),
    "cameras inverted": ("cameras", invert),
    "distortion dropped": ("cameras", lambda raw, root: distort(raw, root, 0)),
    "distortion tenfold": ("cameras", lambda raw, root: distort(raw, root, 10)),
    "intrinsics of half the size": ("", None),
    "rows off by one frame": ("joints", delay),
    "mask of another": ("", None),
    "box of another": ("boxes", box_beside),
    "box 1x1": ("boxes", lambda raw, root: resize(raw, root, np.ones_like)),
    "box twice as large": ("boxes", lambda raw, root: resize(raw, root, lambda s: 2 * s)),
    "picture mirrored": ("", None),
    "wrong split": ("", None),
    "half of the files missing": ("", None),
    "two views swapped": ("", None),
}


def faults_of(raw: RawFiles) -> list[str]:
    """Returns the faults that a dataset's files can carry."""
    return [
        fault
        for fault, (needs, _) in FAULTS.items()
        if fault in raw.own
        or (fault not in raw.without and needs and getattr(raw, needs) is not None)
    ]


def plant(raw: RawFiles, fault: str, root: Path) -> None:
    """Plants a fault in raw files."""
    if fault in raw.own:
        raw.own[fault](root)
    else:
        FAULTS[fault][1](raw, root)


# ---------------------------------------------------------------- editing files


def edit_json(path: Path, change: Callable) -> None:
    """Changes the content of a JSON file in place, or takes what the function returns."""
    content = json.loads(path.read_text())
    changed = change(content)
    path.write_text(json.dumps(content if changed is None else changed, default=np.ndarray.tolist))


def names(text: str) -> list[str]:
    """Splits names of joints."""
    return text.replace(",", " ").split()


def exchange_files(a: Path, b: Path) -> None:
    """Gives each of two files the other's name."""
    middle = a.with_name(f"{a.name}.other")
    a.rename(middle)
    b.rename(a)
    middle.rename(b)


def matrix_edit(matrix: np.ndarray, edit: Callable, distortion: np.ndarray | None = None):
    """Returns the rows ``[3, 4]`` or ``[4, 4]`` of an edited camera, and its distortion."""
    matrix = np.array(matrix, float)
    view = edit(View(matrix[:3, :3], matrix[:3, 3], distortion))
    matrix[:3] = np.column_stack([view.rotation, view.translation])
    return matrix, view.distortion


def mirror_pictures(root: Path, pattern: str) -> None:
    """Turns pictures left for right."""
    for path in root.glob(pattern):
        picture = cv2.imread(str(path))[:, ::-1]
        path.unlink()  # it is linked
        cv2.imwrite(str(path), picture)


SMPLH = names(
    "pelv lhip rhip bell lkne rkne spin lank rank thor ltoe rtoe neck lcla rcla head lsho rsho "
    "lelb relb lwri rwri"
)
FINGERS = [
    f"{side}{finger}{i}"
    for side in "lr"
    for finger in ("index", "middle", "pinky", "ring", "thumb")
    for i in "123"
]

# ---------------------------------------------------------------- what is expected


def read_expected() -> dict[str, dict[str, str]]:
    """Returns dataset -> fault -> ``refused: …``, ``dropped: …`` or ``not visible: …``."""
    return yaml.safe_load(EXPECTED.read_text())


def table() -> str:
    """Returns what is expected as Markdown: a matrix, then why what is not visible is not."""
    expected = read_expected()
    signs = {REFUSED: "refused", DROPPED: "dropped", NOT_VISIBLE: "**not visible**"}
    lines = [
        f"| planted in the raw files | {' | '.join(expected)} |",
        "|---" * (len(expected) + 1),
    ]
    lines[-1] += "|"
    for fault in FAULTS:
        cells = [of.get(fault, "–").partition(":")[0] for of in expected.values()]
        lines.append(f"| {fault} | {' | '.join(signs.get(cell, cell) for cell in cells)} |")
    lines += ["", "| not visible | in | because |", "|---|---|---|"]
    for fault in FAULTS:
        reasons: dict[str, list[str]] = {}
        for name, of in expected.items():
            kind, _, why = of.get(fault, "").partition(": ")
            if kind == NOT_VISIBLE:
                reasons.setdefault(why, []).append(name)
        lines += [f"| {fault} | {', '.join(names)} | {why} |" for why, names in reasons.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(table())
