"""What a miniature says about itself: the one file that the generic contract test compares with.

A miniature's ``build(root)`` ends with ``write_truth(root, Truth(...))``; the test reads it with
``read_truth``. Everything in it is worked out from the dataset's card by plain loops, nothing by
the reader under test.

A picture's *number* is drawn in it, see :mod:`posepile.miniature.marks`. It tells the frame, and
with a different ``start`` for every sequence also the recording and the camera.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from posepile.miniature import N_NUMBERS, TRUTH

if TYPE_CHECKING:
    from posepile.miniature.skeleton import Figure


@dataclass(frozen=True)
class SequenceTruth:
    """What the card expects of one recording seen by one camera, or of one group of stills.

    Attributes:
        split: ``train``, ``val`` or ``test``.
        examples: The (frame, person) pairs expected in the packed dataset under its default
            configuration. Frames count as in the raw data, from 0, or are the number in the file
            name of a still; persons count as the raw data lists them, from 0.
        start: The number drawn in a picture is (frame + start) modulo :data:`N_NUMBERS`.
        persons: Where an ``image_path`` names people by an id: the person for each such text.
        frames: Where an ``image_path`` names pictures by something else than a number: the frame
            for each such text.
        masks: The raw data has masks of its people, if it has any.
    """

    split: str
    examples: list[tuple[int, int]]
    start: int = 0
    persons: dict[str, int] = field(default_factory=dict)
    frames: dict[str, int] = field(default_factory=dict)
    masks: bool = True


@dataclass(frozen=True)
class Truth:
    """What the contract test may expect of a processed miniature.

    Attributes:
        counts: Number of packed examples per split under the dataset's default configuration.
        path_pattern: Regular expression, searched for in an ``image_path``. Its group ``sequence``
            is a key of ``sequences``; ``frame`` (decimal, or a key of ``SequenceTruth.frames``)
            and ``person`` may be absent, which means 0.
        sequences: What is expected of each sequence. Empty: only ``counts`` are known.
        frame_offset: Frame number in an ``image_path`` minus the raw frame number (1 where files
            count from 1).
        frames_drawn: Numbers are drawn in the pictures.
        persons_drawn: People have the colour of their index, see
            :func:`posepile.miniature.marks.person_color`; with one person, of index 0.
        colors: RGB disc colour per joint of the dataset's JointInfo; None for a joint that has no
            disc. Empty: no discs.
        limbs: Pairs of joint indices whose limbs carry the number, in the order of its bits.
        raw_masks: The raw data has masks of the visible part of the drawn person.
        mirrored: Packed pictures are mirror images of the raw ones.
        n_people: The largest number of people in one picture.
        moving: A picture differs from the next one by 3 px or more of a packed crop, so a frame
            off by one shows in the joints, too.
        joint_error_px: Largest mean distance between discs and projected joints; the joints
            themselves may be rounded or fitted in the raw data.
        box: What the box of an example is: ``person`` (tight around the drawn figure), ``joints``
            (around the joints), or ``loose`` (somewhat larger, e.g. a detector's).
        artefacts: Of a helper: path below ``DATA_ROOT`` of a file that it leaves behind -> its
            whole text, or a mapping that its JSON holds among others.
        facts: Whatever the dataset's own test needs besides.
    """

    counts: dict[str, int]
    path_pattern: str = ""
    sequences: dict[str, SequenceTruth] = field(default_factory=dict)
    frame_offset: int = 0
    frames_drawn: bool = False
    persons_drawn: bool = False
    colors: list[list[int] | None] = field(default_factory=list)
    limbs: list[tuple[int, int]] = field(default_factory=list)
    raw_masks: bool = False
    mirrored: bool = False
    n_people: int = 1
    moving: bool = False
    joint_error_px: float = 1.0
    box: str = "person"
    artefacts: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ExampleKey:
    """Which raw picture and person an example shows.

    Attributes:
        sequence: Key of ``Truth.sequences``.
        frame: Raw frame number.
        person: Index as the raw data lists people.
        number: The number that is drawn in that picture.
    """

    sequence: str
    frame: int
    person: int
    number: int


def example_key(truth: Truth, image_path: str) -> ExampleKey | None:
    r"""Returns which raw picture and person an ``image_path`` names, None if it names none.

    >>> pattern = r"(?P<sequence>[^/]+)/(?P<frame>\d+)\.jpg"
    >>> truth = Truth({"train": 1}, pattern, {"walk": SequenceTruth("train", [(2, 0)])})
    >>> example_key(truth, "mydata_downscaled/walk/000002.jpg").frame
    2

    Args:
        truth: Of the miniature that the example was made from.
        image_path: Of the packed example.
    """
    match = re.search(truth.path_pattern, image_path) if truth.path_pattern else None
    if match is None:
        return None
    groups = match.groupdict()
    name = groups.get("sequence") or ""
    sequence = truth.sequences.get(name)
    if sequence is None:
        return None
    frame = _number(groups.get("frame"), sequence.frames, truth.frame_offset)
    person = _number(groups.get("person"), sequence.persons, 0)
    if frame is None or person is None:
        return None
    return ExampleKey(name, frame, person, (frame + sequence.start) % N_NUMBERS)


def _number(text: str | None, names: dict[str, int], offset: int) -> int | None:
    if text is None:
        return 0
    if names:
        return names.get(text)
    return int(text) - offset if text.isdecimal() else None


def make_truth(
    figure: Figure, path_pattern: str, sequences: dict[str, SequenceTruth], **more: Any
) -> Truth:
    r"""Returns the truth of a miniature whose pictures a shoot made.

    >>> from posepile.miniature.skeleton import make_figure
    >>> figure = make_figure(["pelv", "neck", "head", "lsho", "lelb"])
    >>> walk = SequenceTruth("train", [(0, 0), (2, 0)])
    >>> pattern = r"(?P<sequence>[^/]+)/(?P<frame>\d+)\.jpg"
    >>> make_truth(figure, pattern, {"walk": walk}).counts
    {'train': 2, 'val': 0, 'test': 0}

    Args:
        figure: As drawn, joints in the order of the dataset's JointInfo.
        path_pattern: As in :class:`Truth`.
        sequences: As in :class:`Truth`; the counts are those of their examples.
        **more: Other attributes of :class:`Truth`.
    """
    drawn = {"colors": figure.colors, "limbs": figure.limbs, "moving": True}
    drawn |= {"frames_drawn": True, "persons_drawn": True}
    return Truth(_count_examples(sequences), path_pattern, sequences, **(drawn | more))


def frames_kept(
    joints: np.ndarray,
    against: str = "last",
    threshold_mm: float = 100,
    n_joints: int = 1,
    among: Iterable[int] | None = None,
    carried: bool = False,
) -> list[int]:
    """Returns the frames that motion-adaptive selection keeps, by plain loops.

    >>> joints = np.zeros((6, 1, 3))
    >>> joints[:, 0, 0] = 60 * np.arange(6)
    >>> frames_kept(joints)
    [0, 2, 4]

    Args:
        joints: ``[n, J, 3]`` millimetres; NaN = unknown, which has not moved. A frame of which
            nothing is known is not kept.
        against: A frame is kept if joints moved as far as the threshold since the ``last`` kept
            frame, or since each one of ``all`` kept frames.
        threshold_mm: How far.
        n_joints: How many joints must have moved.
        among: Frames that are looked at; None = all.
        carried: In a kept frame, unknown joints are where they were in the kept one before.
    """
    kept: list[int] = []
    poses: list[np.ndarray] = []
    for i in range(len(joints)) if among is None else among:
        pose = joints[i]
        moved = [
            sum(np.linalg.norm(a - b) >= threshold_mm for a, b in zip(pose, old, strict=True))
            for old in (poses[-1:] if against == "last" else poses)
        ]
        if all(n >= n_joints for n in moved) and not np.isnan(pose).all():
            kept.append(i)
            poses.append(np.where(np.isnan(pose), poses[-1], pose) if carried and poses else pose)
    return kept


def examples_with_news(
    annotations: Iterable[Mapping[str, Any]],
    persons: Mapping[str, int],
    frame: Callable[[int], int],
    limit: Callable[[np.ndarray], float],
) -> list[tuple[int, int]]:
    """Returns the frames and persons of a video that show something new, by plain loops.

    >>> points = [(14, [5, 5, 1]), (15, [8, 5, 1]), (16, [12, 5, 1]), (17, [12, 5, 1])]
    >>> rows = [{"track_id": 7, "image_id": i, "keypoints": xyv} for i, xyv in points]
    >>> examples_with_news(rows, {"007": 0}, lambda id: id - 10, lambda points: 5.0)
    [(4, 0), (6, 0)]

    Args:
        annotations: In order of time; whoever counts, with key points x, y, v one after the
            other, v = 0 where a point is not labelled.
        persons: As of :class:`SequenceTruth`, track id -> person.
        frame: Of an image's id.
        limit: Points ``[J, 2]`` (NaN = not labelled) -> how far in pixels one of them must have
            moved since the last frame that counts; or one is labelled that was not.
    """
    found: list[tuple[int, int]] = []
    last: dict[int, np.ndarray] = {}
    for annotation in annotations:
        rows = np.reshape(annotation["keypoints"], (-1, 3))
        points = np.where(rows[:, 2:] > 0, rows[:, :2], np.nan)
        person = next(p for text, p in persons.items() if int(text) == annotation["track_id"])
        if person not in last or any(
            np.isfinite(p).all() and not np.linalg.norm(p - was) <= limit(points)
            for p, was in zip(points, last[person], strict=True)
        ):
            found.append((frame(annotation["image_id"]), person))
            last[person] = points
    return found


def _count_examples(sequences: dict[str, SequenceTruth]) -> dict[str, int]:
    """Returns the number of expected examples per split.

    >>> _count_examples({"a": SequenceTruth("train", [(0, 0)]), "b": SequenceTruth("val", [])})
    {'train': 1, 'val': 0, 'test': 0}
    """
    counts = {"train": 0, "val": 0, "test": 0}
    for sequence in sequences.values():
        counts[sequence.split] += len(sequence.examples)
    return counts


def write_truth(root: Path, truth: Truth) -> None:
    """Writes the truth into a miniature's raw folder.

    >>> write_truth(folder, Truth({"train": 2}, "", {}))
    >>> read_truth(folder).counts
    {'train': 2}
    """
    text = json.dumps(asdict(truth), indent=1, sort_keys=True)
    (Path(root) / TRUTH).write_text(text + "\n")


def read_truth(root: Path) -> Truth:
    """Returns what a miniature's raw folder says about itself.

    >>> write_truth(folder, Truth({"train": 2, "val": 0}, "", {}))
    >>> read_truth(folder).counts["val"]
    0
    """
    content = json.loads((Path(root) / TRUTH).read_text())
    sequences = {
        name: SequenceTruth(**{**s, "examples": [tuple(e) for e in s["examples"]]})
        for name, s in content.pop("sequences", {}).items()
    }
    content["limbs"] = [tuple(pair) for pair in content.get("limbs", [])]
    known = {f.name for f in fields(Truth)}
    facts = content.pop("facts", {}) | {k: content.pop(k) for k in sorted(content.keys() - known)}
    return Truth(sequences=sequences, facts=facts, **content)
