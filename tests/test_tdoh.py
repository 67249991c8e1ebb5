"""3DOH50K: units of length, frames of joints and bodies, scale, pictures and their labels."""

import json
import shutil

import cv2
import numpy as np
import pytest
import rlemasklib

from posepile.bodies.models import body_joints, models_below
from posepile.ds.tdoh import main
from posepile.errors import CorruptInput
from posepile.shapes.units import UNLABELLED


@pytest.fixture
def root(raw_miniature, tmp_path):
    target = tmp_path / "tdoh"
    shutil.copytree(raw_miniature("tdoh"), target)
    return target


def load(root, **options):
    options = main.Options(**options)
    units = main.list_units(root, options)
    return [s for unit in units for s in main.load_unit(root, unit, options)]


def labels_of(root, name="trainset"):
    return json.loads((root / name / "annots.json").read_text())


def relabel(root, change, name="trainset"):
    """Changes the labels of all pictures of a set."""
    labels = labels_of(root, name)
    for id, label in labels.items():
        change(id, label)
    (root / name / "annots.json").write_text(json.dumps(labels))


def test_two_views_of_one_moment_have_the_same_joints_in_the_world(root):
    (person,) = load(root)[0].tracks
    np.testing.assert_allclose(person.world_coords[0], person.world_coords[1], atol=0.01)
    thigh = np.linalg.norm(person.world_coords[:, 1] - person.world_coords[:, 2], axis=1)
    assert (380 < thigh).all() and (thigh < 450).all()


def test_cameras_are_in_units_like_joints(root):
    sequence = load(root)[0]
    label = labels_of(root)["00000"]
    camera = sequence.camera(0)
    place = -np.array(label["extri"])[:3, :3].T @ np.array(label["extri"])[:3, 3]
    np.testing.assert_allclose(camera.t, place * 1000 / 7, rtol=1e-5)
    np.testing.assert_allclose(camera.world_up, -np.array(label["extri"])[1, :3], atol=1e-6)
    assert not np.allclose(camera.world_up, sequence.camera(1).world_up, atol=0.1)
    other = load(root, units_per_metre=6.5)[0]
    np.testing.assert_allclose(np.array(other.camera(0).t) * 6.5 / 7, camera.t, rtol=1e-5)


@pytest.mark.parametrize("units", [7.0, 6.5])
def test_parameters_give_the_published_joints(root, units):
    for sequence, name in zip(load(root, units_per_metre=units), main.SETS, strict=True):
        told = list(labels_of(root, name).values())
        for k, label in enumerate(told):
            body = sequence.tracks[0].parameters(k)
            assert (body["type"], body["gender"]) == ("smpl", "neutral")
            assert body["scale"] == pytest.approx(7 / units)
            joints = body_joints("smpl", "neutral", body, models_root=models_below(root))[0]
            camera = np.array(label["extri"])
            expected = np.array(label["smpl_joints_3d"])
            found = joints * units @ camera[:3, :3].T + camera[:3, 3]
            np.testing.assert_allclose(found, expected, atol=0.002)


def test_a_body_of_another_scale_keeps_its_place(root):
    """As the authors' model does it: the scale is part of the rotation of the root."""

    def grow(id, label):
        joints = np.array(label["smpl_joints_3d"])
        grown = joints[0] + (joints - joints[0]) * 1.1
        pixels = grown @ np.array(label["intri"]).T
        label |= {"scale": [7.7], "smpl_joints_3d": grown.tolist()}
        label["smpl_joints_2d"] = (pixels[:, :2] / pixels[:, 2:]).tolist()

    relabel(root, grow)
    assert load(root)[0].checks["body_px"] < 0.01
    lines = main.calibrate(root, main.Options())
    assert lines[0].startswith(
        "warning: dataset.units_per_metre is 7, more than 2 % off: trainset"
    )
    assert "fitted scale 7.700 (median)" in lines[0]
    assert lines[1] == "testset: fitted scale 7.000 (median), 7.000 to 7.000 (98 %)"
    assert not main.calibrate(root, main.Options(units_per_metre=7.6))[0].startswith("warning")


@pytest.mark.parametrize("kind", ["lsp", "smpl"])
@pytest.mark.parametrize("name", ["trainset", "testset"])
def test_joints_in_the_frame_of_the_world_are_refused(root, kind, name):
    def to_world(id, label):
        camera, key = np.array(label["extri"]), f"{kind}_joints_3d"
        label[key] = ((np.array(label[key]) - camera[:3, 3]) @ camera[:3, :3]).tolist()

    relabel(root, to_world, name)
    expected = rf"{name}/annots.json, {kind}_joints in the frame of the camera: frame \d, point \d"
    with pytest.raises(CorruptInput, match=expected):
        load(root)


def test_a_body_in_the_frame_of_the_camera_is_refused(root):
    def to_camera(id, label):
        turn = cv2.Rodrigues(np.array(label["pose"])[0, :3])[0]
        turn = np.array(label["extri"])[:3, :3] @ turn
        label["pose"][0][:3] = cv2.Rodrigues(turn)[0].ravel().tolist()

    relabel(root, to_camera)
    with pytest.raises(
        CorruptInput,
        match=r"annots.json, body in the frame of the world: frame \d, point \d+ projects",
    ):
        load(root)


def test_other_orders_of_joints_are_refused(root):
    relabel(root, lambda id, label: label.update(lsp_joints_3d=label["lsp_joints_3d"][::-1]))
    with pytest.raises(CorruptInput, match="lsp_joints in the frame of the camera: frame"):
        load(root)


def test_labels_of_another_picture_are_refused(root):
    def rename(id, label):
        label["img_path"] = "images\\00009.jpg" if id == "00007" else label["img_path"]

    relabel(root, rename)
    with pytest.raises(CorruptInput, match=r"00007.img_path: found 'images.*; expected picture 0"):
        load(root)


def test_an_id_that_is_there_twice_is_refused(root):
    path = root / "testset" / "annots.json"
    text = path.read_text().strip()
    path.write_text(f"{text[:-1]}, {text[1:]}")
    with pytest.raises(CorruptInput, match="00000: found twice; expected once"):
        load(root)


def test_masks_are_the_first_channel_of_the_training_set(root):
    path = root / "trainset/masks/00000.png"
    alone = cv2.imread(str(path))[..., 0]
    other = np.zeros_like(alone)
    cv2.imwrite(str(path), np.stack([other + 9, other, alone, other + 255], axis=-1))  # BGRA
    train, test = load(root)
    found = rlemasklib.decode(train.tracks[0].mask(0))
    np.testing.assert_array_equal(found, alone > 0)
    assert test.tracks[0].mask is None


def test_pictures_without_labels_are_counted(root):
    shutil.copy(root / "testset/images/00000.jpg", root / "testset/images/00099.jpg")
    with pytest.raises(CorruptInput, match="found no annotations of this and 0 others of 3"):
        load(root)
    assert load(root, max_unlabelled=0.5)[-1].dropped == {UNLABELLED: 1}


def test_without_the_body_model_there_are_no_parameters(root, monkeypatch):
    shutil.rmtree(root / "body_models")
    monkeypatch.setenv("SMPLFITTER_BODY_MODELS", str(root))
    track = load(root)[0].tracks[0]
    assert track.parameters is None and "SMPL file was not found" in track.note
    (line,) = main.plan(root, main.Options())
    assert line.startswith("without basicmodel_neutral_lbs_10_207_0_v1.1.0.pkl there are no body")
