"""SURREAL: pictures turned left for right, the body in the world, odd clips."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat

from posepile.bodies.models import body_joints
from posepile.ds.surreal import main, miniature
from posepile.errors import CorruptInput
from posepile.geometry.agreement import check_parts
from posepile.geometry.pictures import project
from posepile.miniature import writers

CLIP = "train/run0/01_01/01_01_c0001"


@pytest.fixture
def root(raw_miniature, tmp_path):
    target = tmp_path / "surreal"
    shutil.copytree(raw_miniature("surreal"), target)
    return target


def load(root, **options):
    options = main.Options(**options)
    units = main.list_units(root, options)
    return {s.id: s for unit in units for s in main.load_unit(root, unit, options)}


def rewrite(root, **values):
    path = root / f"{CLIP}_info.mat"
    info = {key: v for key, v in loadmat(path).items() if not key.startswith("__")}
    writers.write_mat(path, info | values)


def test_units_are_those_of_the_chosen_splits_and_runs_also_below_cmu(root):
    everything = set(load(root))
    assert len(everything) == 7
    assert set(load(root, splits=["train"], runs=[1])) == {
        "train/run1/ung_104_46/ung_104_46_c0003"
    }
    (root / "cmu").mkdir()
    for split in ("train", "val", "test"):
        (root / split).rename(root / "cmu" / split)
    assert set(load(root)) == everything
    (root / "val/run0").mkdir(parents=True)
    with pytest.raises(CorruptInput, match=r"/val: the val set: found here and at .*/cmu/val"):
        load(root)
    assert set(load(root, splits=["train"])) < everything


def test_the_camera_is_that_of_the_mirrored_picture(root):
    sequence = load(root)[CLIP]
    camera, (person,) = sequence.camera, sequence.tracks
    np.testing.assert_allclose(camera.R, [[0, 0, 1], [0, 1, 0], [-1, 0, 0]], atol=1e-6)
    lens = [[600, 0, 159.5], [0, 600, 119.5], [0, 0, 1]]
    np.testing.assert_allclose(camera.intrinsic_matrix, lens, atol=1e-4)
    stored = loadmat(root / f"{CLIP}_info.mat")["joints2D"].transpose(2, 1, 0)
    expected = np.array([319.5, -0.5]) + stored[:, miniature.ORDER] * [-1, 1]
    off = project(camera, person.world_coords) - expected
    assert np.abs(off).max() < 0.51 and np.abs(off.mean(axis=(0, 1))).max() < 0.1


def test_the_person_who_has_left_the_picture_has_no_box(root):
    (person,) = load(root)[CLIP].tracks
    assert [person.unusable(k) for k in (0, 12, 13)] == [None, None, "empty mask"]
    x, _, w, _ = person.bbox[0]
    middle = loadmat(root / f"{CLIP}_segm.mat")["segm_1"].nonzero()[1]
    assert (x, x + w) == pytest.approx((318.5 - middle.max(), 319.5 - middle.min()), abs=0.51)


def relabel(root, change):
    """Writes the body parts of a clip anew."""
    path = root / f"{CLIP}_segm.mat"
    parts = [loadmat(path)[f"segm_{k}"] for k in range(1, 15)]
    writers.write_mat(path, {f"segm_{k}": part for k, part in enumerate(change(parts), 1)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda parts: [*parts[1:], parts[-1]], "move like the joints 1 frame(s) later"),
        (lambda parts: [parts[0], *parts[:-1]], "move like the joints 1 frame(s) before"),
        (lambda parts: [part[:, ::-1] for part in parts], "of the person's size (median) from"),
        (lambda parts: [part * 2 for part in parts], "found body part 44; expected 0 to 24"),
        (lambda parts: [*parts, parts[-1]], "found segm_15; expected 14 frames, as in"),
    ],
)
def test_body_parts_of_another_frame_or_person_are_refused(root, change, message):
    assert 0 < load(root)[CLIP].checks["joints_off_part"] < 0.01
    relabel(root, change)
    with pytest.raises(CorruptInput, match=re.escape(message)) as error:
        load(root)
    assert "01_01_c0001_segm.mat" in str(error.value)


def test_body_parts_of_another_person_are_accepted_where_all_are():
    labels, points = np.zeros((1, 40, 400), np.uint8), np.array([[[300.0, 20]]])
    labels[0, 10:30, 20:30] = 1
    with pytest.raises(CorruptInput, match="joints lie 1355.0% of the person's size"):
        check_parts("parts.mat", points, labels, [0], limit=0.99)
    assert check_parts("parts.mat", points, labels, [0], limit=1) > 13


@pytest.mark.parametrize("clip", [CLIP, "train/run1/ung_104_46/ung_104_46_c0003"])
def test_the_body_stands_where_the_joints_are(root, clip):
    (person,) = load(root)[clip].tracks
    body, gender = person.parameters(2), ("female", "male")["104" in clip]
    assert body["gender"] == gender
    rest = {key: np.asarray(body[key]) for key in ("pose", "shape", "trans")}
    models = root / "body_models"
    found = body_joints("smpl", gender, rest, models_root=models).reshape(24, 3)
    found = 1000 * found[miniature.ORDER]
    np.testing.assert_allclose(found, person.world_coords[2], atol=1)


def test_without_the_model_examples_say_that_they_have_no_parameters(root, monkeypatch):
    assert load(root)[CLIP].tracks[0].note == "" and main.plan(root, main.Options()) == []
    shutil.rmtree(root / "body_models")
    (root.parent / "nowhere").mkdir(exist_ok=True)
    monkeypatch.setenv("SMPLFITTER_BODY_MODELS", str(root.parent / "nowhere"))
    (person,) = load(root)[CLIP].tracks
    assert person.parameters is None
    assert person.note == "no body parameters, since the SMPL file was not found"
    (line,) = main.plan(root, main.Options())
    assert str(root / "body_models" / "smpl") in line


def test_a_clip_of_one_frame_and_one_of_zeros(root):
    clips = load(root)
    assert len(clips["train/run0/01_01/01_01_c0002"].tracks[0].frames) == 1
    assert np.isnan(clips["train/run2/01_01/01_01_c0001"].tracks[0].world_coords).all()


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("gender", np.eye(14, 1, dtype=np.uint8), "gender: found [0, 1]"),
        ("zrot", np.linspace(0, 1, 14, dtype=np.float32)[:, None], "the pose is not that"),
        ("camLoc", np.float32([[5], [0.3], [0]]), "px from"),
    ],
)
def test_numbers_that_do_not_fit_together_are_named(root, field, value, message):
    rewrite(root, **{field: value})
    with pytest.raises(CorruptInput, match=re.escape(message)) as error:
        load(root, splits=["train"])
    assert Path(f"{CLIP}_info.mat").name in str(error.value)
