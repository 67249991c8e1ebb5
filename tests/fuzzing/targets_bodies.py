"""The readers of :mod:`posepile.bodies`, and of annotation files like COCO's."""

from __future__ import annotations

import contextlib
import json
import random
import shutil
from pathlib import Path

import numpy as np
import smplfitter.np  # noqa: F401  here, so that not every worker imports it

from fuzzing.looking import look_at
from fuzzing.mutators_numpy import NPY, NPZ
from fuzzing.mutators_pickle import PICKLE
from fuzzing.mutators_text import JSON, TEXT, evil_value
from fuzzing.target import Target
from posepile.bodies import conversion, models, parameters, surface
from posepile.bodies.amass import read_amass
from posepile.bodies.fits import read_fits, read_moved_fit
from posepile.bodies.meshes import mesh_error
from posepile.errors import CorruptInput
from posepile.miniature import bodies, pickled, writers
from posepile.shapes.coco import coco_sequence, coco_units
from posepile.shapes.coco_files import CocoFile

RNG = np.random.default_rng(2)


def amass_samples(folder: Path) -> list[Path]:
    motion = {"poses": RNG.normal(size=(4, 156)), "trans": np.zeros((4, 3))}
    motion |= {"betas": np.zeros(16), "dmpls": np.zeros((4, 8))}
    place = folder / "walk_poses.npz"
    np.savez(place, gender="male", mocap_framerate=120.0, **motion)
    other = folder / "new_stageii.npz"
    np.savez(other, gender=np.array(b"female"), mocap_frame_rate=np.array([60.0]), **motion)
    return [place, other]


def use_amass(path: Path, output: Path) -> None:
    look_at(read_amass(path))


# ---------------------------------------------------------------- body models


