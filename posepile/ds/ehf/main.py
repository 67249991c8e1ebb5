"""EHF: 100 pictures of one person in a scan studio, each with an SMPL-X mesh of the scan.

See README.md. For evaluation only. Nothing but meshes is published: joints are made of their
vertices, by the neutral model's regressor.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from posepile.bodies import models
from posepile.bodies.joints import SMPLX_OUTPUT_NAMES, SMPLX_SURFACE_VERTICES
from posepile.bodies.surface import joint_regressor
from posepile.errors import CorruptInput
from posepile.formats.folders import files_by_number
from posepile.formats.keys import only_one
from posepile.formats.mesh_files import read_ply_vertices
from posepile.formats.schema import Array, check
from posepile.formats.text_files import read_json, read_text
from posepile.geometry.cameras import make_camera
from posepile.geometry.pictures import box_of_points, check_median_projection, project
from posepile.geometry.rotations import rotvec_matrix
from posepile.joint_info import JointInfo
from posepile.recipe import DatasetSpec, Sequence, Unit
from posepile.shapes.stills import Person, Picture, picture_sequence
from posepile.shapes.units import make_unit, unit_files

FOLDERS, CAMERA_FILE = ("EHF/EHF", "EHF", "."), "EHF_camera.txt"
SIZE = (1600, 1200)
N_VERTICES = 10475
# The one camera, by the headings of its file; y is up in its world. Pixels, metres, radians.
CAMERA = {
    "Focal length": (1498.22426237, 1498.22426237),
    "Principal Point": (790.263706, 578.90334),
    "Translation": (-0.03609917, 0.43416458, 2.37101226),
    "Rotation": (-2.98747896, 0.01172457, -0.05704687),
}
# Joints of the model, then tips of fingers, which are vertices.
JOINT_NAMES = (*SMPLX_OUTPUT_NAMES[:55], *SMPLX_OUTPUT_NAMES[66:76])
TIPS = list(SMPLX_SURFACE_VERTICES[11:])
EDGES = "head-neck-thor-spin-bell-pelv-rhip-rkne-rank-rtoe,thor-rcla-rsho-relb-rwri"
EDGES += "".join(f",rwri-r{f}1-r{f}2-r{f}3-r{f}" for f in ("index", "middle", "pinky", "ring"))
EDGES += ",rwri-rthumb1-rthumb2-rthumb3-rthu"
# Joints that OpenPose finds nearly where the model has them: its number -> name.
DETECTED = {2: "rsho", 3: "relb", 4: "rwri", 9: "rhip", 10: "rkne", 11: "rank"}
DETECTED |= {5: "lsho", 6: "lelb", 7: "lwri", 12: "lhip", 13: "lkne", 14: "lank"}
DETECTIONS = {"people": [{"pose_keypoints_2d": Array(75)}]}

SPEC = DatasetSpec(
    name="ehf",
    joint_info=JointInfo(list(JOINT_NAMES), EDGES),
    image_dir="ehf_downscaled",
    world_up=(0.0, 1.0, 0.0),
    single_person=True,
    citation="SMPL-X:2019: Pavlakos et al., Expressive Body Capture: 3D Hands, Face, and Body "
    "from a Single Image, CVPR 2019",
    licence="SMPL-X licence: non-commercial research, registration",
    sequence_names=r"(?P<stills>(?P<subject>EHF))",
)


class Options(BaseModel):
    """Keys below ``dataset:``.

    Attributes:
        max_detection: How far OpenPose's joints of one side of the body may be from those of the
            mesh in the median, as a share of the person's size in the picture.
    """

    model_config = ConfigDict(extra="forbid")

    max_detection: float = Field(0.06, gt=0, le=1)


def list_units(root: Path, options: Options) -> Iterator[Unit]:
    """Yields the pictures as one unit, in the order of their numbers."""
    folder = raw_folder(root)
    pictures = files_by_number(folder, r"(\d{2,3})_img\.png")
    if pictures:
        stems = [path.name.partition("_")[0] for path in pictures.values()]
        files = {"pictures": pictures.values(), "camera?": folder / CAMERA_FILE}
        files["meshes"] = [folder / f"{stem}_align.ply" for stem in stems]
        files["detections"] = [folder / f"{stem}_2Djnt.json" for stem in stems]
        files["models"] = models.model_files("smplx", ["neutral"], root)
        yield make_unit("EHF", "test", files)


def load_unit(root: Path, unit: Unit, options: Options) -> list[Sequence]:
    """Returns all pictures."""
    files, pictures, off = unit_files(unit), [], []
    if "camera" in files:
        check_camera(files["camera"])
    camera = load_camera()
    regressor = joint_regressor("smplx", "neutral", models_root=models.models_below(root))
    triples = zip(files["pictures"], files["meshes"], files["detections"], strict=True)
    for path, mesh, detections in triples:
        vertices = read_vertices(mesh)
        joints = np.concatenate([regressor @ vertices, vertices[TIPS]])
        box = box_of_points(project(camera, vertices), SIZE)
        if np.isnan(box).any():
            text = "the mesh projects outside of the picture; expected the person in it"
            raise CorruptInput(mesh, text, hint="meshes and camera are not of one release")
        limit = options.max_detection * float(box[2:].max())
        off.append(check_detections(detections, camera, joints, limit))
        pictures.append(Picture(path, SIZE, [Person(0, world_coords=joints, bbox=box)], camera))
    name = {"image_name": lambda path, _: f"{path.stem.removesuffix('_img')}.jpg"}
    checks = {"detections_px": max(off, default=0.0)}
    return [picture_sequence(unit, pictures, scene="studio", checks=checks, **name)]


def plan(root: Path, options: Options) -> list[str]:
    """Returns what the body model is needed for and where it belongs, if it is not there."""
    return models.lacking_models("smplx", ["neutral"], root, "meshes have no joints: work stops")


def raw_folder(root: Path) -> Path:
    """Returns the folder of the pictures: archives were unpacked in different ways."""
    inner = (root / name / CAMERA_FILE for name in FOLDERS)
    pictures = (root / name / "01_img.png" for name in FOLDERS)
    found = only_one(pictures, "the pictures") or only_one(inner, "the camera")
    return found.parent if found else root


def mesh_files(root: Path) -> dict[str, Path]:
    """Returns the name of each picture -> its mesh, in the order of their numbers."""
    meshes = files_by_number(raw_folder(root), r"(\d{2,3})_align\.ply").values()
    return {mesh.name.replace("_align.ply", "_img.png"): mesh for mesh in meshes}


def read_vertices(path: Path) -> np.ndarray:
    """Returns the vertices of a mesh of SMPL-X, ``[10475, 3]`` millimetres."""
    vertices = read_ply_vertices(path)
    return 1000 * check(vertices, Array(N_VERTICES, 3), path, "vertices", hint="extract it again")


def load_camera():
    """Returns the camera."""
    focal, principal, translation, rotvec = CAMERA.values()
    pose = {"rotation": rotvec_matrix(rotvec), "translation": translation, "unit": "m"}
    lens = {"focal": focal, "principal": principal, "size": SIZE}
    return make_camera(CAMERA_FILE, **pose, **lens, world_up=SPEC.world_up)


def to_camera(vertices: np.ndarray) -> np.ndarray:
    """Returns vertices ``[..., 3]`` in the frame of the camera, millimetres, in full precision."""
    turn, move = rotvec_matrix(CAMERA["Rotation"]), np.array(CAMERA["Translation"])
    return vertices @ turn.T + 1000 * move


def check_camera(path: Path) -> None:
    """Refuses a camera file with other numbers than those that are used."""
    text = read_text(path)
    for name, expected in CAMERA.items():
        after = text.partition(name)[2].partition("\n")[2]
        words = after.replace("[", " ").replace("]", " ").replace(",", " ").split()
        try:
            found = np.array(words[: len(expected)], np.float64)
        except ValueError:
            found = np.zeros(0)
        if found.shape != (len(expected),) or np.abs(found - expected).max() > 1e-4:
            reason = f"{name}: found {found.tolist()}; expected {list(expected)}"
            raise CorruptInput(path, reason, hint="the recipe is for the release of 2019")


def check_detections(path: Path, camera, joints: np.ndarray, limit: float) -> float:
    """Returns how far OpenPose's joints are from where those of the mesh project, in pixels."""
    people = read_json(path, DETECTIONS)["people"]
    if not people:
        return 0.0
    found = people[0]["pose_keypoints_2d"].reshape(25, 3)[list(DETECTED)]
    pixels = np.where(found[:, 2:] > 0, found[:, :2], np.nan)
    chosen = joints[[JOINT_NAMES.index(name) for name in DETECTED.values()]]
    sides = {"right side": slice(0, 6), "left side": slice(6, 12)}
    hint = "mesh, picture and camera do not belong together, or left and right are swapped"
    off = check_median_projection(
        path, camera, [0], chosen[None], pixels[None], limit, parts=sides, hint=hint
    )
    return max(off.values(), default=0.0)
