"""HUMBI, body sessions: people inside a ring of 107 GoPros, key points and SMPL fits.

See README.md. One unit is one instant of a subject: the pictures of all cameras.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from posepile.bodies import body25, models
from posepile.bodies.parameters import body_parameters
from posepile.errors import CorruptInput
from posepile.files import fingerprint, names_in
from posepile.formats.folders import files_by_number, names_like
from posepile.formats.keys import by_key
from posepile.formats.schema import Array, check
from posepile.formats.text_files import numbers_in, read_text
from posepile.geometry.cameras import make_camera
from posepile.geometry.pictures import check_projection
from posepile.imaging.jpeg import unfinished
from posepile.joint_info import JointInfo
from posepile.recipe import CHOOSES_UNITS, DatasetSpec, Sequence, Unit, chosen_subjects
from posepile.shapes import stills
from posepile.shapes.units import check_placed, make_unit, misplaced_units, unit_files

SIZE, N_CAMERAS, SUBJECT = (1920, 1080), 107, r"subject_(\d+)"
# Rows of a camera in each file, below three lines (numframes among them counts cameras) and one
# with 0 and its index: K; centre in metres and R, world to camera; P.
ROWS = {"intrinsic": (3, 3), "extrinsic": (4, 3), "project": (3, 4)}
RING, ROUGHLY_UP = range(1, 66, 2), (0.0, -1.0, 0.0)  # cameras that hang level
SCALE, TRANS, POSE, SHAPE = 0, slice(1, 4), slice(4, 76), slice(76, 86)  # m, rad; of a fit
POINTS, STAGE_MM, KNEES, ANKLES = Array(25, 3, finite=False), 3000, [10, 13], [11, 14]
FITTED = {"type": "smpl", "gender": "neutral", "hands": "none"}
FIT, NO_FIT = "smpl_parameter.txt", "no joints and parameters of the body, which was not fitted"
NO_CAMERA, NO_SESSION = "camera is not calibrated", "subject without a picture of its body"
SPEC = DatasetSpec(
    name="humbi",
    joint_info=JointInfo(body25.JOINT_NAMES, body25.EDGES),
    image_dir="humbi_downscaled",
    single_person=True,
    body_shape="fitted",
    n_valid_betas=10,
    citation="yu2020humbi: Yu et al., HUMBI: A Large Multiview Dataset, CVPR 2020",
    licence="HUMBI terms: research",
    sequence_names=r"(?P<subject>\w+)/body/(?P<instant>\d+)",
)


class Options(BaseModel):
    """Keys below ``dataset:``.

    Attributes:
        subjects: Ids of subjects, e.g. ["1", "88"]; null: all.
        max_projection_px: How far ``project.txt`` may put key points from where the camera does.
        max_fit_mm: Bodies that are further from the key points of their limbs are left out.
        max_unlabelled: Share of a subject's pictures that may lack key points.
    """

    model_config = ConfigDict(extra="forbid")

    subjects: list[str] | None = Field(None, min_length=1, json_schema_extra=CHOOSES_UNITS)
    max_projection_px: float = Field(0.5, gt=0)
    max_fit_mm: float = Field(100.0, gt=0)
    max_unlabelled: float = Field(0.1, ge=0, le=1)


def list_units(root: Path, options: Options) -> Iterator[Unit]:
    """Yields one unit per instant that has pictures; instants are numbered sparsely."""
    smpl, known = models.model_files("smpl", ["neutral"], root), files_by_number(root, SUBJECT)
    wanted = chosen_subjects(options.subjects, map(str, known))
    yield from misplaced_units(root, SUBJECT, "train", options.subjects)
    for session in (folder / "body" for id, folder in known.items() if str(id) in wanted):
        lost, n = {}, 0
        for name in names_like(session, r"\d{8}"):
            pictures = files_by_number(session / name / "image", r"image(\d{7})\.jpg")
            folder, unit = session / name / "reconstruction", f"{session.parent.name}/body/{name}"
            n += len(pictures)
            if "keypoints.txt" in names_in(folder) and pictures:
                files = {"pictures": pictures.values()} | {k: session / f"{k}.txt" for k in ROWS}
                files |= {"points": folder / "keypoints.txt", "fit?": folder / FIT, "models": smpl}
                yield make_unit(unit, "train", files, cameras=[*pictures])
            elif pictures:
                lost[unit] = len(pictures)
        id, empty = f"{session.parent.name}/left_out", [] if n else [NO_SESSION]
        yield from stills.left_out_units(id, "train", empty)
        for unit, some in lost.items():
            yield make_unit(unit, "train", {}, unlabelled=some, share=sum(lost.values()) / n)


def plan(root: Path, options: Options) -> list[str]:
    """Returns what the body model is needed for and where it belongs, if it is not there."""
    return models.lacking_models("smpl", ["neutral"], root, "there are no joints of SMPL")


def calibrate(root: Path, options: Options) -> list[str]:
    """Checks units of length and axes in the median over the subjects, at an instant of each."""
    found, fitted, sessions = [], 0, [root / name / "body" for name in names_like(root, SUBJECT)]
    known = [path / "project.txt" for path in sessions if "project.txt" in names_in(path)]
    by_key(((fingerprint(path), path, None) for path in known), root, "calibration")
    for session in sessions:
        for folder in (session / at / "reconstruction" for at in names_like(session, r"\d{8}")):
            if {"keypoints.txt", FIT} <= names_in(folder):
                fitted += 1
                with suppress(CorruptInput):  # its own unit tells
                    points, fit = read_points(folder / "keypoints.txt"), read_fit(folder / FIT)
                    shank = np.linalg.norm(points[KNEES] - points[ANKLES], axis=1).mean() / 1000
                    apart = body25.fitted(root, "neutral", fit, points[None], np.inf)[2]
                    if np.isfinite(shank):
                        found.append([fit["scale"], shank, apart])
                        break
    if fitted and not found:
        raise CorruptInput(root, f"none of {fitted} fits has key points to be compared with")
    scale, shank, apart = np.median(found, axis=0) if found else (1, 0.4, 0)
    said = f"median over {len(found)} subjects: scale of bodies {scale:.2f}, shank {shank:.2f} m, "
    said += f"bodies {apart:.0f} mm from their key points"
    if not (0.5 < scale < 2 and 0.2 < shank < 0.8) or apart > options.max_fit_mm:
        expected = f"about 1, 0.3 to 0.5 m and at most {options.max_fit_mm:g} mm"
        raise CorruptInput(root, f"{said}; expected {expected}", hint="unit or axes are others")
    return [said] if found else []


def load_unit(root: Path, unit: Unit, options: Options) -> list[Sequence]:
    """Returns the pictures of one instant."""
    check_placed(root, unit)
    if lost := stills.left_out_sequence(unit) or stills.unlabelled_sequence(unit):
        if (share := unit.args.get("share", 0)) > options.max_unlabelled:
            raise CorruptInput(root / unit.id, f"{share:.0%} of its subject lack key points")
        return [lost]
    files, pictures, off = unit_files(unit), [], [0.0]
    cameras, points = read_cameras(files), read_points(files["points"])
    middle = np.nanmedian(points, axis=0) if np.isfinite(points).any() else 0.0
    far = np.linalg.norm(points - middle, axis=1) > STAGE_MM
    points[far] = np.nan
    fit = read_fit(files["fit"]) if "fit" in files else None
    joints, note, _ = body25.fitted(root, "neutral", fit, points[None], options.max_fit_mm)
    more = {"note": note if fit else NO_FIT}
    if fit and note != body25.FAR_OFF:
        more["parameters"] = partial(body_parameters, files["fit"], **FITTED, **fit)
    for index, path in zip(unit.args["cameras"], files["pictures"], strict=True):
        if index in cameras:
            camera, matrix = cameras[index]
            seen = points @ matrix[:, :3].T + 1000 * matrix[:, 3]
            given = camera, points, seen[:, :2] / seen[:, 2:], options.max_projection_px
            off.append(check_projection(f"{files['project']}, camera {index}", *given))
            person = stills.Person(0, joints[0], left_out=unfinished(path), **more)
            pictures.append(stills.Picture(path, SIZE, [person], camera))
    more = {"dropped": {NO_CAMERA: len(files["pictures"]) - len(pictures)}}
    more["checks"] = {"projection_px": max(off), "points_off_the_stage": float(far.sum())}
    more["image_name"] = lambda path, _: "/".join(path.parts[-5:])
    return [stills.picture_sequence(unit, pictures, **more)]


def read_fit(path: Path) -> dict:
    """Returns parameters of the body; we scale it after it was moved, the authors before."""
    fit = check(numbers_in(read_text(path), path, 1), Array(86), path)
    if not fit[SCALE] > 0:
        raise CorruptInput(path, f"scale: found {fit[SCALE]:g}; expected a positive number first")
    trans = fit[TRANS] / fit[SCALE]
    return {"pose": fit[POSE], "shape": fit[SHAPE], "scale": float(fit[SCALE]), "trans": trans}


def read_points(path: Path) -> np.ndarray:
    """Returns key points ``[25, 3]``, mm; what is missing is zeros, or a word."""
    text = re.sub(r"(?<!\S)(?![-+]?[\d.])\S+", "nan", read_text(path))
    rows = [numbers_in(line, path, i) for i, line in enumerate(text.splitlines(), 1)]
    return 1000 * body25.clean_points(check([r for r in rows if r], POINTS, path))


def read_cameras(files: dict[str, Path]) -> dict[int, tuple]:
    """Returns camera and projection matrix of each camera of a session, by its index."""
    intrinsic, extrinsic, matrices = (read_blocks(files[k], ROWS[k]) for k in ROWS)
    path, cameras = files["extrinsic"], {}
    if odd := (extrinsic.keys() ^ intrinsic.keys()) | (matrices.keys() ^ intrinsic.keys()):
        raise CorruptInput(path, f"camera {min(odd)} is not in all of {', '.join(ROWS)}.txt")
    ring, up = np.array([extrinsic[c][0] for c in RING if c in extrinsic]), np.array(ROUGHLY_UP)
    if len(ring) > 2:  # else their plane is not known
        up = np.linalg.svd(ring - ring.mean(axis=0))[2][2]
        up *= np.sign(up @ ROUGHLY_UP)
    for c, (center, *rotation) in extrinsic.items():
        given = {"rotation": rotation, "center": center, "unit": "m", "world_up": tuple(up)}
        given |= {"intrinsics": intrinsic[c], "size": SIZE}
        cameras[c] = make_camera(f"{path}, camera {c}", **given), matrices[c]
    return cameras


def read_blocks(path: Path, shape: tuple[int, int]) -> dict[int, np.ndarray]:
    """Returns the numbers of each camera by its index."""
    lines, blocks = [*enumerate(read_text(path).rstrip().splitlines(), 1)], []
    for start in range(3, len(lines), shape[0] + 1):
        (at, head), *rows = lines[start : start + shape[0] + 1]
        match = re.fullmatch(r"0 +(\d+)\s*", head)
        if not match or int(match[1]) >= N_CAMERAS:
            raise CorruptInput(path, f"line {at}: found {head!r:.60}; expected 0 and a camera")
        rows = [numbers_in(text, path, line) for line, text in rows]
        rows = check(rows, Array(*shape), path, f"camera {match[1]}")
        blocks.append((int(match[1]), f"line {at}", rows))
    return by_key(blocks, path, "camera")
