"""AMARV: AMASS motions rendered as video from four synchronised views.

The released tree is documented nowhere; everything is read through configs/amarv_layout.yaml
(layout.py, cameras.py, clips.py, assemble.py), and nothing is read before validate.py has found
manifest and files to agree. BABEL gives activities and the split (babel.py).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from posepile.bodies.joints import SMPLH_JOINT_NAMES
from posepile.ds.amarv import amass, assemble, unlock, validate
from posepile.ds.amarv.cameras import WORLD_UP
from posepile.ds.amarv.clips import load_clip
from posepile.ds.amarv.finding import find_clips
from posepile.ds.amarv.layout import Clip, Layout, load_layout
from posepile.errors import CorruptInput, WorkError
from posepile.joint_info import JointInfo
from posepile.paths import config_dir
from posepile.recipe import CHOOSES_UNITS, DatasetSpec, Sequence, Unit, chosen_subjects

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
    state = assemble.state_of(root, layout, clips)
    asked = [str(amass.find_amass(root, options.amass_root)), options.validate_clips]
    stamp = validate.read_stamp(root)
    if (stamp.get("state"), stamp.get("asked")) != (state, asked):
        findings = run_validation(root, options)
        if findings.problems:
            raise WorkError(
                f"{findings.problems[0]} ({len(findings.problems)} problems in all; posepile "
                "doctor amarv lists them)"
            )
        stamp = {"state": state, "asked": asked, "report": findings.lines}
        validate.write_stamp(root, stamp)
    labels = assemble.load_labels(root, layout, clips, options.babel_root)
    labelled = sum(labels.entry(c) is not None for c in clips)
    counts = Counter(labels.splits[labels.subject(c)] for c in clips)
    sides = ", ".join(f"{n} {s}" for s, n in sorted(counts.items()))
    return [*stamp["report"], f"clips: {sides}; {labelled} with BABEL labels", *labels.conflicts]


def download(root: Path, options: Options) -> list[str]:
    """Unlocks archives that were put below ``archives/``; says what only a person can fetch."""
    lines = unlock.unlock(root, options.amass_root)
    unlock.require_files(root, read_layout(options), options.babel_root)
    return lines


def doctor(root: Path, options: Options) -> list[str]:
    """Problems that validation finds."""
    return run_validation(root, options).problems


def plan(root: Path, options: Options) -> list[str]:
    """What is there of AMASS, which the password of the archives is made from."""
    found = amass.find_amass(root, options.amass_root)
    if found is None:
        return ["AMASS: not found; set AMASS_ROOT or dataset.amass_root, the password needs it"]
    files, missing = amass.find_password_files(found)
    lines = [f"AMASS: {found}: {len(files)} of {len(amass.PASSWORD_FILES)} files for the password"]
    lines += [f"  missing: {m}" for m in missing]
    return lines + [f"  the password: python -m posepile.ds.amarv.amass {found}"] * (not missing)


def list_units(root: Path, options: Options) -> Iterator[Unit]:
    """Yields units of some clips of one source and split each, with all their views."""
    layout = read_layout(options)
    clips, _ = find_clips(root, layout)
    if validate.read_stamp(root).get("state") != assemble.state_of(root, layout, clips):
        raise WorkError(
            f"{root}: the layout manifest is not validated against these files; run the "
            "calibrate stage (posepile doctor amarv lists what is wrong)"
        )
    labels = assemble.load_labels(root, layout, clips, options.babel_root)
    index = amass_index(root, layout, options)
    chosen = chosen_subjects(options.subjects, labels.splits)
    groups = defaultdict(list)
    for clip in clips:
        groups[labels.splits[labels.subject(clip)], clip.source].append(clip)
    for (split, source), members in sorted(groups.items()):
        for i in range(0, len(members), options.clips_per_unit):
            inputs, args = [], []
            for clip in members[i : i + options.clips_per_unit]:
                if labels.subject(clip) in chosen:
                    name = labels.names.get(clip.id)
                    inputs += assemble.input_files(root, layout, clip, name, index)
                    args.append(assemble.describe(clip, name, labels.entry(clip)))
            if args:
                unit_id = f"{split}/{source}/{i // options.clips_per_unit:05d}"
                paths = tuple(map(Path, dict.fromkeys(inputs)))
                yield Unit(unit_id, split, paths, {"clips": args})


def load_unit(root: Path, unit: Unit, options: Options) -> list[Sequence]:
    """Returns one sequence per clip and view."""
    layout = read_layout(options)
    index = amass_index(root, layout, options)
    sequences = []
    for args in unit.args["clips"]:
        files = None if args["files"] is None else tuple(args["files"])
        clip = Clip(args["source"], args["name"], tuple(args["views"]), files)
        data = load_clip(root, layout, clip, args["amass_path"], index)
        activity = assemble.activities(data, args)
        sequences += [
            assemble.make_sequence(root, layout, data, view, split=unit.split, activity=activity)
            for view in clip.views
        ]
    return sequences


def read_layout(options: Options) -> Layout:
    """Returns the manifest that the options name."""
    return load_layout(config_dir() / options.layout)


def run_validation(root: Path, options: Options) -> validate.Findings:
    """Validation with what the options say."""
    layout = read_layout(options)
    try:
        unlock.require_files(root, layout, options.babel_root)
        names = layout.load_name_map(root)
        index = amass_index(root, layout, options)
    except (CorruptInput, WorkError) as e:
        return validate.Findings(problems=[str(e)])

    def context(clip: Clip):
        return (names[clip.id].amass_path if clip.id in names else None), index

    return validate.validate(root, layout, context, options.validate_clips)


def amass_index(root: Path, layout: Layout, options: Options) -> amass.AmassIndex | None:
    """AMASS, if the manifest asks for it and it is on disk."""
    found = amass.find_amass(root, options.amass_root) if layout.body is not None else None
    return None if found is None else amass.open_index(found)
