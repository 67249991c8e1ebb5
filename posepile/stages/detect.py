"""Person detection on the kept frames; stored per unit, so that it can be done elsewhere.

Detections of a unit are one small part: for every sequence and every kept frame the boxes with
their scores in pixels of the full source frame. Cropping takes them from there, or makes them in
passing when it has the frames open anyway.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from posepile.errors import CorruptInput
from posepile.imaging.frames import Frame, open_frames
from posepile.models.boxes import scale_boxes
from posepile.models.identity import network_identity
from posepile.recipe import Sequence, Stills, Video
from posepile.stages.detections import Detections
from posepile.stages.examples import by_frame, plausible_examples, set_aside
from posepile.store.parts import read_arrays, write_part

if TYPE_CHECKING:
    from pathlib import Path

    from posepile.models.params import DetectParams
    from posepile.stages.counts import Counts
    from posepile.stages.select import Selected
    from posepile.stages.task import StageParams, Task

VERSION = 2


def identity(params: StageParams) -> dict[str, Any]:
    """Returns what of the parameters (and this code) detections depend on."""
    return {"version": VERSION, "detect": network_identity(params.detect)}


def run(task: Task) -> None:
    """Runs the detector over every selected frame of a unit and writes what it found."""
    detections = Detections(task.detector().label)
    for i, sequence in enumerate(task.sequences()):
        selected = plausible_examples(task, sequence)
        groups = dict(by_frame(selected))
        store = detections.boxes.setdefault(i, {})
        if not groups:
            continue
        with open_frames(sequence.frames, threads=task.threads) as reader:
            groups = drop_absent(reader, groups, sequence, task.counts)
            images = read_frames(reader, groups, sequence, task.counts)
            for _, boxes in with_detections(images, task.params.detect, task.detector, store):
                task.counts.notes["person detected"] += len(boxes)
                task.progress()
        task.counts.frames_read += len(groups)
    header = {"label": detections.label, "result": task.result()}
    write_part(task.out, header, detections.arrays())


def load(path: Path) -> Detections:
    """Returns the detections of a unit.

    Raises:
        CorruptInput: The part is damaged.
    """
    header, arrays = read_arrays(path)
    return Detections.from_arrays(header["label"], arrays)


def with_detections(
    frames: Iterable[tuple[int, Frame]],
    params: DetectParams,
    detector: Callable[[], Any],
    store: dict[int, np.ndarray],
) -> Iterator[tuple[tuple[int, Frame], np.ndarray]]:
    """Yields each frame with its boxes; detects in batches what ``store`` does not have yet.

    The detector is loaded only where something is to be detected.
    """
    for batch in batched(frames, params.batch):
        new = [(index, frame) for index, frame in batch if index not in store]
        if new:
            images = [frame.rgb(short_side=params.short_side) for _, frame in new]
            for (index, frame), image, boxes in zip(new, images, detector()(images), strict=True):
                store[index] = scale_boxes(boxes, image.shape[1::-1], frame.size)
        for index, frame in batch:
            yield (index, frame), store[index]


def drop_absent(
    reader: Any, groups: dict[int, list[Selected]], sequence: Sequence, counts: Counts
) -> dict[int, list[Selected]]:
    """Returns the selected people of the frames that are there, by frame.

    Only where the number of frames is known to differ may some not be there; else it is an error
    when the video is opened or read.
    """
    video = sequence.frames
    if not isinstance(video, Video) or not video.mismatch_known:
        return groups
    if video.n_frames not in (None, reader.n_frames):
        more = "more" if reader.n_frames > video.n_frames else "fewer"
        counts.notes[f"video has {more} frames than annotated"] += 1
    there = {frame: group for frame, group in groups.items() if frame < reader.n_frames}
    n_lost = sum(map(len, groups.values())) - sum(map(len, there.values()))
    if n_lost:
        counts.dropped["annotated frame beyond the end of the video"] += n_lost
    return there


def read_frames(
    reader: Any, groups: dict[int, list[Selected]], sequence: Sequence, counts: Counts
) -> Iterator[tuple[int, Frame]]:
    """Reads frames; of stills, an unreadable one is set aside and the others go on.

    A video that breaks off is one corrupt input as a whole, so there the error is passed on.
    """
    if not isinstance(sequence.frames, Stills):
        yield from reader.read(list(groups))
        return
    for frame, group in groups.items():
        try:
            for index, image in reader.read([frame]):
                image.size  # noqa: B018 - opens the file, so that a broken one shows here
                yield index, image
        except CorruptInput as e:
            set_aside(counts, e, frame, group)


def batched(items: Iterable, n: int) -> Iterator[list]:
    """Lists of up to ``n`` items."""
    iterator = iter(items)
    while batch := list(itertools.islice(iterator, n)):
        yield batch
