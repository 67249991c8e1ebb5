"""AMARV: AMASS motions rendered as video from four synchronised views.

The released tree is documented nowhere; everything is read through configs/amarv_layout.yaml
(layout.py, cameras.py, clips.py), and nothing is read before validate.py has found manifest and
files to agree. BABEL gives activities and the split (babel.py).
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from posepile.body_models import SMPLH_JOINT_NAMES
from posepile.ds.amarv import amass, babel, validate
from posepile.ds.amarv.cameras import WORLD_UP
from posepile.ds.amarv.clips import ClipData, MaskReader, frame_source, load_clip
from posepile.ds.amarv.layout import Clip, Layout, NameEntry, find_clips, load_layout
from posepile.errors import CorruptInput, WorkError
from posepile.joint_info import JointInfo
from posepile.recipe import DatasetSpec, Sequence, Track, Unit

MIN_IN_BOX = 4
MIN_SHARE_IN_IMAGE = 0.3

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
        layout: The layout manifest, relative to the configs folder or absolute.
        amass_root: AMASS folder; None = search the usual places.
        babel_root: Folder of the BABEL JSON files; None = search the usual places.
        clips_per_unit: How many clips of one source make a unit of work.
        validate_clips: How many clips validation opens.
    """

    model_config = ConfigDict(extra="forbid")

    layout: str = "amarv_layout.yaml"
    amass_root: str | None = None
    babel_root: str | None = None
    clips_per_unit: int = Field(10, ge=1)
    validate_clips: int = Field(12, ge=1)


def calibrate(root: Path, options: Options) -> list[str]:
    """Validates the manifest against the files, and reports how clips were split."""
    findings = run_validation(root, options)
    if findings.problems:
        raise WorkError(
            f"{findings.problems[0]} ({len(findings.problems)} problems in all; "
            "python -m posepile.ds.amarv.validate lists them)"
        )
    layout = read_layout(options)
    clips, _ = find_clips(root, layout)
    validate.write_stamp(root, state_of(root, layout, clips))
    splits, entries, conflicts = label_clips(root, layout, clips, options)
    labelled = sum(entries.get(c.id) is not None for c in clips)
    sides = ", ".join(f"{n} {s}" for s, n in sorted(Counter(splits.values()).items()))
    return [*findings.lines, f"clips: {sides}; {labelled} with BABEL labels", *conflicts]


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


def list_units(root: Path, options: Options) -> list[Unit]:
    """Some clips of one source and split each, with all their views."""
    layout = read_layout(options)
    clips, _ = find_clips(root, layout)
    if validate.read_stamp(root) != state_of(root, layout, clips):
        raise WorkError(
            f"{root}: the layout manifest is not validated against these files; run the "
            "calibrate stage (posepile doctor amarv lists what is wrong)"
        )
    names = layout.load_name_map(root)
    splits, entries, _ = label_clips(root, layout, clips, options)
    index = amass_index(root, layout, options)
    groups = defaultdict(list)
    for clip in clips:
        groups[splits[clip.id], clip.source].append(clip)
    units = []
    for (split, source), members in sorted(groups.items()):
        for i in range(0, len(members), options.clips_per_unit):
            chunk = members[i : i + options.clips_per_unit]
            inputs = [f for c in chunk for f in input_files(root, layout, c, names.get(c.id), index)]
            args = [describe(c, names.get(c.id), entries.get(c.id)) for c in chunk]
            unit_id = f"{split}/{source}/{i // options.clips_per_unit:05d}"
            units.append(Unit(unit_id, split, tuple(dict.fromkeys(inputs)), {"clips": args}))
    return units


def load_unit(root: Path, unit: Unit, options: Options) -> list[Sequence]:
    """One sequence per clip and view."""
    layout = read_layout(options)
    index = amass_index(root, layout, options)
    base = layout.base(root)
    sequences = []
    for args in unit.args["clips"]:
        views = {int(v): base / path for v, path in args["views"].items()}
        clip = Clip(args["source"], args["name"], views)
        data = load_clip(root, layout, clip, args["amass_path"], index)
        activity = activities(data, args)
        sequences += [
            make_sequence(root, layout, data, view, unit.split, activity) for view in sorted(views)
        ]
    return sequences


def make_sequence(
    root: Path, layout: Layout, data: ClipData, view: int, split: str, activity: list[str]
) -> Sequence:
    """One view of a clip; leaves out frames in which the person is hardly in view."""
    n = len(data.world_coords)
    dropped: Counter = Counter()
    kept, outside = [], []
    boxes = np.zeros((n, 4), np.float32)
    for t in range(n):
        points = validate.project(data, view, t)
        boxes[t] = data.boxes[view][t] if data.boxes is not None else joint_box(points)
        size = np.array(data.image_sizes[view])
        valid = np.isfinite(data.world_coords[t]).all(axis=-1)
        low, high = boxes[t, :2], boxes[t, :2] + boxes[t, 2:]
        with np.errstate(invalid="ignore"):
            in_image = np.all((points > -0.5) & (points < size - 0.5), axis=-1)
            in_box = np.all((points >= low) & (points <= high), axis=-1)
        if in_image.sum() < MIN_SHARE_IN_IMAGE * valid.sum() or not valid.any():
            dropped["less than 30 % of the joints in the image"] += 1
        elif in_box.sum() < MIN_IN_BOX:
            dropped["fewer than 4 joints in the box"] += 1
        else:
            kept.append(t)
            outside.append(1 - (in_box & in_image).sum() / max(1, in_image.sum()))
    path = data.clip.views[view]
    mask = None
    if layout.mask is not None:
        mask = MaskReader(layout, layout.path(layout.mask, root, data.clip, view))
    return Sequence(
        id=f"{data.clip.id}/v{view}",
        split=split,
        frames=frame_source(layout, layout.rgb.kind, path, n),
        camera=data.cameras[view],
        tracks=[
            Track(
                frames=np.array(kept, int),
                world_coords=data.world_coords[kept],
                bbox=boxes[kept],
                mask=None if mask is None else (lambda k: mask(kept[k])),
                parameters=None if data.parameters is None else lambda k: data.parameters(kept[k]),
                activity=[activity[t] for t in kept],
            )
        ],
        image_name=lambda frame, person: f"{data.clip.id}/v{view}/{frame:06d}.jpg",
        dropped=dropped,
        checks={"joints_outside_box_share": max(outside, default=0.0)},
    )


