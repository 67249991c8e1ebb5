"""HumanData of mmhuman3d, ``.npz``: of others, and of an export."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from posepile.bodies.parameters import fit_parts
from posepile.errors import CorruptInput, UsageError, one_line
from posepile.formats.numpy_files import load_npz
from posepile.formats.schema import AGAIN
from posepile.geometry.cameras import make_camera
from posepile.imports.facts import Facts, complete, skeleton, up_vector
from posepile.imports.names import convention
from posepile.imports.plain import check_description, facts_of
from posepile.imports.source import (
    Options,
    Pictures,
    Source,
    Tally,
    Unit,
    by_picture,
    chunks,
    file_stamp,
    one_split,
    split_of,
)
from posepile.joint_info import JointInfo
from posepile.store.coords import as_compact_float
from posepile.store.fields import Record

_ODD = (ValueError, TypeError, LookupError, AttributeError, OverflowError)
_GENDERS = {"m": "male", "f": "female", "n": "neutral"}

_POINTS = ("keypoints2d", "keypoints3d")

# A note.
UP_MADE = "direction of up is not known; the camera has -y"

# Body models, the one that is taken first; of each its dict, what is read of it besides the pose.
_MODELS = ("smplx", "smplh", "smpl")
_OTHER_MODELS = ("mano", "flame", "star")
_BESIDE_POSE = ("betas", "transl", "expression", "scale", "kid_factor", "gender")
_USUAL = {"scale": 1.0, "kid_factor": 0.0}


@dataclass
class _File:
    """One file, its arrays looked at.

    Attributes:
        path: The file.
        data: Its arrays by name.
        images: Image path of each row.
        split: Split that it tells, or None.
        described: The description of an export, or None.
    """

    path: Path
    data: dict[str, Any]
    images: list[str]
    split: str | None
    described: dict[str, Any] | None


def open_source(options: Options) -> Source:
    """Opens HumanData files; pictures lie below the folder of ``--images``.

    Raises:
        UsageError: Facts are missing, or the key points' convention is not known.
        CorruptInput: A file is not HumanData.
    """
    first = options.files[0]
    head = _load(first)
    described = head.described
    if described is not None:
        found = facts_of(described)
        facts = complete(options.facts, found, ("licence",), first)
        info = JointInfo(described["joint_names"], described["joint_edges"], strict=False)
        kind = facts.kind or described.get("kind") or "3d"
    else:
        has_3d, has_shift = _look_at_all(head, options.files)
        needed = ["licence", "split"] + (["units", "axes", "world_up"] if has_3d else [])
        needed += ["units"] if has_shift and not has_3d else []
        split = {"split": head.split}
        facts = complete(options.facts, split, tuple(needed), first)
        info = _skeleton(head, facts)
        kind = facts.kind or ("3d" if has_3d else "2d")
    pictures = Pictures(options.images or (first.parent if described else _required(first)))
    folder = facts.image_dir or options.name

    @lru_cache(maxsize=2)
    def rows(path: Path) -> _Rows:
        file = head if path == first else _load(path)
        if (file.described is None) != (described is None):
            raise UsageError(f"{path}: is {'no' if described else 'an'} export, {first} is")
        _require_told(file, facts)
        return _Rows(file, info, facts)

    def units() -> Iterator[Unit]:
        splits = {p: options.facts.split or split_of(p) or "train" for p in options.files}
        yield from _units(splits, rows, pictures, "" if described else f"{folder}/")

    return Source(str(first), info, kind, facts, units, described=described or {})


def _required(path: Path) -> Path:
    raise UsageError(f"{path}: names its pictures; give the folder they lie in with --images")


# ---------------------------------------------------------------- reading a file


def _load(path: Path) -> _File:
    data = {k: _plain(v) for k, v in load_npz(path).items()}
    images = _images(data, path)
    if data.get("__keypoints_compressed__"):
        _decompress(data, path)
    described = None
    misc = data.get("misc")
    if isinstance(misc, dict) and isinstance(misc.get("posepile"), str):
        try:
            described = check_description(json.loads(misc["posepile"]), path)
        except ValueError as e:
            raise CorruptInput(path, f"its description is damaged: {one_line(e)}") from None
    return _File(path, data, images, split_of(path), described)


def _images(data: dict[str, Any], path: Path) -> list[str]:
    images = _plain(data.get("image_path"))
    if not isinstance(images, list) or not all(isinstance(name, str) for name in images):
        raise CorruptInput(path, "found no image_path per row; expected HumanData", hint=AGAIN)
    return images


def _plain(value: Any) -> Any:
    """Single values as themselves, arrays of texts as lists."""
    if isinstance(value, np.ndarray):
        if value.ndim == 0:
            return value.item()
        if value.dtype.kind in "USO":
            return [v.decode() if isinstance(v, bytes) else v for v in value.tolist()]
    return value


def _decompress(data: dict[str, Any], path: Path) -> None:
    """Puts the key points that a file leaves out, by its masks, back as missing ones."""
    for name in [n for n in data if n.startswith("keypoints") and f"{n}_mask" in data]:
        mask = np.asarray(data[f"{name}_mask"]).astype(bool).reshape(-1)
        values = np.asarray(data[name])
        if values.ndim != 3 or values.shape[1] != mask.sum():
            text = f"{name}: {values.shape} for a mask of {int(mask.sum())}"
            raise CorruptInput(path, text, hint=AGAIN)
        full = np.zeros((len(values), len(mask), values.shape[2]), values.dtype)
        full[:, mask] = values
        data[name] = full


def _key_points(data: dict[str, Any], name: str) -> np.ndarray | None:
    """Coordinates ``[n, J, d]``, NaN where the confidence or the mask is 0; None without such."""
    found = data.get(name)
    if not isinstance(found, np.ndarray) or found.ndim != 3:
        return None
    coords = found[..., :-1].astype(np.float64)
    missing = ~(found[..., -1] > 0)
    mask = data.get(f"{name}_mask")
    if mask is not None and np.size(mask) == coords.shape[1]:
        missing |= ~np.asarray(mask).astype(bool).reshape(-1)
    coords[missing] = np.nan
    return coords


def _look_at_all(head: _File, files: list[Path]) -> tuple[bool, bool]:
    """Returns whether a file has 3D key points, and whether one has cameras with a translation.

    Raises:
        UsageError: Key points are of different conventions, in one file or in two.
    """
    first, data = head.path, head.data
    has_3d = has_shift = False
    told = _told(data, first)
    for path in files:
        if path != first:
            few = ["cam_param", *(f"{n}_convention" for n in _POINTS)]
            few += [] if has_3d else ["keypoints3d"]
            data = {k: _plain(v) for k, v in load_npz(path, few).items()}
            own = _told(data, path)
            if own and told and not _same_convention(own, told):
                raise UsageError(
                    f"{path}: key points are of {own!r}, those of {first} of {told!r}; import "
                    "them one by one"
                )
            told = told or own
        has_3d = has_3d or np.ndim(data.get("keypoints3d")) == 3
        cameras = data.get("cam_param")
        entries = cameras if isinstance(cameras, (list, np.ndarray)) else [cameras]
        found = any(isinstance(c, dict) and c.get("T") is not None for c in entries)
        has_shift = has_shift or found
    return has_3d, has_shift


def _told(data: dict[str, Any], path: Path) -> str | None:
    """Returns the convention of a file's key points; None where it does not tell."""
    found = [data.get(f"{name}_convention") for name in _POINTS]
    told = [name for name in found if isinstance(name, str)]
    if len(told) == 2 and not _same_convention(*told):
        raise UsageError(
            f"{path}: keypoints2d are of {told[0]!r}, keypoints3d of {told[1]!r}; expected one "
            "convention; give files with one of the two"
        )
    return told[0] if told else None