def model_samples(folder: Path) -> list[Path]:
    """A folder of each kind, with the model of one gender alone."""
    found = []
    for kind, files in MODELS.items():
        bodies.write_body_models(folder / "all", (kind,), 60)
        for file in (*files, f"{kind}/kid_template.npy"):
            if (folder / "all" / file).exists():
                (folder / kind / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(folder / "all" / file, folder / kind / file)
        found.append(folder / kind)
    shutil.rmtree(folder / "all")
    return found


MODELS = {
    "smpl": ["smpl/basicmodel_m_lbs_10_207_0_v1.1.0.pkl"],
    "smplh": ["smplh/SMPLH_male.pkl"],
    "smplh16": ["smplh16/male/model.npz"],
    "smplx": ["smplx/SMPLX_MALE.npz"],
}


def use_model(path: Path, output: Path) -> None:
    models._load_model.cache_clear()  # every input is another file at the same place
    kind = path.name
    n = 3 * models.N_JOINTS[kind]
    body = {"pose": np.full((2, n), 0.1), "shape": np.zeros(10), "trans": np.zeros(3)}
    look_at(models.body_forward(kind, "male", body, models_root=path))
    surface._regressor.cache_clear()
    surface._landmarks.cache_clear()
    look_at(surface.joint_regressor(kind, "male", models_root=path))
    if kind == "smplx":
        with contextlib.suppress(CorruptInput):  # the samples have too few vertices
            surface.smplx_output_joints("male", body, models_root=path)


def hands_samples(folder: Path) -> list[Path]:
    bodies.write_body_models(folder, ("smplx",), 60)
    return [folder / "smplx" / "SMPLX_MALE.npz"]


def use_hands(path: Path, output: Path) -> None:
    parameters.load_hands.cache_clear()
    look_at(parameters.load_hands(path))


def fit_samples(folder: Path) -> list[Path]:
    pose = RNG.normal(size=(55, 3)) * 0.1
    fit = bodies.smplx_fit(pose, np.zeros(10), [0, 0, 2])
    pickled.write_pickle(folder / "fit.pkl", fit)
    tensors = {k: pickled.tensor(np.float32(v)) for k, v in fit.items() if k != "gender"}
    pickled.write_pickle(folder / "tensors.pkl", tensors)
    return [folder / "fit.pkl", folder / "tensors.pkl"]


def use_fit(path: Path, output: Path) -> None:
    models._load_model.cache_clear()
    parameters.load_hands.cache_clear()
    bodies.write_body_models(output, ("smplx",), 60)
    up = np.eye(4)
    look_at(read_moved_fit(path, up, gender="male", models_root=output))
    look_at(read_moved_fit(path, up, gender="male", kid=True, models_root=output))
    look_at(read_fits([path, path], gender="male", models_root=output))


def transfer_samples(folder: Path) -> list[Path]:
    from scipy.sparse import csr_matrix

    matrix = np.eye(4, dtype=np.float32)
    pickled.write_pickle(folder / "smplx2smpl.pkl", {"matrix": matrix})
    both = csr_matrix(np.concatenate([matrix, matrix], axis=1))
    pickled.write_pickle(folder / "smpl2smplx_deftrafo_setup.pkl", {"mtx": both})
    return [folder / "smplx2smpl.pkl", folder / "smpl2smplx_deftrafo_setup.pkl"]


def use_transfer(path: Path, output: Path) -> None:
    look_at(conversion.read_transfer(path).toarray())


BODY = {"gender": "male", "pose": np.zeros(165), "shape": np.zeros(10)}


def mesh_samples(folder: Path) -> list[Path]:
    models._load_model.cache_clear()
    bodies.write_body_models(folder / "models", ("smplx",), 60)
    (mesh,) = models.body_forward("smplx", "male", BODY, models_root=folder / "models")["vertices"]
    lines = [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in mesh]
    writers.write_text(folder / "body.obj", "# a body\n" + "\n".join(lines) + "\nf 1 2 3\n")
    return [folder / "body.obj"]


def use_mesh(path: Path, output: Path) -> None:
    models._load_model.cache_clear()
    bodies.write_body_models(output, ("smplx",), 60)
    mesh_error(path, BODY, 5.0, models_root=output)


# ---------------------------------------------------------------- COCO


def coco_samples(folder: Path) -> list[Path]:
    """A raw folder with an annotation file."""
    root = folder / "mydata"
    polygon, crowd = [10, 10, 40, 10, 40, 30.5, 10, 30], {"size": [48, 64], "counts": [3000, 72]}
    packed = {"size": [48, 64], "counts": "PPP1"}
    people = []
    for i, mask in enumerate(([polygon], [polygon, polygon], crowd, packed, [], [polygon])):
        person = {"id": i + 1, "image_id": i // 2 + 1, "category_id": 1, "iscrowd": int(i == 2)}
        person |= {"bbox": [1, 2, 30, 40], "segmentation": mask, "score": 0.5}
        people.append(
            person | {"keypoints": [10, 20, 2, 0, 0, 0, 12.5, 22, 1] * 5 + [1, 1, 2] * 2}
        )
    images = [{"id": i, "file_name": f"{i}.jpg", "width": 64, "height": 48} for i in (1, 2, 3)]
    content = {
        "images": images,
        "annotations": people,
        "categories": [{"id": 1, "name": "person"}],
    }
    writers.write_json(root / "val.json", content)
    return [root]


def use_coco(path: Path, output: Path) -> None:
    root = output / "mydata"  # pieces of the file are put beside the raw folder
    shutil.copytree(path, root)
    source = CocoFile(root / "val.json", root / "images", pictures_per_unit=2, more=("score",))
    for unit in coco_units(source, root, "val", "val"):
        sequence = coco_sequence(source, root, unit)
        for track in sequence.tracks:
            look_at([track.image_coords, track.bbox])
            for k in range(len(track.frames)):
                if track.mask is not None:
                    look_at(track.mask(k))


def change_annotation(data: bytes, rng: random.Random) -> bytes:
    """One field of one annotation or image, mostly of a form that is possible."""
    tree = json.loads(data)
    entries = tree[rng.choice(("annotations", "annotations", "annotations", "images"))]
    entry = rng.choice(entries)
    key = rng.choice(list(entry))
    n = rng.choice((0, -1, 1e9, -1e9, 1e308, 2**31, 2**40, 2**70, 0.5, 630, -300, None, True, "5"))
    masks = ([[n, 1, 20, 1, 20, 30]], [[0, 0, 9, 0, 9, n]], [[1, 1] * 3], [[1, 1, 5, 5]], [[]])
    masks += ({"size": [48, 64], "counts": [3072, n]}, {"size": [48, 64], "counts": _counts(rng)})
    masks += ({"size": [n, 64], "counts": [0]}, {"counts": "x"}, {"size": [48, 64], "counts": [n]})
    made = {"segmentation": masks, "bbox": ([n, 2, 3, 4], [1, 2, n, 4], [1, 2, 3], [5, 5, -1, 0])}
    made["keypoints"] = ([n] * 51, [10, 20, n] * 17, [n, 20, 2] * 17, [1, 2, 2] * 16, [])
    entry[key] = rng.choice(made.get(key, (n, evil_value(rng))))
    if rng.random() < 0.2:
        del entry[key]
    if rng.random() < 0.1:
        entries.append(dict(entry))
    return json.dumps(tree).encode()


def _counts(rng: random.Random) -> str:
    """Compressed RLE of any characters, also those that cannot be."""
    return "".join(chr(rng.randrange(48, 112)) for _ in range(rng.choice((1, 4, 20, 3000))))


def _annotation_or_text(data: bytes, rng: random.Random) -> bytes:
    try:
        return change_annotation(data, rng)
    except Exception:  # it was damaged before
        return rng.choice(JSON)(data, rng)


def npz_or_npy_or_pickle(data: bytes, rng: random.Random) -> bytes:
    """A body model, whatever its format."""
    kind = NPZ if data.startswith(b"PK") else NPY if data.startswith(b"\x93") else PICKLE
    return rng.choice(kind)(data, rng)


TARGETS = [
    Target("amass", amass_samples, use_amass, NPZ),
    Target("body_model", model_samples, use_model, (npz_or_npy_or_pickle,)),
    Target("hands", hands_samples, use_hands, NPZ),
    Target("mesh", mesh_samples, use_mesh, TEXT),
    Target("moved_fit", fit_samples, use_fit, PICKLE),
    Target("body_transfer", transfer_samples, use_transfer, PICKLE),
    Target("coco", coco_samples, use_coco, (*(_annotation_or_text,) * 8, *JSON[:9])),
]
