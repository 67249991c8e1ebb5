"""From annotations to the list of selected examples; no pixel is read."""

from __future__ import annotations

import functools
import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from posepile.errors import CorruptInput, UsageError
from posepile.imaging.videos import frame_rate
from posepile.recipe import Sequence, Stills, Track, Video
from posepile.stages import plausible
from posepile.stages.counts import Counts
from posepile.stages.exclusions import Exclusion, matching
from posepile.stages.motion import check_motion
from posepile.stages.poses import check_pixels, check_poses
from posepile.stages.select import Selected, SelectParams, select_frames
from posepile.stages.sides import refuse_wrong_sides
from posepile.store.parts import write_part

if TYPE_CHECKING:
    from posepile.stages.task import StageParams, Task

VERSION = 2
TWICE = plausible.IMPLAUSIBLE + "somebody else in the frame has the same joints"

SET_ASIDE = "in a quarantined picture"


def identity(params: StageParams) -> dict[str, Any]:
    """Returns what of the parameters (and this code) the selection depends on."""
    return {
        "version": VERSION,
        "select": params.select.model_dump(mode="json"),
        # How many a detector must find is judged when all units are done.
        "check": params.check.model_dump(mode="json", exclude={"min_detected"}),
    }


def run(task: Task) -> None:
    """Selects the examples of a unit and writes how many there are."""
    for sequence in task.sequences():
        plausible_examples(task, sequence)
        task.progress()
    write_part(task.out, {"result": task.result()}, {})


def plausible_examples(task: Task, sequence: Sequence) -> list[Selected]:
    """Returns the selected examples of a sequence without those whose pose cannot be right.

    Raises:
        CorruptInput: As :func:`selected_examples`; or too many poses cannot be right.
    """
    params, spec, counts = task.params, task.spec, task.counts
    selected = selected_examples(sequence, params.select, task.exclusions, counts)
    if not params.check.enabled:
        return selected
    by_track: dict[int, list[int]] = {}
    for i, choice in enumerate(selected):
        by_track.setdefault(id(choice.track), []).append(i)
    faulty: dict[int, tuple[str, str]] = {}
    poses = []
    for chosen in by_track.values():
        track = selected[chosen[0]].track
        positions = np.array([selected[i].k for i in chosen])
        if track.image_coords is not None:
            found = check_pixels(np.asarray(track.image_coords)[positions])
            faulty |= {chosen[k]: fault for k, fault in found.items()}
        if track.world_coords is None:
            continue
        coords = np.asarray(track.world_coords)[positions]
        found = check_poses(
            coords, spec.joint_info, params.check,
            one_person=track.one_person, far_from_origin=spec.far_from_origin,
        )  # fmt: skip
        if track.one_person and isinstance(sequence.frames, Video):
            moving, n_jumps = check_motion(
                track.frames, track.world_coords, positions, rate_of(sequence.frames),
                params.check, synthetic=spec.synthetic,
            )  # fmt: skip
            found = moving | found
            if n_jumps:
                counts.notes[f"moves at over {params.check.max_speed:g} m/s"] += n_jumps
        faulty |= {chosen[k]: fault for k, fault in found.items()}
        poses.append(coords[[k for k in range(len(coords)) if k not in found]])
    faulty |= people_twice(selected)
    if faulty:
        dropped = Counter(reason for reason, _ in faulty.values())
        counts.dropped.update(dropped)
        # The message gives the first implausible one, which held poses are not.
        first = min(faulty, key=lambda i: (not faulty[i][0].startswith(plausible.IMPLAUSIBLE), i))
        example = describe(selected[first], faulty[first][1])
        n = sum(
            choice.track.world_coords is not None or choice.track.image_coords is not None
            for choice in selected
        )
        plausible.refuse_if_many(source_name(sequence), n, dropped, example, params.check)
    if poses:
        coords = np.concatenate(poses)
        refuse_wrong_sides(source_name(sequence), coords, spec.joint_info, params.check)
    return [choice for i, choice in enumerate(selected) if i not in faulty]


def rate_of(video: Video) -> Callable[[], float | None]:
    """Returns a function that gives frames per second, None if unknown; the file is read once."""

    @functools.cache
    def rate() -> float | None:
        try:
            return frame_rate(video.path)
        except CorruptInput:  # reported when its frames are read
            return None

    return rate


