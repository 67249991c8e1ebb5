"""Examples as a recording of the Rerun viewer (https://rerun.io), an ``.rrd`` file.

Rerun's pixels reach from 0 to 1, with the centre of the first at (0.5, 0.5) (issue 3896 of
rerun-io/rerun); ours have it at (0, 0). So half a pixel is added to everything that lies in a
picture, the principal point included. Lengths stay millimetres.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from posepile.errors import UsageError
from posepile.export.rows import Row, make_row
from posepile.recipe import SPLITS
from posepile.report.drawing import side_color
from posepile.store.example_list import as_example_list
from posepile.store.origin import UNKNOWN
from posepile.viewer.chosen import Chosen
from posepile.viewer.pictures import mask_of, picture_of, size_of
from posepile.viewer.scene import camera_of, points2d

PERSON = 1  # the class of joints, boxes and masks; 0 is nothing
PICTURES = "pictures"  # where examples are that belong to no recording
HALF = 0.5
_BOX, _MASK, _VALID = (255, 255, 0), (255, 0, 160), (160, 160, 160)
_MOST_TABS, _MOST_VIEWS = 24, 16
_UPS = {
    (0, 1): "RIGHT_HAND_X_UP",
    (0, -1): "RIGHT_HAND_X_DOWN",
    (1, 1): "RIGHT_HAND_Y_UP",
    (1, -1): "RIGHT_HAND_Y_DOWN",
    (2, 1): "RIGHT_HAND_Z_UP",
    (2, -1): "RIGHT_HAND_Z_DOWN",
}


class Written(NamedTuple):
    """What was written.

    Attributes:
        examples: How many examples.
        recordings: Of how many recordings; all single pictures together are one.
        lenses: How many have a lens, which Rerun's cameras cannot have: there the pose in space
            does not lie exactly over the picture, the joints in the picture do.
    """

    examples: int
    recordings: int
    lenses: int


class _Seen(NamedTuple):
    row: Row
    root: tuple[str, ...]
    view: str
    person: str
    time: int


def require_rerun() -> Any:
    """Returns the library.

    Raises:
        UsageError: It is not installed.
    """
    try:
        import rerun
        import rerun.blueprint
    except ImportError:
        raise UsageError(
            "--rerun: the library of Rerun is not installed; pip install 'rerun-sdk>=0.23'"
        ) from None
    return rerun


def write_rrd(
    dataset: Any,
    chosen: Chosen,
    place: Path,
    progress: Callable[[Iterable[Any]], Iterable[Any]] = iter,
) -> Written:
    """Writes examples into a file for Rerun: ``/RECORDING/cameras/VIEW/picture/…`` and
    ``/RECORDING/poses/VIEW/…``, by the frame; single pictures below ``/pictures``, one by one.

    Args:
        dataset: The dataset.
        chosen: Which examples.
        place: The file; one that is there is replaced when the new one is complete.
        progress: Hands on what it is given.

    Raises:
        UsageError: Rerun is not installed.
    """  # noqa: D205
    rr = require_rerun()
    every = _placed(dataset, chosen)
    handle, temporary = tempfile.mkstemp(".rrd", f".{place.stem[:40]}", place.parent)
    os.close(handle)
    try:
        recording = rr.RecordingStream("posepile")
        recording.save(temporary, default_blueprint=_blueprint(rr, every))
        lenses = _log(rr, recording, dataset, every, progress)
        recording.disconnect()  # all of it is in the file then
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, place)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    return Written(len(every), len({seen.root for seen in every}), lenses)


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _placed(dataset, chosen) -> list[_Seen]:
    """Says of each example where it lies in the file, and when, in the order of time."""
    lists = {s: as_example_list(dataset.examples[i]) for i, s in enumerate(SPLITS)}
    rows = [make_row(split, i, lists[split][i]) for split, i in chosen]
    groups = defaultdict(list)
    for row in rows:
        head = (row.dataset,) if dataset.is_merged else ()
        groups[(*head, _fact(row, "recording") or row.record.image_path)].append(row)
    found, single = [], []
    for root, members in groups.items():
        if len({(_fact(row, "view"), row.record.frame) for row in members}) == 1:
            single += members
            continue
        apart = _has_own_crops(members)
        for row in members:
            person = _person(row)
            view = _fact(row, "view") or "camera"
            view = f"{view} {person}" if apart else view
            found.append(_Seen(row, root, view, person, int(row.record.frame)))
    times: dict[str, int] = {}
    for row in single:
        time = times.setdefault(row.record.image_path, len(times))
        view = "no camera" if camera_of(row.example) is None else "camera"
        found.append(_Seen(row, (PICTURES,), view, _person(row), time))
    return sorted(found, key=lambda seen: (seen.root, seen.time))


def _has_own_crops(rows):
    """Whether people who are seen by a camera at once have a picture each."""
    paths = defaultdict(set)
    for row in rows:
        paths[_fact(row, "view"), row.record.frame].add(row.record.image_path)
    return any(len(some) > 1 for some in paths.values())


def _fact(row, name):
    value = row.fact(name)
    return "" if value in (None, UNKNOWN) else str(value)


def _person(row):
    track = getattr(row.example, "track", None)
    known = track is not None and int(track) >= 0
    return f"person {int(track) if known else int(row.record.person)}"


def _picture(seen):
    return [*seen.root, "cameras", seen.view, "picture"]


def _blueprint(rr, every):
    """A tab per recording: its world beside the pictures of its cameras."""
    import rerun.blueprint as rrb

    tabs = []
    for root in list(dict.fromkeys(seen.root for seen in every))[:_MOST_TABS]:
        own = [seen for seen in every if seen.root == root]
        pictures = {seen.view: rr.new_entity_path(_picture(seen)) for seen in own}
        views = [
            rrb.Spatial2DView(origin=origin, name=view)
            for view, origin in sorted(pictures.items())[:_MOST_VIEWS]
        ]
        parts = [rrb.Grid(*views)]
        if any(seen.row.example.KIND == "3d" for seen in own):
            parts.insert(0, rrb.Spatial3DView(origin=rr.new_entity_path(list(root)), name="world"))
        tabs.append(rrb.Horizontal(*parts, name=" ".join(root)))
    return rrb.Blueprint(rrb.Tabs(*tabs))


def _log(rr, recording, dataset, every, progress):
    """Writes all examples and returns how many have a lens."""
    recording.log("/", _meaning_of_numbers(rr, dataset.joint_info), static=True)
    moments = defaultdict(list)
    for seen in every:
        moments[seen.root, seen.time].append(seen)
    lenses, shown = 0, _Shown(rr, recording, dataset.joint_info)
    for (root, time), members in progress(moments.items()):
        recording.reset_time()
        recording.set_time("example" if root == (PICTURES,) else "frame", sequence=time)
        shown.begin(root)
        for seen in {seen.view: seen for seen in members}.values():
            camera = camera_of(seen.row.example)
            lenses += camera is not None and camera["lens"]
            if camera is not None and root != (PICTURES,) and shown.is_first(root):
                recording.log(list(root), _up(rr, camera["up"]), static=True)
            _log_picture(rr, shown, seen, camera)
        for seen in members:
            _log_person(rr, shown, seen)
        shown.end()
    return lenses


class _Shown:
    """What is on the screen at a moment.

    What has been written stays there until something else takes its place, so what is not there
    any more is cleared. No place is cleared and written at the same time: the viewer would leave
    out the camera there.
    """

    def __init__(self, rr, recording, joint_info):
        self.edges = np.array(joint_info.stick_figure_edges, int).reshape(-1, 2)
        names = list(joint_info.names)
        sides = [sorted((names[a], names[b]), key=lambda n: n[0] in "lr") for a, b in self.edges]
        self.colors = np.array([side_color(pair[1]) for pair in sides], int).reshape(-1, 3)
        self._rr, self._recording = rr, recording
        self._root: tuple[str, ...] = ()
        self._before: set[tuple[str, ...]] = set()
        self._now: set[tuple[str, ...]] = set()
        self._with_up: set[tuple[str, ...]] = set()

    def is_first(self, root):
        """Whether this is asked for the first time of a recording."""
        known = root in self._with_up
        self._with_up.add(root)
        return not known

    def begin(self, root):
        """Goes on to the next moment, of the same recording or of another one."""
        if root != self._root:
            self._root, self._before = root, set()
        self._now = set()

    def log(self, place, what):
        """Writes something."""
        self._recording.log(list(place), what)
        self._now.add(tuple(place))

    def end(self):
        """Clears what is not there any more."""
        for place in sorted(self._before - self._now):
            self._recording.log(list(place), self._rr.Clear(recursive=False))
        self._before = self._now


def _meaning_of_numbers(rr, joint_info):
    names = list(joint_info.names)
    person = rr.ClassDescription(
        info=rr.AnnotationInfo(id=PERSON, label="person", color=_MASK),
        keypoint_annotations=[
            rr.AnnotationInfo(id=j, label=name, color=side_color(name))
            for j, name in enumerate(names)
        ],
        # No connections: the viewer draws those without an order, partly behind the picture.
    )
    nobody = rr.AnnotationInfo(id=0, label="", color=(0, 0, 0, 0))  # else the viewer tints it
    return rr.AnnotationContext([nobody, person])


def _up(rr, up):
    axis = int(np.argmax(np.abs(up)))
    return getattr(rr.ViewCoordinates, _UPS[axis, int(np.sign(up[axis]))])


def _log_picture(rr, shown, seen, camera):
    place, row = _picture(seen), seen.row
    width, height = size_of(row)
    if camera is not None:
        rotation = np.reshape(camera["rotation"], (3, 3))
        position = np.array(camera["position"])
        shown.log(place[:-1], rr.Transform3D(translation=position, mat3x3=rotation.T))
        intrinsics = np.reshape(camera["intrinsics"], (3, 3)).copy()
        intrinsics[:2, 2] += HALF
        shown.log(
            place,
            rr.Pinhole(
                image_from_camera=intrinsics,
                resolution=[width, height],
                camera_xyz=rr.ViewCoordinates.RDF,
                image_plane_distance=_distance(row, position),
            ),
        )
    kind, data = picture_of(row)
    shown.log(place, rr.EncodedImage(contents=data, media_type=kind))
    name = row.record.image_path
    shown.log(place, rr.AnyValues(image_path=name, split=row.split, position=row.position))


def _distance(row, position):
    """How far from the camera its picture is drawn in space, in millimetres."""
    world = row.example.get_world_coords() if row.example.KIND == "3d" else None
    if world is None or not np.isfinite(world).all(axis=-1).any():
        return 500.0
    away = np.linalg.norm(np.nanmedian(np.asarray(world, np.float64), axis=0) - position)
    return float(np.clip(away / 5, 50, 5000))


def _log_person(rr, shown, seen):
    row, place = seen.row, [*_picture(seen), seen.person]
    joints = points2d(row.example)
    if joints is not None:
        there = _there(joints)
        shown.log(
            [*place, "joints"],
            rr.Points2D(
                joints[there] + HALF,
                keypoint_ids=there,
                class_ids=PERSON,
                show_labels=False,
                draw_order=100.0,
            ),
        )
        strips, colors = _bones(shown, joints + HALF, there)
        shown.log([*place, "bones"], rr.LineStrips2D(strips, colors=colors, draw_order=90.0))
    box = np.asarray(row.record.bbox, np.float64)
    if box.shape == (4,) and np.isfinite(box).all():
        shifted = [*(box[:2] + HALF), *box[2:]]
        shown.log(
            [*place, "box"],
            rr.Boxes2D(array=[shifted], array_format=rr.Box2DFormat.XYWH, colors=[_BOX]),
        )
    mask = mask_of(row)
    if mask is not None:
        shown.log([*place, "mask"], rr.SegmentationImage(mask * PERSON, opacity=0.4))
    valid = row.record.valid_poly
    if valid is not None and len(valid) and np.isfinite(valid).all():
        closed = np.concatenate([valid, valid[:1]]).astype(np.float64) + HALF
        shown.log([*place, "valid area"], rr.LineStrips2D([closed], colors=[_VALID]))
    world = row.example.get_world_coords() if row.example.KIND == "3d" else None
    if world is not None and len(there := _there(np.asarray(world))):
        strips, colors = _bones(shown, np.asarray(world), there)
        pose = [*seen.root, "poses", seen.view, seen.person]
        shown.log([*pose, "bones"], rr.LineStrips3D(strips, colors=colors))
        shown.log(
            [*pose, "joints"],
            rr.Points3D(
                np.asarray(world)[there], keypoint_ids=there, class_ids=PERSON, show_labels=False
            ),
        )


def _bones(shown, points, there):
    """Returns both ends of the bones whose joints are there, and the colours of these bones."""
    both = np.isin(shown.edges, there).all(axis=1)
    return points[shown.edges[both]].astype(np.float32), shown.colors[both]


def _there(points):
    return np.flatnonzero(np.isfinite(points).all(axis=1) & (np.abs(points) < 1e9).all(axis=1))
