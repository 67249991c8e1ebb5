"""AMARV: AMASS motions rendered as video from four synchronised views.

The released tree is documented nowhere; everything is read through configs/amarv_layout.yaml
(posepile.shapes.described), and nothing is read before that is found to agree with the files.
BABEL gives activities and the split.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from posepile.bodies.amass import AmassIndex, find_amass
from posepile.bodies.joints import SMPLH_JOINT_NAMES
from posepile.ds.amarv import unlock
from posepile.ds.amarv.labels import activities, babel_folder, load_labels
from posepile.ds.amarv.layout import AmarvLayout
from posepile.ds.amarv.motion import load_amarv_clip, open_index
from posepile.errors import CorruptInput, WorkError
from posepile.files import names_in
from posepile.formats.yaml_files import read_yaml
from posepile.joint_info import JointInfo
from posepile.paths import config_dir
from posepile.recipe import CHOOSES_UNITS, DatasetSpec, Sequence, Unit, chosen_subjects
from posepile.shapes.described.clips import WORLD_UP
from posepile.shapes.described.layout import Clip
from posepile.shapes.described.sequences import make_sequence
from posepile.shapes.described.units import (
    clip_of,
    clip_units,
    require_pictures,
    validate_once,
    validated_clips,
)
from posepile.shapes.described.validation import Findings, validate

SPEC = DatasetSpec(
    name="amarv",
    joint_info=JointInfo(
        SMPLH_JOINT_NAMES,
        "head-neck-thor-spin-bell-pelv-rhip-rkne-rank-rtoe,thor-rcla-rsho-relb-rwri,"
        + ",".join(f"rwri-r{f}1-r{f}2-r{f}3" for f in "thumb index middle ring pinky".split()),
    ),
    image_dir="amarv_downscaled",
    world_up=WORLD_UP,
    single_person=True,
    synthetic=True,
    body_shape="exact",
    n_valid_betas=16,
    citation="schneider2024synthact",
    licence="MIT (AMARV's own part); AMASS licence (motions); BABEL licence (labels)",
    sequence_names=r"(?P<motion>.+)/v(?P<view>\d+)",
)


class Options(BaseModel):
    """Keys below ``dataset:`` in configs/amarv.yaml.

    Attributes:
        subjects: AMASS subjects to pack, ``<folder>/<subject>`` such as ``CMU/01``; None = all.
        layout: The layout manifest, relative to the configs folder or absolute.
        amass_root: AMASS folder; None = search the usual places.
        babel_root: Folder of the BABEL JSON files; None = search the usual places.
        clips_per_unit: How many clips of one source make a unit of work.
        validate_clips: How many clips validation opens, at least.
        max_amass_mm: Largest distance allowed between joints of a clip and those of its AMASS
            frames; beyond, it does not show them, and gets no body parameters.
    """

    model_config = ConfigDict(extra="forbid")

    subjects: list[str] | None = Field(None, min_length=1, json_schema_extra=CHOOSES_UNITS)
    layout: str = "amarv_layout.yaml"
    amass_root: str | None = None
    babel_root: str | None = None
    clips_per_unit: int = Field(10, ge=1)
    validate_clips: int = Field(12, ge=1)
    max_amass_mm: float = Field(50.0, gt=0)


def calibrate(root: Path, options: Options) -> list[str]:
    """Validates the manifest against the files, and reports how clips were split."""
    layout = read_layout(options)
    asked = [str(find_amass(root, options.amass_root)), options.validate_clips]
    report = validate_once(root, layout, "amarv", lambda: run_validation(root, options), asked)
    clips = validated_clips(root, layout, "amarv")
    labels = load_labels(root, layout, clips, options.babel_root)
    labelled = sum(labels.entry(c) is not None for c in clips)
    counts = Counter(labels.splits[labels.subject(c)] for c in clips)
    sides = ", ".join(f"{n} {s}" for s, n in sorted(counts.items()))
    return [*report, f"clips: {sides}; {labelled} with BABEL labels", *labels.conflicts]


def download(root: Path, options: Options) -> list[str]:
    """Unlocks archives that were put below ``archives/``; says what only a person can fetch."""
    lines = unlock.unlock(root, options.amass_root)
    require_files(root, read_layout(options), options.babel_root)
    return lines


def doctor(root: Path, options: Options) -> list[str]:
    """Problems that validation finds."""
    return run_validation(root, options).problems


def plan(root: Path, options: Options) -> list[str]:
    """What is there of AMASS, which the password of the archives is made from."""
    found = find_amass(root, options.amass_root)
    if found is None:
        return ["AMASS: not found; set AMASS_ROOT or dataset.amass_root, the password needs it"]
    files, missing = unlock.find_password_files(found)
    n = len(files) + len(missing)
    lines = [f"AMASS: {found}: {len(files)} of {n} files for the password"]
    lines += [f"  does not fit: {doubt}" for doubt in unlock.doubtful_files(found)]
    return lines + [f"  the password: python -m posepile.ds.amarv.unlock {found}"] * (not missing)


def list_units(root: Path, options: Options) -> Iterator[Unit]:
    """Yields units of some clips of one source and split each, with all their views."""
    layout = read_layout(options)
    clips = validated_clips(root, layout, "amarv")
    labels = load_labels(root, layout, clips, options.babel_root)
    index = amass_index(root, layout, options)
    chosen = chosen_subjects(options.subjects, labels.splits)

    def motion_files(clip: Clip) -> list[Path]:
        known = index is not None and clip.id in labels.names
        path = index.find(labels.names[clip.id].amass_path) if known else None
        return [path] if path else []

    yield from clip_units(
        root,
        layout,
        clips,
        lambda clip: labels.splits[labels.subject(clip)],
        options.clips_per_unit,
        wanted=lambda clip: labels.subject(clip) in chosen,
        describe=labels.describe,
        more_inputs=motion_files,
    )


def load_unit(root: Path, unit: Unit, options: Options) -> list[Sequence]:
    """Returns one sequence per clip and view."""
    layout = read_layout(options)
    index = amass_index(root, layout, options)
    sequences = []
    for args in unit.args["clips"]:
        data = load_amarv_clip(
            root, layout, clip_of(args), args["amass_path"], index, options.max_amass_mm
        )
        activity = activities(args, len(data.world_coords), data.fps)
        sequences += [
            make_sequence(root, layout, data, view, split=unit.split, activity=activity)
            for view in data.clip.views
        ]
    return sequences


def read_layout(options: Options) -> AmarvLayout:
    """Returns the manifest that the options name."""
    return read_yaml(config_dir() / options.layout, AmarvLayout, kind="layout manifest")


def run_validation(root: Path, options: Options) -> Findings:
    """Validation with what the options say."""
    layout = read_layout(options)
    try:
        require_files(root, layout, options.babel_root)
        names = load_labels(root, layout, [], options.babel_root).names
        index = amass_index(root, layout, options)
    except (CorruptInput, WorkError) as e:
        return Findings(problems=[str(e)])

    def load(clip: Clip):
        path = names[clip.id].amass_path if clip.id in names else None
        return load_amarv_clip(root, layout, clip, path, index, options.max_amass_mm)

    return validate(root, layout, load, SMPLH_JOINT_NAMES, options.validate_clips)


def require_files(root: Path, layout: AmarvLayout, babel_root: str | None) -> None:
    """Makes sure that there is something of what a person must put in place.

    Raises:
        WorkError: No video where the manifest looks for them, or no BABEL labels.
    """
    require_pictures(root, layout, "amarv")
    if layout.labels is not None:
        folder = babel_folder(root, babel_root)
        missing = [f for f in layout.labels.split_files if f not in names_in(folder)]
        if missing:
            raise WorkError(
                f"{folder / missing[0]}: BABEL labels are missing (posepile plan amarv lists the "
                "steps); or set dataset.babel_root, or labels: null in the layout manifest"
            )


def amass_index(root: Path, layout: AmarvLayout, options: Options) -> AmassIndex | None:
    """AMASS, if the manifest asks for it and it is on disk."""
    found = find_amass(root, options.amass_root) if layout.body is not None else None
    return None if found is None else open_index(found)
