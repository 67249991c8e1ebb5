"""GeneBody: 48 synchronised studio cameras, one performer, SMPL-X fitted to every frame.

Units are (subject, view); all views of a kept pose give an example. See README.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from posepile.bodies.joints import SMPLX_JOINT_NAMES, SMPLX_PARENTS
from posepile.bodies.models import lacking_models, models_below
from posepile.ds.genebody import subjects
from posepile.ds.genebody.body import mesh_residual, read_bodies, read_body, world_joints
from posepile.ds.genebody.cameras import read_cameras
from posepile.ds.genebody.subjects import Options, Performer
from posepile.errors import CorruptInput, PosePileError
from posepile.geometry.pictures import box_of_mask
from posepile.joint_info import JointInfo
from posepile.recipe import DatasetSpec, Sequence, Stills, Track, Unit
from posepile.shapes.multiview import view_sequence
from posepile.shapes.silhouettes import joints_outside_mask
from posepile.shapes.units import Rows

EDGES = [(p, j) for j, p in enumerate(SMPLX_PARENTS) if p >= 0]
SPEC = DatasetSpec(
    name="genebody",
    joint_info=JointInfo(list(SMPLX_JOINT_NAMES), EDGES),
    image_dir="genebody_downscaled",
    world_up=(0, -1, 0),
    single_person=True,
    realistic_background=False,
    body_shape="untrusted",
    citation="cheng2022generalizable: Cheng et al., Generalizable Neural Performer, 2022",
    licence="GeneBody release agreement (non-commercial research, no redistribution)",
    sequence_names=r"(?P<subject>.+)/(?P<view>\d\d)",
)
BODY = slice(22)  # joints before jaw, eyes and fingers, which stick out of mattes
NO_MEAN = "hands lack the mean pose, since the SMPL-X file was not found"
JOINT_SOURCES = {
    "model": "SMPL-X forward pass",
    "keypoints": "keypoints3d of the parameter files",
    "none": "none, parameters only",
}


def list_units(root: Path, options: Options) -> Iterator[Unit]:
    """Yields one unit per subject and view, with every file it will read."""
    for who in subjects.list_performers(root, options):
        if not who.views:
            place = who.folder / "image"
            raise CorruptInput(place, "found no cameras", hint="extract the archive")
        shared = [who.folder / "annots.npy", *(who.params[f] for f in who.frames)]
        shared += [file for file in (who.model, *who.meshes.values()) if file]
        args = {"name": who.folder.name, "gender": who.gender, "joints": who.joints}
        for name, view in who.views.items():
            pictures = [*view.images.items(), *view.masks.items()]
            inputs = (*shared, *(file for frame, file in pictures if frame in who.params))
            yield Unit(f"{who.folder.name}/{name}", who.split, inputs, {**args, "view": name})


def load_unit(root: Path, unit: Unit, options: Options) -> list[Sequence]:
    """Returns all annotations of one subject in one view; masks are read when they are needed."""
    who = subjects.find_performer(root, unit.split, unit.args["name"], options)
    view = who.views[unit.args["view"]]
    cameras, _ = read_cameras(who.folder / "annots.npy", list(who.views))
    camera = cameras.get(unit.args["view"])
    if camera is None:
        lost = {"view without a camera in annots.npy": len(view.images)}
        return [view_sequence(unit, Stills(()), None, [], dropped=lost)]

    # The poses are the same in all views: what a single view lacks is left out after selection.
    bodies, dropped = read_bodies(who, options)
    dropped["parameters without any picture"] = len(who.params) - len(who.frames)
    dropped["image without parameters"] = len(view.images.keys() - who.params.keys())
    frames = list(bodies)
    checks = mesh_residual(who, bodies, options)
    joints, residuals = world_joints(who, list(bodies.values()), options.max_keypoints_mm)
    checks |= residuals
    if joints is None and options.joints in ("model", "keypoints"):
        found = f"holds no {options.joints} for dataset.joints={options.joints}"
        hint = "use dataset.joints=none and select.method=none for parameters only"
        raise CorruptInput(who.folder / "param", found, hint=hint)
    # `unusable` keeps what is absent from being opened.
    paths = tuple(view.images.get(f, who.folder / "absent") for f in frames)
    track = Track(
        frames=np.arange(len(frames)),
        world_coords=joints,
        bbox=Rows(frames, lambda f: box_of_mask(view.mask(f))),
        mask=lambda k: view.mask(frames[k]),
        parameters=lambda k: bodies[frames[k]].parameters,
        unusable=lambda k: view.why_not(frames[k]),
        note=NO_MEAN if who.model is None and options.hand_mean == "add" else "",
    )
    if joints is not None:
        checks["joints_outside_mask"] = joints_outside_mask(
            who.folder / "mask" / unit.args["view"],
            track,
            camera,
            options.max_outside_mask,
            joints=BODY,
            hint="download annots.npy and param of one release, or raise dataset.max_outside_mask",
        )
    sequence = view_sequence(
        unit,
        Stills(paths),
        camera,
        [track] if frames else [],
        image_name=lambda k, _: paths[k].relative_to(who.folder.parent).as_posix(),
        scene="studio",
        dropped=dropped,
        checks=checks,
    )
    return [sequence]


def describe(who: Performer, options: Options) -> Iterator[str]:
    """Yields what is special about a performer, and how well parameters and meshes agree.

    Problems become lines; the units concerned raise them when they are loaded.
    """
    name = who.folder.name
    try:
        cameras, notes = read_cameras(who.folder / "annots.npy", list(who.views))
        yield from (f"{name}: {note}" for note in notes)
        if lost := sorted(who.views.keys() - cameras.keys()):
            yield f"problem: {name}: no camera for views {lost}"
        frames = list(who.meshes) or who.frames[:1]
        bodies = {f: read_body(who, f, options) for f in frames}
        if who.joints == "keypoints" and any(b.keypoints is None for b in bodies.values()):
            lost = "no body model at hand and no keypoints3d in the parameter files"
            yield f"{name}: {lost}: parameters only, which needs select.method=none"
        if off := mesh_residual(who, bodies, options):
            fit = f"SMPL-X ({who.gender}) agrees with {len(who.meshes)} published meshes"
            yield f"{name}: {fit} to {off['mesh_mm']:.3f} mm"
    except PosePileError as e:
        yield f"problem: {e}"


def calibrate(root: Path, options: Options) -> list[str]:
    """Nothing is derived; says where joints come from and how well meshes and cameras fit."""
    performers = subjects.list_performers(root, options)
    sources = Counter(JOINT_SOURCES[who.joints] for who in performers)
    used = ", ".join(f"{n} x {source}" for source, n in sorted(sources.items()))
    lines = [line for who in performers for line in describe(who, options)]
    return [f"world joints of {len(performers)} subjects: {used}", *lines, *plan(root, options)]


def plan(root: Path, options: Options) -> list[str]:
    """Returns what the body model is needed for and where it belongs, if it is not there."""
    if options.hand_mean == "none" and options.joints in ("keypoints", "none"):
        return []
    genders = ("female", "male") if options.gender == "map" else (options.gender,)
    lost = "and kid_template.npy hand poses lack the mean, and joints come from keypoints3d"
    models = models_below(root, options.body_models)
    return lacking_models("smplx", genders, root, lost, models_root=models)


def doctor(root: Path, options: Options) -> list[str]:
    """Returns problems that the list of expected files cannot express."""
    try:
        performers = subjects.list_performers(root, options)
    except PosePileError as e:
        return [str(e)]
    problems = []
    for who in performers:
        problems += [line for line in describe(who, options) if line.startswith("problem:")]
        problems += subjects.find_gaps(who)
    return problems + plan(root, options)