def people_twice(selected: list[Selected]) -> dict[int, tuple[str, str]]:
    """Returns who has exactly the joints of another person of the frame: position -> fault.

    The first of them is not in it.
    """
    faults: dict[int, tuple[str, str]] = {}
    first: dict[tuple[int, bytes], int] = {}
    for i, choice in enumerate(selected):
        if choice.track.world_coords is None:
            continue
        joints = np.asarray(choice.track.world_coords[choice.k])
        if np.isnan(joints).all():
            continue
        person = first.setdefault((choice.frame, joints.tobytes()), choice.track.person)
        if person != choice.track.person:
            faults[i] = TWICE, f"has the joints of person {person}"
    return faults


def describe(selected: Selected, text: str) -> str:
    """Returns where something was found, and what."""
    return f"frame {selected.frame}, person {selected.track.person}: {text}"


def selected_examples(
    sequence: Sequence, params: SelectParams, exclusions: list[Exclusion], counts: Counts
) -> list[Selected]:
    """Decides which person-frames become examples, in order of (frame, person).

    Exclusion comes before selection, so that a bad pose is never the one others are compared with.

    Raises:
        CorruptInput: Arrays of a track disagree in length or its frames are not increasing.
        UsageError: Motion selection was asked of a track without joint coordinates.
    """
    counts.dropped.update(sequence.dropped)
    for name, value in sequence.checks.items():
        counts.check(name, float(value))
    entries = matching(exclusions, [sequence.id])
    selected = []
    for track in sequence.tracks:
        check_track(sequence, track)
        counts.annotated += len(track.frames)
        positions = np.arange(len(track.frames))
        if entries:
            reasons = [
                next((e.reason for e in entries if e.covers(int(f), track.person)), None)
                for f in track.frames
            ]
            counts.excluded.update(r for r in reasons if r is not None)
            positions = np.array([k for k, r in enumerate(reasons) if r is None], int)
        if params.method != "none" and sequence.split not in params.unfiltered:
            coords = track.motion_coords if track.motion_coords is not None else track.world_coords
            if coords is None:
                raise UsageError(
                    f"select.method = {params.method} compares poses, but {sequence.id} has no "
                    "joint coordinates; set select.method to none"
                )
            positions = positions[select_frames(coords[positions], params)]
        counts.selected += len(positions)
        for k in map(int, positions):
            try:
                reason = None if track.unusable is None else track.unusable(k)
            except CorruptInput as e:
                counts.quarantine(e, int(track.frames[k]))
                counts.dropped[SET_ASIDE] += 1
                continue
            if reason is None:
                selected.append(Selected(int(track.frames[k]), track, k))
            else:
                counts.dropped[reason] += 1
    selected.sort(key=lambda s: (s.frame, s.track.person))
    return selected


def set_aside(counts: Counts, error: CorruptInput, frame: int, group: list[Selected]) -> None:
    """Quarantines a picture: of who was selected in it, it counts that they are left out."""
    counts.quarantine(error, frame)
    counts.dropped[SET_ASIDE] += len(group)


def by_frame(selected: list[Selected]) -> Iterator[tuple[int, list[Selected]]]:
    """Groups selected examples by source frame."""
    for frame, group in itertools.groupby(selected, key=lambda s: s.frame):
        yield frame, list(group)


def check_track(sequence: Sequence, track: Track) -> None:
    """Makes sure that all arrays of a track have one entry per frame, and that frames increase.

    Raises:
        CorruptInput: They do not.
    """
    n = len(track.frames)
    where = source_name(sequence)
    for name in ("world_coords", "image_coords", "bbox", "motion_coords", "hidden"):
        array = getattr(track, name)
        if array is not None and len(array) != n:
            raise CorruptInput(
                where, f"{sequence.id}, person {track.person}: {len(array)} {name} for {n} frames"
            )
    for name in ("activity", "note"):
        value = getattr(track, name)
        if isinstance(value, list) and len(value) != n:
            raise CorruptInput(
                where, f"{sequence.id}, person {track.person}: {len(value)} {name} for {n} frames"
            )
    frames = np.asarray(track.frames)  # compared, as differences of unsigned ones wrap round
    if n and (np.any(frames[1:] <= frames[:-1]) or frames[0] < 0):
        raise CorruptInput(
            where, f"{sequence.id}, person {track.person}: frame indices do not increase from 0"
        )


def source_name(sequence: Sequence, frame: int | None = None) -> str:
    """The file to name in a message about a sequence (or one of its frames)."""
    source = sequence.frames
    if isinstance(source, Video):
        return str(source.path)
    if isinstance(source, Stills) and source.paths:
        return str(source.paths[frame if frame is not None else 0])
    return sequence.id
