"""NTU RGB+D: clips of 120 actions before three Kinects, and what was rendered after such clips.

See README.md. One unit is what a performer does once before one camera, or some rendered clips.
Joints are those of the Kinect in the axes of its depth camera; the camera of the colour pictures
is fitted to the pixels that are published of them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from posepile import recipe
from posepile.errors import CorruptInput
from posepile.files import files_below
from posepile.formats.folders import names_like
from posepile.formats.keys import alike, only_one
from posepile.formats.kinect_files import lens_points, read_kinect_bodies
from posepile.formats.name_lists import read_counted_names
from posepile.geometry.cameras import make_camera
from posepile.geometry.fitting import fit_beside
from posepile.geometry.pictures import check_median_projection
from posepile.joint_info import JointInfo
from posepile.recipe import DatasetSpec, Sequence, Unit, Video
from posepile.shapes.described.twins import Twins
from posepile.shapes.matching import match_over_time, tracks_of_people, wider_than_others
from posepile.shapes.multiview import view_sequence
from posepile.shapes.stills import left_out_sequence, left_out_units
from posepile.shapes.units import make_unit, unit_files

if TYPE_CHECKING:
    from deltacamera import Camera

SIZE, UP, FOCAL = (1920, 1080), (0.0, -1.0, 0.0), 1060  # pixels, of Kinects
CLIP = r"(?!.*[SPA]000)S0[0-3]\dC00[1-3]P(?:0\d\d|10[0-6])R00[12]A[01]\d\d"
VIDEOS, SKELETONS = "nturgb+d_rgb", ("nturgb+d_skeletons", "nturgb+d_skeletons120", ".")
MISSING = r"NTU_RGBD(?:120)?_samples_with_missing_skeletons\.txt"
TWO_PEOPLE = {*range(50, 61), *range(106, 121)}  # actions
TRAIN_60 = {1, 2, 4, 5, 8, 9, *range(13, 20), 25, 27, 28, 31, 34, 35, 38}  # performers
TRAIN_120 = {*TRAIN_60, 45, 46, 47, 49, 50, *range(52, 60), 70, 74, 78, *range(80, 87), 89}
TRAIN_120 |= {*range(91, 96), 97, 98, 100, 103}
FRONT = {("C002", "R002"), ("C003", "R001")}  # camera and replication that show people from there
LENS_FILES, LENS_BODIES = 20, 8  # of a camera, of a file: what its lens is fitted to
WIDE, WIDE_SHARE = 0.8, 0.69754  # who is so wide for their height, and in how many frames
LISTED, NO_FILE = "clip on the list of missing skeletons", "clip without a file of skeletons"
NO_LIST = "no list of missing skeletons is there, so clips that it names are packed"
SPEC = DatasetSpec(
    name="ntu",
    joint_info=JointInfo(
        # What the sensor calls left is right: its pictures are mirrored.
        "pelv,bell,head,htop,rsho,relb,rwri,rhan,lsho,lelb,lwri,lhan,rhip,rkne,rank,rtoe,"
        "lhip,lkne,lank,ltoe,neck,rfin,rthu,lfin,lthu",
        "htop-head-neck-bell-pelv-rhip-rkne-rank-rtoe,neck-rsho-relb-rwri-rhan-rfin,rhan-rthu",
    ),
    image_dir="ntu_downscaled",
    citation="shahroudy2016ntu, liu2020ntu; rendered: schneider2024synthact",
    licence="NTU RGB+D: research only, no redistribution (ROSE Lab, NTU Singapore)",
    sequence_names=r"(?:.+/)?S\d+C\d+(?P<subject>P\d+)R\d+(?P<motion>A\d+)(?:/v(?P<view>\d+))?",
)


class Options(BaseModel):
    """Keys below ``dataset:``.

    Attributes:
        subjects: Performers, ``P001`` to ``P106``; None = all.
        protocol: Official split; those of NTU-60 take its setups alone; ``none``: all is training.
        min_tracked: Joints of a body that the sensor must have seen.
        max_step_mm: Who has moved farther, on average, is taken for somebody else.
        max_projection_px: How far a clip's pixels may be from projected joints (median).
        max_focal_px: How far fitted focal lengths may be from 1060.
        max_beside_mm: How far the fitted colour lens may be from the depth camera.
        min_facing: Of frames that show a front, in how many the right shoulder is on the left.
        layout: Of the rendered set, relative to the configs folder or absolute; None = without.
    """

    model_config = ConfigDict(extra="forbid")

    subjects: list[str] | None = Field(None, min_length=1, json_schema_extra=recipe.CHOOSES_UNITS)
    protocol: Literal["xsub60", "xview60", "xsub120", "xset120", "none"] = "xsub120"
    min_tracked: int = Field(20, ge=1, le=25)
    max_step_mm: float = Field(500.0, gt=0)
    max_projection_px: float = Field(3.0, gt=0)
    max_focal_px: float = Field(100.0, gt=0, lt=1000)
    max_beside_mm: float = Field(150.0, gt=0)
    min_facing: float = Field(0.8, ge=0, le=1)
    layout: str | None = "ntu_layout.yaml"


def twins(options: Options) -> Twins:
    """Returns the rendered set."""
    return Twins("ntu", options.layout, SPEC.joint_info.names)


def calibrate(root: Path, options: Options) -> list[str]:
    """Compares the layout with the rendered set's files; says if no list tells bad skeletons."""
    lists, only_60 = names_like(root, MISSING), options.protocol.endswith("60")
    lacks = not any(only_60 or "120" in name for name in lists)
    return [NO_LIST] * lacks + twins(options).calibrate(root)


