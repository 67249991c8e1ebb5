"""People of one picture, as pickled lists in the shards of other projects have them."""

from __future__ import annotations

from typing import Any

import numpy as np

from posepile.errors import CorruptInput, one_line
from posepile.formats.pickles import loads
from posepile.formats.schema import AGAIN
from posepile.geometry.cameras import make_camera
from posepile.imports.names import MHR70, SPIN44
from posepile.imports.source import Tally
from posepile.shapes.coco_masks import mask_fault
from posepile.store.encoding import rle_with_counts
from posepile.store.fields import Record

_ODD = (ValueError, TypeError, LookupError, AttributeError, OverflowError)

# 3D key points must be projected this near to those of the picture, as a share of the box.
_NEAR = 0.3
NOT_PROJECTED = "3D key points not kept: not projected onto those of the picture"
NO_3D = "3D key points not kept: relative to the pelvis, without a camera"
NO_TRANSLATION = "body parameters without a translation"
NOT_VALID = "body parameters not kept: said to be not valid"


def of_sam3d(data: bytes, where: str, tally: Tally) -> list[Record]:
    """Returns the people of a sample of SAM 3D Body's training data.

    Coordinates are in metres in the axes of the picture's camera. Parameters are those of MHR.

    Args:
        data: The pickled list.
        where: Names it in messages.
        tally: Is told what is not kept.
    """
    return [_sam3d(p, i, where, tally) for i, p in enumerate(_people(data, where))]


def of_hmr2(data: bytes, where: str, tally: Tally) -> list[Record]:
    """Returns the people of a sample of 4D-Humans' training data; see :func:`of_sam3d`."""
    return [_hmr2(p, i, where, tally) for i, p in enumerate(_people(data, where))]


def keep_fitting_mask(record: Record, size: tuple[int, int] | None, tally: Tally) -> None:
    """Leaves a mask out that is not one of the picture.

    Args:
        record: Of a person; the mask is RLE with counts in bytes.
        size: Width and height of the picture, None if it cannot be read.
        tally: Is told what is not kept.
    """
    if record.mask is None or size is None:
        return
    counts = record.mask["counts"].decode("latin-1")
    fault = mask_fault({"size": record.mask["size"], "counts": counts}, *size)
    if fault is not None:
        record.mask = None
        tally.notes[f"not kept: {fault}"] += 1


def _people(data, where):
    people = loads(data, where)
    if not isinstance(people, list) or not all(isinstance(p, dict) for p in people):
        raise CorruptInput(where, "found no list of people; expected one", hint=AGAIN)
    return people


def _guarded(read):
    def guarded(person: dict, number: int, where: str, tally: Tally) -> Record:
        try:
            return read(person, number, where, tally)
        except _ODD as e:
            text = f"person {number}: {type(e).__name__}: {one_line(e)}"
            raise CorruptInput(where, text, hint=AGAIN) from None

    return guarded


def _array(value: Any, *shape: int) -> np.ndarray:
    array = np.asarray(value, np.float64)
    return array.reshape(shape) if shape else array


def _points(values: Any, n: int) -> np.ndarray:
    """Key points ``[n, 2 or 3]`` with NaN where the confidence, which comes last, is 0."""
    array = _array(values, n, -1).copy()
    array[array[:, -1] <= 0] = np.nan
    return array[:, :-1]


@_guarded
def _sam3d(person, number, where, tally):
    points = _points(person["keypoints_2d"], len(MHR70))
    joints = _array(person["keypoints_3d"], len(MHR70), -1)
    there = joints[:, 3] > 0 if joints.shape[1] > 3 else np.ones(len(joints), bool)
    joints = np.where(there[:, None], joints[:, :3], np.nan) * 1000
    facts = person.get("metadata") or {}
    shift = _array(facts["cam_trans"], 3) * 1000
    camera = make_camera(
        where, intrinsics=_array(facts["cam_int"], 3, 3), world_up=(0.0, -1.0, 0.0)
    )
    box = _box(person["bbox"], str(person.get("bbox_format", "xywh")))
    world = _fitting([joints, joints + shift], points, camera, box)
    if world is None:
        tally.notes[NOT_PROJECTED] += 1
    mask = person.get("mask")
    return Record(
        image_path="",
        split="train",
        bbox=box,
        imshape=(0, 0),
        frame=0,
        person=number,
        sequence="unknown",
        world_coords=None if world is None else world.astype(np.float32),
        coords2d=points.astype(np.float32),
        camera=camera,
        mask=None if not mask else rle_with_counts({**mask, "size": np.ravel(mask["size"])}),
        parameters=_mhr(person, shift, tally),
    )


def _fitting(candidates, points, camera, box):
    """The candidate that the camera projects onto the points; None if none is."""
    best, least = None, _NEAR
    for joints in candidates:
        seen = np.asarray(camera.world_to_image(np.float32(joints)))
        away = np.linalg.norm(seen - points, axis=-1)
        if np.isfinite(away).any():
            share = float(np.nanmedian(away) / max(*box[2:], 1e-6))
            if share < least:
                best, least = joints, share
    return best


def _mhr(person, shift, tally):
    given = person.get("proto_params")
    if not given:
        return None
    if not np.all(person.get("proto_valid", True)):
        tally.notes[NOT_VALID] += 1
        return None
    arrays = {k: np.float32(_array(v).reshape(-1)) for k, v in given.items() if v is not None}
    return {
        "type": "mhr",
        "gender": "neutral",
        "pose": arrays.pop("body_pose_params"),
        "shape": arrays.pop("shape_params"),
        "trans": np.float32(shift / 1000),
        **arrays,
    }


def _box(values, form):
    box = _array(values).reshape(-1)[:4]
    if form.lower().startswith("xyxy"):
        box = np.concatenate([box[:2], box[2:] - box[:2]])
    return np.float32(box)


@_guarded
def _hmr2(person, number, where, tally):
    points = _points(person["keypoints_2d"], len(SPIN44))
    center = _array(person["center"]).reshape(-1)[:2]
    # In units of 200 pixels, of the square or of its sides.
    sides = np.broadcast_to(_array(person["scale"]).reshape(-1) * 200, 2)
    if "keypoints_3d" in person:
        tally.notes[NO_3D] += 1
    return Record(
        image_path="",
        split="train",
        bbox=np.float32([*(center - sides / 2), *sides]),
        imshape=(0, 0),
        frame=0,
        person=number,
        sequence="unknown",
        coords2d=points.astype(np.float32),
        parameters=_smpl(person, tally),
    )


def _smpl(person, tally):
    if not np.any(person.get("has_body_pose", False)):
        return None
    has_betas = np.any(person.get("has_betas", False))
    tally.notes[NO_TRANSLATION] += 1
    return {
        "type": "smpl",
        "gender": "neutral",
        "pose": np.float32(_array(person["body_pose"], 72)),
        "shape": np.float32(_array(person["betas"]).reshape(-1) if has_betas else np.zeros(10)),
        "trans": np.full(3, np.nan, np.float32),
    }
