"""What a view of a clip becomes: its input files and its sequence."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import numpy as np

from posepile.files import names_in
from posepile.geometry.agreement import in_box
from posepile.geometry.pictures import box_of_points, inside, project
from posepile.imaging.masks import MaskFrames, person_rule
from posepile.recipe import Sequence, Track
from posepile.shapes.described.clips import ClipData
from posepile.shapes.described.layout import Clip, Layout, fill

MIN_IN_BOX = 4
MIN_SHARE_IN_IMAGE = 0.3


def input_files(root: Path, layout: Layout, clip: Clip) -> list[str]:
    """Returns every file a clip's result depends on; depth is not read.

    Only folders of images are looked into: a look at each file would be millions of them, in every
    process that lists the units.
    """
    base, files = str(layout.base(root)), []
    parts = [getattr(layout, name) for name in type(layout).model_fields if name != "depth"]
    for part in parts:
        if getattr(part, "path", None) is None:
            continue
        for view in clip.views if "{view}" in part.path else [None]:
            path = f"{base}/{fill(part.path, clip, view)}"
            stills = getattr(part, "kind", None) == "image_dir"
            files += [os.path.join(path, n) for n in sorted(names_in(path))] if stills else [path]
    return files


def make_sequence(
    root: Path, layout: Layout, data: ClipData, view: int, *, split: str, activity: list[str]
) -> Sequence:
    """Returns one view of a clip.

    Frames without any joint are left out for all views. Frames in which this view hardly shows the
    person are marked unusable instead, so that all views select the same poses.
    """
    joints, size, mask = data.world_coords, data.sizes[view], None
    known = np.isfinite(joints).all(axis=-1)
    kept = np.flatnonzero(known.any(axis=1))
    points = {t: project(data.camera_at(view, t), joints[t]) for t in kept.tolist()}
    boxes = None if data.boxes is None else data.boxes[view]
    if boxes is None:
        boxes = {t: box_of_points(points[t]) for t in points}
    unusable, outside = {}, [0.0]
    for t, pixels in points.items():
        in_image, within = inside(pixels, size), in_box(pixels, boxes[t], margin=0)
        if in_image.sum() < MIN_SHARE_IN_IMAGE * known[t].sum():
            unusable[t] = "less than 30 % of the joints in the image"
        elif within.sum() < MIN_IN_BOX:
            unusable[t] = "fewer than 4 joints in the box"
        else:
            outside.append(1 - (within & in_image).sum() / max(1, in_image.sum()))
    if layout.mask is not None:
        rule = person_rule(layout.mask.person_rule)
        mask = MaskFrames(layout.pictures("mask", root, data.clip, view), rule)
    return Sequence(
        id=f"{data.clip.id}/v{view}",
        split=split,
        frames=layout.pictures("rgb", root, data.clip, view, n_frames=len(joints)),
        camera=data.cameras[view],
        tracks=[
            Track(
                frames=kept,
                world_coords=joints[kept],
                bbox=np.array([boxes[t] for t in points], np.float32).reshape(-1, 4),
                mask=None if mask is None else (lambda k: mask(int(kept[k]))),
                parameters=data.parameters and (lambda k: data.parameters(int(kept[k]))),
                activity=[activity[t] for t in kept],
                unusable=lambda k: unusable.get(int(kept[k])),
                note="" if data.parameters else f"body parameters: {data.parameters_note}",
            )
        ],
        image_name=lambda frame, person: f"{data.clip.id}/v{view}/{frame:06d}.jpg",
        dropped=Counter({"no joint": len(joints) - len(kept)} if len(kept) < len(joints) else {}),
        checks={"joints_outside_box_share": float(max(outside))},
    )