def doctor(root: Path, options: Options) -> list[str]:
    """Problems that this finds."""
    return twins(options).doctor(root)


def list_units(root: Path, options: Options) -> Iterator[Unit]:
    """Yields a unit for each performer, replication and camera, then those of rendered clips."""
    known = recipe.chosen_subjects(options.subjects, [f"P{k:03d}" for k in range(1, 107)])
    missing = {c for n in names_like(root, MISSING) for c in read_counted_names(root / n, CLIP)}
    found = files_below(root / VIDEOS, "**/*.*")
    videos = clips_of(found, r"_rgb\.avi")
    there = clips_of((p for f in SKELETONS for p in files_below(root / f, "*")), r"\.skeleton")
    groups, lenses = defaultdict(list), defaultdict(list)
    for clip in sorted(videos):
        groups[clip[:16]].append(clip)
        if clip in there and clip not in missing:
            lenses[clip[:8]].append(there[clip][0])
    for key, clips in groups.items():
        split, lens = split_of(clips[0], options.protocol), lenses[key[:8]]
        if key[8:12] in known and split:
            usable = [clip for clip in clips if clip in there and clip not in missing]
            files = {"lens": lens[:: 1 + len(lens) // LENS_FILES]}
            for clip in usable:
                files |= {f"{clip} video": videos[clip], f"{clip} skeletons": there[clip]}
            lost = Counter(LISTED if c in missing else NO_FILE for c in {*clips} - {*usable})
            yield make_unit(key, split, files, clips=usable, left_out=dict(lost))
    if other := {*found} - {path for same in videos.values() for path in same}:
        reason = f"file below {VIDEOS} that is not called <clip>_rgb.avi, as {min(other).name}"
        yield from left_out_units("other_names", "train", [reason] * len(other))
    split = partial(split_of, protocol=options.protocol)
    yield from twins(options).units(root, split, lambda clip: clip[8:12] in known)


def clips_of(paths: Iterable[Path], ending: str) -> dict[str, list[Path]]:
    """Returns files by the clip in their names, in any case; perhaps several of one."""
    return {clip.upper(): same for (clip,), same in alike(paths, f"({CLIP}){ending}").items()}


def split_of(clip: str, protocol: str) -> str | None:
    """Returns the split of a clip in an official protocol; None if it has no part in it."""
    setup, camera, performer = int(clip[1:4]), int(clip[5:8]), int(clip[9:12])
    if protocol.endswith("60") and setup > 17:
        return None
    train = {"xsub60": performer in TRAIN_60, "xsub120": performer in TRAIN_120, "none": True}
    train |= {"xview60": camera in (2, 3), "xset120": setup % 2 == 0}
    return "train" if train[protocol] else "test"


def load_unit(root: Path, unit: Unit, options: Options) -> list[Sequence]:
    """Returns a sequence for each clip of a performer, or each view of rendered ones."""
    if (rendered := twins(options).sequences(root, unit, lambda clip: clip[16:])) is not None:
        return rendered
    files, sequences, fronts = unit_files(unit), [], [np.empty(0)]
    clips, lost = unit.args.get("clips"), left_out_sequence(unit)
    camera = fit_camera(files["lens"], options) if clips else None
    for clip in clips or ():
        path, video = (only_one(files[f"{clip} {k}"], k) for k in ("skeletons", "video"))
        bodies = read_kinect_bodies(path)
        sequences.append(load_clip(unit, (path, bodies, video), camera, options))
        fronts.append(bodies.left_on_the_left)
    seen = np.concatenate(fronts)
    if (unit.id[4:8], unit.id[12:]) in FRONT and len(seen):
        if seen.mean() < options.min_facing:
            text = f"in {seen.mean():.0%} of {len(seen)} frames from the front the right shoulder "
            text += f"is on the left of the picture; expected at least {options.min_facing:.0%}"
            hint = "were sides or pictures turned by somebody? or lower dataset.min_facing"
            raise CorruptInput(path.with_name(unit.id), text, hint=hint)
        sequences[0].checks["shoulders_crossed_share"] = float(1 - seen.mean())
    return [*sequences, lost] if lost else sequences


def load_clip(unit: Unit, files: tuple, camera: Camera, options: Options) -> Sequence:
    """Returns the frames of a clip in which the sensor saw as many people well as there are."""
    path, bodies, video = files
    clip, points = path.stem.upper(), bodies.seen_mm
    n_people = 1 + (int(clip[17:]) in TWO_PEOPLE)
    good = np.isfinite(points).all(axis=-1).sum(axis=-1) >= options.min_tracked
    right = np.bincount(bodies.frames[good], minlength=bodies.n_frames) == n_people
    used, other = good & right[bodies.frames], ~good & right[bodies.frames]
    frames, poses, whole = bodies.frames[used], points[used], {"colour_pixels": slice(None)}
    compared = path, camera, frames, poses, bodies.color_pixels[used], options.max_projection_px
    checks = check_median_projection(*compared, parts=whole, hint="is it of another setup?")
    people = match_over_time(frames, poses, max_distance_mm=options.max_step_mm)
    dropped, tracks = Counter({f"not {n_people} well-tracked bodies": int((~right).sum())}), []
    found = tracks_of_people(frames, poses, people)
    for track, chair in zip(found, wider_than_others(found, WIDE, WIDE_SHARE), strict=True):
        track.activity, track.note = clip[16:], "joints are the Kinect's, no ground truth"
        if chair:
            dropped["body as wide as a chair"] += len(track.frames)
        else:
            tracks.append(track)
    pictures = Video(video, n_frames=bodies.n_frames, mismatch_known=True, size=SIZE)
    checks |= {"beside_mm": float(np.linalg.norm(camera.t))}
    told = {"id": clip, "scene": clip[:8], "dropped": dropped, "checks": checks}
    told["bystanders"] = zip(bodies.frames[other].tolist(), points[other], strict=True)
    told["image_name"] = lambda k, p: f"{clip[:4]}/{clip[4:12]}/{clip}_{k:06d}_{p}.jpg"
    return view_sequence(unit, pictures, camera, tracks, **told)


def fit_camera(paths: tuple[Path, ...], options: Options) -> Camera:
    """Returns the colour camera, which is some centimetres beside the depth camera."""
    labels = lens_points(paths, LENS_BODIES)
    hint = "are these the skeletons of one setup and camera, as they were published?"
    limits = {"focal": (FOCAL - options.max_focal_px, FOCAL + options.max_focal_px)}
    limits["max_shift"] = options.max_beside_mm
    matrix, beside = fit_beside(paths[0], *labels, **limits, hint=hint)
    place = {"rotation": np.eye(3), "translation": beside, "world_up": UP}
    return make_camera(f"fit to {paths[0]}", intrinsics=matrix, **place)
