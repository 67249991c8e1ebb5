"""AIST++: street dance before nine calibrated cameras, 17 joints triangulated from detections.

See README.md. One unit is one video, and one more for each dance on the official list of bad ones.
Labels are 60 per second, videos 60 or 59.94: label ``i`` is of the frame that ffmpeg's filter
``fps=60:round=down`` puts out as the i-th.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from posepile import recipe
from posepile.bodies.checks import check_up
from posepile.errors import CorruptInput
from posepile.files import names_in
from posepile.formats.keys import by_key, only_one, splits_by_name
from posepile.formats.pickles import read_pickle
from posepile.formats.schema import Array
from posepile.formats.text_files import read_json, read_lines
from posepile.geometry.cameras import make_camera
from posepile.geometry.pictures import check_median_projection
from posepile.geometry.rigs import check_ring
from posepile.geometry.rotations import rotvec_matrix
from posepile.imaging.resampled import shown_frames
from posepile.imaging.videos import frame_rate
from posepile.joint_info import JointInfo
from posepile.recipe import DatasetSpec, Sequence, Stills, Track, Unit, Video
from posepile.shapes.multiview import view_sequence
from posepile.shapes.units import make_unit, same_count, unit_files

FOLDERS = ("annotations", "aist_plusplus_final")
NOSE, EARS, SHOULDERS, HIPS, ANKLES = 0, [3, 4], [5, 6], [11, 12], [15, 16]
SIDES = {"left": slice(5, 17, 2), "right": slice(6, 17, 2)}
CAMERA = {"name": str, "size": Array(2, dtype=int), "matrix": Array(3, 3), "rotation": Array(3)}
CAMERA |= {"translation": Array(3), "distortions": Array(5)}  # cm; k1 k2 p1 p2 k3
JOINTS = {"keypoints3d_optim": Array("n", 17, 3, finite=False)}  # cm
PIXELS = {"keypoints2d": Array(9, "n", 17, 3, finite=False)}  # x, y, score
IGNORED, REPEATED = "on the official ignore_list.txt", "label of a frame that has one already"
SEQUENCE = r"g\w\w_s\w\w_cAll_d(\d\d)_m\w\w\d_ch\d\d"
KEPT = "dancers divisible by 3, no others"
NOT_COMPARED = "cameras were not compared with detections: no keypoints2d"
RELEASE = "labels of before 20210209? take release v1.0"

SPEC = DatasetSpec(
    name="aist",
    joint_info=JointInfo(
        "nose,leye,reye,lear,rear,lsho,rsho,lelb,relb,lwri,rwri,lhip,rhip,lkne,rkne,lank,rank,"
        "neck,pelv",
        "nose-neck-pelv-lhip-lkne-lank,rwri-relb-rsho-neck-lsho-lelb-lwri,lear-leye-reye-rear,"
        "pelv-rhip-rkne-rank",
    ),
    image_dir="aist_downscaled",
    world_up=(0.0, 1.0, 0.0),
    single_person=True,
    citation="li2021aist: Li et al., AI Choreographer: Music Conditioned 3D Dance Generation with "
    "AIST++, ICCV 2021; tsuchida2019aist: Tsuchida et al., AIST Dance Video Database, ISMIR 2019",
    licence="annotations CC BY 4.0; videos AIST Terms of Use (research, non-commercial)",
    sequence_names=r"g\w\w_s\w\w_c(?P<view>\d\d)_(?P<subject>d\d\d)_(?P<motion>m\w+_ch\d\d)",
)


class Options(BaseModel):
    """Keys below ``dataset:``.

    Attributes:
        subjects: Dancers, e.g. ``d04``; None = all.
        splits: Splits to pack, those for poses.
        views: Cameras, 1 to 9.
        min_forward: Share of frames in which the nose must point where left and right say.
        max_projection_px: How far detections may be from the projected joints (median of a side).
    """

    model_config = ConfigDict(extra="forbid")

    subjects: list[str] | None = Field(None, min_length=1, json_schema_extra=recipe.CHOOSES_UNITS)
    splits: list[Literal["train", "val", "test"]] = Field(
        list(recipe.SPLITS), min_length=1, json_schema_extra=recipe.CHOOSES_UNITS
    )
    views: list[Annotated[int, Field(ge=1, le=9)]] = Field(
        list(range(1, 10)), min_length=1, json_schema_extra=recipe.CHOOSES_UNITS
    )
    min_forward: float = Field(0.8, ge=0, le=1)
    max_projection_px: float = Field(20.0, gt=0)


def list_units(root: Path, options: Options) -> Iterator[Unit]:
    """Yields one unit per video of a dance that is labelled, and one per ignored dance."""
    labels = only_one((root / name for name in FOLDERS), "the labels") or root / FOLDERS[0]
    mapping = [text.split() for text in read_lines(labels / "cameras/mapping.txt")]
    ignored = set(read_lines(labels / "ignore_list.txt"))
    videos = {name.lower(): name for name in sorted(names_in(root / "videos"))}
    lists = {s: {*read_lines(labels / f"splits/pose_{s}.txt")} for s in recipe.SPLITS}
    split_of = splits_by_name({s: sorted(lists[s]) for s in lists}, labels, r"\S+")
    lost = [row for row in mapping if len(row) != 2 or row[0] not in split_of]
    if lost or (lost := split_of.keys() - {row[0] for row in mapping} - ignored):
        text = f"{len(lost)} sequences are not in both mapping.txt and a split, as {min(lost)}"
        raise CorruptInput(labels, text)
    settings = by_key(((name, s, s) for name, s in mapping), labels, "setting of")
    for name, split in split_of.items():
        if not (m := re.fullmatch(SEQUENCE, name)) or (int(m[1]) % 3 == 0) != (split == "test"):
            text = f"holds {name}; expected names as gBR_sBM_cAll_d04_mBR0_ch01, and as test those"
            raise CorruptInput(labels / f"splits/pose_{split}.txt", f"{text} of {KEPT}")
    dancers = recipe.chosen_subjects(options.subjects, {name.split("_")[3] for name in split_of})
    for name, split in split_of.items():
        if split not in options.splits or name.split("_")[3] not in dancers:
            continue
        files = {"joints": labels / f"keypoints3d/{name}.pkl"}
        if name in ignored:
            yield make_unit(name, split, files)
            continue
        files["cameras"] = labels / f"cameras/{settings[name]}.json"
        files["pixels?"] = labels / f"keypoints2d/{name}.pkl"
        for view in options.views:
            video = name.replace("_cAll_", f"_c{view:02d}_")
            if file := videos.get(f"{video}.mp4".lower()):
                seen = {"video": root / "videos" / file}
                yield make_unit(video, split, files | seen, view=view)


def load_unit(root: Path, unit: Unit, options: Options) -> list[Sequence]:
    """Returns one dance seen by one camera; of an ignored one only how much is left out."""
    files, view = unit_files(unit), unit.args.get("view")
    joints = 10 * read_pickle(files["joints"], JOINTS)["keypoints3d_optim"]  # NaN = missing
    if view is None:
        return [view_sequence(unit, Stills(()), None, [], dropped={IGNORED: len(joints)})]
    check_sides(files["joints"], joints, options.min_forward)
    camera, size = read_camera(files["cameras"], view, joints)
    checks = {}
    if "pixels" in files:
        where, told = files["pixels"], {"parts": SIDES, "hint": RELEASE}
        pixels = read_pickle(where, PIXELS)["keypoints2d"][view - 1, ..., :2]
        same_count({files["joints"]: len(joints), where: len(pixels)})
        some = np.arange(0, len(joints), 1 + len(joints) // 200)
        told["limit"] = options.max_projection_px
        off = check_median_projection(where, camera, some, joints[some], pixels[some], **told)
        checks = {f"{side}_projection_px": value for side, value in off.items()}
    shown = shown_frames(len(joints), frame_rate(files["video"]), files["video"])
    frames, rows = np.unique(shown, return_index=True)  # of several labels the first
    middles = [joints[:, pair].mean(axis=1, keepdims=True) for pair in (SHOULDERS, HIPS)]
    coords = np.float32(np.concatenate([joints, *middles], axis=1))[rows]
    note = "" if checks else NOT_COMPARED
    person = Track(frames, world_coords=coords, activity="dancing", note=note)
    video = Video(files["video"], n_frames=int(shown[-1]) + 1, mismatch_known=True, size=size)
    told = {"dropped": {REPEATED: len(shown) - len(rows)}, "scene": "studio", "checks": checks}
    label_of = dict(zip(frames.tolist(), rows.tolist(), strict=True))
    told["image_name"] = lambda k, _: f"videos/{unit.id}/{label_of[k]:06d}.jpg"
    return [view_sequence(unit, video, camera, [person], **told)]


def check_sides(where: Path, joints: np.ndarray, least: float) -> None:
    """Makes sure that people stand on the floor, and that left is up x forward by the nose."""
    neck, pelvis = joints[:, SHOULDERS].mean(axis=1), joints[:, HIPS].mean(axis=1)
    check_up(where, neck - joints[:, ANKLES].mean(axis=1), SPEC.world_up)
    left = joints[:, SHOULDERS[0]] - joints[:, SHOULDERS[1]]
    forward = joints[:, NOSE] - joints[:, EARS].mean(axis=1)
    turn = (np.cross(neck - pelvis, forward) * left).sum(axis=1)
    turn = turn[np.isfinite(turn)]
    if not turn.size:
        raise CorruptInput(where, f"no frame among {len(joints)} in which the body is known")
    if (share := (turn > 0).mean()) < least:
        text = f"left and right are those of the nose's direction in {share:.0%} of the frames"
        raise CorruptInput(where, f"{text}; expected at least {least:.0%}", hint=RELEASE)


def read_camera(path: Path, view: int, joints: np.ndarray) -> tuple:
    """Returns a view's camera, and the size of its pictures; everybody is before all nine."""
    found, made = read_json(path, [CAMERA]), {}
    points = joints[np.isfinite(joints).all(axis=2)]
    cameras = by_key(((c["name"], f"entry {i}", c) for i, c in enumerate(found)), path, "camera")
    for name, c in cameras.items():
        pose = {"rotation": rotvec_matrix(c["rotation"]), "translation": c["translation"]}
        lens = {"intrinsics": c["matrix"], "distortion": c["distortions"]}
        more = {"unit": "cm", "world_up": SPEC.world_up}
        made[name] = make_camera(f"{path}, camera {name}", **pose, **lens, **more)
        if (depth := made[name].world_to_camera(points)[:, 2].min()) <= 0:
            text = f"joints are {-depth:.0f} mm behind camera {name}; expected before all nine"
            raise CorruptInput(path, text, hint=RELEASE)
    if len(made) != 9 or (name := f"c{view:02d}") not in made:
        raise CorruptInput(path, f"holds cameras {sorted(made)}; expected c01 to c09")
    places = [made[name].t for name in sorted(made)]
    check_ring(path, places, [-45 * (k % 8) for k in range(9)], (3000, 7000), hint=RELEASE)
    return made[name], tuple(cameras[name]["size"].tolist())
