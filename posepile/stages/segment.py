"""Segmentation of crops: fills in the masks that the raw data does not give.

It looks at the crop as stored, JPEG and all, so that running it in one go with cropping or later
on another machine gives the same bytes. Masks of the raw data always win.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import rlemasklib

from posepile.geometry.pictures import project
from posepile.imaging import jpeg
from posepile.models import cached_segmenter
from posepile.models.identity import network_identity
from posepile.models.person_mask import stand_in_skeleton
from posepile.stages.neighbours import Neighbour, from_arrays
from posepile.store.parts import PartWriter, read_between, read_header, read_part

if TYPE_CHECKING:
    from posepile.stages.task import StageParams, Task
    from posepile.store.codec import Record

VERSION = 2


def identity(params: StageParams) -> dict[str, Any]:
    """Returns what of the parameters (and this code) masks depend on."""
    return {"version": VERSION, "segment": network_identity(params.segment)}


def run(task: Task) -> None:
    """Writes a copy of a unit's crops in which examples without a mask have got one.

    The images are the same bytes in the same order, so they are on the disk once.
    """
    before = read_header(task.source)["result"] or {}
    segmenter = None
    if before.get("split") in (None, *task.params.segment.splits):
        segmenter = cached_segmenter(task.params.segment)
    examples = list(read_part(task.source))
    shapes = [record.imshape for record, _ in examples]
    around = from_arrays(read_between(task.source), shapes)
    with PartWriter(task.out, images_of=task.source) as writer:
        for (record, data), others in zip(examples, around, strict=True):
            if record.mask is None and segmenter is not None:
                record.mask = segmenter(
                    jpeg.decode(data, name=record.image_path),
                    record.bbox,
                    own_joints(record),
                    skeletons(others),
                    task.spec.joint_info.stick_figure_edges or None,
                    taken=pixels_of(others),
                )
                found = "mask from" if record.mask is not None else "no mask by"
                task.counts.notes[f"{found} {segmenter.label}"] += 1
            writer.add(record, data)
            task.progress()
        writer.close(task.result(before.get("sequences", [])))


def own_joints(record: Record) -> np.ndarray | None:
    """Joints ``[J, 2]`` of a person in the pixels of their crop, None if they are not known."""
    if record.world_coords is not None and record.camera is not None:
        return project(record.camera, record.world_coords).astype(np.float32)
    return record.coords2d


def skeletons(others: list[Neighbour]) -> list[np.ndarray]:
    """Joints ``[n, 2]`` of others, or points on the middle line of the box of who has none."""
    known = []
    for person in others:
        if np.isfinite(person.joints).all(axis=-1).any():
            known.append(person.joints)
        elif np.isfinite(person.bbox).all():
            known.append(stand_in_skeleton(person.bbox))
    return known


def pixels_of(others: list[Neighbour]) -> np.ndarray | None:
    """Pixels that annotated masks give to others, bool ``[h, w]``; None if there are none."""
    masks = [person.mask for person in others if person.mask is not None]
    return rlemasklib.decode(rlemasklib.union(masks)).astype(bool) if masks else None
