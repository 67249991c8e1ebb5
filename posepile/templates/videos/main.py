"""newdata: videos of static calibrated cameras with 3D key points of one person.

What is true of them is in facts.py; here is nothing to be edited. One unit is one take seen by one
camera. ``calibrate`` looks whether the key points lie on what moves in the videos.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from posepile.recipe import Sequence, Unit
from posepile.shapes.recordings import load_recording, recording_units
from posepile.shapes.recordings_check import MAX_OFF_PERSON, check_recordings, off_person
from posepile.templates.videos.facts import RECORDINGS, SPEC

__all__ = ["SPEC", "Options", "calibrate", "list_units", "load_unit"]


class Options(BaseModel):
    """Keys below ``dataset:`` in config.yaml."""

    model_config = ConfigDict(extra="forbid")

    look_at_videos: bool = True  # whether calibrate does; not where cameras move
    # Share of the body that may lie elsewhere than what moves in a video.
    max_off_person: float = Field(MAX_OFF_PERSON, ge=0, le=1)


def list_units(root: Path, options: Options) -> Iterator[Unit]:
    """Yields one unit per take and camera."""
    yield from recording_units(root, RECORDINGS)


def calibrate(root: Path, options: Options) -> list[str]:
    """Looks whether key points lie on the person in the videos; returns what was found."""
    if not options.look_at_videos:
        return []
    units = list_units(root, options)
    return check_recordings(units, RECORDINGS, SPEC, options.max_off_person)


def load_unit(root: Path, unit: Unit, options: Options) -> list[Sequence]:
    """Returns one take seen by one camera."""
    sequence = load_recording(unit, RECORDINGS, SPEC)
    if options.look_at_videos:  # so that the report of what is made has it
        sequence.checks |= off_person(unit, RECORDINGS, SPEC)
    return [sequence]
