"""GeneBody: 48 synchronised studio cameras, one performer, SMPL-X fitted to every frame.

Units are (subject, view); all views of a kept pose give an example. See README.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from posepile.bodies.joints import SMPLX_JOINT_NAMES, SMPLX_PARENTS
from posepile.ds.genebody import checks
from posepile.ds.genebody.bodies import load_hands, read_bodies, world_joints
from posepile.ds.genebody.cameras import read_cameras
from posepile.ds.genebody.options import Options
from posepile.ds.genebody.subjects import (
    find_model,
    gender_of,
    joint_source,
    models_root,
    subject_folders,
)
from posepile.ds.genebody.views import ViewFrames, list_frames, list_views, pose_frames
from posepile.errors import CorruptInput
from posepile.joint_info import JointInfo
from posepile.recipe import DatasetSpec, Sequence, Stills, Track, Unit

SPEC = DatasetSpec(
    name="genebody",
    joint_info=JointInfo(
        list(SMPLX_JOINT_NAMES),
        [(p, j) for j, p in enumerate(SMPLX_PARENTS) if p >= 0],
    ),
    image_dir="genebody_downscaled",
    world_up=(0, -1, 0),
    single_person=True,
    realistic_background=False,
    body_shape="untrusted",
    citation="cheng2022generalizable: Cheng et al., Generalizable Neural Performer, 2022",
    licence="GeneBody release agreement (non-commercial research, no redistribution)",
)


def list_units(root: Path, options: Options) -> Iterator[Unit]:
    """Yields one unit per subject and view, with every file it will read."""
    for split, folder in subject_folders(root, options):
        gender = gender_of(folder.name, options)
        model = find_model(root, gender, options)
        views = list_views(folder)
        if not views:
            raise CorruptInput(folder / "image", "no camera folders", hint="extract the archive")
        frames, params, _ = pose_frames(folder, views)
        shared = [folder / "annots.npy", *(params[f] for f in frames)]
        mesh = checks.first_mesh(folder, frames)
        shared += [file for file in (model, mesh) if file is not None]
        for view in views:
            pictures = [
                file
                for kind in ("image", "mask")
                for frame, file in list_frames(folder / kind / view, kind)[0].items()
                if frame in params
            ]
            args = {
                "folder": folder.relative_to(root).as_posix(),
                "view": view,
                "gender": gender,
                "joints": joint_source(model, options),
            }
            yield Unit(f"{folder.name}/{view}", split, (*shared, *pictures), args)


def load_unit(root: Path, unit: Unit, options: Options) -> list[Sequence]:
    """Returns all annotations of one subject in one view; masks are read when they are needed."""
    folder, view, gender = root / unit.args["folder"], unit.args["view"], unit.args["gender"]
    views = list_views(folder)
    cameras, _ = read_cameras(folder / "annots.npy", views)
    images, _ = list_frames(folder / "image" / view, "image")
    masks, _ = list_frames(folder / "mask" / view, "mask")
    if view not in cameras:
        return [without_camera(unit, len(images))]

    # The poses are the same in all views: what a single view lacks is left out after selection.
    dropped: Counter = Counter()
    frames, params, dropped["parameters without any picture"] = pose_frames(folder, views)
    dropped["image without parameters"] = len(images.keys() - params.keys())
    model = find_model(root, gender, options)
    bodies = read_bodies(
        [params[f] for f in frames],
        gender,
        hands=None if model is None else load_hands(model),
        add_mean=options.hand_mean == "add",
        need_keypoints=unit.args["joints"] == "keypoints",
        dropped=dropped,
    )
    frames = [f for f, body in zip(frames, bodies, strict=True) if body is not None]
    bodies = [body for body in bodies if body is not None]
    files = ViewFrames(frames, images, masks)

    joints, residuals = world_joints(
        unit.args["joints"], gender, bodies, models_root(root, options), folder / "param"
    )
    if joints is None and options.joints in ("model", "keypoints"):
        raise CorruptInput(
            folder / "param",
            f"holds no {options.joints} for dataset.joints={options.joints}",
            hint="use dataset.joints=none and select.method=none for parameters only",
        )
    if joints is not None:
        residuals["joints_outside_mask"] = checks.joints_outside_mask(
            files, joints, cameras[view], options.max_outside_mask
        )
    if checks.can_compare(model):
        residuals |= checks.mesh_residual(
            folder, frames, bodies, models_root(root, options), options.max_mesh_error_mm
        )

    absent = folder / "image" / view / "absent"  # never opened: ViewFrames.unusable says no
    paths = tuple(images.get(f, absent) for f in frames)
    track = Track(
        frames=np.arange(len(frames)),
        world_coords=joints,
        bbox=files,
        mask=files.mask,
        parameters=lambda k: bodies[k].parameters,
        unusable=files.unusable,
    )
    sequence = Sequence(
        id=unit.id,
        split=unit.split,
        frames=Stills(paths),
        camera=cameras[view],
        tracks=[track] if frames else [],
        image_name=lambda frame, person: f"{folder.name}/image/{view}/{paths[frame].name}",
        scene="studio",
        dropped=+dropped,  # without the zeros
        checks=residuals,
    )
    return [sequence]


def without_camera(unit: Unit, n_images: int) -> Sequence:
    """Returns a view that has images but no entry in annots.npy: counted, not used."""
    return Sequence(
        id=unit.id,
        split=unit.split,
        frames=Stills(()),
        camera=None,
        tracks=[],
        image_name=lambda frame, person: "",
        dropped=Counter({"view without a camera in annots.npy": n_images}),
    )


def calibrate(root: Path, options: Options) -> list[str]:
    """Nothing is derived; says where joints come from and how well meshes and cameras fit."""
    lines, sources = [], Counter()
    for _, folder in subject_folders(root, options):
        model = find_model(root, gender_of(folder.name, options), options)
        sources[joint_source(model, options)] += 1
        lines += checks.describe_subject(root, folder, model, options)
    used = ", ".join(f"{n} x {checks.JOINT_SOURCES[s]}" for s, n in sorted(sources.items()))
    return [f"world joints of {sum(sources.values())} subjects: {used}", *lines]


def doctor(root: Path, options: Options) -> list[str]:
    """Problems that the list of expected files cannot express."""
    return checks.find_problems(root, options)
