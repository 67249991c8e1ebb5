"""What a clip becomes: its split and labels, its input files, its sequences."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from posepile.ds.amarv import amass, babel
from posepile.ds.amarv.clips import ClipData, project
from posepile.ds.amarv.layout import Clip, Layout, NameEntry, fill
from posepile.ds.amarv.pixels import MaskReader, frame_source
from posepile.files import names_in
from posepile.recipe import Sequence, Track

MIN_IN_BOX = 4
MIN_SHARE_IN_IMAGE = 0.3


def make_sequence(
    root: Path, layout: Layout, data: ClipData, view: int, *, split: str, activity: list[str]
) -> Sequence:
    """Returns one view of a clip.

    Frames without any joint are left out for all views. Frames in which this view hardly shows the
    person are marked unusable instead, so that all views select the same poses.
    """
    n = len(data.world_coords)
    dropped: Counter = Counter()
    kept, outside = [], []
    unusable: dict[int, str] = {}
    boxes = np.zeros((n, 4), np.float32)
    for t in range(n):
        points = project(data, view, t)
        boxes[t] = data.boxes[view][t] if data.boxes is not None else joint_box(points)
        size = np.array(data.image_sizes[view])
        valid = np.isfinite(data.world_coords[t]).all(axis=-1)
        low, high = boxes[t, :2], boxes[t, :2] + boxes[t, 2:]
        with np.errstate(invalid="ignore"):
            in_image = np.all((points > -0.5) & (points < size - 0.5), axis=-1)
            in_box = np.all((points >= low) & (points <= high), axis=-1)
        if not valid.any():
            dropped["no joint"] += 1
            continue
        kept.append(t)
        if in_image.sum() < MIN_SHARE_IN_IMAGE * valid.sum():
            unusable[t] = "less than 30 % of the joints in the image"
        elif in_box.sum() < MIN_IN_BOX:
            unusable[t] = "fewer than 4 joints in the box"
        else:
            outside.append(1 - (in_box & in_image).sum() / max(1, in_image.sum()))
    path = layout.rgb_paths(root, data.clip)[view]
    mask = None
    if layout.mask is not None:
        mask = MaskReader(layout, layout.path(layout.mask, root, data.clip, view))
    return Sequence(
        id=f"{data.clip.id}/v{view}",
        split=split,
        frames=frame_source(layout, layout.rgb.kind, path, n),
        camera=data.cameras[view],
        tracks=[
            Track(
                frames=np.array(kept, int),
                world_coords=data.world_coords[kept],
                bbox=boxes[kept],
                mask=None if mask is None else (lambda k: mask(kept[k])),
                parameters=None if data.parameters is None else lambda k: data.parameters(kept[k]),
                activity=[activity[t] for t in kept],
                unusable=lambda k: unusable.get(kept[k]),
            )
        ],
        image_name=lambda frame, person: f"{data.clip.id}/v{view}/{frame:06d}.jpg",
        dropped=dropped,
        checks={"joints_outside_box_share": float(max(outside, default=0.0))},
    )


def joint_box(points: np.ndarray) -> np.ndarray:
    """Returns the box around the projected joints, where the release has none."""
    valid = points[np.isfinite(points).all(axis=-1)]
    if not len(valid):
        return np.full(4, np.nan, np.float32)
    low, high = valid.min(axis=0), valid.max(axis=0)
    return np.concatenate([low, high - low]).astype(np.float32)


@dataclass(frozen=True)
class Labels:
    """What is known of the clips besides their files.

    Attributes:
        names: Clip id -> the motion it shows, where that is known.
        entries: Path inside the AMASS archive -> BABEL labels.
        splits: AMASS subject -> split.
        conflicts: One line for each subject that BABEL has on several sides.
    """

    names: dict[str, NameEntry]
    entries: dict[str, babel.BabelEntry]
    splits: dict[str, str]
    conflicts: list[str]

    def subject(self, clip: Clip) -> str:
        """Returns the AMASS subject of a clip."""
        return babel.subject_of(motion_path(clip, self.names.get(clip.id)))

    def entry(self, clip: Clip) -> babel.BabelEntry | None:
        """Returns the BABEL labels of a clip."""
        return self.entries.get(motion_path(clip, self.names.get(clip.id)))


def load_labels(root: Path, layout: Layout, clips: list[Clip], babel_root: str | None) -> Labels:
    """Reads name map and BABEL, and finds a split for every subject of the clips."""
    names = layout.load_name_map(root)
    entries = {}
    if layout.labels is not None:
        entries = babel.load_babel(babel_folder(root, babel_root), layout.labels.split_files)
    paths = {motion_path(c, names.get(c.id)) for c in clips}
    return Labels(names, entries, *babel.assign_splits(paths, entries))


def motion_path(clip: Clip, name: NameEntry | None) -> str:
    """Returns the path of a clip's motion inside the AMASS archive.

    A clip whose motion is not known is of a subject of its own name: its source.
    """
    return f"{clip.source}/{clip.name}" if name is None else name.amass_path


def babel_folder(root: Path, babel_root: str | None) -> Path:
    """Returns the folder of the BABEL files: configured, or in one of the usual places."""
    if babel_root is not None:
        return Path(babel_root)
    tails = ("babel_v1.0_release", "babel/babel_v1.0_release", "babel")
    places = [base / tail for base in (root, root.parent) for tail in tails]
    return next((p for p in places if names_in(p)), places[0])


def describe(clip: Clip, name: NameEntry | None, entry: babel.BabelEntry | None) -> dict:
    """Returns all that load_unit must know of a clip; so labels count for the cache key."""
    return {
        "source": clip.source,
        "name": clip.name,
        "views": list(clip.views),
        "files": None if clip.files is None else list(clip.files),
        "amass_path": None if name is None else name.amass_path,
        "start_t": 0.0 if name is None else name.start_t,
        "babel": None if entry is None else [entry.split, entry.duration],
        "segments": [] if entry is None else [list(s) for s in entry.segments],
        "whole": [] if entry is None else list(entry.whole),
    }


def activities(data: ClipData, args: dict) -> list[str]:
    """Returns the activity of every frame, by the time it has in the AMASS motion."""
    if args["babel"] is None:
        return ["unknown"] * len(data.world_coords)
    segments = tuple((name, start, end) for name, start, end in args["segments"])
    entry = babel.BabelEntry(*args["babel"], segments, tuple(args["whole"]))
    times = args["start_t"] + np.arange(len(data.world_coords)) / data.fps
    return [babel.activity_at(entry, float(t)) for t in times]


def input_files(
    root: Path,
    layout: Layout,
    clip: Clip,
    name: NameEntry | None,
    index: amass.AmassIndex | None,
) -> list[str]:
    """Returns every file a clip's result depends on; depth is not read.

    Only folders of images are looked into: a look at each file would be millions of them, in every
    process that lists the units.
    """
    base, views = str(layout.base(root)), clip.views
    found = [(layout.rgb, file) for file in layout.rgb_files(clip).values()]
    for part in (layout.mask, layout.bbox, layout.camera, layout.pose):
        if part is not None:
            of_part = views if "{view}" in part.path else [None]
            found += [(part, fill(part.path, clip, v)) for v in of_part]
    if layout.body is not None and layout.body.path is not None:
        found.append((layout.body, fill(layout.body.path, clip, None)))
    files = []
    for part, file in found:
        path = f"{base}/{file}"
        stills = getattr(part, "kind", None) == "image_dir"
        files += [os.path.join(path, n) for n in sorted(names_in(path))] if stills else [path]
    if layout.body is not None and name is not None and index is not None:
        motion = index.find(name.amass_path)
        files += [] if motion is None else [str(motion)]
    return files


def state_of(root: Path, layout: Layout, clips: list[Clip]) -> str:
    """Returns a digest of manifest and clips, by which a passed validation is known."""
    digest = hashlib.blake2b(layout.model_dump_json().encode(), digest_size=16)
    for clip in clips:
        digest.update(json.dumps([clip.id, sorted(layout.rgb_files(clip).items())]).encode())
    return digest.hexdigest()
