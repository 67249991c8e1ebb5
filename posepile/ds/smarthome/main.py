"""Toyota Smarthome, trimmed and untrimmed, and what was rendered after its clips; see README.md.

Poses are those that networks found, and cameras are not calibrated: a pinhole is assumed, and each
pose put where that sees it. One unit is a person, recording and camera, or an untrimmed video.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from posepile import recipe
from posepile.errors import CorruptInput
from posepile.formats.folders import names_like
from posepile.formats.lcrnet_files import read_found_people
from posepile.formats.text_files import read_csv, read_json
from posepile.geometry.cameras import make_camera
from posepile.geometry.pictures import box_of_points, check_median_projection
from posepile.geometry.relative import place_poses, tell_axes
from posepile.joint_info import JointInfo
from posepile.recipe import DatasetSpec, Sequence, Track, Unit, Video
from posepile.shapes.described.twins import Twins
from posepile.shapes.multiview import view_sequence
from posepile.shapes.stills import picture_sequence
from posepile.shapes.units import make_unit, same_count, unit_files

SIZE, CENTER, UP, HIPS = (640, 480), (320, 240), (0.0, -1.0, 0.0), [4, 5]
CLIP, TAG = r"([A-Za-z.]+_(p\d\d)_(r\d\d)_v\d\d_(c\d\d))", r"(?:_[A-Za-z0-9+.]+)?\.json"
VIDEO, DURATIONS = r"((P\d\d)T\d\d(C\d\d))\.mp4", "smarthome_CS_51.json"
REMOVED = "Pour.Fromcup"  # an activity that the data no longer have
CROSS_VIEW = (  # activities that those splits are of
    "Cutbread Drink.Frombottle Drink.Fromcan Drink.Fromcup Drink.Fromglass Eat.Attable Eat.Snack "
    "Enter Getup Leave Pour.Frombottle Pour.Fromcan Readbook Sitdown Takepills Uselaptop "
    "Usetablet Usetelephone Walk"
).split()
MERGED = {"Make_coffee.Get_water": "Get_water", "Make_tea.Insert_tea_bag": "Insert_tea_bag"}
TRAIN, VAL, TEST = (3, 4, 6, 7, 9, 12, 13, 15, 17), (19, 25), (2, 10, 11, 14, 16, 18, 20)
SPLITS = {  # of trimmed clips, and (long) of untrimmed videos; subjects or, cross-view, cameras
    "cs": {"train": TRAIN, "val": VAL, "test": TEST},
    "cv1": {"train": (1,), "val": (5,), "test": (2,)},
    "cv2": {"train": (1, 3, 4, 6, 7), "val": (5,), "test": (2,)},
    "long cs": {"train": TRAIN + VAL, "test": TEST},
    "long cv": {"train": (1, 3, 4, 6, 7), "test": (2, 5)},
}
NOTE = "pose found by networks, camera assumed: no ground truth"
SPEC = DatasetSpec(
    name="smarthome",
    joint_info=JointInfo(
        "rank,lank,rkne,lkne,rhip,lhip,rwri,lwri,relb,lelb,rsho,lsho,head",
        "rank-rkne-rhip-lhip,rwri-relb-rsho-lsho,rsho-rhip,head-rsho",
    ),
    image_dir="smarthome_downscaled",
    citation="Das_2019_ICCV, dai2022toyota; rendered: schneider2024synthact",
    licence="Toyota Smarthome licence v2: research only, no redistribution",
    sequence_names=r"(?:.+/)?(?:(?P<motion>[^_/]+)_)?(?P<subject>[pP]\d\d)\w+(?:/v(?P<view>\d))?",
)


class Options(BaseModel):
    """Keys below ``dataset:``.

    Attributes:
        subjects: ``p02`` to ``p25``; None = all.
        untrimmed: Whether to take the untrimmed videos as well.
        split: Cross-subject, or one of the cross-view splits, which have 19 of the activities.
        skeletons: Folder of the trimmed clips' skeletons; ``json`` is version 1.1.
        focal: Of the cameras, pixels: a guess.
        min_coverage: Share of an untrimmed video's frames in which there is a pose.
        min_correlation: Of pixels and poses along x and y, by which axes are told.
        max_projection_px: How far a clip's placed poses may be from their pixels (median).
        layout: Of the rendered set, relative to the configs folder or absolute; None = without.
    """

    model_config = ConfigDict(extra="forbid")

    subjects: list[str] | None = Field(None, min_length=1, json_schema_extra=recipe.CHOOSES_UNITS)
    untrimmed: bool = Field(False, json_schema_extra=recipe.CHOOSES_UNITS)
    split: Literal["cs", "cv1", "cv2"] = "cs"
    skeletons: str = "skeletonv12"
    focal: float = Field(550.0, gt=0)
    min_coverage: float = Field(0.6, ge=0, le=1)
    min_correlation: float = Field(0.5, ge=0, le=1)
    max_projection_px: float = Field(25.0, gt=0)
    layout: str | None = "smarthome_layout.yaml"


def twins(options: Options) -> Twins:
    """Returns the rendered set."""
    return Twins("smarthome", options.layout, SPEC.joint_info.names)


def calibrate(root: Path, options: Options) -> list[str]:
    """Compares the layout with the rendered set's files."""
    return twins(options).calibrate(root)


def doctor(root: Path, options: Options) -> list[str]:
    """Problems that this finds."""
    return twins(options).doctor(root)


