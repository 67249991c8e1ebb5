"""Calibrations as programs write them, into the arguments of one camera each.

What is taken:

* OpenCV: storage files in YAML or XML, or npz, one per camera or with the camera behind each name
  (``K_left``, ``R_left``; EasyMocap's ``intri.yml`` and ``extri.yml``), and JSON
  (https://docs.opencv.org/4.x/da/d56/classcv_1_1FileStorage.html);
* Anipose (and DeepLabCut, FreeMoCap and Pose2Sim, which use the same form): one toml, a table per
  camera (https://anipose.readthedocs.io/en/latest/aniposelib-tutorial.html,
  https://github.com/perfanalytics/pose2sim);
* COLMAP: a folder with ``cameras`` and ``images``, ``.txt`` or ``.bin``
  (https://colmap.github.io/format.html).

None of them says its unit of length, which the caller must know.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from posepile.errors import CorruptInput
from posepile.files import names_in
from posepile.formats.arrays import read_npz
from posepile.formats.colmap_files import FISHEYES, read_colmap_cameras, read_colmap_images
from posepile.formats.opencv_files import read_opencv_storage
from posepile.formats.schema import AGAIN, Array, check, shortened
from posepile.formats.text_files import read_json
from posepile.formats.toml_files import read_toml
from posepile.geometry.rotations import check_rotation, quaternion_matrix, rotvec_matrix

CALIBRATION_FORMATS = (".toml", ".yml", ".yaml", ".xml", ".npz", ".json")

# What programs call a value, in small letters and without underscores.
_CALLED = {
    "K": "k cameramatrix matrix intrinsicmatrix intrinsics intrinsic mtx",
    "dist": "d dist distcoeffs distcoefs distcoef distortioncoefficients distortion distortions",
    "R": "r rvec rotation rotationvector rotationmatrix rot rmat rotvec",
    "t": "t tvec translation translationvector trans",
    "pose": "extrinsics extrinsic extrinsicmatrix worldtocamera rt",
    "size": "size imagesize resolution imsize",
    "width": "imagewidth width w",
    "height": "imageheight height h",
    "fisheye": "fisheye",
    "name": "name cameraname",
}
_MEANING = {name: what for what, names in _CALLED.items() for name in names.split()}
# How many coefficients OpenCV's lenses have; three may be k1 k2 k3, or k1 k2 p1.
_COEFFICIENTS = (0, 4, 5, 8, 12, 14)
# As exact as a rotation that is written twice must agree with itself.
_SAME = 1e-3


def calibration_files(path: Path) -> tuple[Path, ...]:
    """Returns the files that hold a calibration: the file itself, or those of a folder.

    >>> for name in ("left.yml", "right.yml", "notes.txt"):
    ...     (folder / name).touch()
    >>> [file.name for file in calibration_files(folder)]
    ['left.yml', 'right.yml']
    """
    names = names_in(path)
    if not names:
        return (path,)
    for kind in (".bin", ".txt"):
        pair = f"cameras{kind}", f"images{kind}"
        if names.issuperset(pair):
            return tuple(path / name for name in pair)
    return tuple(path / n for n in sorted(names) if Path(n).suffix.lower() in CALIBRATION_FORMATS)


def read_calibration(
    path: str | os.PathLike, *, hint: str | None = AGAIN
) -> dict[str, dict[str, Any]]:
    r"""Returns, for each camera, its arguments of :func:`posepile.geometry.cameras.make_camera`.

    >>> from posepile.miniature.writers import write_text
    >>> write_text(folder / "calibration.toml", '[cam_0]\nname = "left"\nsize = [640, 480]\n'
    ...     "matrix = [[500, 0, 320], [0, 500, 240], [0, 0, 1]]\ndistortions = [0, 0, 0, 0, 0]\n"
    ...     "rotation = [0, 0, 0]\ntranslation = [0, 0, 3]\n")
    >>> read_calibration(folder / "calibration.toml")["left"]["translation"]
    array([0., 0., 3.])

    Args:
        path: A file, or a folder of them; what is taken is said in the module's docstring.
        hint: What the user can do if it is damaged.

    Returns:
        Name -> ``rotation`` (world to camera), ``translation``, ``intrinsics``, ``distortion``,
        ``lens``, ``pixel_origin`` and, where the file says it, ``size``.

    Raises:
        CorruptInput: Missing, damaged, of no known form, or a camera without lens or pose.
    """
    path = Path(path)
    files = calibration_files(path)
    if files and files[0].stem == "cameras" and len(files) == 2:
        return _of_colmap(path, *files, hint)
    named: dict[str, dict[str, Any]] = {}
    for file in files:
        for name, facts in _cameras_of(file, _content(file, hint), hint).items():
            known = named.setdefault(name, {})
            twice = set(known) & set(facts)
            if twice:
                text = f"found {min(twice)} of camera {shortened(name)} again; expected it once"
                raise CorruptInput(file, text, hint=hint)
            known.update(facts)
    found = {name: _camera(path, name, facts, hint) for name, facts in named.items()}
    if not found:
        text = "found no camera; expected a matrix K, a rotation R and a translation t of each"
        raise CorruptInput(path, text, hint=hint)
    return found


def _content(file: Path, hint: str | None) -> Mapping[str, Any]:
    kind, anything = file.suffix.lower(), {"*": None}
    if kind == ".toml":
        return read_toml(file, anything, hint=hint)
    if kind == ".npz":
        return read_npz(file, anything, hint=hint)
    if kind == ".json":
        return read_json(file, anything, hint=hint)
    if kind in CALIBRATION_FORMATS:
        return read_opencv_storage(file, hint=hint)
    expected = f"{', '.join(CALIBRATION_FORMATS)}, or COLMAP's folder"
    raise CorruptInput(file, f"found a file of another kind; expected {expected}", hint=hint)


def _meaning(name: Any) -> str | None:
    return _MEANING.get(str(name).lower().replace("_", "").replace(" ", ""))


def _cameras_of(file: Path, content: Mapping, hint: str | None) -> dict[str, dict[str, Any]]:
    """What a file says of each camera: meaning -> value as it stands there."""
    inner = {key: value for key, value in content.items() if isinstance(value, Mapping)}
    inner = {key: facts for key, value in inner.items() if "K" in (facts := _facts(value))}
    if inner:
        found = {}
        for key, facts in inner.items():
            name = str(facts.pop("name", key))
            if name in found:
                text = f"found two cameras {shortened(name)}; expected names that differ"
                raise CorruptInput(file, text, hint=hint)
            found[name] = facts
        return found
    facts = _facts(content)
    if "K" in facts:
        return {str(facts.pop("name", file.stem)): facts}
    return _named_apart(content)


def _named_apart(content: Mapping) -> dict[str, dict[str, Any]]:
    """Cameras of a file in which each value has its camera behind its name."""
    found: dict[str, dict[str, Any]] = {}
    for key, value in content.items():
        words = str(key).split("_")
        for n in range(len(words) - 1, 0, -1):
            what = _meaning("_".join(words[:n]))
            if what and what != "name":
                known = found.setdefault("_".join(words[n:]), {})
                # EasyMocap writes the rotation as a vector R and as a matrix Rot.
                if what not in known or _n_numbers(value) == 9:
                    known[what] = value
                break
    return {name: facts for name, facts in found.items() if set(facts) & {"K", "R", "t"}}


def _facts(content: Mapping) -> dict[str, Any]:
    """Meaning -> value; of a rotation written as vector and as matrix the latter."""
    found: dict[str, Any] = {}
    for key, value in content.items():
        what = _meaning(key)
        if what and (what not in found or (what == "R" and _n_numbers(value) == 9)):
            found[what] = value
    return found


def _camera(path: Path, name: str, facts: dict, hint: str | None) -> dict[str, Any]:
    """Arguments of make_camera."""
    where = f"{os.fspath(path)}: camera {shortened(name)}"

    def numbers(what: str, *shape: int | str) -> np.ndarray:
        value = check(facts[what], None, where)
        try:
            found = np.squeeze(np.asarray(value, np.float64))
            if _has_truth(value):  # which numpy takes for 0 and 1
                raise TypeError
            value = found
        except (TypeError, ValueError):
            text = f"{what}: found {shortened(value)}; expected numbers"
            raise CorruptInput(where, text, hint=hint) from None
        if value.size == np.prod([n for n in shape if not isinstance(n, str)]):
            value = value.reshape([n for n in shape if not isinstance(n, str)])
        elif "n" in shape:
            value = value.reshape(-1)
        return check(value, Array(*shape), where, what, hint=hint)

    if "pose" in facts and not {"R", "t"} & set(facts):
        pose = numbers("pose", *((4, 4) if _n_numbers(facts["pose"]) == 16 else (3, 4)))
        facts = facts | {"R": pose[:3, :3], "t": pose[:3, 3]}
    for what, told in (("K", "camera matrix"), ("R", "rotation"), ("t", "translation")):
        if what not in facts:
            text = f"found no {told} (there: {', '.join(sorted(facts))}); expected one"
            raise CorruptInput(where, text, hint=hint)
    turned = _n_numbers(facts["R"]) == 9
    rotation = numbers("R", 3, 3) if turned else numbers("R", 3)
    if not turned:
        angle = math.hypot(*rotation)
        if angle > 2 * np.pi + _SAME:
            text = f"found a rotation vector of length {angle:.3g}; expected radians, up to 2 pi"
            raise CorruptInput(where, text, hint="is it in degrees? write it in radians")
        rotation = rotvec_matrix(rotation)
    given: dict[str, Any] = {
        "rotation": check_rotation(rotation, where),
        "translation": numbers("t", 3),
        "intrinsics": numbers("K", 3, 3),
        "distortion": numbers("dist", "n") if _n_numbers(facts.get("dist", [])) else None,
        "lens": "kannala_brandt" if _is_true(facts.get("fisheye")) else "brown_conrady",
        "pixel_origin": "center",
    }
    n = 0 if given["distortion"] is None else len(given["distortion"])
    # Of a fisheye lens more than four are zeros that fill a row up.
    if n not in _COEFFICIENTS and not (given["lens"] == "kannala_brandt" and n > 4):
        text = f"found {n} coefficients of distortion; expected "
        raise CorruptInput(where, f"{text}{', '.join(map(str, _COEFFICIENTS))}", hint=hint)
    if given["lens"] == "kannala_brandt" and given["distortion"] is not None:
        more = given["distortion"][4:]
        if more.any():
            text = f"found {4 + len(more)} coefficients of a fisheye lens; expected 4"
            raise CorruptInput(where, text, hint=hint)
        given["distortion"] = given["distortion"][:4]
    if "size" in facts:
        given["size"] = numbers("size", 2)
    elif {"width", "height"} <= set(facts):
        given["size"] = np.array([float(numbers(what)) for what in ("width", "height")])
    if "size" in given:
        size = check(given["size"], Array(2, dtype=np.int64), where, "size", hint=hint)
        if not ((size > 0) & (size < 2**20)).all():
            text = f"size: found {size.tolist()}; expected width and height"
            raise CorruptInput(where, text, hint=hint)
        given["size"] = tuple(size.tolist())
    return given


def _is_true(value: Any) -> bool:
    if isinstance(value, str):
        return value.strip().lower() in ("true", "1", "yes")
    return bool(_n_numbers(value) == 1 and np.asarray(value).item())


def _has_truth(value: Any) -> bool:
    """Whether true or false is among numbers."""
    if isinstance(value, (list, tuple)):
        return any(map(_has_truth, value))
    return isinstance(value, bool) or np.asarray(value).dtype.kind == "b"


def _n_numbers(value: Any) -> int:
    """How many numbers a list or an array holds; -1 of lists of different lengths."""
    try:
        return int(np.size(value))
    except ValueError:
        return -1


def _of_colmap(path: Path, lenses: Path, pictures: Path, hint: str | None) -> dict[str, dict]:
    """Cameras of a reconstruction of one picture per camera."""
    cameras, images = (
        read_colmap_cameras(lenses, hint=hint),
        read_colmap_images(pictures, hint=hint),
    )
    found: dict[str, dict[str, Any]] = {}
    for image in images:
        place = PurePosixPath(image.name)
        # Pictures of a camera lie in its folder, or are called after it.
        name = place.parts[0] if len(place.parts) > 1 else place.stem
        if name in found:
            text = f"found several pictures of camera {shortened(name)}; expected one"
            todo = "a camera that does not move has one pose: keep one picture of each"
            raise CorruptInput(pictures, text, hint=todo)
        if image.camera not in cameras:
            text = f"{shortened(image.name)}: found camera {image.camera}; expected one of "
            raise CorruptInput(pictures, f"{text}{lenses.name}", hint=hint)
        lens, turn = cameras[image.camera], np.array(image.quaternion)
        norm = np.linalg.norm(turn)
        if not abs(norm - 1) < _SAME:
            text = f"{shortened(image.name)}: found a quaternion of length {norm:.3g}; expected 1"
            raise CorruptInput(pictures, text, hint=hint)
        found[name] = {
            "rotation": quaternion_matrix(turn / norm, order="wxyz"),
            "translation": np.array(image.translation),
            "focal": lens.focal,
            "principal": lens.principal,
            "distortion": np.array(lens.distortion) if lens.distortion else None,
            "distortion_order": lens.order or None,
            "lens": "kannala_brandt" if lens.model in FISHEYES else "brown_conrady",
            "pixel_origin": "edge",
            "size": lens.size,
        }
    if not found:
        raise CorruptInput(pictures, "found no picture; expected one of each camera", hint=hint)
    return found
