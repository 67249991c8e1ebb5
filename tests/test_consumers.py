"""What training code written for the original PosePile imports from here, and finds there."""

import functools
import types

import archive_kit as kit
import cv2
import msgpack
import msgpack_numpy
import numpy as np
import pytest

from posepile import datasets2d, datasets3d, joint_filtering, util
from posepile.datasets3d import TRAIN
from posepile.errors import UsageError
from posepile.export.upstream import export_upstream
from posepile.joint_info import JointInfo
from posepile.store import reading
from posepile.util import geom3d, improc, rigid_alignment


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    return tmp_path


# ---------------------------------------------------------------- skeletons


def test_skeletons_are_keys():
    a, b = JointInfo("pelv,lhip,rhip"), JointInfo("pelv,lhip,rhip")
    c = JointInfo("pelv,lhip,rhip", "pelv-lhip")
    asked = []

    @functools.lru_cache
    def number(info):
        asked.append(info)
        return len(asked)

    assert [number(a), number(b), number(c)] == [1, 1, 2]
    before = hash(a)
    a.update_names("spin,lkne,rkne")
    assert hash(a) == before and a != b


def test_maps_of_ids():
    ids = JointInfo.make_id_map(["pelv", "lhip", "rhip"])
    assert ids == {"pelv": 0, "lhip": 1, "rhip": 2} and ids.rhip == 2
    assert [JointInfo.other_side_joint_name(n) for n in ids] == ["pelv", "rhip", "lhip"]


# ---------------------------------------------------------------- archives


def original_entries(path):
    """The examples that a program finds that knows entries alone: key, image path."""
    keys = [key for key in reading.open_archive(path) if key.partition("/")[0] == "train"]
    return [(k, "_".join(k.partition("/")[2].split("_")[:-1])) for k in keys]


def original_example(entry, n_joints):
    """What the original makes of an entry of a 3D archive; raises as it does."""
    cam = entry["cam"]
    rotation = cv2.Rodrigues(cam["rotvec_w2c"])[0]
    coords = None
    if "joints3d" in entry and n_joints > 0:
        coords = np.full([n_joints, 3], np.nan, np.float32)
        if len(entry["joints3d"]["i_rows"]) > 0:
            coords[entry["joints3d"]["i_rows"]] = entry["joints3d"]["rows"]
        else:
            coords = entry["joints3d"]["rows"]
    return types.SimpleNamespace(R=rotation, world_coords=coords, image_path=entry["impath"])


def unpacked(data):
    return msgpack.unpackb(data, object_hook=msgpack_numpy.decode, strict_map_key=False)


def test_a_packed_archive_tells_programs_that_know_entries_alone(root):
    kit.make_archive(root)
    ((key, image_path),) = original_entries("toy.barecat")
    assert "posepile export NAME --to upstream" in image_path
    with pytest.raises(TypeError):
        original_example(unpacked(reading.open_archive("toy.barecat")[key]), 5)
    # And no other program takes it for an example.
    assert len(datasets3d.get_dataset("toy").examples[TRAIN]) == 12


def test_examples_without_a_joint(root):
    nothing = np.full((5, 3), np.nan, np.float32)
    record = kit.record("toy", "train", 0, 0, world_coords=nothing)
    other = kit.record("toy", "train", 0, 1, world_coords=None)
    with kit.parts.PartWriter(root / "a.part") as writer:
        writer.add(record, kit.jpeg(0))
        writer.add(other, kit.jpeg(1))
    kit.packing.pack([root / "a.part"], root / "toy.barecat", kit.spec(), {"sources": []})
    for ex in datasets3d.get_dataset("toy").examples[TRAIN]:
        np.testing.assert_array_equal(ex.get_world_coords(), nothing)
        np.testing.assert_array_equal(ex.load().get_world_coords(), nothing)
    export_upstream("toy.barecat", "entries.barecat")
    entry = unpacked(
        reading.open_archive("entries.barecat")[original_entries("entries.barecat")[0][0]]
    )
    np.testing.assert_array_equal(original_example(entry, 5).world_coords, nothing)
    ds = datasets3d.get_dataset("entries.barecat", image_barecat_path="toy.barecat")
    np.testing.assert_array_equal(ds.examples[TRAIN][0].world_coords, nothing)


