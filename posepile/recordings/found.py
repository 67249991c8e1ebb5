"""A folder of recordings looked at: where its files are, and what they say of themselves."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from posepile.errors import PosePileError, UsageError
from posepile.files import files_below
from posepile.formats.point_files import POINT_FORMATS, Points, read_points
from posepile.formats.schema import shortened
from posepile.geometry.calibrations import (
    CALIBRATION_FORMATS,
    calibration_files,
    read_calibration,
)
from posepile.imaging.compiling import listening
from posepile.joint_info import JointInfo
from posepile.progress import Progress
from posepile.recipe import DatasetSpec
from posepile.recordings.labels import bones, our_joints
from posepile.shapes.recordings import Recordings, recording_units
from posepile.shapes.recordings_check import fitting_facts
from posepile.shapes.recordings_mending import GOOD

VIDEOS = {".mp4", ".avi", ".mov", ".mkv", ".m4v", ".webm", ".mpg", ".mpeg"}
MOST_FILES = 20_000
_CAMERAS_LOOKED_AT = 4


@dataclass
class Found:
    """What a folder holds.

    Attributes:
        recordings: Facts, as far as they can be found.
        places: Joint -> place of the body, of all joints.
        edges: Bones, as JointInfo takes them.
        up: Direction that points up in the world of the cameras.
        takes: Names of the takes.
        left_out: Labels of points that are no joints of ours.
        share: Of the body that lies on what moves, 0..1; 0 where nothing fits.
        said: Lines for a person.
    """

    recordings: Recordings
    places: dict[str, str]
    edges: str
    up: tuple[float, float, float] | None
    takes: list[str]
    left_out: list[str]
    share: float
    said: list[str] = field(default_factory=list)


def look_at_recordings(root: Path) -> Found:
    """Returns what a folder of videos, a calibration and key points holds.

    Args:
        root: The folder.

    Raises:
        UsageError: There is no video, no calibration or no file of key points in it.
    """
    if not root.is_dir():
        raise UsageError(f"--raw {root}: found no such folder; expected that of the recordings")
    files = [p.relative_to(root) for p in files_below(root, "**/*") if p.is_file()][:MOST_FILES]
    videos = [path for path in files if path.suffix.lower() in VIDEOS]
    if not videos:
        expected = f"expected a file in {', '.join(sorted(VIDEOS))}"
        raise UsageError(f"--raw {root}: found no video; {expected}")
    calibration, cameras = _find_calibration(root, files)
    keypoints, points = _find_points(root, files, calibration)
    video, takes, names = _video_pattern(videos, cameras)
    calibration_pattern = _with_take(calibration, takes)
    pattern = _points_pattern(keypoints, takes)
    joints = our_joints(points.labels)
    if len(joints) < 3:
        some = ", ".join(points.labels[:8])
        raise UsageError(
            f"--raw {root}: {keypoints[0]}: found no points of the body among {some}; expected "
            "names such as LShoulder; rename them, or begin with --like multiview"
        )
    unit = points.unit or _likely_unit(points, [label for label, _ in joints.values()])
    recordings = Recordings(
        video=video,
        keypoints=pattern,
        calibration=calibration_pattern,
        joints={joint: label for joint, (label, _) in joints.items()},
        keypoint_unit=None if points.unit else unit,
        camera_names=names,
    )
    found = Found(
        recordings,
        {joint: place for joint, (_, place) in joints.items()},
        bones(joints),
        None,
        takes,
        [label for label in points.labels if label not in {a for a, _ in joints.values()}],
        0.0,
        [f"{len(videos)} videos: {video}", f"key points: {pattern}, {len(joints)} joints"],
    )
    found.said.append(f"calibration: {calibration_pattern}, {len(cameras)} cameras")
    uncalibrated = _uncalibrated(root, recordings, cameras)
    if uncalibrated:
        known = ", ".join(map(shortened, list(cameras)[:10]))
        found.said.append(
            f"no calibration of camera {', '.join(map(shortened, uncalibrated[:10]))} (there: "
            f"{known}): calibrate it, say in camera_names which one it is, or move its videos away"
        )
    _fit(root, found, points, uncalibrated)
    return found


def _uncalibrated(root: Path, recordings: Recordings, cameras: Iterable[str]) -> list[str]:
    """Cameras that videos have and the calibration has not."""
    try:
        views = {unit.args["view"] for unit in recording_units(root, recordings)}
    except PosePileError:
        return []
    known = set(cameras)
    return sorted(view for view in views if recordings.camera_names.get(view, view) not in known)


def _fit(root: Path, found: Found, points: Points, without: Iterable[str]) -> None:
    """Looks for units, axes and the direction up in the videos of the first take."""
    info = JointInfo(",".join(found.recordings.joints), found.edges)
    spec = DatasetSpec("new", info, "new")
    try:
        units = list(recording_units(root, found.recordings))
        units = [u for u in units if u.args["view"] not in without] or units
        units = [u for u in units if u.args["take"] == units[0].args["take"]]
        if points.rate:
            from posepile.imaging.videos import index_packets

            rate = index_packets(units[0].inputs[0]).rate
            if rate and points.rate / rate > 1.5:
                step = round(points.rate / rate)
                found.recordings = replace(found.recordings, rows_per_frame=step)
        loose = replace(found.recordings, length_may_differ=10**9)
        some = units[:_CAMERAS_LOOKED_AT]
        with Progress("looking at the videos", unit="") as bar:
            # What takes long, the first time on a machine alone.
            with listening(lambda name: bar.tick("compiling once for this machine")):
                chosen, found.up, found.share = fitting_facts(some, loose, spec)
        found.recordings = replace(chosen, length_may_differ=0)
    except PosePileError as e:
        found.said.append(f"not compared with the videos: {e}")
        return
    if found.share:
        facts = found.recordings
        found.said.append(
            f"compared with the videos: {found.share:.0%} of the body on the person with "
            f'camera_unit="{facts.camera_unit}", axes="{facts.axes}"'
        )
        if found.share < GOOD:
            found.said.append(
                f"these are probably wrong: expected {GOOD:.0%}; are key points mirrored, of "
                "another size or take, or is the calibration of others?"
            )
    else:
        found.said.append(
            "no unit and axes put the key points onto the person: say them in facts.py"
        )


def _find_calibration(root: Path, files: list[Path]) -> tuple[Path, dict]:
    """The file or folder, below the root, that a calibration can be read from."""
    wanted = [f for f in files if f.suffix.lower() in {*CALIBRATION_FORMATS, ".txt", ".bin"}]
    named = [f for f in wanted if re.search("calib|camera|intri|extri", str(f).lower())]
    tried: list[Path] = []
    for file in [*named, *wanted]:
        colmap = file.stem in ("cameras", "images")
        if file.suffix in (".txt", ".bin") and not colmap:
            continue
        for place in (
            (file.parent, file) if len(calibration_files(root / file.parent)) > 1 else (file,)
        ):
            if place not in tried:
                tried.append(place)
                try:
                    return place, read_calibration(root / place)
                except PosePileError:
                    continue
    some = f"; tried {', '.join(map(str, tried[:4]))}" if tried else ""
    raise UsageError(
        f"--raw {root}: found no calibration{some}; expected a toml of Anipose or Pose2Sim, "
        "storage files of OpenCV, npz, json or a folder of COLMAP, with K, R and t of each camera"
    )


def _find_points(root: Path, files: list[Path], calibration: Path) -> tuple[list[Path], Points]:
    """Files of 3D key points of one kind, and the content of the first."""
    for kind in POINT_FORMATS:
        alike = [f for f in files if f.suffix.lower() == kind and f != calibration]
        readable: list[Path] = []
        first = None
        for file in alike:
            try:
                points = read_points(root / file)
            except PosePileError:
                continue
            if len(points.points) < 2 or len(our_joints(points.labels)) < 3:
                continue
            readable.append(file)
            first = first or points
            if len(readable) >= 50:
                break
        if first is not None:
            return readable, first
    raise UsageError(
        f"--raw {root}: found no 3D key points; expected c3d, trc, csv or npy with the points of "
        "a body"
    )


def _video_pattern(
    videos: list[Path], cameras: Iterable[str]
) -> tuple[str, list[str], dict[str, str]]:
    """Pattern of the videos, names of the takes, and cameras that are called otherwise."""
    depths = [len(path.parts) for path in videos]
    depth = max(set(depths), key=depths.count)
    videos = [path for path in videos if len(path.parts) == depth]
    kinds = [path.suffix for path in videos]
    suffix = max(sorted(set(kinds)), key=kinds.count)
    videos = [path for path in videos if path.suffix == suffix]
    known = sorted(cameras, key=len, reverse=True)
    splits = [_split(path.stem, known) for path in videos]
    if 2 * sum(split is not None for split in splits) >= len(splits):  # the others are named later
        videos = [path for path, split in zip(videos, splits, strict=True) if split is not None]
        splits = [split for split in splits if split is not None]
        before, after = ([split[k] for split in splits] for k in (0, 2))
        names: dict[str, str] = {}
        stem = "<camera>"
        for texts, side in ((before, 0), (after, 1)):
            text = texts[0] if len(set(texts)) == 1 else None
            if text is None:
                gap = _gap(texts, side)
                text = f"<take>{gap}" if side == 0 else f"{gap}<take>"
            stem = text + stem if side == 0 else stem + text
    else:
        stem = "<camera>"
        stems = sorted({path.stem for path in videos})
        names = dict(zip(stems, sorted(known), strict=True)) if len(stems) == len(known) else {}
    folders = []
    for k in range(depth - 1):
        values = {path.parts[k] for path in videos}
        is_take = len(values) > 1 and "<take>" not in stem and "<take>" not in folders
        folders.append("<take>" if is_take else sorted(values)[0])
    if "<take>" not in stem and "<take>" not in folders and folders:
        usual = re.compile(r"(?i)videos?|synchronized_videos|videos-raw|footage|data|recordings")
        k = next((k for k, name in enumerate(folders) if not usual.fullmatch(name)), None)
        if k is not None:
            folders[k] = "<take>"
    pattern = "/".join([*folders, stem + suffix])
    expression = "".join(
        f"(?P<{part[1:-1]}>[^/]+)" if part in ("<take>", "<camera>") else re.escape(part)
        for part in re.split("(<take>|<camera>)", pattern)
    )
    matches = [re.fullmatch(expression, path.as_posix()) for path in videos]
    takes = sorted({m["take"] for m in matches if m}) if "<take>" in pattern else []
    return pattern, takes, names


def _gap(texts: list[str], side: int) -> str:
    """What stands between take and camera in all names: separators, maybe with ``cam``."""
    ends = [re.search(r"([-_. ]*(?:cam)?)$", t)[0] if side == 0 else
            re.match(r"([-_. ]*)", t)[0] for t in texts]  # fmt: skip
    return ends[0] if len(set(ends)) == 1 else ""


def _split(stem: str, cameras: list[str]) -> tuple[str, str, str] | None:
    """A name as what is before the camera, the camera, and what is behind it."""
    for name in cameras:
        if stem == name:
            return "", name, ""
    for name in cameras:
        match = re.fullmatch(rf"(.*(?:[-_. ]|cam))?({re.escape(name)})([-_. ].*)?", stem)
        if match:
            return match[1] or "", name, match[3] or ""
    return None


def _with_take(path: Path, takes: list[str]) -> str:
    """A path with the take's placeholder where its folder is called after one."""
    longest = sorted(takes, key=len, reverse=True)
    parts = ["<take>" if part in takes else part for part in path.parts]
    take = next((take for take in longest if parts and parts[-1].startswith(take)), None)
    if take is not None:
        parts[-1] = "<take>" + parts[-1][len(take) :]
    return "/".join(parts) or "."


