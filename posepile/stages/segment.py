"""Segmentation of crops: fills in the masks that the raw data does not give.

It looks at the crop as stored, JPEG and all, so that running it in one go with cropping or later
on another machine gives the same bytes. Masks of the raw data always win.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import simplepyutils

from posepile.geometry.pictures import project
from posepile.imaging import jpeg
from posepile.models import cached_segmenter
from posepile.models.identity import network_identity
from posepile.store.parts import PartWriter, read_header, read_part

if TYPE_CHECKING:
    from posepile.stages.task import StageParams, Task
    from posepile.store.codec import Record

VERSION = 1


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
    records = [record for record, _ in examples]
    together = simplepyutils.groupby(
        range(len(records)), lambda i: (records[i].sequence, records[i].frame)
    )
    with PartWriter(task.out, images_of=task.source) as writer:
        for i, (record, data) in enumerate(examples):
            if record.mask is None and segmenter is not None:
                same_frame = together[record.sequence, record.frame]
                others = [records[k] for k in same_frame if k != i]
                record.mask = segmenter(
                    jpeg.decode(data, name=record.image_path),
                    record.bbox,
                    joints_in_crop(record, record),
                    [j for j in (joints_in_crop(o, record) for o in others) if j is not None],
                    task.spec.joint_info.stick_figure_edges or None,
                )
                found = "mask from" if record.mask is not None else "no mask by"
                task.counts.notes[f"{found} {segmenter.label}"] += 1
            writer.add(record, data)
            task.progress()
        writer.close(task.result(before.get("sequences", [])))


def joints_in_crop(record: Record, crop: Record) -> np.ndarray | None:
    """Joints ``[J, 2]`` of a person in the pixels of a crop of the same frame, if that is known.

    The crop of another person relates to this one through their cameras; without any (2D data),
    only the person's own joints are known in a crop.
    """
    if record.world_coords is not None and crop.camera is not None:
        return project(crop.camera, record.world_coords).astype(np.float32)
    return record.coords2d if record is crop else None
