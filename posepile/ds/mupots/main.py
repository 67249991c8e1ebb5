"""MuPoTS-3D: 20 sequences of up to three labelled people, indoors and outdoors; a test set.

See README.md. One unit is one sequence. Row ``i`` of its labels belongs to picture ``i``, column
``p`` is one person throughout. No calibration is published: a pinhole is fitted to the labels.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from posepile.errors import CorruptInput
from posepile.formats.folders import numbered_files
from posepile.formats.matlab_files import read_cell_rows
from posepile.formats.schema import Array
from posepile.geometry.cameras import make_camera
from posepile.geometry.fitting import fit_pinhole
from posepile.geometry.markerless import EDGES, EXACT, NAMES, PELVIS_LAST, check_labels
from posepile.joint_info import JointInfo
from posepile.recipe import (
    CHOOSES_UNITS,
    DatasetSpec,
    Sequence,
    Stills,
    Track,
    Unit,
    chosen_subjects,
)
from posepile.shapes.multiview import view_sequence
from posepile.shapes.units import make_unit, same_count, unit_files

SEQUENCES = [f"TS{i}" for i in range(1, 21)]
INDOORS, SIZES = SEQUENCES[:5], {"indoors": (2048, 2048), "outdoors": (1920, 1080)}
LABELS = {"annot2": Array(2, 17), "annot3": Array(3, 17), "univ_annot3": Array(3, 17)}
PERSON = {**LABELS, "isValidFrame": Array()}
SPEC = DatasetSpec(
    name="mupots",
    joint_info=JointInfo(NAMES, EDGES),
    image_dir="mupots_downscaled",
    world_up=(0.0, -1.0, 0.0),
    citation="mehta2018singleshot: Mehta et al., Single-Shot Multi-Person 3D Pose Estimation From "
    "Monocular RGB, 3DV 2018",
    licence="MuPoTS-3D: non-commercial research",
    sequence_names=r"TS\d+",
)


class Options(BaseModel):
    """Keys below ``dataset:``.

    Attributes:
        sequences: ``TS1`` to ``TS20``; None = all.
        max_projection_px: How far labels in the picture may be from the projected ones (medians).
    """

    model_config = ConfigDict(extra="forbid")

    sequences: list[str] | None = Field(None, min_length=1, json_schema_extra=CHOOSES_UNITS)
    max_projection_px: float = Field(1.0, gt=0)


def list_units(root: Path, options: Options) -> Iterator[Unit]:
    """Yields one unit per sequence."""
    for name in sorted(chosen_subjects(options.sequences, SEQUENCES, "sequences", "sequence")):
        files = {"labels": root / name / "annot.mat", "occlusion": root / name / "occlusion.mat"}
        files["pictures"] = numbered_files(root / name)
        yield make_unit(name, "test", files)


def load_unit(root: Path, unit: Unit, options: Options) -> list[Sequence]:
    """Returns one sequence."""
    files = unit_files(unit)
    n = len(files["pictures"])
    people = read_labels(files["labels"], n)
    hidden = np.array(read_cell_rows(files["occlusion"], "occlusion_labels", n, Array(17)))
    same_count({files["labels"]: people["valid"].size, files["occlusion"]: hidden.size // 17})
    scene, valid = "indoors" if unit.id in INDOORS else "outdoors", people["valid"]
    size = SIZES[scene]
    matrix = fit_camera(files["labels"], people)
    camera = make_camera(files["labels"], intrinsics=matrix, size=size, world_up=SPEC.world_up)
    places = people["annot3"][valid], people["annot2"][valid]
    checks = check_labels(files["labels"], camera, *places, options.max_projection_px)
    tracks = []
    for p in range(valid.shape[1]):
        frames = np.flatnonzero(valid[:, p])
        coords = np.float32(people["annot3"][frames, p][:, PELVIS_LAST])
        tracks.append(
            Track(frames, person=p, world_coords=coords, hidden=hidden[frames, p].mean(axis=-1))
        )
    told = {"scene": scene, "checks": checks}
    told["dropped"] = {"not a valid person": int((~valid).sum())}
    told["image_name"] = lambda k, p: f"{unit.id}/img_{k:06d}_{p}.jpg"
    pictures = Stills(files["pictures"], (size,) * n)
    return [view_sequence(unit, pictures, camera, tracks, **told)]


@lru_cache(maxsize=1)
def read_labels(path: Path, n: int | None) -> dict[str, np.ndarray]:
    """Returns the labels of a sequence of n pictures and P people, joints as published.

    ``annot2`` ``[n, P, 17, 2]`` px, ``annot3`` and ``univ_annot3`` ``[n, P, 17, 3]`` mm in the
    axes of the camera, ``valid`` ``[n, P]``. Labels of who is not valid are NaN: they are
    undefined.
    """
    rows = read_cell_rows(path, "annotations", n, PERSON)
    found = {key: np.array([[p[key].T for p in row] for row in rows]) for key in LABELS}
    valid = np.array([[p["isValidFrame"] > 0 for p in row] for row in rows])
    for labels in found.values():
        labels[~valid] = np.nan
    if (found["annot3"][..., 2] <= 0).any():
        raise CorruptInput(path, "found a joint behind the camera; expected all in front of it")
    return found | {"valid": valid}


def fit_camera(path: Path, people: dict[str, np.ndarray]) -> np.ndarray:
    """Returns the pinhole ``[3, 3]`` that labels have, as :func:`read_labels` gives them."""
    points, pixels = (people[key][people["valid"]] for key in ("annot3", "annot2"))
    return fit_pinhole(path, points[:, EXACT], pixels[:, EXACT])
