"""Examples as a dataset of FiftyOne (https://voxel51.com): a sample per picture.

FiftyOne's places are shares of the picture's width and height, from its left and upper border.
Our pictures reach from -0.5 to width - 0.5, so x is (x + 0.5) / width there.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from posepile.errors import PosePileError, UsageError, WorkError, one_line
from posepile.export.folders import place_of_image, put_image
from posepile.export.rows import make_row
from posepile.recipe import SPLITS
from posepile.store.example_list import as_example_list
from posepile.store.origin import UNKNOWN
from posepile.viewer.chosen import Chosen, by_picture
from posepile.viewer.pictures import mask_of, picture_of, size_of
from posepile.viewer.scene import points2d

_AT_ONCE = 500  # samples that are handed to the database
_FACTS = ("subject", "recording", "sequence", "view", "activity_name", "scene_name")


def require_fiftyone() -> Any:
    """Returns the library, which is told to send no usage data unless it has been told to.

    Raises:
        UsageError: It is not installed.
    """
    os.environ.setdefault("FIFTYONE_DO_NOT_TRACK", "true")
    try:
        import fiftyone
    except ImportError:
        raise UsageError(
            "--fiftyone: the library is not installed; pip install 'fiftyone>=1.0'"
        ) from None
    return fiftyone


def require_new_name(name: str) -> None:
    """Refuses the name of a dataset that FiftyOne has already.

    Args:
        name: How the dataset is to be called.

    Raises:
        UsageError: There is one, or FiftyOne is not installed.
        WorkError: Its database does not answer.
    """
    fo = require_fiftyone()
    try:
        is_there = fo.dataset_exists(name)
    except Exception as e:
        raise _of_database(e) from e
    if is_there:
        raise UsageError(
            f"--fiftyone {name}: FiftyOne has a dataset of this name; give another one"
        )


def write_dataset(
    dataset: Any,
    chosen: Chosen,
    name: str,
    folder: Path,
    suspects: dict[str, Any] | None = None,
    progress: Callable[[Iterable[Any]], Iterable[Any]] = iter,
) -> int:
    """Makes a dataset in FiftyOne's database; it stays there. Returns the number of samples.

    Args:
        dataset: The dataset.
        chosen: Which examples.
        name: What it is to be called; there is none of the name.
        folder: Where the pictures are put, by their image paths.
        suspects: Split -> suspects, whose kinds become tags.
        progress: Hands on the examples that it is given.

    Raises:
        WorkError: Something lies at the place of a picture, or FiftyOne does not take the data.
    """
    fo = require_fiftyone()
    made = None
    try:
        made = fo.Dataset(name)
        made.default_skeleton = skeleton_of(dataset.joint_info)
        n = 0
        samples = iter_samples(dataset, chosen, folder, suspects, progress)
        while some := list(itertools.islice(samples, _AT_ONCE)):
            made.add_samples(some, dynamic=True, progress=False)
            n += len(some)
        # One that is not persistent goes when FiftyOne ends: what is half made does not stay.
        made.persistent = True
    except PosePileError:
        raise
    except Exception as e:
        raise _of_database(e) from e
    return n


def _of_database(error):
    return WorkError(f"--fiftyone: FiftyOne's database: {one_line(error)}")


def skeleton_of(joint_info: Any) -> Any:
    """Returns FiftyOne's description of a skeleton."""
    return require_fiftyone().KeypointSkeleton(
        labels=list(joint_info.names),
        edges=[[int(a), int(b)] for a, b in joint_info.stick_figure_edges],
    )


