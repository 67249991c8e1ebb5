"""Cameras and poses of pictures as COLMAP writes them, as text or binary.

Described at https://colmap.github.io/format.html; models of lenses at
https://colmap.github.io/cameras.html.
"""

from __future__ import annotations

import itertools
import os
import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np

from posepile.errors import CorruptInput, whole_number
from posepile.formats.budget import Damaged, walking
from posepile.formats.schema import AGAIN, shortened
from posepile.formats.text_files import numbers_in, read_bytes, read_text

# Name -> (number in binary files, parameters before those of the lens, coefficients of the lens).
# f stands for both focal lengths; then cx and cy.
MODELS = {
    "SIMPLE_PINHOLE": (0, "f", ""),
    "PINHOLE": (1, "fx fy", ""),
    "SIMPLE_RADIAL": (2, "f", "k1"),
    "RADIAL": (3, "f", "k1 k2"),
    "OPENCV": (4, "fx fy", "k1 k2 p1 p2"),
    "OPENCV_FISHEYE": (5, "fx fy", "k1 k2 k3 k4"),
    "FULL_OPENCV": (6, "fx fy", "k1 k2 p1 p2 k3 k4 k5 k6"),
    "SIMPLE_RADIAL_FISHEYE": (8, "f", "k1"),
    "RADIAL_FISHEYE": (9, "f", "k1 k2"),
}
FISHEYES = {"OPENCV_FISHEYE", "SIMPLE_RADIAL_FISHEYE", "RADIAL_FISHEYE"}
_BY_NUMBER = {number: name for name, (number, _, _) in MODELS.items()}


class ColmapCamera(NamedTuple):
    """A lens.

    Attributes:
        model: One of :data:`MODELS`.
        size: Width and height of the pictures.
        focal: Focal lengths along x and y, pixels.
        principal: Principal point, pixels; the corner of the picture is at 0, 0.
        distortion: Coefficients.
        order: Their names, separated by spaces.
    """

    model: str
    size: tuple[int, int]
    focal: tuple[float, float]
    principal: tuple[float, float]
    distortion: tuple[float, ...]
    order: str


class ColmapImage(NamedTuple):
    """A picture: where it was taken.

    Attributes:
        name: Path of the picture.
        camera: Number of its lens.
        quaternion: World to camera, w x y z.
        translation: ``t`` of ``x_cam = R x + t``, in the unit of the reconstruction.
    """

    name: str
    camera: int
    quaternion: tuple[float, ...]
    translation: tuple[float, ...]


def read_colmap_cameras(
    path: str | os.PathLike, *, hint: str | None = AGAIN
) -> dict[int, ColmapCamera]:
    r"""Returns the lenses of ``cameras.txt`` or ``cameras.bin`` by their numbers.

    >>> _ = (folder / "cameras.txt").write_text("# lenses\n1 RADIAL 640 480 500 320 240 0.1 0\n")
    >>> read_colmap_cameras(folder / "cameras.txt")[1].distortion
    (0.1, 0.0)

    Raises:
        CorruptInput: Missing, damaged, or with a lens that is none of :data:`MODELS`.
    """
    found: dict[int, ColmapCamera] = {}
    if Path(path).suffix == ".bin":
        with walking(path, hint=hint):
            walk = _Walk(read_bytes(path, hint=hint))
            for _ in range(walk.count(24)):
                number, model, width, height = walk.take("<iiQQ")
                if model not in _BY_NUMBER:
                    raise Damaged(f"camera {number}: {_wrong_model(model)}")
                _, focal, lens = MODELS[_BY_NUMBER[model]]
                n = len(focal.split()) + 2 + len(lens.split())
                values = walk.take(f"<{n}d")
                _put(found, number, _camera(_BY_NUMBER[model], width, height, values))
            walk.end()
        return found
    for line, text in enumerate(read_text(path, hint=hint).splitlines(), 1):
        words = text.split()
        if not words or words[0].startswith("#"):
            continue
        with walking(f"{os.fspath(path)}, line {line}", hint=hint):
            if len(words) < 5:
                expected = "number, model, width, height and parameters"
                raise Damaged(f"found {shortened(text)}; expected {expected}")
            if words[1] not in MODELS:
                raise Damaged(_wrong_model(words[1]))
            number, *size = (whole_number(words[k]) for k in (0, 2, 3))
            if None in (number, *size):
                raise Damaged(f"found {shortened(text)}; expected whole numbers and a model")
            values = numbers_in(" ".join(words[4:]), path, line, hint)
            _put(found, number, _camera(words[1], *size, values))
    return found


