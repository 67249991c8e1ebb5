"""Person detection on the kept frames; stored per unit, so that it can be done elsewhere.

Detections of a unit are one small part: for every sequence and every kept frame the boxes with
their scores in pixels of the full source frame. Cropping takes them from there, or makes them in
passing when it has the frames open anyway.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from posepile.errors import CorruptInput
from posepile.imaging.frames import Frame, open_frames
from posepile.imaging.pictures import size_for
from posepile.models.boxes import scale_boxes
from posepile.models.identity import network_identity
from posepile.recipe import Sequence, Stills, Video
from posepile.stages.ahead import ahead
from posepile.stages.detections import Detections
from posepile.stages.examples import by_frame, plausible_examples, set_aside
from posepile.store.parts import read_arrays, write_part

if TYPE_CHECKING:
    from pathlib import Path

    from posepile.stages.counts import Counts
    from posepile.stages.select import Selected
    from posepile.stages.task import StageParams, Task

VERSION = 3
# Frames that are given to the detector together, and that may wait meanwhile: some take longer to
# decode than others. More would fill the memory with frames of 4K.
_AT_ONCE = 4


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
            pairs = with_detections(task, sequence, reader, groups, store)
            with contextlib.closing(pairs):
                for _, boxes in pairs:
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
    task: Task,
    sequence: Sequence,
    reader: Any,
    groups: dict[int, list[Selected]],
    store: dict[int, np.ndarray],
) -> Iterator[tuple[tuple[int, Frame], np.ndarray]]:
    """Yields each frame that is read with its boxes; detects what ``store`` does not have yet.

    A thread reads, reduces and prepares the next pictures while the network looks at these; it
    counts nothing. The detector is loaded only where something is to be detected.
    """
    known = store.keys() & groups.keys()
    if len(known) == len(groups):
        for item in read_frames(reader, groups, sequence, task.counts):
            yield item, store[item[0]]
        return
    detector = task.detector()
    shown = _shown(reader, groups, sequence, known, detector, task.params.detect.short_side)
    at_once = detector.batch * -(-_AT_ONCE // detector.batch)
    with contextlib.closing(ahead(shown, at_once)) as items:
        for batch in batched(items, at_once):
            new = [item for item in batch if item.prepared is not None]
            found = detector.detect([item.prepared for item in new]) if new else []
            for item, boxes in zip(new, found, strict=True):
                store[item.index] = scale_boxes(boxes, item.size, item.frame.size)
            for item in batch:
                if item.error is not None:
                    set_aside(task.counts, item.error, item.index, groups[item.index])
                else:
                    yield (item.index, item.frame), store[item.index]
            del batch, new, item  # or the frames would live until the next ones are there


@dataclass(slots=True)
class _Shown:
    """A frame, and what the network is shown of it.

    Attributes:
        index: Of the frame.
        frame: None where it cannot be read.
        error: Why not.
        prepared: The network's input; None where boxes are known.
        size: Width and height of the picture that it was made of.
    """

    index: int
    frame: Frame | None = None
    error: CorruptInput | None = None
    prepared: Any = None
    size: tuple[int, int] | None = None


def _shown(
    reader: Any,
    groups: dict[int, list[Selected]],
    sequence: Sequence,
    known: set[int],
    detector: Any,
    short_side: int | None,
) -> Iterator[_Shown]:
    """Yields what the network is shown of each frame; of stills, also those that are broken."""
    for index, frame in _frames_or_errors(reader, groups, sequence):
        if isinstance(frame, CorruptInput):
            yield _Shown(index, error=frame)
            continue
        shown = _Shown(index, frame)
        try:
            if index not in known:
                picture = picture_of(frame, detector.picture_size(frame.size), short_side)
                shown.prepared, shown.size = detector.prepare(picture), picture.shape[1::-1]
        except CorruptInput as e:
            if not isinstance(sequence.frames, Stills):
                raise
            shown = _Shown(index, error=e)
        yield shown
        del frame, shown


def picture_of(frame: Frame, wanted: tuple[int, int], short_side: int | None = None) -> np.ndarray:
    """Returns a frame as a detector is shown it, uint8 RGB ``[h, w, 3]``.

    What the network shrinks to less than half is reduced to its size at once, by averaging; other
    frames are given as they are, for the network to resize.

    Args:
        frame: The frame.
        wanted: Width and height that the network resizes it to.
        short_side: The longest short side of the result; None: no limit.
    """
    if short_side is not None and short_side < min(wanted):
        wanted = size_for(frame.size, short_side)
    if all(2 * w <= n for w, n in zip(wanted, frame.size, strict=True)):
        return frame.reduced(wanted)
    return frame.rgb(short_side)


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
    """Yields frames with their index; of stills, an unreadable one is set aside, not yielded.

    A video that breaks off is one corrupt input as a whole, so there the error is passed on.
    """
    for index, frame in _frames_or_errors(reader, groups, sequence):
        if isinstance(frame, CorruptInput):
            set_aside(counts, frame, index, groups[index])
        else:
            yield index, frame


def _frames_or_errors(
    reader: Any, groups: dict[int, list[Selected]], sequence: Sequence
) -> Iterator[tuple[int, Frame | CorruptInput]]:
    """Yields frames with their index; of stills, in place of an unreadable one what is wrong."""
    if not isinstance(sequence.frames, Stills):
        yield from reader.read(list(groups))
        return
    for frame in groups:
        try:
            for index, image in reader.read([frame]):
                image.size  # noqa: B018 - opens the file, so that a broken one shows here
                yield index, image
        except CorruptInput as e:
            yield frame, e


def batched(items: Iterable, n: int) -> Iterator[list]:
    """Yields lists of up to ``n`` items."""
    iterator = iter(items)
    while batch := list(itertools.islice(iterator, n)):
        yield batch