def iter_samples(
    dataset: Any,
    chosen: Chosen,
    folder: Path,
    suspects: dict[str, Any] | None = None,
    progress: Callable[[Iterable[Any]], Iterable[Any]] = iter,
) -> Iterator[Any]:
    """Iterates over FiftyOne's samples, one per picture, and puts the pictures into a folder.

    Each has ``boxes``, ``masks`` and ``joints`` of everyone in it, whose ``position`` is that in
    the split and whose ``index`` is the track; what is known of its origin; and as tags the
    split, ``sequence:…``, ``subject:…`` and ``suspect:KIND``.

    Args:
        dataset: The dataset.
        chosen: Which examples.
        folder: Where the pictures are put.
        suspects: Split -> suspects.
        progress: Hands on the examples that it is given.
    """
    fo = require_fiftyone()
    lists = {s: as_example_list(dataset.examples[i]) for i, s in enumerate(SPLITS)}
    odd = {split: _by_position(some) for split, some in (suspects or {}).items()}
    rows = (
        make_row(split, i, lists[split][i]) for split, i in progress(by_picture(dataset, chosen))
    )
    for _, people in itertools.groupby(rows, lambda row: (row.split, row.record.image_path)):
        yield _sample(fo, list(people), folder, odd, suspects)


def _sample(fo, rows, folder, odd, suspects):
    row = rows[0]
    path = row.record.image_path
    put_image(folder, path, picture_of(row)[1])
    facts = {name: row.fact(name) for name in _FACTS}
    facts = {name: value for name, value in facts.items() if value not in (None, "", UNKNOWN)}
    tags = [row.split]
    tags += [f"{name}:{facts[name]}" for name in ("sequence", "subject") if name in facts]
    reasons = []
    for each in rows:
        for k in odd.get(each.split, {}).get(each.position, ()):
            tags.append(f"suspect:{suspects[each.split].kind(k)}")
            reasons.append(suspects[each.split].reason(k))
    sample = fo.Sample(
        filepath=str(place_of_image(folder, path)),
        tags=list(dict.fromkeys(tags)),
        image_path=path,
        frame=int(row.record.frame),
        source=row.dataset,
        **facts,
    )
    if reasons:
        sample["suspects"] = reasons
    boxes, masks, joints = [], [], []
    for each in rows:
        about = {"label": "person", "position": each.position, **_track(each)}
        boxes += _box(fo, each, about)
        masks += _mask(fo, each, about)
        joints += _joints(fo, each, about)
    for name, labels, kind, inner in (
        ("boxes", boxes, fo.Detections, "detections"),
        ("masks", masks, fo.Detections, "detections"),
        ("joints", joints, fo.Keypoints, "keypoints"),
    ):
        if labels:
            sample[name] = kind(**{inner: labels})
    return sample


def _track(row):
    track = getattr(row.example, "track", None)
    return {} if track is None or int(track) < 0 else {"index": int(track)}


def _box(fo, row, about):
    box = np.asarray(row.record.bbox, np.float64)
    if box.shape != (4,) or not np.isfinite(box).all():
        return []
    size = np.array(size_of(row), np.float64)
    shares = [*((box[:2] + 0.5) / size), *(box[2:] / size)]
    return [fo.Detection(bounding_box=list(map(float, shares)), **about)]


def _mask(fo, row, about):
    pixels = mask_of(row)
    if pixels is None or not pixels.any():
        return []
    ys, xs = np.flatnonzero(pixels.any(axis=1)), np.flatnonzero(pixels.any(axis=0))
    top, bottom, left, right = ys[0], ys[-1] + 1, xs[0], xs[-1] + 1
    height, width = pixels.shape
    # A mask is stretched over its box, so it has a box of its own, along the borders of pixels.
    shares = [left / width, top / height, (right - left) / width, (bottom - top) / height]
    cut = pixels[top:bottom, left:right].astype(bool)
    return [fo.Detection(bounding_box=list(map(float, shares)), mask=cut, **about)]


def _joints(fo, row, about):
    points = points2d(row.example)
    if points is None or not np.isfinite(points).all(axis=1).any():
        return []
    shares = (points + 0.5) / np.array(size_of(row), np.float64)
    shares[~np.isfinite(shares).all(axis=1)] = np.nan
    return [fo.Keypoint(points=list(map(tuple, shares.tolist())), **about)]


def _by_position(suspects):
    result: dict[int, list[int]] = {}
    for k, position in enumerate(np.asarray(suspects.positions).tolist()):
        result.setdefault(position, []).append(k)
    return result
