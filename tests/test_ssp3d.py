"""SSP-3D: rows and columns of boxes, sides, genders, silhouettes of value 1."""

import shutil

import cv2
import numpy as np
import pytest
import rlemasklib

from posepile.bodies.joints import SMPL_JOINT_NAMES
from posepile.ds.ssp3d import main
from posepile.errors import CorruptInput, WorkError
from posepile.shapes.units import UNLABELLED

SWAPPED = [0, *np.arange(1, 17).reshape(8, 2)[:, ::-1].ravel()]  # left and right of COCO


@pytest.fixture
def root(raw_miniature, tmp_path):
    """The labels can be changed, all else is that of the miniature."""
    source, target = raw_miniature("ssp3d"), tmp_path / "ssp3d"
    target.mkdir()
    for path in source.iterdir():
        (target / path.name).symlink_to(path)
    (target / "labels.npz").unlink()
    shutil.copy(source / "labels.npz", target / "labels.npz")
    return target


def load(root, **options):
    options = main.Options(**options)
    units = main.list_units(root, options)
    return [s for unit in units for s in main.load_unit(root, unit, options)]


def relabel(root, **changes):
    labels = dict(np.load(root / "labels.npz"))
    labels |= {key: change(labels[key]) for key, change in changes.items()}
    np.savez(root / "labels.npz", **labels)


def test_examples_are_in_the_order_of_the_labels_with_gender_and_shape(root):
    (sequence,) = load(root)
    labels, (track,) = np.load(root / "labels.npz"), sequence.tracks
    names = [f"{name[:-4]}.jpg" for name in labels["fnames"].tolist()]
    assert [sequence.image_name(i, 0) for i in range(4)] == names
    for i in range(4):
        body = track.parameters(i)
        assert body["gender"] == {"m": "male", "f": "female"}[labels["genders"][i]]
        for key, stored in (("shape", "shapes"), ("pose", "poses"), ("trans", "cam_trans")):
            np.testing.assert_allclose(body[key], labels[stored][i], rtol=1e-6)
    ups = track.world_coords[:, 0] - track.world_coords[:, SMPL_JOINT_NAMES.index("head")]
    assert (ups[:, 1] > 400).all()  # y down
    depths = track.world_coords[..., 2].mean(axis=1)
    np.testing.assert_allclose(depths, 1000 * labels["cam_trans"][:, 2], rtol=0.01)


def test_boxes_as_x_y_are_refused(root):
    relabel(root, bbox_centres=lambda centres: centres[:, ::-1])
    with pytest.raises(CorruptInput, match=r"bbox_centres as \(row, column\) are \d+ px"):
        load(root)


def test_2d_joints_of_the_other_side_are_refused(root):
    relabel(root, joints2D=lambda joints: joints[:, SWAPPED])
    with pytest.raises(CorruptInput, match=r"limbs: 2D labels lie .* px \(median\)"):
        load(root)


def test_2d_joints_without_confidence_do_not_count(root):
    def lose(joints):
        joints = joints.copy()
        joints[0, [5, 6, 7, 8, 9, 10]] = [40, 40, 0]
        return joints

    before = load(root)[0].checks["limbs_projection_px"]
    relabel(root, joints2D=lose)
    assert load(root)[0].checks["limbs_projection_px"] == pytest.approx(before, abs=0.3)


def test_bodies_in_another_world_are_refused(root):
    def turn(poses):
        poses = poses.copy()
        for pose in poses:  # upright in a world of y up, as without the half turn
            turned = np.diag([1.0, -1, -1]) @ cv2.Rodrigues(pose[:3])[0]
            pose[:3] = cv2.Rodrigues(turned)[0].ravel()
        return poses

    relabel(root, poses=turn)
    with pytest.raises(CorruptInput, match="limbs: 2D labels lie"):
        load(root)


def test_silhouettes_of_any_value_are_the_mask_and_its_box(root):
    (track,) = load(root)[0].tracks
    name = np.load(root / "labels.npz")["fnames"][1]
    stored = cv2.imread(str(root / "silhouettes" / name), 0)
    assert set(np.unique(stored)) == {0, 1}
    np.testing.assert_array_equal(rlemasklib.decode(track.mask(1)), stored)
    y, x = stored.nonzero()
    size = np.ptp(x) + 1, np.ptp(y) + 1
    np.testing.assert_allclose(track.bbox[1], [x.min() - 0.5, y.min() - 0.5, *size])


def test_labels_lie_in_the_folder_of_the_archive_or_above(root):
    (root / "ssp_3d").mkdir()
    for name in ("labels.npz", "images", "silhouettes"):
        (root / name).rename(root / "ssp_3d" / name)
    assert len(load(root)[0].tracks[0].frames) == 4


def test_unknown_genders_and_names_that_are_there_twice_are_refused(root):
    relabel(root, genders=lambda genders: np.array(["male", *genders[1:]]))
    with pytest.raises(CorruptInput, match="_frame_27.png: found .*'male'.*; expected 'm' or 'f'"):
        load(root)
    relabel(root, fnames=lambda names: names[[0, 0, 2, 3]], genders=lambda g: g[[1, 1, 2, 3]])
    with pytest.raises(CorruptInput, match="file name .*_frame_27.png: found at 0 and at 1"):
        load(root)


def test_pictures_without_labels_are_counted(root):
    keys = np.load(root / "labels.npz").files
    relabel(root, **{key: lambda rows: rows[:3] for key in keys})
    with pytest.raises(CorruptInput, match="found no annotations of this and 0 others of 4"):
        load(root)
    assert load(root, max_unlabelled=0.5)[-1].dropped == {UNLABELLED: 1}


def test_without_body_models_nothing_can_be_packed(root, monkeypatch):
    (root / "body_models").unlink()
    monkeypatch.setenv("SMPLFITTER_BODY_MODELS", str(root))
    with pytest.raises(WorkError, match="smpl male body model: .* not found"):
        load(root)
    (line,) = main.plan(root, main.Options())
    assert line.startswith("without basicmodel_m_lbs_10_207_0_v1.1.0.pkl, basicmodel_f")