def _same_convention(a: str, b: str) -> bool:
    try:
        return a == b or convention(a).names == convention(b).names
    except UsageError:  # not known: the joints are said
        return False


def _require_told(file: _File, facts: Facts) -> None:
    """Refuses key points that take their names from others."""
    for name in _POINTS:
        told = isinstance(file.data.get(f"{name}_convention"), str)
        if file.described is None and np.ndim(file.data.get(name)) == 3 and not told:
            where = f"{file.path}, {name}"
            complete(facts, {}, ("joints",), where)


def _skeleton(file: _File, facts: Facts) -> JointInfo:
    counts = {
        np.shape(file.data[n])[1] for n in _POINTS
        if np.ndim(file.data.get(n)) == 3
    }  # fmt: skip
    if len(counts) > 1:
        raise UsageError(f"{file.path}: 2D and 3D key points of {sorted(counts)} joints")
    if not counts:
        return JointInfo([], strict=False)
    (n,) = counts
    if facts.joints is not None:
        return skeleton(facts, n, file.path)
    _require_told(file, facts)
    said = _told(file.data, file.path)
    info = convention(said)
    if info.n_joints == n:
        return info
    raise UsageError(f"{file.path}: {n} key points of convention {said!r}; name joints")


# ---------------------------------------------------------------- rows


