"""Calibrations that Skeletool writes: blocks of key and numbers, one for each camera."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from posepile.errors import CorruptInput
from posepile.formats.keys import by_key
from posepile.formats.schema import AGAIN, Array, OneOf, check
from posepile.formats.text_files import numbers_in, read_text
from posepile.geometry.cameras import make_camera

if TYPE_CHECKING:
    import deltacamera

HEAD = "Skeletool Camera Calibration File V1.0"
_CAMERA = {"name": [int], "size": [int], "radial": [OneOf(0.0)], "intrinsic": Array(16)}
_CAMERA |= {"extrinsic": Array(16)}


def read_skeletool(
    path: str | os.PathLike, n: int, *, hint: str | None = AGAIN, **given
) -> list[deltacamera.Camera]:
    r"""Returns the n cameras of a calibration, whose names are 0 to n - 1; millimetres.

    >>> rows = ["name 0", "size 640 480", "intrinsic 9 0 1 0 0 9 1 0 0 0 1 0 0 0 0 1", "radial 0"]
    >>> rows += ["extrinsic 1 0 0 5 0 1 0 0 0 0 1 0 0 0 0 1"]
    >>> _ = (folder / "camera.calibration").write_text("\n".join([HEAD, *rows]))
    >>> float(read_skeletool(folder / "camera.calibration", 1)[0].t[0])
    -5.0

    Args:
        path: The file.
        n: How many cameras there must be.
        hint: What the user can do if it is damaged.
        **given: Further arguments of :func:`posepile.geometry.cameras.make_camera`; ``size`` must
            be that of the file.

    Raises:
        CorruptInput: Missing, another kind of file, other cameras, keys or numbers missing, or a
            lens that is distorted, which no known file has.
    """
    first, *lines = read_text(path, hint=hint).splitlines() or [""]
    if first.strip() != HEAD:
        raise CorruptInput(path, f"line 1: found {first[:60]!r}; expected {HEAD!r}", hint=hint)
    blocks: list[tuple[str, dict[str, list[float]]]] = []
    for line, text in enumerate(lines, 2):
        key, _, rest = text.strip().partition(" ")
        if key == "name":
            blocks.append((f"line {line}", {}))
        if key and not blocks:
            raise CorruptInput(path, f"line {line}: found {key!r}; expected a name", hint=hint)
        if key:
            numbers = numbers_in(rest, path, line, hint)
            whole = key in ("name", "size")
            blocks[-1][1][key] = [int(v) if whole and v == int(v) else v for v in numbers]
    found = []
    for place, block in blocks:
        camera = check(block, _CAMERA, path, place, hint=hint)
        (number,), size = camera["name"], tuple(camera["size"])
        if size != given.get("size", size):
            text = f"{place}: found pictures of {size}; expected {given['size']}"
            raise CorruptInput(path, text, hint=hint)
        pose = {"world_to_camera": camera["extrinsic"].reshape(4, 4), **given, "size": size}
        lens = {"intrinsics": camera["intrinsic"].reshape(4, 4)}
        found.append((number, place, make_camera(f"{path}, camera {number}", **pose, **lens)))
    cameras = by_key(found, path, "camera", hint=hint)
    if sorted(cameras) != [*range(n)]:
        names = ", ".join(map(str, sorted(cameras))) or "none"
        raise CorruptInput(path, f"found cameras {names}; expected 0 to {n - 1}", hint=hint)
    return [cameras[c] for c in range(n)]