def list_units(root: Path, options: Options) -> Iterator[Unit]:
    """Yields units of trimmed clips, of one untrimmed video each, and of rendered clips."""
    chosen = recipe.chosen_subjects(options.subjects, [f"p{k:02d}" for k in TRAIN + VAL + TEST])
    folder, groups = root / options.skeletons, defaultdict(list)
    found = {clip: folder / name for name, (clip, *_) in names_like(folder, CLIP + TAG).items()}
    for clip, *parts in names_like(root / "mp4", CLIP + r"\.mp4").values():
        if parts[0] in chosen and (split := split_of(clip, options)):
            groups["/".join(parts), split].append(clip)
    for (id, split), clips in groups.items():
        usable = [c for c in clips if c in found and not c.startswith(REMOVED)]
        files = {"poses": [found[clip] for clip in usable]}
        files["videos"] = [root / f"mp4/{clip}.mp4" for clip in usable]
        yield make_unit(id, split, files, lost=len(clips) - len(usable))
    videos = names_like(root / "Videos_mp4", VIDEO) if options.untrimmed else {}
    for file, (name, subject, camera) in videos.items():
        if subject.lower() in chosen:
            files = {"poses": [root / f"Skeleton/results_{name}_lcrnet+v3d.json"]}
            files |= {"videos": [root / "Videos_mp4" / file], "durations?": root / DURATIONS}
            files["actions"] = root / f"Annotation/{subject}/{name}.csv"
            split = find_split(f"long {options.split[:2]}", subject, camera)
            yield make_unit(f"untrimmed/{name}", split, files, lost=0)
    split = partial(split_of, options=options)
    yield from twins(options).units(root, split, lambda clip: clip.split("_")[1] in chosen)


def split_of(clip: str, options: Options) -> str | None:
    """Returns the split of a trimmed clip; None if it has no part in it."""
    activity, subject, _, _, camera = clip.split("_")
    here = options.split == "cs" or activity in CROSS_VIEW
    return find_split(options.split, subject, camera) if here else None


def find_split(kind: str, subject: str, camera: str) -> str | None:
    """Returns the split in which a subject or camera is."""
    number = int((subject if kind.endswith("cs") else camera)[1:])
    return next((split for split, ids in SPLITS[kind].items() if number in ids), None)


def load_unit(root: Path, unit: Unit, options: Options) -> list[Sequence]:
    """Returns a sequence for each clip or video, or each view of rendered clips."""
    rendered = twins(options).sequences(root, unit, lambda clip: clip.split("_")[0])
    if rendered is not None:
        return rendered
    files, sequences = unit_files(unit), []
    found = [read_found_people(path) for path in files["poses"]]
    poses, pixels = (
        np.concatenate([np.empty((0, 13, n)), *(getattr(f, key) for f in found)])
        for key, n in (("poses", 3), ("pixels", 2))
    )
    axes, weakest = tell_axes(root / unit.id, poses, pixels, options.min_correlation)
    for path, video, people in zip(files["poses"], files["videos"], found, strict=True):
        activity = [video.stem.partition("_")[0]] * people.n_frames
        if "actions" in files:
            activity = read_actions(files["actions"], people.n_frames)
        if "durations" in files:
            told = read_json(files["durations"], {video.stem: {"duration": int}})
            same_count({path: people.n_frames, DURATIONS: told[video.stem]["duration"]})
        sequences.append(load_clip(unit, (path, video, people), axes, activity, options))
        sequences[-1].checks["uncorrelated_axes"] = 1 - weakest
    if n := unit.args["lost"]:
        dropped = {"clip without skeleton, or of an activity left out": n}
        sequences.append(picture_sequence(unit, [], dropped=dropped))
    return sequences


def load_clip(unit: Unit, files: tuple, axes, activity: list[str], options: Options) -> Sequence:
    """Returns the first person of each frame, put where the assumed camera sees them."""
    path, video, found = files
    camera = make_camera(video, focal=options.focal, principal=CENTER, world_up=UP)
    world = place_poses(found.poses * axes, found.pixels, camera.intrinsic_matrix)
    compared = path, camera, found.frames, world, found.pixels, options.max_projection_px
    checks = check_median_projection(*compared, parts={"pose": slice(None)})
    first, trimmed = found.ranks == 0, "actions" not in unit_files(unit)
    person = Track(found.frames[first], world_coords=world[first], note=NOTE)
    person.motion_coords = (found.poses - found.poses[:, HIPS].mean(axis=1, keepdims=True))[first]
    person.bbox = box_of_points(found.pixels[first], SIZE)
    person.activity = [activity[k] for k in person.frames]
    enough = trimmed or first.sum() >= options.min_coverage * found.n_frames
    dropped = {"nobody found": found.n_frames - int(first.sum())}
    dropped = dropped if enough else {"video with poses in too few frames": found.n_frames}
    told = {"id": video.stem, "checks": checks, "dropped": dropped}
    told["bystanders"] = zip(found.frames[~first].tolist(), world[~first], strict=True)
    pictures = Video(video, n_frames=found.n_frames, mismatch_known=trimmed, size=SIZE)
    return view_sequence(unit, pictures, camera, [person] if enough else [], **told)


def read_actions(path: Path, n: int) -> list[str]:
    """Returns what is done in each of n frames; what is done at once is joined by ``|``."""
    done = [[] for _ in range(n)]
    for row in read_csv(path, {"event": str, "start_frame": int, "end_frame": int}):
        start, end = row["start_frame"], row["end_frame"]
        if not 0 <= start <= end <= n:
            text = f"found {row['event']} from frame {start} to {end}; expected frames up to {n}"
            raise CorruptInput(path, text, hint="are actions and skeletons of one video?")
        for names in done[start : end + 1]:
            names.append(MERGED.get(row["event"], row["event"]))
    return ["|".join(dict.fromkeys(names)) or "unknown" for names in done]
