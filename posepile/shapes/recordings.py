"""A folder of videos, a calibration and 3D key points, as markerless capture leaves it.

What is true of the folder is declared as :class:`Recordings`; the rest follows::

    def list_units(root, options):
        yield from recording_units(root, RECORDINGS)

    def load_unit(root, unit, options):
        return [load_recording(unit, RECORDINGS, SPEC)]

Whether what is declared is true, :mod:`posepile.shapes.recordings_check` looks up in the videos.
"""

from __future__ import annotations

import difflib
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from posepile.errors import CorruptInput, UsageError
from posepile.files import names_in
from posepile.formats.point_files import Points, read_points
from posepile.formats.schema import shortened
from posepile.geometry.calibrations import calibration_files, read_calibration
from posepile.geometry.cameras import MM_PER_UNIT, make_camera
from posepile.imaging.videos import index_packets
from posepile.miniature import TRUTH
from posepile.recipe import DatasetSpec, Sequence, Track, Unit, Video
from posepile.shapes.multiview import view_sequence
from posepile.shapes.units import unit_files, view_units

if TYPE_CHECKING:
    import deltacamera

ONE_TAKE = "take"  # where paths do not name any
SPLITS = ("train", "val", "test")
NO_FRAME = "no row of key points belongs to the frame"
_RATE_OFF = 0.02  # share by which frames and rows per second may differ from what is declared


@dataclass(frozen=True)
class Recordings:
    """What is true of a folder of recordings.

    Paths are patterns below the raw folder, in which ``<take>`` and ``<camera>`` stand for any
    name without a slash, and ``*`` in that of the key points for any text.

    Attributes:
        video: e.g. ``<take>/<camera>.mp4``.
        keypoints: e.g. ``<take>/keypoints.trc``; c3d, trc, csv or npy, of one person.
        calibration: File or folder, see :mod:`posepile.geometry.calibrations`; may have
            ``<take>`` in it.
        joints: Our joint -> what it is called in the file of the key points.
        camera_unit: ``mm``, ``cm``, ``m``, or how many millimetres the calibration's unit has.
        camera_to_world: The calibration holds where the cameras are in the world, not the
            world in the axes of each camera.
        keypoint_unit: As ``camera_unit``, of the key points; None = as their file says.
        axes: Which axes of the key points are x, y and z of the cameras' world: ``xyz`` where
            they are the same, ``zxy`` for a trc of Pose2Sim; a minus turns one round: ``x-zy``.
        rows_per_frame: How many rows of the key points there are per frame of the videos.
        first_row: Camera, or take/camera -> row of the key points that the first frame of its
            video shows; below 0 if the video begins earlier. 0 where nothing is said.
        length_may_differ: By how many frames the videos may be longer or shorter than the rows.
        splits: Take -> ``train``, ``val`` or ``test``; ``train`` where nothing is said.
        camera_names: Camera as the videos call it -> as the calibration does, where they differ.
    """

    video: str
    keypoints: str
    calibration: str
    joints: Mapping[str, str]
    camera_unit: str | float = "mm"
    camera_to_world: bool = False
    keypoint_unit: str | float | None = None
    axes: str = "xyz"
    rows_per_frame: int = 1
    first_row: Mapping[str, int] = field(default_factory=dict)
    length_may_differ: int = 0
    splits: Mapping[str, str] = field(default_factory=dict)
    camera_names: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self):
        axes_matrix(self.axes)
        for name in ("camera_unit", "keypoint_unit"):
            unit = getattr(self, name)
            known = unit in MM_PER_UNIT if isinstance(unit, str) else _is_length(unit)
            if not known and (unit is not None or name == "camera_unit"):
                raise UsageError(f"{name}={unit!r}: expected mm, cm, m, or millimetres per unit")
        for name, least in (("rows_per_frame", 1), ("length_may_differ", 0)):
            if not _is_whole(value := getattr(self, name)) or value < least:
                raise UsageError(f"{name}={value!r}: expected {least} or more")
        for name, row in self.first_row.items():
            if not _is_whole(row):
                raise UsageError(f"first_row: found {row!r} of {name!r}; expected a row's number")
        for take, split in self.splits.items():
            if split not in SPLITS:
                text = f"splits: found {split!r} of {take!r}; expected {', '.join(SPLITS)}"
                raise UsageError(f"{text}{_near(split, SPLITS)}")


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_length(value: object) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and math.isfinite(value) and value > 0


