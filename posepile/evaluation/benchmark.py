"""What an ``eval.py`` declares: protocols by name, and three functions of its benchmark.

The scaffold does the rest: command line, units, missing and doubled predictions, averages, groups,
intervals, tables, JSON, overlays. A whole ``eval.py``::

    PROTOCOLS = [Protocol("mydata.p1", ("MPJPE_mm",), joints="17", root="pelvis", ...)]

    def truth(setup):                     # one clip after the other, in millimetres
        for name, joints, paths in ...:
            yield Clip(name, paths, {"joints": joints}, {"activity": [...]})

    def predictions(setup):               # the official form, see posepile.evaluation.forms
        return npz_poses(setup.pred_path, "coords3d_pred_world", {17: None})

    def score(setup, clip, pred):         # values of each entry, or of each entry and joint
        return pose_figures(pred["joints"], clip.truth["joints"], root=0)

    BENCHMARK = Benchmark("mydata", PROTOCOLS, truth, predictions, score)

    main = partial(run_benchmark, BENCHMARK, description=__doc__)
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from posepile.errors import UsageError, WorkError

if TYPE_CHECKING:
    import deltacamera

MILLIMETRES = {"mm": 1.0, "cm": 10.0, "m": 1000.0}  # units of lengths in files
LENGTHS = ("joints", "vertices", "trans")  # arrays that are lengths, under these names
UNITS = {
    "mm": "mm",
    "cm": "cm",
    "px": "px",
    "deg": "degrees",
    "percent": "%",
    "m_per_s": "m/s",
    "m_per_s2": "m/s²",
    "mm_per_frame": "mm/frame",
    "10m_per_s3": "10 m/s³",
}


@dataclass(frozen=True)
class Protocol:
    """One way to score, with everything that decides the number.

    Attributes:
        name: Full name, ``<dataset>.<protocol>``.
        figures: Names of the figures that papers report, in their order; the unit is the part
            at the end (:func:`unit_of`). The first orders ``--worst``.
        joints: How many and which.
        root: What is subtracted from both sides before they are compared; ``none``.
        alignment: What else is done to predictions.
        averaging: Over what the mean is taken, and in which order.
        source: Paper, program, or document that defines it.
        frames: Which frames or people are evaluated.
        note: What one would not expect of it; of a corrected variant, what is put right.
        official: It gives the numbers of the official program or of the papers named.
        pool: What a figure is the mean of: ``entries`` all values of all clips together,
            ``clips`` the means of clips, else the name of a group whose means are averaged.
        summed: Figures that are numbers of something: they are added up, not averaged.
        joint_names: Names for messages, per-joint figures and overlays.
        edges: Of the skeleton in overlays, as of :class:`posepile.joint_info.JointInfo`.
        misses_count: An entry without a prediction is part of the protocol (people not found),
            not an error.
        nan_counts: A NaN makes the mean NaN, as in official programs that do not look; else it
            does not count.
        expected: Numbers that the whole benchmark has, of ``entries`` or ``clips``: of other
            numbers it is said that figures are not those of the benchmark.
        settings: What the benchmark's own functions need to know.
    """

    name: str
    figures: tuple[str, ...]
    joints: str
    root: str
    alignment: str
    averaging: str
    source: str
    frames: str = "all"
    note: str = ""
    official: bool = True
    pool: str = "entries"
    summed: tuple[str, ...] = ()
    joint_names: tuple[str, ...] = ()
    edges: str = ""
    misses_count: bool = False
    expected: Mapping[str, int] = field(default_factory=dict)
    nan_counts: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)

    def variant(self, name: str, **changes: Any) -> Protocol:
        """Returns the same protocol under another name, with other settings or words.

        Args:
            name: Full name.
            **changes: Attributes; ``settings`` are added to those there are.
        """
        settings = {**self.settings, **changes.pop("settings", {})}
        return replace(self, name=name, settings=settings, **changes)


class Picture(NamedTuple):
    """Where an entry can be seen.

    Attributes:
        path: The file.
        camera: Projects coordinates of truth and prediction into it.
        load: Returns the picture, RGB, where it is in no file of its own.
    """

    path: Path | str
    camera: deltacamera.Camera
    load: Callable[[], np.ndarray] | None = None


def pictures_of(
    files: Sequence[Path], cameras: deltacamera.Camera | Sequence[deltacamera.Camera]
) -> Callable[[int], Picture | None]:
    """Returns what finds the picture of each entry: ``picture`` of a :class:`Clip`.

    >>> pictures_of([Path("absent.jpg")], None)(0) is None
    True

    Args:
        files: One per entry; those that are not there show nothing.
        cameras: One for all, or one per entry.
    """

    def find(i: int) -> Picture | None:
        camera = cameras[i] if isinstance(cameras, Sequence) else cameras
        return Picture(files[i], camera) if files[i].is_file() else None

    return find


@dataclass
class Clip:
    """Truth of entries that belong together: a sequence, a picture, or all there is.

    Attributes:
        name: As predictions and results name it.
        keys: Name of each entry, as predictions name it: image path, frame number.
        truth: Name -> ``[n, ...]``, lengths in millimetres; or a list of ``n`` arrays where
            entries hold several people.
        groups: Name of a grouping (activity, scene) -> label of each entry, or the one label of
            all of them.
        picture: Returns where entry ``i`` can be seen, for overlays.
        left_out: Why some of the clip is not evaluated -> number.
    """

    name: str
    keys: Sequence[str]
    truth: dict[str, Any]
    groups: dict[str, Sequence[str] | str] = field(default_factory=dict)
    picture: Callable[[int], Picture | None] | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Gives every entry its label."""
        self.groups = {
            grouping: [labels] * len(self.keys) if isinstance(labels, str) else labels
            for grouping, labels in self.groups.items()
        }

    def subset(self, rows: np.ndarray) -> Clip:
        """Returns the clip with some of its entries; what it left out is not told again.

        Args:
            rows: Positions of the entries, int ``[k]``.
        """
        rows = np.asarray(rows)
        kept = chosen_rows(self.truth, rows)
        groups = {k: [labels[i] for i in rows] for k, labels in self.groups.items()}
        picture = self.picture and (lambda i: self.picture(int(rows[i])))
        return Clip(self.name, [self.keys[i] for i in rows], kept, groups, picture)