def _units(
    splits: dict[Path, str],
    rows: Callable[[Path], _Rows],
    pictures: Pictures,
    prefix: str,
) -> Iterator[Unit]:
    """Yields the units; people of one picture are together, also those of several files."""
    seen: dict[str, tuple[str, Path]] = {}
    for split in dict.fromkeys(splits.values()):
        files = [path for path, own in splits.items() if own == split]
        stamps = {path: file_stamp(path) for path in files}
        places = [(p, i, name) for p in files for i, name in enumerate(_image_paths(p))]
        for p, _, name in places:
            one_split(name, seen.setdefault(name, (split, p)), (split, p))
        order = by_picture(name for *_, name in places)
        for number, chunk in enumerate(chunks((places[k][2], places[k]) for k in order)):

            def read(tally: Tally, chunk: list = chunk) -> Iterator[tuple[Record, Any]]:
                people: dict[str, int] = {}
                for path, i, name in chunk:
                    person = people[name] = people.get(name, -1) + 1
                    image_path = f"{prefix}{name.lstrip('/')}"
                    yield rows(path).record(i, image_path, person, tally), pictures.read(name)

            names = dict.fromkeys(name for *_, name in chunk)
            key = [stamps[p] for p in dict.fromkeys(path for path, *_ in chunk)]
            key += [number, len(chunk), [pictures.stamp(name) for name in names]]
            yield Unit(f"{split}-{number:06d}", split, key, read)


def _image_paths(path: Path) -> list[str]:
    return _images(load_npz(path, ["image_path"]), path)