def _near(name: object, known: Iterable[str]) -> str:
    """A question about the name that may be meant; nothing where none is like it."""
    close = difflib.get_close_matches(str(name), list(known), 1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def axes_matrix(axes: str) -> np.ndarray:
    """Returns the rotation ``[3, 3]`` that takes key points into the world of the cameras.

    >>> (axes_matrix("zxy") @ [1, 2, 3]).tolist()
    [3.0, 1.0, 2.0]

    Args:
        axes: As of :class:`Recordings`.

    Raises:
        UsageError: No three different axes, or a mirror image.
    """
    parts = re.findall(r"(-?)([xyz])", axes)
    matrix = np.zeros((3, 3))
    if re.fullmatch(r"(-?[xyz]){3}", axes):
        for row, (sign, axis) in enumerate(parts):
            matrix[row, "xyz".index(axis)] = -1 if sign else 1
    if round(np.linalg.det(matrix)) != 1:
        todo = "e.g. xyz, zxy or x-zy: each once, and no mirror image"
        raise UsageError(f"axes={axes!r}: expected three axes, {todo}")
    return matrix


def unit_in_mm(unit: str | float) -> float:
    """Returns how many millimetres a unit has: mm, cm, m, or the number itself.

    >>> unit_in_mm("cm"), unit_in_mm(25.4)
    (10.0, 25.4)
    """
    return MM_PER_UNIT[unit] if isinstance(unit, str) else float(unit)


def recording_units(root: Path, recordings: Recordings) -> Iterator[Unit]:
    """Yields one unit per take and camera, ``<take>/<camera>``.

    >>> for name in ("jump/left.mp4", "jump/right.mp4", "jump/points.trc", "notes/a.txt"):
    ...     (folder / name).parent.mkdir(exist_ok=True)
    ...     (folder / name).touch()
    >>> facts = Recordings("<take>/<camera>.mp4", "<take>/points.trc", "calibration.toml", {})
    >>> [unit.id for unit in recording_units(folder, facts)]
    ['jump/left', 'jump/right']

    Raises:
        UsageError: ``splits``, ``first_row`` or ``camera_names`` name what is not there.
    """
    takes: dict[str, dict[str, dict[str, Path]]] = {}
    for path, named in _matching_files(root, recordings.video):
        take = named.get("take", ONE_TAKE)
        takes.setdefault(take, {})[named.get("camera", path.stem)] = {"video": path}
    if takes and TRUTH not in names_in(root):  # drawn takes have names of their own
        _check_names(recordings, takes)
    for take, views in sorted(takes.items()):
        calibration = root / recordings.calibration.replace("<take>", take)
        shared = {
            "keypoints": _one_file(root, recordings.keypoints.replace("<take>", take)),
            "calibration": calibration_files(calibration),
        }
        split = recordings.splits.get(take, "train")
        place = str(calibration)
        yield from view_units(take, split, dict(sorted(views.items())), shared, take=take,
                              calibration=place)  # fmt: skip


def _check_names(recordings: Recordings, takes: Mapping[str, Iterable[str]]) -> None:
    """Makes sure that facts are of takes and cameras that there are.

    Raises:
        UsageError: One is not; what may be meant is named.
    """
    cameras = sorted({camera for views in takes.values() for camera in views})
    units = [f"{take}/{camera}" for take, views in takes.items() for camera in sorted(views)]
    for fact, what, known in (
        ("splits", "take", sorted(takes)),
        ("first_row", "camera or take/camera", cameras + units),
        ("camera_names", "camera", cameras),
    ):
        for name in getattr(recordings, fact):
            if name not in known:
                there = ", ".join(known[:10]) + (", ..." if len(known) > 10 else "")
                text = f"{fact}: found {shortened(name)}{_near(name, known)}"
                raise UsageError(f"{text}; expected a {what} of the videos: {there}")


def _matching_files(root: Path, pattern: str) -> list[tuple[Path, dict[str, str]]]:
    """Returns the files below a folder that a pattern matches, with what its names stand for.

    >>> (folder / "videos").mkdir()
    >>> (folder / "videos/jump-camA.mp4").touch()
    >>> _matching_files(folder, "videos/<take>-cam<camera>.mp4")[0][1]
    {'take': 'jump', 'camera': 'A'}

    Args:
        root: The folder.
        pattern: Path below it with ``<take>`` and ``<camera>``, each at least once.
    """
    found = [(root, {})]
    for part in pattern.split("/"):
        expression, seen = "", set()
        for text in re.split(r"(<\w+>)", part):
            name = text[1:-1]
            if not re.fullmatch(r"<\w+>", text):
                expression += re.escape(text).replace(r"\*", "[^/]*")
            else:
                expression += f"(?P={name})" if name in seen else f"(?P<{name}>[^/]+)"
                seen.add(name)
        below = []
        for folder, named in found:
            for name in sorted(names_in(folder)):
                match = None if name.startswith(".") else re.fullmatch(expression, name)
                if match and all(named.get(k, v) == v for k, v in match.groupdict().items()):
                    below.append((folder / name, named | match.groupdict()))
        found = below
    return found


def _one_file(root: Path, pattern: str) -> Path:
    """The one file that a pattern with ``*`` matches; else what it would be, or an error."""
    if "*" not in pattern:
        return root / pattern
    found = [path for path, _ in _matching_files(root, pattern)]
    if len(found) > 1:
        text = f"found {found[0].name} and {found[1].name}; expected one file like {pattern}"
        raise CorruptInput(found[0].parent, text, hint="name the one in facts.py, or move it away")
    return found[0] if found else root / pattern


def load_recording(unit: Unit, recordings: Recordings, spec: DatasetSpec) -> Sequence:
    """Returns one take seen by one camera.

    >>> from posepile.miniature.recordings import recorded_example
    >>> paths, spec = recorded_example(folder, n_frames=3)
    >>> facts = Recordings(*paths, joints={})
    >>> unit, _ = recording_units(folder, facts)
    >>> load_recording(unit, facts, spec).tracks[0].world_coords.shape
    (3, 4, 3)

    Args:
        unit: One of :func:`recording_units`.
        recordings: What is true of the folder.
        spec: Has the joints and the direction that points up.

    Raises:
        CorruptInput: A file is damaged, or they do not fit together or what is declared.
    """
    files = unit_files(unit)
    camera, size = view_camera(unit, recordings, spec)
    points = read_points(files["keypoints"])
    joints = joints_in_mm(files["keypoints"], points, recordings, spec)
    frames, rows = frames_and_rows(unit, points, recordings)
    n_frames = index_packets(files["video"]).n_frames
    person = Track(frames, world_coords=np.float32(joints[rows]))
    dropped = {NO_FRAME: n_frames - len(frames)}
    video = Video(files["video"], n_frames=n_frames, size=size)
    return view_sequence(unit, video, camera, [person], dropped=dropped)


def view_camera(
    unit: Unit, recordings: Recordings, spec: DatasetSpec
) -> tuple[deltacamera.Camera, tuple[int, int]]:
    """Returns the camera of a unit, and the size of its pictures.

    Raises:
        CorruptInput: The calibration does not have it, or is of pictures of another size.
    """
    files, place = unit_files(unit), Path(unit.args["calibration"])
    cameras = read_calibration(place)
    view = unit.args["view"]
    name = recordings.camera_names.get(view, view)
    if name not in cameras:
        known = ", ".join(sorted(cameras)[:10])
        todo = "name it in camera_names: camera of the video -> camera of the calibration"
        text = f"found no camera {shortened(name)} (there: {known}); expected that of "
        raise CorruptInput(place, f"{text}{files['video'].name}", hint=todo)
    size = index_packets(files["video"]).size
    given = cameras[name] | {"size": cameras[name].get("size", size)}
    if tuple(given["size"]) != tuple(size):
        text = f"found pictures of {size[0]} x {size[1]}; expected {given['size'][0]} x "
        text += f"{given['size'][1]}, as calibrated"
        todo = "take the videos that were calibrated, neither scaled nor turned"
        raise CorruptInput(files["video"], text, hint=todo)
    where, unit_of = f"{os.fspath(place)}: camera {shortened(name)}", recordings.camera_unit
    if recordings.camera_to_world:
        given |= {"rotation": given["rotation"].T, "center": given.pop("translation")}
    up = spec.world_up or (0.0, 0.0, 1.0)
    return make_camera(where, **given, unit=unit_of, world_up=up), tuple(size)


def joints_in_mm(
    path: Path, points: Points, recordings: Recordings, spec: DatasetSpec
) -> np.ndarray:
    """Returns the joints ``[T, J, 3]`` of a file of key points in the world of the cameras.

    Args:
        path: The file, for messages.
        points: Its content.
        recordings: What is true of the folder.
        spec: Has the joints.

    Raises:
        CorruptInput: A joint is not there, or no unit is known.
    """
    at = {label: j for j, label in enumerate(points.labels)}
    columns = []
    for name in spec.joint_info.names:
        label = recordings.joints.get(name, name)
        if label not in at:
            near = difflib.get_close_matches(label, points.labels, 3, cutoff=0.3)
            text = f"found no point {shortened(label)}; expected it for joint {name}"
            there = ", ".join(near or points.labels[:10])
            raise CorruptInput(path, text, hint=f"correct `joints`; there is {there[:200]}")
        columns.append(at[label])
    unit = recordings.keypoint_unit or points.unit
    if unit is None:
        text = "found no unit of length in the file; expected keypoint_unit to say it"
        raise CorruptInput(path, text, hint="set keypoint_unit to mm, cm or m")
    return points.points[:, columns] @ axes_matrix(recordings.axes).T * unit_in_mm(unit)


def frames_and_rows(
    unit: Unit, points: Points, recordings: Recordings
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the frames of a video of which there are key points, and the row of each.

    Raises:
        CorruptInput: Numbers of frames, or frames per second, are not as declared.
    """
    files = unit_files(unit)
    video, step = index_packets(files["video"]), recordings.rows_per_frame
    first = first_row(unit, recordings)
    if video.rate and points.rate:
        found = points.rate / video.rate
        if not abs(found / step - 1) <= _RATE_OFF:
            text = f"found {points.rate:g} rows per second, {found:.3g} per frame of "
            text += f"{files['video'].name}; expected {step}"
            todo = "set rows_per_frame, or resample the key points to the frames of the videos"
            raise CorruptInput(files["keypoints"], text, hint=todo)
    # Of a video that is trimmed like its key points numbers may be those of the whole one.
    if numbered_otherwise(unit, points, recordings) and video.n_frames * step != len(
        points.points
    ):
        text = f"found rows numbered from {points.first} on, of {files['video'].name} that has "
        text += f"{video.n_frames} frames, not as many; expected them from 0 or 1 on"
        todo = f'set first_row={{"{unit.args["view"]}": {-points.first}}} if the video\'s first '
        todo += f"frame is 0, {1 - points.first} if it is 1, 0 if the first row shows it"
        raise CorruptInput(files["keypoints"], text, hint=todo)
    frames = np.arange(video.n_frames)
    rows = first + frames * step
    n_expected = max(0, (len(points.points) - first + step - 1) // step)
    if abs(video.n_frames - n_expected) > recordings.length_may_differ:
        text = f"found {video.n_frames} frames; expected {n_expected}, as the "
        text += f"{len(points.points)} rows of {files['keypoints'].name} have from row {first} on"
        todo = "set first_row, or length_may_differ if the ends alone differ"
        raise CorruptInput(files["video"], text, hint=todo)
    there = (rows >= 0) & (rows < len(points.points))
    return frames[there], rows[there]


def numbered_otherwise(unit: Unit, points: Points, recordings: Recordings) -> bool:
    """Whether a file calls its first row neither 0 nor 1, and no fact says which one it is."""
    said = {unit.id, unit.args["view"]} & set(recordings.first_row)
    return points.first not in (None, 0, 1) and not said


def first_row(unit: Unit, recordings: Recordings) -> int:
    """Returns the row of the key points that the first frame of a unit's video shows."""
    view = unit.args["view"]
    return recordings.first_row.get(unit.id, recordings.first_row.get(view, 0))