def read_colmap_images(path: str | os.PathLike, *, hint: str | None = AGAIN) -> list[ColmapImage]:
    r"""Returns the pictures of ``images.txt`` or ``images.bin`` in the order of their names.

    >>> text = "# pictures\n1 1 0 0 0 0.5 0 2 1 left.png\n\n"
    >>> _ = (folder / "images.txt").write_text(text)
    >>> read_colmap_images(folder / "images.txt")[0].translation
    (0.5, 0.0, 2.0)

    Raises:
        CorruptInput: Missing, damaged, or two pictures of one name.
    """
    found: list[ColmapImage] = []
    if Path(path).suffix == ".bin":
        with walking(path, hint=hint):
            walk = _Walk(read_bytes(path, hint=hint))
            for _ in range(walk.count(73)):
                _, *pose = walk.take("<i7d")
                (camera,) = walk.take("<i")
                name = walk.text()
                walk.skip(24 * walk.count(24))  # what is seen of the points
                found.append(ColmapImage(name, camera, tuple(pose[:4]), tuple(pose[4:])))
            walk.end()
    else:
        lines = enumerate(read_text(path, hint=hint).splitlines(), 1)
        rows = [(n, text) for n, text in lines if not text.startswith("#")]
        # Every second line holds the points that a picture shows; it may be empty.
        for line, text in rows[::2]:
            words = text.split(maxsplit=9)
            camera = whole_number(words[8]) if len(words) == 10 else None
            if camera is None:
                expected = "number, four of a quaternion, three of t, camera and name"
                found_text = f"line {line}: found {shortened(text)}; expected {expected}"
                raise CorruptInput(path, found_text, hint=hint)
            pose = numbers_in(" ".join(words[1:8]), path, line, hint)
            image = ColmapImage(words[9].strip(), camera, tuple(pose[:4]), tuple(pose[4:]))
            found.append(image)
    names = sorted(image.name for image in found)
    twice = next((a for a, b in itertools.pairwise(names) if a == b), None)
    if twice is not None:
        text = f"found two pictures {shortened(twice)}; expected one"
        raise CorruptInput(path, text, hint=hint)
    for image in found:
        if not np.isfinite([*image.quaternion, *image.translation]).all():
            text = f"picture {shortened(image.name)}: found a pose that is not finite"
            raise CorruptInput(path, f"{text}; expected numbers", hint=hint)
    return sorted(found, key=lambda image: image.name)


def _camera(model: str, width: int, height: int, values) -> ColmapCamera:
    _, focal, lens = MODELS[model]
    n_focal, n = len(focal.split()), len(focal.split()) + 2 + len(lens.split())
    if len(values) != n:
        raise Damaged(f"found {len(values)} parameters of {model}; expected {n}")
    if not np.isfinite(values).all():
        raise Damaged(f"found parameters {shortened(list(values))}; expected finite numbers")
    if not (0 < width < 2**20 and 0 < height < 2**20):
        raise Damaged(f"found a size of {width} x {height}; expected that of a picture")
    values = tuple(map(float, values))
    focal_xy = values[:2] if n_focal == 2 else (values[0], values[0])
    rest = values[n_focal:]
    return ColmapCamera(model, (width, height), focal_xy, rest[:2], rest[2:], lens)


def _put(found: dict[int, ColmapCamera], number: int, camera: ColmapCamera) -> None:
    if number in found:
        raise Damaged(f"found camera {number} twice; expected it once")
    found[number] = camera


def _wrong_model(model: str | int) -> str:
    return f"found the camera model {shortened(model)}; expected {', '.join(MODELS)}"


class _Walk:
    """Steps through the bytes of a file."""

    def __init__(self, data: bytes):
        self._data, self._at = data, 0

    def take(self, form: str) -> tuple:
        size = struct.calcsize(form)
        if len(self._data) - self._at < size:
            raise Damaged(
                f"truncated: found {len(self._data)} bytes; expected {self._at + size} or more"
            )
        values = struct.unpack_from(form, self._data, self._at)
        self._at += size
        return values

    def count(self, least: int) -> int:
        """Reads how many entries follow, of that many bytes at least."""
        place = self._at
        (n,) = self.take("<Q")
        left = len(self._data) - self._at
        if n * least > left:
            raise Damaged(f"byte {place}: found {n} entries; expected what {left} bytes can hold")
        return n

    def skip(self, n: int) -> None:
        self.take(f"<{n}x")

    def text(self) -> str:
        end = self._data.find(b"\0", self._at)
        if end < 0:
            raise Damaged(f"byte {self._at}: found a name without an end; expected a zero byte")
        name = self._data[self._at : end]
        place, self._at = self._at, end + 1
        try:
            return name.decode()
        except UnicodeDecodeError:
            raise Damaged(f"byte {place}: found a name that is no UTF-8") from None

    def end(self) -> None:
        if self._at != len(self._data):
            raise Damaged(f"found {len(self._data)} bytes; expected {self._at}")