class _Rows:
    """The rows of a file as records."""

    def __init__(self, file: _File, info: JointInfo, facts: Facts):
        self.file, self.info, self.facts = file, info, facts
        data = file.data
        self.n = len(file.images)
        self.exported = file.described is not None
        prefix = "posepile_" if self.exported and "posepile_keypoints2d" in data else ""
        self.points = self._of(f"{prefix}keypoints2d", bool(prefix))
        prefix = "posepile_" if self.exported and "posepile_keypoints3d" in data else ""
        self.joints = self._of(f"{prefix}keypoints3d", bool(prefix))
        self.in_world = bool(prefix) or facts.axes == "world"
        self.scale = 1.0 if prefix else facts.millimetres
        self.cameras = data.get("cam_param")
        self.bodies = {k: data[k] for k in _MODELS if isinstance(data.get(k), dict)}
        self.no_models = [k for k in _OTHER_MODELS if isinstance(data.get(k), dict)]
        self.meta = data["meta"] if isinstance(data.get("meta"), dict) else {}

    def _of(self, name, own):
        found = self.file.data.get(name) if own else _key_points(self.file.data, name)
        if found is None:
            return None
        if len(found) != self.n or found.shape[1] != self.info.n_joints:
            text = f"{name}: {found.shape}; expected {self.n} rows of {self.info.n_joints} joints"
            raise CorruptInput(self.file.path, text, hint=AGAIN)
        return found

    def record(self, i: int, path: str, person: int, tally: Tally) -> Record:
        """Returns the record of a row."""
        try:
            return self._record(i, path, person, tally)
        except _ODD as e:
            text = f"row {i}: {type(e).__name__}: {one_line(e)}"
            raise CorruptInput(self.file.path, text, hint=AGAIN) from None

    def _record(self, i, path, person, tally):
        camera, size = self._camera(i, tally)
        joints = None
        if self.joints is not None:
            joints = np.asarray(self.joints[i], np.float64) * self.scale
            if not self.in_world and camera is not None:
                joints = joints @ np.asarray(camera.R, np.float64) + np.asarray(camera.t)
            if self.exported and np.isnan(joints).all():
                joints = None
        points = None if self.points is None else np.float32(self.points[i])
        if self.exported and points is not None and np.isnan(points).all():
            points = None
        box = self.file.data.get("bbox_xywh")
        return Record(
            image_path=path,
            split="train",
            bbox=np.full(4, np.nan, np.float32) if box is None else np.float32(box[i][:4]),
            imshape=size,
            frame=int(self._fact("frame", i, -1)),
            person=person,
            sequence=str(self._fact("sequence", i, "unknown")),
            world_coords=None if joints is None else as_compact_float(joints),
            coords2d=points,
            camera=camera,
            parameters=self._parameters(i, tally),
        )

    def _fact(self, name, i, default):
        values = self.meta.get(name)
        return values[i] if isinstance(values, (list, np.ndarray)) and len(values) else default

    def _up(self, i):
        """Where up is: of exports, in the dataset of the row, as parts of a mix may disagree."""
        parts = (self.file.described or {}).get("parts") or {}
        part = parts.get(self._fact("dataset", i, None))
        if isinstance(part, dict) and part.get("world_up") is not None:
            return up_vector(part["world_up"])
        return up_vector(self.facts.world_up)

    def _camera(self, i, tally):
        found = self.cameras
        if isinstance(found, (list, np.ndarray)):
            found = {k: v for k, v in found[i].items()} if isinstance(found[i], dict) else None
            at = lambda value: value  # noqa: E731
        elif isinstance(found, dict):
            at = lambda value: value[i]  # noqa: E731
        if not isinstance(found, dict) or found.get("K") is None:
            return None, (0, 0)
        intrinsics = np.asarray(at(found["K"]), np.float64)
        if intrinsics.shape != (3, 3) or not np.isfinite(intrinsics).all():
            return None, (0, 0)
        size = (0, 0)
        if found.get("H") is not None and found.get("W") is not None:
            size = int(np.ravel(at(found["H"]))[0]), int(np.ravel(at(found["W"]))[0])
        pose = {}
        if found.get("R") is not None and found.get("T") is not None:
            unit = 1000.0 if self.exported else self.facts.millimetres
            pose = {
                "rotation": np.asarray(at(found["R"]), np.float64),
                "translation": np.asarray(at(found["T"]), np.float64).reshape(3),
                "unit": unit,
            }
        up = self._up(i)
        if up is None:
            up = (0.0, -1.0, 0.0)
            tally.notes[UP_MADE] += 1
        where = f"{self.file.path}, row {i}"
        return make_camera(where, intrinsics=intrinsics, world_up=up, **pose), size

    def _parameters(self, i, tally):
        result = None
        for kind in self.no_models:
            tally.notes[f"{kind} parameters not kept"] += 1
        for kind, body in self.bodies.items():
            root, shape = _part(body, "global_orient", 3, i), body.get("betas")
            if root is None or not np.isfinite(root).all():
                continue
            if shape is None or result is not None:
                why = "without betas" if shape is None else f"beside {result['type']}"
                tally.notes[f"{kind} parameters {why} not kept"] += 1
                continue
            more = sorted(set(body) - {*fit_parts(kind), *_BESIDE_POSE})
            if more:
                tally.notes[f"{kind} {', '.join(more)}: not kept"] += 1
            result = self._body(i, kind, body)
        return result

    def _body(self, i, kind, body):
        sizes, trans = fit_parts(kind), body.get("transl")
        found = {name: _part(body, name, n, i) for name, n in sizes.items()}
        parts = [np.zeros(sizes[name]) if p is None else p for name, p in found.items()]
        gender = str(self._fact("gender", i, "neutral")).lower()
        result = {
            "type": kind,
            "gender": _GENDERS.get(gender[:1], "neutral"),
            "pose": np.concatenate(parts).astype(np.float32),
            "shape": np.float32(np.ravel(body["betas"][i])),
            "trans": np.full(3, np.nan, np.float32)
            if trans is None
            else np.float32(np.ravel(trans[i])),
        }
        if kind == "smplx" and body.get("expression") is not None:
            result["expression"] = np.float32(np.ravel(body["expression"][i]))
        for name, usual in _USUAL.items():
            value = usual if body.get(name) is None else float(np.ravel(body[name][i])[0])
            if np.isfinite(value) and value != usual:
                result[name] = value
        return result


def _part(body, name, n, i):
    found = body.get(name)
    if found is None:
        return None
    part = np.ravel(np.asarray(found[i], np.float64))
    if len(part) != n:
        raise ValueError(f"{name} of {len(part)} numbers; expected {n}")
    return part
