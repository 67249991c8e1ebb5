"""AMARV: AMASS motions rendered as video from four synchronised views.

The released tree is documented nowhere; everything is read through configs/amarv_layout.yaml
(posepile.shapes.described), and nothing is read before that is found to agree with the files.
BABEL gives activities and the split.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
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
from posepile.files import names_in, read_json, write_json
from posepile.formats.yaml_files import read_yaml
from posepile.joint_info import JointInfo
from posepile.paths import config_dir
from posepile.recipe import CHOOSES_UNITS, DatasetSpec, Sequence, Unit, chosen_subjects
from posepile.shapes.described.clips import WORLD_UP
from posepile.shapes.described.finding import find_clips
from posepile.shapes.described.layout import Clip
from posepile.shapes.described.sequences import input_files, make_sequence
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
)
STAMP = ".posepile/validated.json"  # what was last found good, below the raw folder


class Options(BaseModel):
    """Keys below ``dataset:`` in configs/amarv.yaml.

    Attributes:
        subjects: AMASS subjects to pack, ``<folder>/<subject>`` such as ``CMU/01``; None = all.
        layout: The layout manifest, relative to the configs folder or absolute.
        amass_root: AMASS folder; None = search the usual places.
        babel_root: Folder of the BABEL JSON files; None = search the usual places.
        clips_per_unit: How many clips of one source make a unit of work.
        validate_clips: How many clips validation opens, at least.
    """

    model_config = ConfigDict(extra="forbid")

    subjects: list[str] | None = Field(None, json_schema_extra=CHOOSES_UNITS)
    layout: str = "amarv_layout.yaml"
    amass_root: str | None = None
    babel_root: str | None = None
    clips_per_unit: int = Field(10, ge=1)
    validate_clips: int = Field(12, ge=1)


def calibrate(root: Path, options: Options) -> list[str]:
    """Validates the manifest against the files, and reports how clips were split.

    What was found good is not validated again until the manifest, the list of clips or the options
    change.
    """
    layout = read_layout(options)
    clips, _ = find_clips(root, layout)
    state = state_of(root, layout, clips)
    asked = [str(find_amass(root, options.amass_root)), options.validate_clips]
    stamp = read_json(root / STAMP) or {}
    if (stamp.get("state"), stamp.get("asked")) != (state, asked):
        findings = run_validation(root, options)
        if findings.problems:
            raise WorkError(
                f"{findings.problems[0]} ({len(findings.problems)} problems in all; posepile "
                "doctor amarv lists them)"
            )
        stamp = {"state": state, "asked": asked, "report": findings.lines}
        write_json(root / STAMP, stamp)
    labels = load_labels(root, layout, clips, options.babel_root)
    labelled = sum(labels.entry(c) is not None for c in clips)
    counts = Counter(labels.splits[labels.subject(c)] for c in clips)
    sides = ", ".join(f"{n} {s}" for s, n in sorted(counts.items()))
    return [*stamp["report"], f"clips: {sides}; {labelled} with BABEL labels", *labels.conflicts]


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
    lines += [f"  missing: {m}" for m in missing]
    return lines + [f"  the password: python -m posepile.ds.amarv.unlock {found}"] * (not missing)


def list_units(root: Path, options: Options) -> Iterator[Unit]:
    """Yields units of some clips of one source and split each, with all their views."""
    layout = read_layout(options)
    clips, _ = find_clips(root, layout)
    if (read_json(root / STAMP) or {}).get("state") != state_of(root, layout, clips):
        raise WorkError(
            f"{root}: the layout manifest is not validated against these files; run the "
            "calibrate stage (posepile doctor amarv lists what is wrong)"
        )
    labels = load_labels(root, layout, clips, options.babel_root)
    index = amass_index(root, layout, options)
    chosen = chosen_subjects(options.subjects, labels.splits)
    groups = defaultdict(list)
    for clip in clips:
        groups[labels.splits[labels.subject(clip)], clip.source].append(clip)
    for (split, source), members in sorted(groups.items()):
        for i in range(0, len(members), options.clips_per_unit):
            group = members[i : i + options.clips_per_unit]
            group = [clip for clip in group if labels.subject(clip) in chosen]
            files = {file: None for clip in group for file in input_files(root, layout, clip)}
            motions = [labels.names[c.id].amass_path for c in group if c.id in labels.names]
            found = [index.find(motion) for motion in motions] if index else []
            paths = (*map(Path, files), *(path for path in dict.fromkeys(found) if path))
            if group:
                unit_id = f"{split}/{source}/{i // options.clips_per_unit:05d}"
                yield Unit(unit_id, split, paths, {"clips": [labels.describe(c) for c in group]})


def load_unit(root: Path, unit: Unit, options: Options) -> list[Sequence]:
    """Returns one sequence per clip and view."""
    layout = read_layout(options)
    index = amass_index(root, layout, options)
    sequences = []
    for args in unit.args["clips"]:
        clip = Clip(args["source"], args["name"], tuple(args["views"]))
        data = load_amarv_clip(root, layout, clip, args["amass_path"], index)
        activity = activities(args, len(data.world_coords), data.fps)
        sequences += [
            make_sequence(root, layout, data, view, split=unit.split, activity=activity)
            for view in clip.views
        ]
    return sequences


def read_layout(options: Options) -> AmarvLayout:
    """Returns the manifest that the options name."""
    return read_yaml(config_dir() / options.layout, AmarvLayout, kind="layout manifest")


def state_of(root: Path, layout: AmarvLayout, clips: list[Clip]) -> str:
    """Returns a digest of manifest and clips, by which a passed validation is known."""
    digest = hashlib.blake2b(layout.model_dump_json().encode(), digest_size=16)
    for clip in clips:
        digest.update(json.dumps([clip.id, clip.views]).encode())
    return digest.hexdigest()


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
        return load_amarv_clip(root, layout, clip, path, index)

    return validate(root, layout, load, SMPLH_JOINT_NAMES, options.validate_clips)


def require_files(root: Path, layout: AmarvLayout, babel_root: str | None) -> None:
    """Makes sure that there is something of what a person must put in place.

    Raises:
        WorkError: No video where the manifest looks for them, or no BABEL labels.
    """
    base = layout.base(root)
    if next(base.glob(layout.clip_glob), None) is None:
        raise WorkError(
            f"{base}: no file matches clip_glob {layout.clip_glob!r} of the layout manifest; put "
            f"the archives into {root / 'archives'}, or describe the extracted tree there "
            "(posepile plan amarv lists the steps)"
        )
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
