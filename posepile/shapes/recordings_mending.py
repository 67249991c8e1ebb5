"""What explains that key points do not lie on the person: what people mistake, tried out."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from posepile.errors import UsageError
from posepile.geometry.cameras import MM_PER_UNIT
from posepile.shapes.recordings import axes_matrix, unit_in_mm, view_camera
from posepile.shapes.recordings_view import ENOUGH, Moving, RecordedView

GOOD = 0.85  # share of the body on what moves that is not questioned
CLEARLY = 0.2  # by which another reading must fit better to be believed


@dataclass(frozen=True)
class Seen:
    """What moves in a video, and how the body lies on it.

    Attributes:
        view: The video.
        share: Of the body that lies on what moves.
        covered: Share of what moves that is near the body.
        area: Share of the pictures that moves.
        shift: Rows by which the body must be shifted to move alike, 0 = none.
        moving: What moves in some pictures.
        rows: Of the key points in these.
    """

    view: RecordedView
    share: float
    covered: float
    area: float
    shift: int
    moving: Moving
    rows: np.ndarray

    def fit(self, joints: np.ndarray, camera=None) -> tuple[float, float]:
        """As :meth:`RecordedView.fit`."""
        return self.view.fit(self.moving, self.rows, joints, camera)


def unexplained(seen: list[Seen]) -> str:
    """Where to look when nothing explains what lies elsewhere."""
    low = [some.view.unit.args["view"] for some in seen if some.share < GOOD]
    if len(low) < len(seen):
        return f"the other cameras fit: look at the calibration and the video of {', '.join(low)}"
    return (
        "none of the usual mistakes explains it in all cameras: look at the calibration, and "
        "whether the key points are those of this take and of this size; if they are, raise "
        "dataset.max_off_person"
    )


def exchanged(seen: list[Seen]) -> str:
    """The names to set if cameras with others' names fit; empty if they do not."""
    best = {}
    for k, some in enumerate(seen):
        shares = [
            some.fit(some.view.joints, other.view.camera)[0]
            if other.view.size == some.view.size
            else 0.0
            for other in seen
        ]
        best[k] = k if shares[k] >= GOOD else int(np.argmax(shares))
        if best[k] != k and shares[best[k]] < GOOD:
            return ""
    if sorted(best.values()) != list(best) or all(k == at for k, at in best.items()):
        return ""
    views = [some.view.unit.args["view"] for some in seen]
    names = seen[0].view.recordings.camera_names
    pairs = {views[k]: names.get(views[at], views[at]) for k, at in best.items() if k != at}
    text = ", ".join(f'"{view}": "{name}"' for view, name in pairs.items())
    return f"cameras are exchanged: set camera_names={{{text}}}"


def other_reading(worst: Seen, seen: list[Seen]) -> str:
    """What to set that puts the body onto the person in all videos; empty if nothing does."""
    best, fits, todo, at = 0.0, 0.0, "", 0
    for k, (joints, camera, hint) in enumerate(_other_readings(worst.view)):
        share, there = worst.fit(joints, camera)
        if share >= ENOUGH and share * there > best:
            best, fits, todo, at = share * there, share, hint, k
    if best < worst.share * worst.covered + CLEARLY:
        return ""
    for some in seen:
        joints, camera, _ = next(itertools.islice(_other_readings(some.view), at, None))
        if some.fit(joints, camera)[0] < ENOUGH:
            return ""
    return f"{fits:.0%} with {todo}"


def all_axes() -> Iterator[str]:
    """All rotations by right angles; first that of equal axes and that of Pose2Sim's trc files."""
    yield from ("xyz", "zxy")
    for order in itertools.permutations("xyz"):
        for signs in itertools.product(("", "-"), repeat=3):
            axes = "".join(sign + axis for sign, axis in zip(signs, order, strict=True))
            if axes not in ("xyz", "zxy") and _matrix_or_none(axes) is not None:
                yield axes


def _other_readings(view: RecordedView) -> Iterator[tuple]:
    """Joints, camera (None = that of the view) and what to set, by what people mistake."""
    own = axes_matrix(view.recordings.axes)
    up = view.spec.world_up
    for axes in all_axes():
        turn, body = axes_matrix(axes), view.standing
        if np.array_equal(turn, own):
            continue
        if up is not None and body is not None and (turn @ own.T @ body) @ up < 0.5:
            continue  # people would not stand upright
        yield view.joints @ (turn @ own.T).T, None, f'axes="{axes}"'
    # Bodies of human size are right as they are: it is the cameras that stand wrongly then.
    for factor in (0.001, 0.01, 0.1, 10.0, 100.0, 1000.0):
        yield view.joints * factor, None, unit_hint(view, "camera", factor)
    other = not view.recordings.camera_to_world
    turned = dataclasses.replace(view.recordings, camera_to_world=other)
    camera, _ = view_camera(view.unit, turned, view.spec)
    yield view.joints, camera, f"camera_to_world={other}"


def unit_hint(view: RecordedView, of: str, factor: float) -> str:
    """Which unit makes the key points, relative to the cameras, so many times as large."""
    facts = view.recordings
    given = facts.camera_unit if of == "camera" else facts.keypoint_unit or view.points.unit
    mm = unit_in_mm(given) * (1 / factor if of == "camera" else factor)
    known = (f'"{unit}"' for unit, size in MM_PER_UNIT.items() if abs(size / mm - 1) < 1e-6)
    return f"{of}_unit={next(known, f'{mm:g}')}"


def _matrix_or_none(axes: str) -> np.ndarray | None:
    try:
        return axes_matrix(axes)
    except UsageError:
        return None
