"""What is known of the clips besides their files: motion, split and labels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pydantic

from posepile.ds.amarv.layout import AmarvLayout, NameEntry
from posepile.errors import CorruptInput
from posepile.files import names_in
from posepile.formats import babel
from posepile.formats.text_files import read_json
from posepile.paths import named_folder
from posepile.shapes.described.layout import Clip


@dataclass(frozen=True)
class Labels:
    """What is known of the clips besides their files.

    Attributes:
        names: Clip id -> the motion it shows, where that is known.
        entries: Path inside the AMASS archive -> BABEL labels.
        splits: AMASS subject -> split.
        conflicts: One line for each subject that BABEL has on several sides.
    """

    names: dict[str, NameEntry]
    entries: dict[str, babel.BabelEntry]
    splits: dict[str, str]
    conflicts: list[str]

    def motion(self, clip: Clip) -> str:
        """Returns the path of a clip's motion inside the AMASS archive.

        A clip whose motion is not known is of a subject of its own name: its source.
        """
        name = self.names.get(clip.id)
        return f"{clip.source}/{clip.name}" if name is None else name.amass_path

    def subject(self, clip: Clip) -> str:
        """Returns the AMASS subject of a clip."""
        return babel.subject_of(self.motion(clip))

    def entry(self, clip: Clip) -> babel.BabelEntry | None:
        """Returns the BABEL labels of a clip."""
        return self.entries.get(self.motion(clip))

    def describe(self, clip: Clip) -> dict:
        """Returns what load_unit must know of a clip; so labels count for the cache key."""
        name, entry = self.names.get(clip.id), self.entry(clip)
        return {
            "amass_path": None if name is None else name.amass_path,
            "start_t": 0.0 if name is None else name.start_t,
            "babel": None if entry is None else [entry.split, entry.duration],
            "segments": [] if entry is None else [list(s) for s in entry.segments],
            "whole": [] if entry is None else list(entry.whole),
        }


def load_labels(
    root: Path, layout: AmarvLayout, clips: list[Clip], babel_root: str | None
) -> Labels:
    """Reads name map and BABEL, and finds a split for every subject of the clips.

    Raises:
        CorruptInput: A file is missing, or an entry is not of the expected form.
    """
    names, entries = layout.name_map, {}
    if isinstance(names, str):
        path = layout.base(root) / names
        hint = "write it, or correct name_map in the manifest"
        try:
            names = read_json(path, hint=hint)
            names = pydantic.TypeAdapter(dict[str, NameEntry]).validate_python(names)
        except pydantic.ValidationError as e:
            first = e.errors()[0]
            where = ".".join(map(str, first["loc"])) or "file"
            raise CorruptInput(
                path, f"not a map from clip to amass_path: {where}: {first['msg'].lower()}"
            ) from None
    if layout.labels is not None:
        entries = babel.load_babel(babel_folder(root, babel_root), layout.labels.split_files)
    labels = Labels(names, entries, {}, [])
    splits, conflicts = babel.assign_splits({labels.motion(clip) for clip in clips}, entries)
    return Labels(names, entries, splits, conflicts)


def activities(args: dict, n_frames: int, fps: float) -> list[str]:
    """Returns the activity of every frame of a clip, by the time it has in the AMASS motion.

    Args:
        args: The clip as :meth:`Labels.describe` describes it.
        n_frames: Of its video.
        fps: Of its video.
    """
    if args["babel"] is None:
        return ["unknown"] * n_frames
    segments = tuple((name, start, end) for name, start, end in args["segments"])
    entry = babel.BabelEntry(*args["babel"], segments, tuple(args["whole"]))
    return [babel.activity_at(entry, args["start_t"] + t / fps) for t in range(n_frames)]


def babel_folder(root: Path, babel_root: str | None) -> Path:
    """Returns the folder of the BABEL files: configured, or in one of the usual places."""
    if babel_root is not None:
        return named_folder(babel_root, "dataset.babel_root")
    tails = ("babel_v1.0_release", "babel/babel_v1.0_release", "babel")
    places = [base / tail for base in (root, root.parent) for tail in tails]
    return next((p for p in places if names_in(p)), places[0])
