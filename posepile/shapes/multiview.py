"""Recordings that one or more calibrated cameras have seen, with joints in the world.

The views of a recording share its people; each view is a unit of its own, so that a worker decodes
one video. A recipe reads joints, boxes and camera, and calls :func:`view_sequence`::

    def list_units(root, options):
        for take in ...:
            views = {view: {"video": ..., "camera": ...} for view in options.views}
            yield from view_units(f"{subject}/{take}", split, views, {"joints": ...})

    def load_unit(root, unit, options):
        files = unit_files(unit)
        joints = read_npy(files["joints"], Array("T", 17, 3, finite=False))
        camera = make_camera(files["camera"], ...)
        video = Video(files["video"], n_frames=len(joints), size=SIZE)
        person = Track(np.arange(len(joints)), world_coords=joints)
        return [view_sequence(unit, video, camera, [person])]
"""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from posepile.errors import CorruptInput
from posepile.geometry.pictures import (
    box_of_points,
    check_in_boxes,
    inside,
    project,
    project_frames,
)
from posepile.recipe import Bystander, Sequence, Stills, Track, Unit, Video
from posepile.shapes.units import Rows

if TYPE_CHECKING:
    import deltacamera

    Cameras = deltacamera.Camera | Callable[[int], deltacamera.Camera | None]

NO_JOINT = "no joint known"
SMALL = "shorter side of the joints' box below dataset.min_side"


def view_sequence(
    unit: Unit,
    frames: Video | Stills,
    camera: Cameras,
    people: list[Track],
    *,
    id: str | None = None,
    image_name: Callable[[int, int], str] | None = None,
    min_joints_inside: int = 0,
    min_side: float = 0.0,
    bystanders: Iterable[tuple[int, np.ndarray]] = (),
    scene: str = "unknown",
    dropped: Mapping[str, int] | None = None,
    checks: Mapping[str, float] | None = None,
) -> Sequence:
    """Returns one recording as seen by one camera.

    Frames in which nothing is known of a person are left out and counted. If boxes are given,
    how far joints project outside them is one of the sequence's checks.

    >>> from pathlib import Path
    >>> from posepile.geometry.cameras import make_camera
    >>> from posepile.recipe import Track, Unit, Video
    >>> unit = Unit("s1/walk/left", "train", (Path("left.mp4"),))
    >>> camera = make_camera("left", focal=1000, size=(640, 480))
    >>> people = [Track(np.arange(5), world_coords=np.full((5, 17, 3), 3000.0))]
    >>> video = Video(Path("left.mp4"), n_frames=5, size=(640, 480))
    >>> view_sequence(unit, video, camera, people).image_name(3, 0)
    's1/walk/left/000003.jpg'

    Args:
        unit: Gives split and id.
        frames: Where the pixels are, with the size that camera and boxes refer to.
        camera: One camera, or frame -> camera where it moves.
        people: All of the recording, in all frames that are to be considered; the same for every
            view. What is only of this view (boxes, masks) may be set for each.
        id: Of the sequence, where a unit has several.
        image_name: As of :class:`posepile.recipe.Sequence`; default ``<id>/<frame>.jpg``, and
            ``<id>/<frame>_<person>.jpg`` where there are several people.
        min_joints_inside: People with fewer joints inside the picture are left out of this view.
            They are judged after selection, so that all views keep the same poses.
        min_side: Likewise people of whom the box around the joints has a shorter side, pixels.
        bystanders: Frame and joints ``[J, 3]`` of each who is there, but in no track.
        scene: As of Sequence.
        dropped: What the recipe itself has left out, by reason.
        checks: Self-checks of the recipe.

    Raises:
        CorruptInput: Arrays of a person that do not have one row per frame.
    """
    id = unit.id if id is None else id
    checks, dropped = dict(checks or {}), Counter(dropped or {})
    tracks = []
    for track in people:
        kept, n_unknown = _known_rows(_checked(track, frames))
        dropped[NO_JOINT] += n_unknown
        if isinstance(kept.bbox, np.ndarray) and kept.world_coords is not None:
            far = _joints_outside_box(kept, camera)
            name = "joints_outside_box_px"
            checks[name] = max(checks.get(name, 0.0), far)
        if min_joints_inside:
            kept.unusable = _few_inside(kept, camera, _size(frames), min_joints_inside)
        if min_side:
            kept.unusable = _too_small(kept, camera, _size(frames), min_side)
        tracks.append(kept)
    there: dict[int, list[Bystander]] = {}
    for frame, joints in bystanders:
        there.setdefault(frame, []).append(Bystander(joints))
    several = any(track.person for track in tracks)
    return Sequence(
        id=id,
        split=unit.split,
        frames=frames,
        camera=camera,
        tracks=tracks,
        image_name=image_name or _image_name(id, several),
        scene=scene,
        bystanders=there,
        dropped=+dropped,
        checks=checks,
    )