def test_without_any_dataset_there_is_no_number_of_joints():
    assert datasets3d.Pose3DExample("a.jpg", None, [0, 0, 1, 1], None).get_world_coords() is None


def test_archives_opened_by_the_names_of_the_classes_they_were(root):
    records = kit.make_archive(root)
    kit.make_archive(root, "flat", kind="2d")
    export_upstream("toy.barecat", "entries.barecat")
    for ds in (
        datasets3d.Pose3DDatasetBarecat(str(root / "entries.barecat"), str(root / "toy.barecat")),
        datasets3d.Pose3DDatasetBarecat("toy.barecat", "nowhere.barecat"),  # has its images
    ):
        example = ds.examples[TRAIN][1]
        assert isinstance(example, datasets3d.Pose3DExampleBarecat)
        assert (example.path, example.image_path) == (
            f"train/{records[1].image_path}_00.msgpack",
            records[1].image_path,
        )
        assert example.load().image.shape == (16, 24, 3) and example.image_path
    flat = datasets2d.Pose2DDatasetBarecat("flat.barecat", None).examples[TRAIN][0]
    assert isinstance(flat, datasets2d.Pose2DExampleBarecat) and flat.load().coords.shape == (5, 2)
    with pytest.raises(UsageError, match="datasets2d"):
        datasets3d.Pose3DDatasetBarecat("flat.barecat", None)


# ---------------------------------------------------------------- helpers


def test_paths(root):
    assert util.ensure_absolute_path("a/b.jpg") == str(root / "a/b.jpg")
    assert util.ensure_absolute_path("a/b.jpg", "/x") == "/x/a/b.jpg"
    assert util.ensure_absolute_path("/c.jpg", "/x") == "/c.jpg"
    assert util.ensure_absolute_path("a/b.jpg", "") == "a/b.jpg"


def test_casting():
    values = np.array([1.0, np.nan, 2048.4])
    assert util.cast_if_precise_enough(values, np.float16).dtype == np.float16
    assert util.cast_if_precise_enough(values, np.float16, 0.1).dtype == np.float64
    assert util.cast_if_precise_enough(np.array([1e6]), np.float16).dtype == np.float64
    assert util.cast_if_precise_enough(np.full(2, np.nan), np.float16).dtype == np.float16


def test_points_of_a_disc():
    rng = np.random.default_rng(0)
    radius = np.linalg.norm([util.random_uniform_disc(rng) for _ in range(4000)], axis=1)
    assert radius.max() <= 1 and abs((radius < np.sqrt(0.5)).mean() - 0.5) < 0.03


def test_plausible_bones():
    info = JointInfo("a,b,c", [(0, 1), (1, 2)])
    poses = np.zeros((4, 3, 3))
    poses[:, 1, 0], poses[:, 2, 0] = 100, 200
    poses[1, 2, 0] = 1000  # nine times too long
    poses[2, 2, 0] = 340  # 2.4 times
    poses[3, 1] = np.nan
    found = geom3d.are_bones_plausible(poses, np.array([100, 100]), info)
    np.testing.assert_array_equal(found, [[1, 1], [1, 0], [1, 1], [1, 1]])


def test_alignment():
    rng = np.random.default_rng(0)
    pose = rng.normal(size=(7, 3))
    turned = pose @ cv2.Rodrigues(np.array([0.3, 1, -0.2]))[0] * 2 + [5, 6, 7]
    align = rigid_alignment.rigid_align
    np.testing.assert_allclose(align(turned, pose, scale_align=True), pose, atol=1e-6)
    assert abs(align(turned, pose) - pose).max() > 0.1
    mirrored = turned * [1, -1, 1]
    both = {"scale_align": True, "reflection_align": True}
    np.testing.assert_allclose(align(mirrored, pose, **both), pose, atol=1e-6)
    odd = turned.copy()
    odd[3] += 40
    masks = np.arange(7)[None] != 3
    many = rigid_alignment.rigid_align_many(
        odd[None], pose[None], joint_validity_mask=masks, scale_align=True
    )
    np.testing.assert_allclose(many[0][masks[0]], pose[masks[0]], atol=1e-6)
    np.testing.assert_array_equal(align(odd, pose, joint_validity_mask=np.arange(7) < 1), odd)


