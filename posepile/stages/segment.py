"""Segmentation of crops: fills in the masks that the raw data does not give.

It looks at the crop as stored, JPEG and all, so that running it in one go with cropping or later
on another machine gives the same bytes. Masks of the raw data always win.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from posepile.imaging import jpeg
from posepile.models import cached_segmenter
from posepile.models.params import SegmentParams
from posepile.recipe import DatasetSpec
from posepile.stages.counts import Counts
from posepile.store.codec import Record
from posepile.store.parts import PartWriter, read_part

VERSION = 1


def segment_part(
    spec: DatasetSpec, source: Path, params: SegmentParams, target: Path, counts: Counts
) -> None:
    """Writes a copy of a part in which examples without a mask have got one.

    Args:
        spec: The dataset.
        source: Finished part of the crop stage, a ``.part`` file.
        params: Which segmenter, and when its mask is accepted.
        target: The ``.part`` file to write; it shares the images of the source.
        counts: Notes are added here, with the segmenter's name.
    """
    segmenter = cached_segmenter(params)
    examples = list(read_part(source))
    together: dict[tuple[str, int], list[int]] = {}
    for i, (record, _) in enumerate(examples):
        together.setdefault((record.sequence, record.frame), []).append(i)
    with PartWriter(target, images_of=source) as writer:
        for i, (record, data) in enumerate(examples):
            if record.mask is None:
                same_frame = together[record.sequence, record.frame]
                others = [examples[k][0] for k in same_frame if k != i]
                record.mask = segmenter(
                    jpeg.decode(data, name=record.image_path),
                    record.bbox,
                    joints_in_crop(record, record),
                    [j for j in (joints_in_crop(o, record) for o in others) if j is not None],
                    spec.joint_info.stick_figure_edges or None,
                )
                found = "mask from" if record.mask is not None else "no mask by"
                counts.notes[f"{found} {segmenter.label}"] += 1
            writer.add(record, data)


def joints_in_crop(record: Record, crop: Record) -> np.ndarray | None:
    """Joints ``[J, 2]`` of a person in the pixels of a crop of the same frame, if that is known.

    The crop of another person relates to this one through their cameras; without any (2D data),
    only the person's own joints are known in a crop.
    """
    if record.world_coords is not None and crop.camera is not None:
        with warnings.catch_warnings():  # NaN rows are missing joints
            warnings.simplefilter("ignore", RuntimeWarning)
            return crop.camera.world_to_image(np.asarray(record.world_coords, np.float32))
    return record.coords2d if record is crop else None
