"""HumanData files of mmhuman3d: key points in its convention, body parameters, cameras."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from posepile import paths
from posepile.bodies.parameters import fit_parts
from posepile.errors import UsageError
from posepile.export.coco import points_in_picture
from posepile.export.folders import new_folder, place_of_image, put_image, write_description
from posepile.export.npz_writer import NpzWriter
from posepile.export.plain import dense_or_missing, description
from posepile.export.rows import (
    ENCODED,
    Exported,
    Images,
    Progress,
    Row,
    dense,
    image_bytes,
    iter_rows,
)
from posepile.joint_info import JointInfo
from posepile.skeletons.mapping import JointMapping, to_convention

CONVENTION = "humandata190"

# What the files call it.
_THEIR_NAME = "human_data"

# At most in a file: readers hold it in memory, and so are the body parameters while it is made.
EXAMPLES_PER_FILE = 100_000

# A note.
_NO_MEANING = "joints of no dataset or convention that is described: no keypoints2d and 3d"

_AT_ONCE = 256
_OWN_JOINTS_UP_TO = 256
_MM = 1000.0

# The models. SMPL-H has no name in HumanData; it is called as the others are.
_MODELS = ("smplx", "smplh", "smpl")


def export_humandata(
    dataset: Any,
    out: str | os.PathLike,
    progress: Progress | None = None,
    *,
    images: bool = True,
    examples_per_file: int = EXAMPLES_PER_FILE,
) -> Exported:
    """Writes HumanData files; see docs/EXPORT.md.

    >>> from posepile.datasets3d import get_dataset
    >>> made = export_humandata(get_dataset("aspset"), folder / "human")
    >>> made.examples, made.files[0].name
    (30, 'human')

    Args:
        dataset: The dataset.
        out: The folder to make; relative paths are below ``DATA_ROOT``.
        progress: Called with the number of examples written now and then.
        images: Whether to write the images, too.
        examples_per_file: At most so many examples are in a file.

    Returns:
        What was written; in the notes, what the format has no place for.
    """
    out = Path(os.path.abspath(paths.ensure_absolute(out)))
    done, numbers = Exported(files=[out]), Images()
    mapping = _Convention(dataset)
    with new_folder(out, "humandata") as folder:
        file: _File | None = None
        n_files: Counter[str] = Counter()
        for row in iter_rows(dataset, progress):
            if file is not None and (file.split != row.split or file.n >= examples_per_file):
                file.finish(done)
                file = None
            if file is None:
                path = folder / f"{out.name}_{row.split}_{n_files[row.split]:02d}.npz"
                n_files[row.split] += 1
                file = _File(path, row.split, dataset, out.name, mapping)
                done.files.append(out / path.name)
            if numbers.number(row)[1] and images:
                data, encoded = image_bytes(row)
                done.notes[ENCODED] += encoded
                put_image(folder, row.record.image_path, data)
            else:
                place_of_image(folder, row.record.image_path)  # what is no name is refused
            file.add(row)
            done.examples += 1
            if row.dataset in mapping.unknown or (mapping.unknown and not mapping):
                done.notes[_NO_MEANING] += 1
        if file is not None:
            file.finish(done)
        done.images = numbers.n
        write_description(folder, dataset, out.name, "humandata", done)
    return done


class _Convention:
    """Turns joints of the dataset into those of HumanData, as far as their meaning is known.

    Attributes:
        unknown: Names of the parts whose joints have no known meaning.
    """

    def __init__(self, dataset: Any):
        info, parts = dataset.joint_info, getattr(dataset, "parts", None) or {}
        self.unknown: list[str] = []
        self._ids = np.arange(info.n_joints)
        self._mapping: JointMapping | None = None
        if not info.n_joints:
            return
        try:
            self._mapping = to_convention(dataset, CONVENTION)
            return
        except UsageError:
            known: dict[str, list[str]] = {}
            for name, facts in parts.items():
                suffix = facts.get("skeleton") or name
                own = [n for n in info.names if n.endswith(f"_{suffix}")]
                try:
                    whose = {suffix: [name]}
                    to_convention(JointInfo(own, strict=False), CONVENTION, dataset=whose)
                except UsageError:
                    self.unknown.append(name)
                    continue
                known.setdefault(suffix, []).append(name)
        self.unknown = self.unknown or [*parts] or ["unknown"]
        ends = tuple(f"_{suffix}" for suffix in known)
        if ends:
            self._ids = np.array([i for i, n in enumerate(info.names) if n.endswith(ends)])
            names = [info.names[i] for i in self._ids]
            own = JointInfo(names, strict=False)
            self._mapping = to_convention(own, CONVENTION, dataset=known)

    def __bool__(self):
        return self._mapping is not None

    def apply(self, coords: np.ndarray) -> np.ndarray:
        """Returns ``[n, 190, d]``, NaN where an example has no such joint."""
        return self._mapping.apply(coords[:, self._ids])


class _File:
    """One file while it is made."""

    def __init__(self, path: Path, split: str, dataset: Any, name: str, mapping: _Convention):
        self.split, self.n = split, 0
        self._path, self._name = path, name
        self._dataset, self._mapping = dataset, mapping
        self._arrays = NpzWriter(path.parent)
        self._rows: list[Row] = []
        self._bodies = _Bodies()
        self._meta: dict[str, list] = {k: [] for k in ("gender", "dataset", "sequence", "frame")}
        self._cameras: dict[str, list] = {k: [] for k in ("R", "T", "K", "H", "W")}
        self._masks = {"keypoints2d": np.zeros(190, bool), "keypoints3d": np.zeros(190, bool)}
        self._lost: Counter[str] = Counter()

    def add(self, row: Row) -> None:
        """Adds an example."""
        record = row.record
        self._meta["gender"].append(str((record.parameters or {}).get("gender", "unknown")))
        self._meta["dataset"].append(row.dataset)
        self._meta["sequence"].append(record.sequence)
        self._meta["frame"].append(int(record.frame))
        self._add_camera(record)
        self._lost.update(self._bodies.add(self.n, record.parameters))
        for name in ("mask", "densepose"):
            self._lost.update([f"{name}: has no place in HumanData"] * bool(getattr(record, name)))
        self._rows.append(row)
        self.n += 1
        if len(self._rows) >= _AT_ONCE:
            self._flush()

    def _add_camera(self, record):
        camera = record.camera
        unknown = np.full((7, 3), np.nan)
        rotation, shift, intrinsics = unknown[:3], unknown[3], unknown[4:]
        if camera is not None:
            rotation = np.asarray(camera.R, np.float64)
            shift = -rotation @ np.asarray(camera.t, np.float64) / _MM
            intrinsics = np.asarray(camera.intrinsic_matrix)
            if camera.has_distortion():
                self._lost["lens distortion: has no place in HumanData"] += 1
        height, width = record.imshape
        values = (rotation, shift, intrinsics, int(height), int(width))
        for values_of, value in zip(self._cameras.values(), values, strict=True):
            values_of.append(value)

    def _flush(self):
        rows, self._rows = self._rows, []
        if not rows:
            return
        put, n_joints = self._arrays.add, self._dataset.joint_info.n_joints
        self._arrays.add_texts("image_path", [row.record.image_path for row in rows])
        boxes = np.stack([np.asarray(row.record.bbox, np.float32) for row in rows])
        known = np.isfinite(boxes).all(axis=1, keepdims=True)
        put("bbox_xywh", np.hstack([np.where(known, boxes, 0), known]).astype(np.float32))
        if not n_joints:
            return
        points = np.stack([dense_or_missing(points_in_picture(r), n_joints, 2) for r in rows])
        joints = np.stack([_joints(row, n_joints) for row in rows])
        if n_joints <= _OWN_JOINTS_UP_TO:
            own = [dense_or_missing(row.record.coords2d, n_joints, 2) for row in rows]
            put("posepile_keypoints2d", np.stack(own))
            put("posepile_keypoints3d", joints)
        else:
            self._lost["joints that HumanData's convention does not have: too many"] += len(rows)
        if not self._mapping:
            return
        seen = np.stack(
            [_in_camera(j, row.record.camera) for j, row in zip(joints, rows, strict=True)]
        )
        for name, coords in (("keypoints2d", points), ("keypoints3d", seen)):
            mapped = self._mapping.apply(coords)
            there = np.isfinite(mapped).all(axis=-1, keepdims=True)
            self._masks[name] |= there[..., 0].any(axis=0)
            put(name, np.concatenate([np.where(there, mapped, 0), there], -1).astype(np.float32))

    def finish(self, done: Exported) -> None:
        """Writes the file."""
        self._flush()
        put = self._arrays.put
        if self._mapping:
            for name, mask in self._masks.items():
                put(f"{name}_mask", mask.astype(np.uint8))
                put(f"{name}_convention", _THEIR_NAME)
        for name, body in self._bodies.stacked(self.n).items():
            put(name, _object(body))
        cameras = {name: np.array(values) for name, values in self._cameras.items()}
        for name in ("R", "T", "K"):
            cameras[name] = cameras[name].astype(np.float32)
        put("cam_param", _object(cameras))
        put("meta", _object(self._meta))
        content = description(self._dataset, self._name, "humandata", done)
        put("misc", _object({"posepile": json.dumps(content), "split": self.split}))
        put("config", self._name)
        put("__key_strict__", False)
        put("__temporal_len__", self.n)
        put("__keypoints_compressed__", False)
        with self._arrays as arrays, open(self._path, "wb") as f:
            arrays.write(f)
        done.notes.update(self._lost)


def _object(value):
    array = np.empty((), object)
    array[()] = value
    return array


def _joints(row, n_joints):
    joints = dense(row.record.world_coords)
    return np.full((n_joints, 3), np.nan, np.float32) if joints is None else np.asarray(joints)


def _in_camera(joints, camera):
    """Returns joints in metres in the axes of a camera, NaN where there is none."""
    if camera is None:
        return np.full_like(joints, np.nan)
    centre, rotation = (np.asarray(x, np.float64) for x in (camera.t, camera.R))
    return (joints - centre) @ rotation.T / _MM


class _Bodies:
    """Body parameters of a file's examples, by model."""

    def __init__(self):
        self._rows: dict[str, list[tuple[int, dict[str, Any]]]] = {}

    def add(self, i: int, parameters: dict[str, Any] | None) -> list[str]:
        """Adds those of an example; returns what is lost."""
        if parameters is None:
            return []
        kind = str(parameters.get("type", ""))
        model = next((m for m in _MODELS if kind.startswith(m)), None)
        pose = np.asarray(parameters.get("pose", ()), np.float32).reshape(-1)
        n = 0 if model is None else sum(fit_parts(model).values())
        if model is None or len(pose) != n:
            return [f"parameters of {kind or 'an unknown model'}: have no place in HumanData"]
        used = {"type", "gender", "pose", "shape", "trans", "scale", "kid_factor", "expression"}
        more = sorted(set(parameters) - used)
        row = {k: np.asarray(v, np.float32).reshape(-1) for k, v in parameters.items()
               if k in used - {"type", "gender", "pose"} and v is not None}  # fmt: skip
        self._rows.setdefault(model, []).append((i, {**row, "pose": pose}))
        lost = [f"parameters {', '.join(more)}: have no place in HumanData"] * bool(more)
        return lost + [f"parameters of {kind}: named {model} in HumanData"] * (kind != model)

    def stacked(self, n: int) -> dict[str, dict[str, np.ndarray]]:
        """Returns the dicts of HumanData, with NaN for examples without."""
        result = {}
        for model, rows in self._rows.items():
            numbers = np.array([i for i, _ in rows])
            poses = np.stack([row["pose"] for _, row in rows])
            body, at = {}, 0
            for name, size in fit_parts(model).items():
                part = poses[:, at : at + size]
                at += size
                if size > 3:
                    part = part.reshape(len(part), size // 3, 3)
                body[name] = _spread(numbers, part, n)
            for own, name, least, usual in (
                ("shape", "betas", 10, 0),
                ("trans", "transl", 3, 0),
                ("expression", "expression", 10, 0),
                ("scale", "scale", 1, 1),
                ("kid_factor", "kid_factor", 1, 0),
            ):
                found = [row.get(own) for _, row in rows]
                if any(value is not None for value in found):
                    body[name] = _spread(numbers, _padded(found, least, usual), n)
            result[model] = body
        return result


def _padded(values, least, usual):
    """Returns values of different length as rows, filled up with what they usually are."""
    width = max(least, *(len(v) for v in values if v is not None))
    rows = np.full((len(values), width), usual, np.float32)
    for row, value in zip(rows, values, strict=True):
        if value is not None:
            row[: len(value)] = value
    return rows


def _spread(numbers, rows, n):
    result = np.full((n, *rows.shape[1:]), np.nan, np.float32)
    result[numbers] = rows
    return result
