"""Person detection on the kept frames; stored per unit, so that it can be done elsewhere.

Detections of a unit are one small file: for every sequence and every kept frame the boxes with
their scores in pixels of the full source frame. Cropping takes them from there, or makes them in
passing (and stores them) when it has the frames open anyway.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from posepile.config import Config
from posepile.errors import CorruptInput
from posepile.imaging.frames import Frame, open_frames
from posepile.models.boxes import scale_boxes
from posepile.recipe import Sequence, Stills
from posepile.stages.counts import Counts
from posepile.stages.examples import by_frame, selected_examples
from posepile.stages.exclusions import Exclusion

VERSION = 2


@dataclass
class Detections:
    """Boxes of a unit.

    Attributes:
        label: Which network made them, down to the checksum of its weights.
        boxes: Sequence index -> frame index -> float32 ``[n, 5]`` x, y, w, h, score in pixels of
            the full source frame, the picture reaching from 0 to its width.
    """

    label: str = ""
    boxes: dict[int, dict[int, np.ndarray]] = field(default_factory=dict)


def needs_detector(config: Config) -> bool:
    """Whether boxes come from a network under this configuration."""
    return config.box.source == "detect" and config.detect.model not in ("none", "joints")


def detect_unit(
    sequences: list[Sequence],
    config: Config,
    exclusions: list[Exclusion],
    detector,
    counts: Counts,
    threads: int = 1,
) -> Detections:
    """Runs the detector over every selected frame of a unit."""
    detections = Detections(detector.label)
    for i, sequence in enumerate(sequences):
        selected = selected_examples(sequence, config.select, exclusions, counts)
        frames = [frame for frame, _ in by_frame(selected)]
        store = detections.boxes.setdefault(i, {})
        if not frames:
            continue
        with open_frames(sequence.frames, threads=threads) as reader:
            for _, boxes in with_detections(
                read_frames(reader, frames, sequence, counts), config, detector, store
            ):
                counts.notes["person detected"] += len(boxes)
        counts.frames_read += len(frames)
    return detections


def with_detections(
    frames: Iterable[tuple[int, Frame]], config: Config, detector, store: dict[int, np.ndarray]
) -> Iterator[tuple[tuple[int, Frame], np.ndarray]]:
    """Yields each frame with its boxes; detects in batches what ``store`` does not have yet."""
    for batch in batched(frames, config.detect.batch):
        new = [(index, frame) for index, frame in batch if index not in store]
        if new:
            images = [frame.rgb(short_side=config.detect.short_side) for _, frame in new]
            for (index, frame), image, boxes in zip(new, images, detector(images), strict=True):
                store[index] = scale_boxes(boxes, image.shape[1::-1], frame.size)
        for index, frame in batch:
            yield (index, frame), store[index]


def read_frames(
    reader, frames: list[int], sequence: Sequence, counts: Counts
) -> Iterator[tuple[int, Frame]]:
    """Reads frames; of stills, an unreadable one is quarantined and the others go on.

    A video that breaks off is one corrupt input as a whole, so there the error is passed on.
    """
    if not isinstance(sequence.frames, Stills):
        yield from reader.read(frames)
        return
    for frame in frames:
        try:
            for index, image in reader.read([frame]):
                image.size  # noqa: B018 - opens the file, so that a broken one shows here
                yield index, image
        except CorruptInput as e:
            counts.quarantine(e, frame)


def batched(items: Iterable, n: int) -> Iterator[list]:
    """Lists of up to ``n`` items."""
    iterator = iter(items)
    while batch := list(itertools.islice(iterator, n)):
        yield batch


def save_detections(path: Path, detections: Detections) -> None:
    """Writes a unit's detections as one ``.npz`` with deterministic content."""
    arrays = {"label": np.array(detections.label)}
    for i, per_frame in detections.boxes.items():
        frames = sorted(per_frame)
        arrays[f"{i}_frames"] = np.array(frames, np.int64)
        arrays[f"{i}_counts"] = np.array([len(per_frame[f]) for f in frames], np.int64)
        arrays[f"{i}_boxes"] = np.concatenate(
            [per_frame[f] for f in frames] or [np.zeros((0, 5), np.float32)]
        )
    np.savez(path, **arrays)


def load_detections(path: Path) -> Detections:
    """Reads what :func:`save_detections` wrote."""
    with np.load(path) as data:
        detections = Detections(str(data["label"]))
        for key in data.files:
            i, _, what = key.partition("_")
            if what == "frames":
                boxes = np.split(data[f"{i}_boxes"], np.cumsum(data[f"{i}_counts"])[:-1])
                frames = data[key].tolist()
                boxes = boxes if frames else []
                detections.boxes[int(i)] = dict(zip(frames, boxes, strict=True))
    return detections
