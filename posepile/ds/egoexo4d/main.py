"""Ego-Exo4D: the wearer of Aria glasses, filmed by static GoPros; 17 body and 42 hand joints.

Frame ``i`` of the frame-aligned videos is the same instant in all cameras, and the key ``"i"`` of
the label files. Labels are in the world of the capture: metres, z up. A unit is one video.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from posepile.ds.egoexo4d import annotations, aria, cameras, takes, tracks
from posepile.ds.egoexo4d.download import DownloadOptions, coverage, doctor, download, plan
from posepile.joint_info import JointInfo
from posepile.recipe import CHOOSES_UNITS, DatasetSpec, Sequence, Unit, Video
from posepile.shapes.units import unit_files, view_units

__all__ = ["SPEC", "Options", "calibrate", "doctor", "download", "list_units", "load_unit", "plan"]

SPEC = DatasetSpec(
    name="egoexo4d",
    joint_info=JointInfo(list(annotations.JOINT_NAMES), annotations.EDGES),
    image_dir="egoexo4d_downscaled",
    world_up=(0, 0, 1),
    citation='grauman2023ego: Grauman et al., "Ego-Exo4D: Understanding Skilled Human Activity '
    'from First- and Third-Person Perspectives", CVPR 2024',
    licence="Ego-Exo4D licence agreement (signed; no redistribution)",
    sequence_names=r"\w+/(?P<motion>[^/]+)/(?P<view>[^/]+)",
)


class Options(BaseModel):
    """Keys below ``dataset:``.

    Attributes:
        subjects: Ids of the participants whose takes to pack (``participant_uid`` of
            ``takes.json``); None = all.
        parts: Which labels to read; a take with only one of them is used all the same (with
            hands alone, in the view of the glasses).
        labels: Label sources to read.
        prefer: Whose joints are taken where both sources have the body (or a hand) in a frame.
        min_joints: Fewest joints a frame needs, valid and inside the image; seen by a GoPro,
            fewest body joints, since hands alone make no box of a person.
        video: ``full`` 3840x2160 videos or the copies with a short side of ``448`` pixels.
        ego: Also make examples from the glasses' RGB camera.
        test: Also pack images and cameras of the test split, which has no labels.
        test_stride: Every n-th frame of a test video is taken.
        bouldering: Include bouldering takes; the benchmark's own code leaves them out.
        max_reprojection_px: A video is refused if the 2D labels of one source, of the body or of
            one hand, lie further than this from the projected 3D labels in the median (pixels of
            the undistorted full-size image; of the glasses, of the rectified one).
        max_calibs_difference: How far the released focal lengths and distortion may be from
            ``gopro_calibs.csv``, relative, …
        max_calibs_degrees: … and how far the pose, degrees …
        max_calibs_mm: … and millimetres.
        max_aria_lens_px: How far the camera that crops are taken through may be from the lens of
            the glasses (pixels of the 1408 image).
        frame_count: What to do if a video has more or fewer frames than ``takes.json`` says:
            refuse it, or report it and use the frames there are.
        download: What to download.
    """

    model_config = ConfigDict(extra="forbid", coerce_numbers_to_str=True)

    subjects: list[str] | None = Field(None, min_length=1, json_schema_extra=CHOOSES_UNITS)
    parts: list[Literal["body", "hand"]] = Field(["body", "hand"], min_length=1)
    labels: list[Literal["manual", "automatic"]] = Field(["manual", "automatic"], min_length=1)
    prefer: Literal["manual", "automatic"] = "manual"
    min_joints: int = Field(6, ge=1)
    video: Literal["full", "448"] = "full"
    ego: bool = False
    test: bool = Field(True, json_schema_extra=CHOOSES_UNITS)
    test_stride: int = Field(30, ge=1)
    bouldering: bool = False
    max_reprojection_px: float = Field(40.0, gt=0)
    max_calibs_difference: float = Field(1e-3, gt=0)
    max_calibs_degrees: float = Field(0.1, gt=0)
    max_calibs_mm: float = Field(10.0, gt=0)
    max_aria_lens_px: float = Field(0.3, gt=0)
    frame_count: Literal["strict", "report"] = "strict"
    # Says nothing about results, so it stays out of the key that they are stored under.
    download: DownloadOptions = Field(default_factory=DownloadOptions, exclude=True)

    @field_validator("prefer")
    @classmethod
    def _readable(cls, value: str, info: ValidationInfo) -> str:
        # The default stays valid whatever is read: it says what comes first, if it is there.
        if value not in (*info.data.get("labels", ()), cls.model_fields["prefer"].default):
            raise ValueError("is not among dataset.labels")
        return value

    @field_validator("test_stride")
    @classmethod
    def _used(cls, value: int, info: ValidationInfo) -> int:
        default = cls.model_fields["test_stride"].default
        if not info.data.get("test", True) and value != default:
            raise ValueError("has no effect with test: false")
        return value


def calibrate(root: Path, options: Options) -> list[str]:
    """Nothing is kept (each video's lens is recovered on loading); says what is on disk."""
    return coverage(root, options)


def list_units(root: Path, options: Options) -> Iterator[Unit]:
    """Yields one unit per video that is on disk and has labels (test: calibrated cameras)."""
    for take in takes.labelled_takes(root, options):
        name, skip, shared = take.entry["take_name"], "", {}
        if take.entry.get("is_dropped"):
            skip = "take is marked is_dropped"
        elif "bouldering" in name.lower() and not options.bouldering:
            skip = "bouldering take"
        elif take.camera_pose is None:
            skip = "take without camera_pose"
        else:
            shared = {"camera_pose": take.camera_pose, "labels": take.labels}
        facts = {"name": name, "n_frames": takes.n_frames(take.entry), "skip": skip}
        facts["activity"] = take.entry.get("task_name") or takes.scenario(take.entry)
        place = take.entry.get("physical_setting_uid") or take.entry.get("university_name")
        facts["scene"] = str(place or "unknown")
        yield from view_units(f"{take.split}/{name}", take.split, take.views, shared, **facts)


def load_unit(root: Path, unit: Unit, options: Options) -> list[Sequence]:
    """Returns the labels and the camera of one video."""
    files, take, view = unit_files(unit), unit.args, unit.args["view"]
    is_ego, is_test = view.endswith(aria.RGB_STREAM), unit.split == "test"
    video = Video(
        files["video"],
        n_frames=take["n_frames"],
        mismatch_known=options.frame_count == "report",
        rot90=aria.QUARTER_TURNS if is_ego else 0,
    )
    sequence = Sequence(
        unit.id,
        unit.split,
        video,
        camera=None,
        tracks=[],
        image_name=lambda frame, _: f"{take['name']}/{view}/{frame:06d}.jpg",
        scene=take["scene"],
    )
    dropped = sequence.dropped
    if take["skip"]:
        dropped[take["skip"]] += take["n_frames"] or 1
        return [sequence]

    key = view.removesuffix(f"_{aria.RGB_STREAM}")
    labels = {path: annotations.read_labels(path, key) for path in files["labels"]}
    frames, coords = annotations.merge_labels([*labels.values()])
    for file in labels.values():
        dropped.update(file.dropped)
    if is_test:
        if not take["n_frames"]:
            dropped["takes.json does not say how many frames"] += 1
        frames = np.arange(0, take["n_frames"] or 0, options.test_stride)

    where = f"{files['camera_pose']}, {key}"
    entries = cameras.read_camera_pose(files["camera_pose"])
    if key not in entries:
        dropped["camera is not localized in camera_pose"] += len(frames)
        return [sequence]
    source = entries[key], files.get("calibration"), where
    if is_ego:
        sequence.camera, undistorted, fit = aria.load_cameras(*source, take["name"], options)
        sequence.checks["aria_lens_fit_px"] = fit
    else:
        sequence.camera, undistorted = cameras.load_cameras(*source, key, options)
    limit = options.max_reprojection_px
    sequence.checks |= annotations.check_labels(labels, key, undistorted, limit)
    if is_test:
        glasses = aria.read_glasses(files["camera_pose"])[0] if aria.aria_key(entries) else {}
        track = tracks.prediction_track(frames, sequence.camera, glasses, dropped)
    else:
        least = options.min_joints
        track = tracks.labelled_track(frames, coords, sequence.camera, dropped, least)
    track.activity = take["activity"]
    sequence.tracks = [track]
    return [sequence]