def joints_outside_boxes(
    where: str | os.PathLike,
    track: Track,
    camera: deltacamera.Camera,
    limit: float = 0.25,
    *,
    joints: slice = slice(None),
) -> float:
    """Returns how far joints project outside of their boxes at most, in pixels, in some frames.

    >>> from posepile.geometry.cameras import make_camera
    >>> from posepile.recipe import Track
    >>> camera = make_camera("left", focal=100, size=(640, 480))
    >>> joints = np.float32([[[0, 0, 900], [100, 0, 900]]])
    >>> person = Track(np.arange(1), world_coords=joints, bbox=np.array([[300, 220, 30, 40]]))
    >>> round(joints_outside_boxes("boxes.csv", person, camera), 1)
    0.6

    Args:
        where: File of the boxes, for the message.
        track: Has ``world_coords`` and ``bbox``; of boxes that are read when asked for, some ten.
        camera: A static one.
        limit: As of :func:`posepile.geometry.pictures.check_in_boxes`.
        joints: Which ones count.

    Raises:
        CorruptInput: A joint is further outside.
    """
    some = range(0, len(track.frames), 1 + len(track.frames) // 10)
    points = project(camera, track.world_coords[some][:, joints])
    return check_in_boxes(where, points, [track.bbox[k] for k in some], limit)


def _joints_outside_box(track: Track, camera: Cameras) -> float:
    """Returns how far any joint projects outside the box of its frame, in pixels."""
    points = project_frames(camera, track.frames, track.world_coords)
    low = np.asarray(track.bbox)[:, None, :2]
    high = low + np.asarray(track.bbox)[:, None, 2:4]
    outside = np.maximum(low - points, points - high)
    return float(np.max(outside, where=np.isfinite(outside), initial=0.0))


def _select_rows(track: Track, keep: np.ndarray) -> Track:
    """Returns a track of only some of its frames.

    Args:
        track: The whole one.
        keep: Positions to keep, or a truth value for each.
    """
    rows = np.arange(len(track.frames))[keep].tolist()

    def chosen(value: Any) -> Any:
        if value is None or isinstance(value, (str, int)):
            return value
        if isinstance(value, np.ndarray):
            return value[rows]
        if callable(value):
            return lambda k: value(rows[k])
        is_list = isinstance(value, list)
        return [value[k] for k in rows] if is_list else Rows(rows, value.__getitem__)

    return Track(**{f.name: chosen(getattr(track, f.name)) for f in dataclasses.fields(track)})


def _checked(track: Track, frames: Video | Stills) -> Track:
    n = len(track.frames)
    source = frames.path if isinstance(frames, Video) else _folder(frames)
    for name in ("world_coords", "image_coords", "bbox", "motion_coords", "activity", "note"):
        value = getattr(track, name)
        if value is not None and not isinstance(value, str) and len(value) != n:
            raise CorruptInput(
                source, f"person {track.person}: found {len(value)} {name}; expected {n}, one per "
                "annotated frame",
            )  # fmt: skip
    n_pictures = frames.n_frames if isinstance(frames, Video) else len(frames.paths)
    last = int(track.frames[-1]) if n else -1
    if n_pictures is not None and last >= n_pictures:
        raise CorruptInput(
            source,
            f"found {n_pictures} frames; expected at least {last + 1}: person {track.person} is "
            f"annotated in frame {last}",
        )
    return track


def _folder(frames: Stills) -> Path:
    return frames.paths[0].parent if frames.paths else Path()


def _known_rows(track: Track) -> tuple[Track, int]:
    """The track without frames in which no joint is known, and how many those are."""
    coords = track.image_coords if track.world_coords is None else track.world_coords
    if coords is None:
        return dataclasses.replace(track), 0
    known = np.isfinite(coords).all(axis=-1).any(axis=-1)
    kept = dataclasses.replace(track) if known.all() else _select_rows(track, known)
    return kept, int((~known).sum())


def _few_inside(
    track: Track, camera: Cameras, size: tuple[int, int] | None, least: int
) -> Callable[[int], str | None]:
    if size is None:
        raise TypeError("min_joints_inside needs the size of the frames")
    before, reason = track.unusable, f"fewer than {least} joints inside the picture"

    def unusable(k: int) -> str | None:
        found = before(k) if before else None
        now = camera(int(track.frames[k])) if callable(camera) else camera
        if found or now is None:
            return found
        n_inside = inside(project(now, track.world_coords[k]), size).sum()
        return reason if n_inside < least else None

    return unusable


def _too_small(
    track: Track, camera: Cameras, size: tuple[int, int] | None, least: float
) -> Callable[[int], str | None]:
    before = track.unusable

    def unusable(k: int) -> str | None:
        found = before(k) if before else None
        now = camera(int(track.frames[k])) if callable(camera) else camera
        if found or now is None:
            return found
        # Outside of the picture there is no box, which is said elsewhere.
        box = box_of_points(project(now, track.world_coords[k]), size)
        return SMALL if box[2:].min() < least else None

    return unusable


def _size(frames: Video | Stills) -> tuple[int, int] | None:
    if isinstance(frames, Video):
        return frames.size
    sizes = set(frames.sizes or ())
    return sizes.pop() if len(sizes) == 1 else None


def _image_name(id: str, several: bool) -> Callable[[int, int], str]:
    if several:
        return lambda frame, person: f"{id}/{frame:06d}_{person:02d}.jpg"
    return lambda frame, person: f"{id}/{frame:06d}.jpg"
