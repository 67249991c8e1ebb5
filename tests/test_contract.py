"""What every dataset folder must do; a new folder is tested by being there.

Each miniature is made and run through the dataset's real main.sh. Truth comes from the miniature
(written from the card) and from the drawn pixels, not from our own inverse.
"""

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rlemasklib

from posepile.ds import dataset_dir, dataset_names, load_recipe
from posepile.miniature import kit
from posepile.recipe import SPLITS

NAMES = dataset_names()
PER_SPLIT = 40


@pytest.fixture(params=NAMES)
def made(request, miniature, monkeypatch):
    """(name, DATA_ROOT, truth) of a processed miniature."""
    root = miniature(request.param)
    monkeypatch.setenv("DATA_ROOT", str(root))
    truth = json.loads((root / request.param / "miniature_truth.json").read_text())
    return request.param, root, truth


def open_dataset(name):
    if load_recipe(name).SPEC.kind == "2d":
        from posepile import datasets2d as module
    else:
        from posepile import datasets3d as module
    return module.get_dataset(name)


def some_examples(dataset):
    for i in range(len(SPLITS)):
        examples = dataset.examples[i]
        step = max(1, len(examples) // PER_SPLIT)
        for example in examples[::step]:
            yield example.load()


@pytest.mark.parametrize("name", NAMES)
def test_the_folder_is_complete(name):
    folder = dataset_dir(name)
    for file in ("__init__.py", "main.py", "main.sh", "sources.yaml", "exclusions.yaml"):
        assert (folder / file).is_file(), f"{name} lacks {file}"
    for file in ("miniature.py", "README.md"):
        assert (folder / file).is_file(), f"{name} lacks {file}"
    assert (folder.parents[2] / "configs" / f"{name}.yaml").is_file()
    script = (folder / "main.sh").read_text()
    assert "set -euo pipefail" in script
    assert len((folder / "main.py").read_text().splitlines()) <= 220


@pytest.mark.parametrize("name", NAMES)
def test_the_spec_says_what_consumers_need(name):
    spec = load_recipe(name).SPEC
    assert spec.name == name
    # An interface: training code selects a dataset by the first component of its image paths.
    assert re.fullmatch(rf"{name}(_[a-z0-9]+)*_downscaled[a-z_]*|{name}_.*", spec.image_dir)
    assert spec.licence and spec.citation
    if spec.kind != "2d":
        assert spec.world_up is not None
        assert np.isclose(np.linalg.norm(spec.world_up), 1)


def test_counts_are_those_of_the_card(made):
    name, root, truth = made
    manifest = json.loads((root / f"{name}.barecat.manifest.json").read_text())
    expected = {split: truth["counts"].get(split, 0) for split in SPLITS}
    assert manifest["counts"] == expected
    dataset = open_dataset(name)
    assert {s: len(dataset.examples[i]) for i, s in enumerate(SPLITS)} == expected
    assert manifest["inputs"], "the manifest names the files that were read"
    assert not manifest["quarantined_units"]


def test_a_second_run_does_nothing(made, run_main):
    name, root, _ = made
    before = {p: (p.stat().st_mtime_ns, digest(p)) for p in outputs(root, name)}
    assert len(before) >= 3
    output = run_main(name, root, "--miniature").stdout
    assert " 0 done now" in output
    assert "is packed and current" in output
    assert before == {p: (p.stat().st_mtime_ns, digest(p)) for p in outputs(root, name)}


def outputs(root, name):
    return sorted([*root.glob(f"{name}.barecat*"), root / "cache" / f"{name}.pkl"])


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_joints_land_on_the_drawn_person(made):
    name, _, truth = made
    if "colors" not in truth:
        pytest.skip(f"{name}: no joints are drawn")
    colors = [c or [0, 0, 0] for c in truth["colors"]]
    drawn = np.array([c is not None for c in truth["colors"]])
    dataset = open_dataset(name)
    assert len(colors) == dataset.joint_info.n_joints
    errors, n = [], 0
    for example in some_examples(dataset):
        expected = points_of(example)
        expected[~drawn] = np.nan
        found = kit.find_joints(example.get_image(), expected, np.array(colors), search=14)
        error = np.linalg.norm(found - expected, axis=-1)
        errors.extend(error[np.isfinite(error)])
        n += np.isfinite(expected).all(axis=-1).sum()
    assert len(errors) > 0.3 * n, f"{name}: only {len(errors)} of {n} joint discs were found"
    assert np.mean(errors) <= 1.0, f"{name}: mean error {np.mean(errors):.2f} px"
    print(f"{name}: {len(errors)} discs, mean error {np.mean(errors):.3f} px")


def points_of(example):
    if getattr(example, "coords", None) is not None:
        return np.array(example.coords, float)
    world = np.asarray(example.world_coords, np.float32)
    return example.camera.world_to_image(world).astype(float)


def test_masks_are_the_drawn_silhouette(made):
    name, _, truth = made
    if not truth.get("raw_masks"):
        pytest.skip(f"{name}: the raw data has no masks")
    ious = []
    for example in some_examples(open_dataset(name)):
        mask = rlemasklib.decode(example.mask).astype(bool)
        seen = kit.find_silhouette(example.get_image())
        ious.append((mask & seen).sum() / (mask | seen).sum())
    assert np.mean(ious) >= 0.95, f"{name}: IoU {np.mean(ious):.3f}"


def test_boxes_hold_most_joints(made):
    name, _, _ = made
    for example in some_examples(open_dataset(name)):
        assert example.bbox.dtype == np.float32 and np.isfinite(example.bbox).all()
        assert example.bbox[2] > 0 and example.bbox[3] > 0
        h, w = example.get_image().shape[:2]
        x, y = example.bbox[:2] + example.bbox[2:] / 2
        assert 0 <= x <= w and 0 <= y <= h, f"{example.image_path}: box centre outside the crop"


def test_the_archive_opens_without_us(made, tmp_path):
    """A reader written from the format document sees the same joints, in another process."""
    from posepile.export.upstream import export_upstream

    name, root, truth = made
    export_upstream(root / f"{name}.barecat", tmp_path / "notes.barecat")
    reader = Path(__file__).parent / "reference_reader.py"
    done = subprocess.run(
        [sys.executable, str(reader), str(tmp_path / "notes.barecat"), f"{root}/{name}.barecat"],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(lines) == sum(truth["counts"].values())
    by_path = {line["image_path"]: line for line in lines}
    assert len(by_path) == len(lines)
    for example in some_examples(open_dataset(name)):
        line = by_path[example.image_path]
        assert line["impath"] == example.image_path
        assert line["jpeg"] == "ffd8ffd9"
        np.testing.assert_allclose(line["bbox"], example.bbox, atol=1e-3)
        if example_has_joints(example):
            theirs = np.array([p or [np.nan] * 2 for p in line["points"]])
            np.testing.assert_allclose(theirs, points_of(example), atol=0.3)


def example_has_joints(example):
    coords = getattr(example, "coords", None)
    coords = example.world_coords if coords is None else coords
    return coords is not None and len(coords) > 0