def _points_pattern(files: list[Path], takes: list[str]) -> str:
    """Pattern of the files of key points."""
    patterns = set()
    for file in files:
        folders = ["<take>" if part in takes else part for part in file.parent.parts]
        stem = file.stem
        if "<take>" not in folders:
            take = next((t for t in sorted(takes, key=len, reverse=True) if t in stem), None)
            stem = stem.replace(take, "<take>", 1) if take else stem
        patterns.add("/".join([*folders, stem + file.suffix]))
    if len(patterns) == 1:
        return patterns.pop()
    usable = sorted(p for p in patterns if "<take>" in p) or sorted(patterns)
    first = usable[0]
    if all(p.rpartition("/")[0] == first.rpartition("/")[0] for p in usable):
        return f"{first.rpartition('/')[0]}/*{Path(first).suffix}".lstrip("/")
    return first


def _likely_unit(points: Points, labels: list[str]) -> str:
    """The unit in which a body is of human size."""
    columns = [points.labels.index(label) for label in labels]
    known = points.points[:, columns]
    known = known[np.isfinite(known).all(axis=-1).sum(axis=-1) >= 3]
    if len(known) == 0:
        return "mm"
    sides = np.nanmax(known, axis=1) - np.nanmin(known, axis=1)
    length = max(1e-9, float(np.median(np.linalg.norm(sides, axis=-1))))
    mm_per_unit = {"mm": 1, "cm": 10, "m": 1000}
    return min(mm_per_unit, key=lambda unit: abs(np.log(length * mm_per_unit[unit] / 1700)))