class Taken(NamedTuple):
    """What predictions say of a clip.

    Attributes:
        arrays: Name -> float64 ``[n, ...]``, as in the file; or a list of ``n`` arrays.
        present: bool ``[n]``: whether there is a prediction of the entry.
        file: Where it stands, for messages.
        unit: Of lengths, where the file states it.
        error: Why there is nothing of the clip: no file, or one that cannot be read.
        files: Name of an array -> its own file, where arrays have files of their own.
    """

    arrays: dict[str, Any]
    present: np.ndarray
    file: Path
    unit: str | None = None
    error: WorkError | None = None
    files: Mapping[str, Path] = MappingProxyType({})

    def file_of(self, name: str) -> Path:
        """Returns where an array stands."""
        return self.files.get(name, self.file)


@dataclass
class Predictions:
    """Predictions that were opened.

    Attributes:
        path: File or folder.
        take: Returns what belongs to a clip.
        names: Of the entries or clips they are of; what is evaluated by none is listed.
        what: Word for one of these names: image, clip, sequence.
        unit: Of lengths, unless the file or the command line states another.
        lengths: Which arrays are lengths.
    """

    path: Path
    take: Callable[[Clip], Taken]
    names: Sequence[str] = ()
    what: str = "image"
    unit: str = "mm"
    lengths: tuple[str, ...] = LENGTHS

    def of_clips(self) -> bool:
        """Returns whether names are those of clips, not of entries."""
        return self.what in ("clip", "sequence")


class Setup(NamedTuple):
    """What is asked for.

    Attributes:
        root: Raw folder of the dataset.
        pred_path: File or folder of predictions.
        protocol: How to score.
        args: The command line, with the options that the benchmark added.
    """

    root: Path
    pred_path: Path
    protocol: Protocol
    args: argparse.Namespace