def joint_box(points: np.ndarray) -> np.ndarray:
    """Box around the projected joints, where the release has none."""
    valid = points[np.isfinite(points).all(axis=-1)]
    if not len(valid):
        return np.full(4, np.nan, np.float32)
    low, high = valid.min(axis=0), valid.max(axis=0)
    return np.concatenate([low, high - low]).astype(np.float32)


def read_layout(options: Options) -> Layout:
    """The manifest that the options name."""
    from posepile.config import config_dir

    return load_layout(config_dir() / options.layout)


def run_validation(root: Path, options: Options) -> validate.Findings:
    """Validation with what the options say."""
    layout = read_layout(options)
    try:
        names = layout.load_name_map(root)
        index = amass_index(root, layout, options)
    except CorruptInput as e:
        return validate.Findings(problems=[str(e)])

    def context(clip: Clip):
        return (names[clip.id].amass_path if clip.id in names else None), index

    return validate.validate(root, layout, context, options.validate_clips)


def amass_index(root: Path, layout: Layout, options: Options) -> amass.AmassIndex | None:
    """AMASS, if the manifest asks for it and it is on disk."""
    found = amass.find_amass(root, options.amass_root) if layout.body is not None else None
    return None if found is None else amass.AmassIndex(found)


def label_clips(
    root: Path, layout: Layout, clips: list[Clip], options: Options
) -> tuple[dict[str, str], dict[str, babel.BabelEntry], list[str]]:
    """(clip id -> split, clip id -> BABEL entry, subjects that BABEL has on several sides)."""
    names = layout.load_name_map(root)
    entries = {}
    if layout.labels is not None:
        entries = babel.load_babel(babel_folder(root, options), layout.labels.split_files)
    # A clip whose motion is not known is a subject of its own name: its source.
    paths = {
        c.id: names[c.id].amass_path if c.id in names else f"{c.source}/{c.name}" for c in clips
    }
    splits, conflicts = babel.assign_splits(paths, entries)
    return splits, {c: entries[p] for c, p in paths.items() if p in entries}, conflicts


def babel_folder(root: Path, options: Options) -> Path:
    """Where the BABEL files are: configured, or in one of the usual places."""
    if options.babel_root is not None:
        return Path(options.babel_root)
    tails = ("babel_v1.0_release", "babel/babel_v1.0_release", "babel")
    places = [base / tail for base in (root, root.parent) for tail in tails]
    return next((p for p in places if p.is_dir()), places[0])


def describe(clip: Clip, name: NameEntry | None, entry: babel.BabelEntry | None) -> dict:
    """All that load_unit must know of a clip, JSON-serialisable; labels count for the cache key."""
    return {
        "source": clip.source,
        "name": clip.name,
        "views": {str(v): clip.relative[v] for v in sorted(clip.views)},
        "amass_path": None if name is None else name.amass_path,
        "start_t": 0.0 if name is None else name.start_t,
        "babel": None if entry is None else [entry.sid, entry.split, entry.duration],
        "segments": [] if entry is None else [list(s) for s in entry.segments],
        "whole": [] if entry is None else list(entry.whole),
    }


def activities(data: ClipData, args: dict) -> list[str]:
    """Activity of every frame, by the time it has in the AMASS motion."""
    if args["babel"] is None:
        return ["unknown"] * len(data.world_coords)
    segments = tuple((name, start, end) for name, start, end in args["segments"])
    entry = babel.BabelEntry(*args["babel"], segments, tuple(args["whole"]))
    times = args["start_t"] + np.arange(len(data.world_coords)) / data.fps
    return [babel.activity_at(entry, float(t)) for t in times]


def input_files(
    root: Path,
    layout: Layout,
    clip: Clip,
    name: NameEntry | None,
    index: amass.AmassIndex | None,
) -> list[Path]:
    """Every file a clip's result depends on; depth and normals are not read."""
    files = []
    parts = [p for p in (layout.rgb, layout.mask, layout.bbox, layout.camera, layout.pose) if p]
    for view in sorted(clip.views):
        for part in parts:
            path = layout.path(part, root, clip, view)
            files += sorted(path.iterdir()) if path.is_dir() else [path]
    if layout.body is not None and layout.body.path is not None:
        files.append(layout.base(root) / layout.body.path.format(source=clip.source, clip=clip.name, view=""))
    if layout.body is not None and name is not None and index is not None:
        motion = index.find(name.amass_path)
        files += [] if motion is None else [motion]
    return files


def state_of(root: Path, layout: Layout, clips: list[Clip]) -> str:
    """Digest of the manifest and the list of clips, by which a passed validation is known."""
    listed = [[c.id, sorted(c.relative.items())] for c in clips]
    text = json.dumps([layout.model_dump(mode="json"), listed])
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