def test_pictures(root):
    (root / "a").mkdir()
    (root / "a/b.jpg").write_bytes(kit.jpeg(3))
    image = improc.imread("a/b.jpg")
    assert image.shape == (16, 24, 3) and improc.is_image_readable("a/b.jpg")
    assert not improc.is_image_readable("a/c.jpg")
    assert improc.image_extents(root / "a/b.jpg").tolist() == [24, 16]
    assert improc.resize_by_factor(image, 0.5).shape == (8, 12, 3)
    assert improc.normalize01(np.uint8([[0, 255]])).tolist() == [[0, 1]]
    assert improc.adjust_gamma(np.uint8([0, 64, 255]), 0.5).tolist() == [0, 127, 255]
    both = improc.blend_image(np.zeros((2, 2, 3)), np.ones((2, 2, 3)), np.full((2, 2), 0.25))
    assert (both == 0.25).all()


@pytest.mark.parametrize("center", [(0, 0), (5, 3), (9, 9), (-20, 4)])
def test_pasting(center):
    source, target = np.full((4, 6, 3), 200, np.uint8), np.zeros((9, 9, 3), np.uint8)
    pasted = improc.paste_over(source, target, np.ones((4, 6)), np.array(center))
    x, y = center
    expected = np.zeros((9, 9, 3), np.uint8)
    expected[max(0, y - 2) : max(0, y + 2), max(0, x - 3) : max(0, x + 3)] = 200
    np.testing.assert_array_equal(pasted, expected)
    assert not target.any()


# ---------------------------------------------------------------- other skeletons


def test_mapping_of_names():
    src, dst = JointInfo("pelv,lhip,rhip,spin_x"), JointInfo("rhip,lhip,tors,neck")
    mapping = joint_filtering.get_coord_mapping(src, dst, "_x")
    np.testing.assert_array_equal(
        mapping, [[0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1], [np.nan] * 4]
    )
    coords = np.arange(8.0).reshape(4, 2)
    coords[1] = np.nan
    nan = [np.nan, np.nan]
    expected = [[4, 5], nan, [6, 7], nan]
    np.testing.assert_array_equal(joint_filtering.convert_coords(coords, mapping), expected)
    many = joint_filtering.convert_coords(np.stack([coords] * 2), mapping)
    np.testing.assert_array_equal(many, [expected] * 2)


@pytest.mark.parametrize("kind", ["3d", "2d"])
def test_a_dataset_in_another_skeleton(root, kind):
    records = kit.make_archive(root, kind=kind)
    module = datasets2d if kind == "2d" else datasets3d
    dataset = module.get_dataset("toy.barecat")
    # Also one in memory, without what the archive has.
    dataset.examples[TRAIN][0] = dataset.examples[TRAIN][0].load(load_image=False)
    dst = JointInfo("rkne,neck,lkne,lhip,rhip", "lkne-lhip")
    converted = joint_filtering.convert_dataset(dataset, dst)
    assert converted is dataset and dataset.joint_info is dst
    own = ["world_coords", "coords2d"][kind == "2d"]
    for ex, record in zip(dataset.iter_examples(), records, strict=True):
        given = getattr(record, own)
        expected = np.stack([given[4], np.full(given.shape[1], np.nan), *given[[3, 1, 2]]])
        for example in (ex, ex.load(load_image=False)):
            found = example.coords if kind == "2d" else example.get_world_coords()
            np.testing.assert_array_equal(found, expected)
    if kind == "3d":
        assert dataset.train_bones.shape == (2,) and np.isfinite(dataset.train_bones).all()


def test_one_joint_cannot_become_two(root):
    kit.make_archive(root)
    dataset = datasets3d.get_dataset("toy.barecat")
    dataset.joint_info = JointInfo("spin,lhip,rhip,lkne,rkne")
    with pytest.raises(UsageError, match="tors and spin"):
        joint_filtering.convert_dataset(dataset, JointInfo("tors,spin"))
