"""Whether key points lie on the person whom videos of static cameras show.

Units, axes, directions of cameras and the instant of the first frame cannot be read off a file:
somebody says them. Here they are compared with what moves in the pictures, and where they do not
fit, what would fit is looked for among the usual mistakes.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from posepile.errors import CorruptInput
from posepile.geometry.sides import FEW_POSES, front, side_ratios
from posepile.recipe import DatasetSpec, Unit
from posepile.shapes.recordings import (
    Recordings,
    axes_matrix,
    first_row,
    numbered_otherwise,
    view_camera,
)
from posepile.shapes.recordings_mending import (
    GOOD,
    Seen,
    all_axes,
    exchanged,
    other_reading,
    unexplained,
    unit_hint,
)
from posepile.shapes.recordings_view import ENOUGH, Moving, RecordedView, moving_pixels
from posepile.shapes.units import unit_files

LEAST_FRAMES = 4
LEAST_MOVING, MOST_MOVING = 5e-4, 0.4  # share of the picture; else nothing is concluded
# As of the limits of the run, stages.plausible.CheckParams.
MOST_BACKWARDS, MOST_UNLIKE = 0.8, 1.4
MAX_OFF_PERSON = 0.4  # share of the body that may lie elsewhere in a video
SHORTEST, LONGEST = 500, 3200  # millimetres, diagonal of the box of a body, children included


@dataclass(frozen=True)
class Found:
    """What a video says.

    Attributes:
        share: Of the body that lies on what moves, 0..1; None where nothing can be concluded.
        reason: Why nothing can be.
        note: What else a person should know.
    """

    share: float | None
    reason: str = ""
    note: str = ""


def _check_recording(unit: Unit, recordings: Recordings, spec: DatasetSpec) -> Found:
    """Returns how much of the body lies on what moves in one video, see :func:`_check_take`."""
    return _check_take([unit], recordings, spec)[0]


def _check_take(
    units: list[Unit],
    recordings: Recordings,
    spec: DatasetSpec,
    max_off_person: float = MAX_OFF_PERSON,
) -> list[Found]:
    """Returns how much of the body lies on what moves in each video of a take.

    The cameras must not move. What moves is what differs from the median of some frames.

    Args:
        units: Of one take, from :func:`posepile.shapes.recordings.recording_units`.
        recordings: What is said to be true of the folder.
        spec: Has the joints with their edges.
        max_off_person: Share of the body that may lie elsewhere.

    Raises:
        CorruptInput: The body lies elsewhere; the message says which other reading would fit.
    """
    views = [RecordedView(unit, recordings, spec) for unit in units]
    _check_size(views[0])
    seen = [_seen(view) for view in views]
    _refuse_elsewhere([some for some in seen if isinstance(some, Seen)], max_off_person)
    _check_up(views[0])
    _check_sides(views[0])
    note = _note_of_numbers(views[0])
    found = [Found(some.share) if isinstance(some, Seen) else Found(None, some) for some in seen]
    return [dataclasses.replace(some, note=note) for some in found]


def off_person(unit: Unit, recordings: Recordings, spec: DatasetSpec) -> dict[str, float]:
    """Returns which share of the body lies elsewhere than what moves, among a sequence's checks.

    >>> from posepile.miniature.recordings import recorded_example
    >>> paths, spec = recorded_example(folder)
    >>> from posepile.shapes.recordings import recording_units
    >>> facts = Recordings(*paths, joints={})
    >>> unit, _ = recording_units(folder, facts)
    >>> off_person(unit, facts, spec)["off_person"] < 0.2
    True

    Returns:
        ``off_person``; nothing where nothing can be concluded from what moves.
    """
    seen = _seen(RecordedView(unit, recordings, spec), shifts=False)
    return {"off_person": 1 - seen.share} if isinstance(seen, Seen) else {}


def _note_of_numbers(view: RecordedView) -> str:
    """What is taken to be true of rows that are not numbered from 0 or 1 on."""
    if not numbered_otherwise(view.unit, view.points, view.recordings):
        return ""
    name = unit_files(view.unit)["keypoints"].name
    text = (
        f"{name}: rows are numbered from {view.points.first} on; the first one is taken for the "
    )
    return f"{text}first frame of the videos, which have as many"


def fitting_facts(
    units: list[Unit], recordings: Recordings, spec: DatasetSpec
) -> tuple[Recordings, tuple[float, float, float] | None, float]:
    """Returns the reading of units and axes that fits the videos best, of a folder just found.

    >>> from posepile.miniature.recordings import recorded_example
    >>> paths, spec = recorded_example(folder)
    >>> from posepile.shapes.recordings import recording_units
    >>> facts = Recordings(*paths, joints={}, camera_unit="m")  # which is wrong
    >>> found, up, share = fitting_facts(list(recording_units(folder, facts)), facts, spec)
    >>> found.camera_unit, found.axes, up, share > 0.8
    ('mm', 'xyz', (0.0, 0.0, 1.0), True)

    Args:
        units: Those of one take, of some cameras.
        recordings: What is known; units and axes are looked for.
        spec: Has the joints with their edges; its direction up does not count.

    Returns:
        The facts, the axis of the cameras' world along which people stand (None = not clear), and
        which share of the body lies on what moves, 0 if nothing fits.
    """
    spec = dataclasses.replace(spec, world_up=None)
    views = [RecordedView(unit, recordings, spec) for unit in units]
    views = [view for view in views if len(view.frames) >= LEAST_FRAMES]
    if not views:
        return recordings, None, 0.0
    moving = []
    for view in views:
        rows, pictures = view.spread()
        masks = moving_pixels(pictures, np.median(pictures, axis=0).astype(np.uint8))
        moving.append((Moving(masks), rows))
    scores: list[tuple[float, float, Recordings]] = []
    for inverted, unit in itertools.product((False, True), ("mm", "cm", "m")):
        facts = dataclasses.replace(recordings, camera_unit=unit, camera_to_world=inverted)
        cameras = [view_camera(view.unit, facts, spec)[0] for view in views]
        for axes in all_axes():
            fits = [
                view.fit(masks, rows, view.joints @ axes_matrix(axes).T, camera)
                for view, camera, (masks, rows) in zip(views, cameras, moving, strict=True)
            ]
            score = float(np.mean([a * b for a, b in fits]))
            found = float(np.mean([a for a, _ in fits]))
            scores.append((score, found, dataclasses.replace(facts, axes=axes)))
    best = max(score for score, _, _ in scores)
    # The first of those that fit about equally: what is most usual comes first.
    chosen, share = next((facts, s) for score, s, facts in scores if score >= best - 0.03)
    if share < ENOUGH:
        return recordings, None, 0.0
    standing = RecordedView(units[0], chosen, spec).standing
    up = None if standing is None else tuple(np.eye(3)[np.argmax(abs(standing))].tolist())
    if up is not None and standing @ np.asarray(up) < 0:
        up = tuple(-x + 0.0 for x in up)
    return chosen, up, share


def _seen(view: RecordedView, *, shifts: bool = True) -> Seen | str:
    """How the body lies on what moves; or why nothing can be concluded."""
    if len(view.frames) < LEAST_FRAMES:
        return "fewer than four frames"
    rows, pictures = view.spread()
    background = np.median(pictures, axis=0).astype(np.uint8)
    moving = Moving(moving_pixels(pictures, background))
    area = float(np.mean(moving.masks))
    if not LEAST_MOVING <= area <= MOST_MOVING:
        what = "hardly anything moves" if area < LEAST_MOVING else "nearly everything moves"
        return f"{what} in the video: {area:.1%} of its pixels"
    share, covered = view.fit(moving, rows, view.joints)
    shift = view.better_shift(background) if shifts else 0
    return Seen(view, share, covered, area, shift, moving, rows)


def _refuse_elsewhere(seen: list[Seen], max_off_person: float) -> None:
    """Makes sure that the body lies on the person in all videos of a take.

    Raises:
        CorruptInput: It does not; what explains it in all of them is named.
    """
    low = [some for some in seen if some.share < GOOD]
    if low:
        worst = min(low, key=lambda some: some.share)
        where = unit_files(worst.view.unit)["video"]
        text = f"found {worst.share:.0%} of the body on what moves in the picture; expected "
        if todo := exchanged(seen):
            raise CorruptInput(where, f"{text}{GOOD:.0%}", hint=todo)
    # Where the body of one camera lies elsewhere at the same instant, it is not the instant.
    if all(some.shift or some.share >= GOOD for some in seen):
        if shifted := [some for some in seen if some.shift]:
            _refuse_shifts(shifted)
    elif low:
        if todo := other_reading(worst, seen):
            raise CorruptInput(where, f"{text}{GOOD:.0%}", hint=todo)
        astray = worst.share < max(0.15, 2 * worst.area) and worst.covered < 0.3
        if worst.share < 1 - max_off_person or astray:
            raise CorruptInput(where, f"{text}{1 - max_off_person:.0%}", hint=unexplained(seen))


def _refuse_shifts(shifted: list[Seen]) -> None:
    first = shifted[0]
    text = f"the person moves like the key points {abs(first.shift)} row(s) "
    text += f"{'later' if first.shift > 0 else 'before'}; expected those of the same instant"
    rows = ", ".join(
        f'"{some.view.unit.id}": {first_row(some.view.unit, some.view.recordings) + some.shift}'
        for some in shifted
    )
    where = unit_files(first.view.unit)["video"]
    raise CorruptInput(where, text, hint=f"set first_row={{{rows}}}")


def _check_size(view: RecordedView) -> None:
    """Makes sure that the body is of human size.

    Raises:
        CorruptInput: It is not; a unit that makes it so is named.
    """
    length = _length(view.joints)
    if length is None or _is_human(length):
        return
    file = unit_files(view.unit)["keypoints"]
    text = f"found a body of {length:.3g} mm from end to end; expected {SHORTEST} to {LONGEST}"
    fits = (f for f in (10.0, 100.0, 1000.0, 0.1, 0.01, 0.001) if _is_human(f * length))
    factor = next(fits, None)
    todo = "see whether these are key points of a person"
    if factor is not None:
        todo = f"set {unit_hint(view, 'keypoint', factor)}"
        todo += ", and camera_unit likewise if the calibration has the same unit"
    raise CorruptInput(file, text, hint=todo)


def _check_up(view: RecordedView) -> None:
    """Makes sure that people stand upright, as most do most of the time.

    Raises:
        CorruptInput: They stand along another axis, which is named.
    """
    mean, up = view.standing, view.spec.world_up
    if mean is None or up is None or mean @ np.asarray(up) > 0.5:
        return
    axis, sign = int(np.argmax(np.abs(mean))), np.sign(mean[np.argmax(np.abs(mean))])
    up = tuple(float(sign) if k == axis else 0.0 for k in range(3))
    text = f"people stand along {'-' if sign < 0 else ''}{'xyz'[axis]} of the cameras' world; "
    text += f"expected world_up {view.spec.world_up}"
    todo = f"set world_up={up}, unless `axes` is wrong"
    raise CorruptInput(unit_files(view.unit)["keypoints"], text, hint=todo)


def _check_sides(view: RecordedView) -> None:
    """Makes sure that left and right, and knees and ankles, are what they are called.

    A body that lies on the person may have them exchanged.

    Raises:
        CorruptInput: They are not.
    """
    names = view.spec.joint_info.names
    index = {name.partition("_")[0]: j for j, name in reversed(list(enumerate(names)))}
    ahead = front(view.joints, index)
    ahead, text = ahead[ahead != 0], ""
    if len(ahead) > FEW_POSES and (ahead < 0).mean() > MOST_BACKWARDS:
        text = f"found knees, toes or noses backwards in {(ahead < 0).mean():.0%} of the poses; "
        text += "expected them to the front"
        todo = "are left and right exchanged in `joints`, or are key points mirrored? "
    for name, ratio in side_ratios(view.joints, index).items():
        if not text and max(ratio, 1 / ratio) > MOST_UNLIKE:
            text = f"found l{name} {ratio:.2g} times as long as r{name}; expected them alike"
            todo = "are two joints of a limb exchanged in `joints`? "
    if text:
        todo += "if not, dataset.look_at_videos=false leaves this out"
        raise CorruptInput(unit_files(view.unit)["keypoints"], text, hint=todo)


def _length(joints: np.ndarray) -> float | None:
    """Diagonal of the box of a body in the median, millimetres; None if nothing is known."""
    known = np.isfinite(joints).all(axis=-1)
    some = joints[known.sum(axis=-1) >= 3]
    if len(some) == 0:
        return None
    sides = np.nanmax(some, axis=1) - np.nanmin(some, axis=1)
    return float(np.median(np.linalg.norm(sides, axis=-1)))


def _is_human(length: float | None) -> bool:
    return length is not None and SHORTEST <= length <= LONGEST


def check_recordings(
    units: Iterable[Unit],
    recordings: Recordings,
    spec: DatasetSpec,
    max_off_person: float = MAX_OFF_PERSON,
) -> list[str]:
    """Returns, as lines for a person, how well key points lie on the person in all videos.

    >>> from posepile.miniature.recordings import recorded_example
    >>> paths, spec = recorded_example(folder)
    >>> from posepile.shapes.recordings import recording_units
    >>> facts = Recordings(*paths, joints={})
    >>> check_recordings(recording_units(folder, facts), facts, spec)[0][:30]
    'key points lie on the person: '

    Args:
        units: Of :func:`posepile.shapes.recordings.recording_units`.
        recordings: What is said to be true of the folder.
        spec: Has the joints with their edges.
        max_off_person: Share of the body that may lie elsewhere than what moves, in a video.

    Raises:
        CorruptInput: They do not in one of them; the message says which reading would fit.
    """
    shares, silent, notes = [], [], {}
    for _, take in itertools.groupby(units, key=lambda unit: unit.args["take"]):
        some = list(take)
        for unit, found in zip(
            some, _check_take(some, recordings, spec, max_off_person), strict=True
        ):
            notes |= {found.note: None} if found.note else {}
            if found.share is None:
                silent.append((unit.id, found.reason))
            else:
                shares.append((found.share, unit.id))
    lines = []
    if shares:
        worst, where = min(shares)
        lines.append(
            f"key points lie on the person: {np.mean([s for s, _ in shares]):.0%} of the body in "
            f"{len(shares)} videos, least {worst:.0%} in {where}"
        )
    if doubtful := [(share, where) for share, where in sorted(shares) if share < GOOD]:
        some = ", ".join(f"{where} {share:.0%}" for share, where in doubtful[:4])
        lines.append(
            f"probably wrong, below {GOOD:.0%}: {some}{' and more' if doubtful[4:] else ''}; look "
            "at the calibration of these cameras, at units and at the pictures"
        )
    if silent:
        where, reason = silent[0]
        lines.append(
            f"not compared with the person: {len(silent)} videos, the first {where}: {reason}"
        )
    return [*lines, *notes]