class PackedForm(NamedTuple):
    """How the packed dataset has what a benchmark evaluates.

    Attributes:
        entry: From the path of an image in the archive to the key of an entry,
            ``<clip>/..<frame number>.<suffix>``.
        joints: Which of the packed joints are evaluated, in which order; None = all.
        views: Names of clips end in ``.<view>``, and each take was seen by every view.
        entries: Number of frames that the complete benchmark has.
    """

    entry: Callable[[str], str]
    joints: Sequence[int] | None = None
    views: bool = False
    entries: int | None = None


def _nothing_to_add(setup: Setup, figures: dict[str, float]) -> dict[str, float]:
    """Returns the figures as they are."""
    return figures


@dataclass(frozen=True)
class Benchmark:
    """The evaluation of one dataset.

    Attributes:
        name: Dataset.
        protocols: The first is the default.
        truth: Yields the clips of a protocol, always in the same order.
        predictions: Opens the prediction file or folder.
        score: Returns figures of a clip by name: ``[n]`` one value per entry, ``[n, J]`` one per
            entry and joint, another length: values of the clip. NaN does not count, unless
            the protocol says so.
            Predictions come as the truth does: same entries, same order, millimetres.
        finish: Gets the averaged and summed figures and returns them with those that can only be
            had from them (F1).
        add_options: Adds options to the command line.
        packed: How the packed dataset has the truth, where it can have all of it.
    """

    name: str
    protocols: Sequence[Protocol]
    truth: Callable[[Setup], Iterable[Clip]]
    predictions: Callable[[Setup], Predictions]
    score: Callable[[Setup, Clip, dict[str, Any]], dict[str, np.ndarray]]
    finish: Callable[[Setup, dict[str, float]], dict[str, float]] = _nothing_to_add
    add_options: Callable[[argparse.ArgumentParser], None] | None = None
    packed: PackedForm | None = None

    def options(self, args: argparse.Namespace) -> dict[str, Any]:
        """Returns the options that this benchmark added, by name, with what they are set to."""
        own = argparse.ArgumentParser(add_help=False)
        if self.add_options:
            self.add_options(own)
        values = {
            name: getattr(args, name, default)
            for name, default in vars(own.parse_args([])).items()
        }
        return {k: str(v) if isinstance(v, Path) else v for k, v in values.items()}

    def protocol(self, name: str | None) -> Protocol:
        """Returns a protocol by its full or short name; the default for None.

        Raises:
            UsageError: There is none of that name; lists those there are.
        """
        if name is None:
            return self.protocols[0]
        for protocol in self.protocols:
            if name in (protocol.name, protocol.name.partition(".")[2]):
                return protocol
        names = ", ".join(p.name for p in self.protocols)
        name = name or "''"
        raise UsageError(f"--protocol {name}: {self.name} has no such protocol; it has {names}")


def unit_of(figure: str) -> str:
    """Returns the unit in the name of a figure, empty for fractions and counts.

    >>> [unit_of(name) for name in ("PA-MPJPE_mm", "MPJVE_m_per_s", "AUC")]
    ['mm', 'm/s', '']
    """
    return UNITS.get(_unit_in(figure), "")


def label_of(figure: str) -> str:
    """Returns the name of a figure without its unit.

    >>> [label_of(name) for name in ("PA-MPJPE_mm", "foot_sliding_mm", "AUC")]
    ['PA-MPJPE', 'foot_sliding', 'AUC']
    """
    unit = _unit_in(figure)
    return figure.removesuffix(f"_{unit}") if unit else figure


def _unit_in(figure: str) -> str:
    """Returns the longest unit that a figure's name ends in, as it is written there."""
    return max((unit for unit in UNITS if figure.endswith(f"_{unit}")), key=len, default="")


def chosen_rows(arrays: Mapping[str, Any], rows: np.ndarray) -> dict[str, Any]:
    """Returns some entries of every array, or list of arrays.

    >>> chosen_rows({"joints": np.arange(3), "points": ["a", "b", "c"]}, np.array([2, 0]))
    {'joints': array([2, 0]), 'points': ['c', 'a']}

    Args:
        arrays: Name -> ``[n, ...]``, or a list of ``n`` arrays.
        rows: Positions of the entries, int ``[k]``.
    """
    return {
        name: values[rows] if isinstance(values, np.ndarray) else [values[i] for i in rows]
        for name, values in arrays.items()
    }
