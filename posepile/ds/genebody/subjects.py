"""Who is in GeneBody: folders, splits, genders, and which body model to use."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path

import yaml

from posepile.bodies import models as body_models
from posepile.ds.genebody.options import Options
from posepile.errors import CorruptInput, UsageError, WorkError
from posepile.files import names_in
from posepile.formats.numpy_files import load_npy
from posepile.recipe import chosen_subjects

PARTS = {"train": "GeneBody-Train40", "test": "GeneBody-Test10"}
SPLIT_FILE = "genebody_split.npy"


def subject_folders(root: Path, options: Options) -> list[tuple[str, Path]]:
    """Lists (split, folder) of the performers to pack, in order of the split file.

    Raises:
        WorkError: A performer of the split file has no folder.
        UsageError: ``dataset.subjects`` names somebody who is in no split that is packed.
    """
    split = read_split(root)
    parts = PARTS if options.test10 else ("train",)
    chosen = chosen_subjects(options.subjects, (name for part in parts for name in split[part]))
    found, missing = [], []
    for part in parts:
        folder = root / PARTS[part]
        there = names_in(folder)
        for name in split[part]:
            if name in chosen:
                found.append((part, folder / name))
                missing += [] if name in there else [folder / name]
    if missing:
        raise WorkError(
            f"{missing[0]}: folder is missing ({len(missing)} of {len(found)} performers are); "
            "extract their archives there, or set dataset.subjects to those you have"
        )
    return found


def read_split(root: Path) -> dict[str, list[str]]:
    """Returns the lists ``train`` and ``test`` of genebody_split.npy."""
    places = [root / part for part in PARTS.values()]
    folder = next((p for p in places if SPLIT_FILE in names_in(p)), None)
    if folder is None:
        path = places[0] / SPLIT_FILE
        raise CorruptInput(path, "split file is missing", hint=f"put {SPLIT_FILE} there")
    path = folder / SPLIT_FILE
    split = load_npy(path)
    if not isinstance(split, dict) or not {"train", "test"} <= split.keys():
        raise CorruptInput(path, "expected a dictionary with the lists train and test")
    return {key: [str(name) for name in split[key]] for key in ("train", "test")}


def gender_of(subject: str, options: Options) -> str:
    """Returns the gender of the body model that a performer was fitted with."""
    if options.gender != "map":
        return options.gender
    gender = _gender_map().get(subject)
    if gender is None:
        raise UsageError(
            f"{subject} is not in genders.yaml of posepile/ds/genebody; add the name, or set "
            "dataset.gender"
        )
    return gender


@cache
def _gender_map() -> dict[str, str]:
    table = yaml.safe_load(Path(__file__).with_name("genders.yaml").read_text())
    return {name: gender for gender, names in table.items() for name in names}


def models_root(root: Path, options: Options) -> Path | None:
    """Folder of the body models; None = where smplfitter looks."""
    if options.body_models is not None:
        return Path(options.body_models)
    return body_models.models_below(root)


def find_model(root: Path, gender: str, options: Options) -> Path | None:
    """Returns the SMPL-X model file of a gender, None if it is not on disk."""
    return body_models.find_body_model("smplx", gender, models_root=models_root(root, options))


def joint_source(model: Path | None, options: Options) -> str:
    """``model``, ``keypoints`` or ``none``, as options and disk allow.

    Raises:
        UsageError: The model was asked for and is not there.
    """
    if options.joints not in {"auto", "model"}:
        return options.joints
    possible = model is not None and has_smplfitter()
    if options.joints == "model" and not possible:
        why = "the SMPL-X file is not on disk" if model is None else "smplfitter is not installed"
        raise UsageError(
            f"dataset.joints=model, but {why}; see posepile plan genebody, or use "
            "dataset.joints=auto"
        )
    return "model" if possible else "keypoints"


def has_smplfitter() -> bool:
    """Returns whether the forward pass of body models is available."""
    return importlib.util.find_spec("smplfitter") is not None
