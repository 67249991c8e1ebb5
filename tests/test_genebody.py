"""GeneBody: cameras, files and units."""

import dataclasses
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import rlemasklib
from genebody_kit import TRAIN, load, param_of, save
from hypothesis import given, settings
from hypothesis import strategies as st

from posepile.ds.genebody import main, miniature
from posepile.ds.genebody.cameras import OLD_SCALE, read_cameras
from posepile.ds.genebody.subjects import find_performer, read_genders
from posepile.errors import CorruptInput, UsageError, WorkError
from posepile.formats.folders import files_by_number
from posepile.miniature import kit
from posepile.recipe import Unit
from posepile.shapes.silhouettes import joints_outside_mask
from posepile.stages.counts import Counts
from posepile.stages.examples import selected_examples
from posepile.stages.select import SelectParams


@pytest.fixture
def raw(raw_miniature, tmp_path):
    """A copy to spoil; files are links, so every change replaces the file."""
    root = tmp_path / "genebody"
    shutil.copytree(raw_miniature("genebody"), root, copy_function=os.link)
    return root


def make_annots(n=6, form="dict", unit=1.0, d_shape=(5,)):
    rng = np.random.default_rng(3)
    names = [f"{8 * i:02d}" for i in range(n)]
    cameras = {v: miniature.make_camera(int(v), rng) for v in names}
    cams = {v: miniature.annotation(camera, 1000 * unit) for v, camera in cameras.items()}
    for cam in cams.values():
        cam["D"] = cam["D"].reshape(d_shape)
    if form == "list":
        columns = {"K": "K", "RT": "c2w", "D": "D"}
        return names, {"cams": {k: [c[v] for c in cams.values()] for k, v in columns.items()}}
    return names, {"cams": cams}


@given(
    st.sampled_from(["dict", "list"]),
    st.sampled_from([1.0, OLD_SCALE]),
    st.sampled_from([(5,), (1, 5), (5, 1)]),
    st.integers(2, 6),
)
@settings(max_examples=25, deadline=None)
def test_all_forms_of_annotations_give_the_same_cameras(tmp_path_factory, form, unit, shape, n):
    path = tmp_path_factory.mktemp("annots") / "annots.npy"
    _, truth = make_annots(n)
    views, annots = make_annots(n, form, unit, shape)
    save(path, annots)
    cameras, notes = read_cameras(path, views)
    assert list(cameras) == views
    assert len(notes) == (form == "list") + (unit != 1)
    points = np.random.default_rng(0).normal(0, 0.4, (20, 3))
    for view, camera in cameras.items():
        cam = truth["cams"][view]
        rotation = cam["c2w"][:3, :3].T
        expected = kit.project(points, cam["K"], rotation, -rotation @ cam["c2w"][:3, 3], cam["D"])
        np.testing.assert_allclose(camera.world_to_image(points * 1000), expected, atol=0.02)
        np.testing.assert_allclose(camera.world_up, (0, -1, 0))


def test_views_must_be_in_folder_and_file(tmp_path):
    views, annots = make_annots(6)
    del annots["cams"][views[2]]
    save(tmp_path / "annots.npy", annots)
    cameras, _ = read_cameras(tmp_path / "annots.npy", [*views[1:], "47"])
    assert list(cameras) == [views[1], *views[3:]]


def test_cameras_that_need_guessing_are_refused(tmp_path):
    path = tmp_path / "annots.npy"

    def expect(annots, views, *words):
        save(path, annots)
        with pytest.raises(CorruptInput) as e:
            read_cameras(path, views)
        assert str(path) in str(e.value)
        for word in words:
            assert word in str(e.value)

    views, annots = make_annots(5, "list")
    expect(annots, [*views, "47"], "5 cameras for 6 image folders", "2022-09-01")
    views, annots = make_annots(5)
    by_position = {f"{i:02d}": c for i, c in enumerate(annots["cams"].values())}
    expect({"cams": by_position}, ["00", "01", "02", "04", "05"], "by position", "no folder 03")
    for factor in (0.1, 1000):
        views, annots = make_annots(5, unit=1 / factor)
        expect(annots, views, "units from the point they look at", "2.9")
    views, annots = make_annots(3)
    annots["cams"]["08"]["D"] = np.zeros(4)
    expect(annots, views, "camera 08", "4 distortion coefficients", "expected 5")
    views, annots = make_annots(3)
    annots["cams"]["08"]["c2w"][:3, :3] *= 2
    expect(annots, views, "camera 08", "expected a rotation")
    views, annots = make_annots(3)
    del annots["cams"]["16"]["c2w"]
    expect(annots, views, "camera 16", "c2w")
    views, annots = make_annots(3)
    for cam in annots["cams"].values():
        cam["c2w"] = np.diag([1.0, -1, -1, 1]) @ cam["c2w"]
    expect(annots, views, "images point down")
    expect({"cameras": {}}, views, "no cams (there: cameras)")
    path.unlink()
    with pytest.raises(CorruptInput, match=r"annots\.npy: file is missing"):
        read_cameras(path, views)


def test_files_are_matched_by_number(tmp_path):
    for name in (
        "mask0045.png",
        "mask046.png",
        "mask0.png",
        "Thumbs.db",
    ):
        (tmp_path / name).touch()
    frames = files_by_number(tmp_path, r"mask(\d+)\.png")
    names = {k: p.name for k, p in frames.items()}
    assert names == {0: "mask0.png", 45: "mask0045.png", 46: "mask046.png"}
    assert files_by_number(tmp_path / "absent", r"mask(\d+)\.png") == {}


def test_names_of_zhuna(raw):
    sequence = load(raw, "zhuna2/37")
    assert sequence.frames.paths[0].name == "098.jpg"
    assert sequence.tracks[0].unusable(0) is None
    assert rlemasklib.area(sequence.tracks[0].mask(0)) > 1000
    assert sequence.image_name(0, 0) == "zhuna2/image/37/098.jpg"


def test_missing_pieces_keep_the_poses_of_all_views_alike(raw):
    folder = raw / TRAIN / "dannier"
    (folder / "image" / "13" / "0046.jpg").unlink()
    (folder / "mask" / "13" / "mask0047.png").unlink()
    (folder / "param" / "0048.npy").unlink()
    other, view = load(raw, "dannier/00"), load(raw, "dannier/13")
    np.testing.assert_array_equal(other.tracks[0].world_coords, view.tracks[0].world_coords)
    assert len(view.tracks[0].frames) == 5  # 45 46 47 49 50; 51 never had parameters
    reasons = [view.tracks[0].unusable(k) for k in range(5)]
    assert reasons == ["empty mask", "no image in this view", "no mask in this view", None, None]
    assert view.dropped == {"image without parameters": 2}
    performer = find_performer(raw, "train", "dannier", main.Options())
    for v in performer.views:
        (folder / "image" / v / "0050.jpg").unlink()
        (folder / "mask" / v / "mask0049.png").unlink()
    performer = find_performer(raw, "train", "dannier", main.Options())
    assert performer.frames == [45, 46, 47]
    assert list(performer.params) == [45, 46, 47, 49, 50]
    assert load(raw, "dannier/00").dropped["parameters without any picture"] == 2


def test_a_damaged_mask_costs_one_frame(raw):
    path = raw / TRAIN / "zhuna2" / "mask" / "00" / "mask0100.png"
    path.unlink()
    path.write_bytes(b"")
    (raw / TRAIN / "zhuna2" / "image" / "00" / "098.jpg").unlink()
    (raw / TRAIN / "zhuna2" / "image" / "00" / "098.jpg").write_bytes(b"")
    sequence = load(raw, "zhuna2/00")
    assert sequence.tracks[0].unusable(0) is None  # for the reader of frames to refuse
    counts = Counts()
    wanted = selected_examples(sequence, SelectParams(method="none"), [], counts)
    assert [w.frame for w in wanted] == [0, 1, 3]
    assert counts.quarantined == [
        {
            "file": str(path),
            "frame": 2,
            "reason": "not a readable picture",
            "hint": "extract it again",
        }
    ]


def test_black_pictures(raw):
    sequence = load(raw, "dannier/25")
    reasons = [sequence.tracks[0].unusable(k) for k in range(len(sequence.frames.paths))]
    assert reasons == [None, None, "black image", None, None, None]


def test_mask_threshold_and_box(raw):
    matte = np.zeros((60, 50), np.uint8)
    matte[10:30, 20:25] = 128
    matte[5, 5] = 127
    path = raw / TRAIN / "zhuna2" / "mask" / "00" / "mask0098.png"
    path.unlink()
    cv2.imwrite(str(path), matte)
    track = load(raw, "zhuna2/00", max_outside_mask=1).tracks[0]
    assert rlemasklib.area(track.mask(0)) == 100
    np.testing.assert_array_equal(track.bbox[0], [19.5, 9.5, 5, 20])
    assert track.bbox[0].dtype == np.float32


def test_cameras_of_other_views_are_noticed(raw):
    path = raw / TRAIN / "dannier" / "annots.npy"
    cams = param_of(path)["cams"]
    assert load(raw, "dannier/00").checks["joints_outside_mask"] < 0.1
    save(path, {"cams": cams | {"00": cams["13"]}})
    with pytest.raises(CorruptInput, match=r"% of the joints project.*max_outside_mask"):
        load(raw, "dannier/00")
    del cams["00"]
    save(path, {"cams": cams})
    sequence = load(raw, "dannier/00")
    assert sequence.tracks == []
    assert sequence.dropped == {"view without a camera in annots.npy": 7}


def test_units_list_what_they_read(raw):
    units = list(main.list_units(raw, main.Options()))
    assert len(units) == 13 and {u.split for u in units} == {"train"}
    assert all(isinstance(u, Unit) and f.is_file() for u in units for f in u.inputs)
    unit = next(u for u in units if u.id == "dannier/13")
    names = {f.relative_to(raw).as_posix() for f in unit.inputs}
    assert {
        f"{TRAIN}/dannier/annots.npy",
        f"{TRAIN}/dannier/param/0045.npy",
        f"{TRAIN}/dannier/image/13/0045.jpg",
        f"{TRAIN}/dannier/mask/13/mask0045.png",
        f"{TRAIN}/dannier/smpl/0045.obj",
        "body_models/smplx/SMPLX_MALE.npz",
    } <= names
    assert not any("/01/" in name for name in names)


def test_subjects_and_splits(raw):
    units = list(main.list_units(raw, main.Options(test10=True)))
    assert {u.id.split("/")[0] for u in units if u.split == "test"} == {"natacha"}
    units = list(main.list_units(raw, main.Options(subjects=["zhuna2"])))
    assert len(units) == 5
    with pytest.raises(UsageError, match=r"no subject amanda; did you mean anastasia"):
        list(main.list_units(raw, main.Options(subjects=["amanda"])))
    shutil.rmtree(raw / TRAIN / "zhuna2")
    with pytest.raises(WorkError, match=r"zhuna2: folder is missing \(1 of 3.*dataset\.subjects"):
        list(main.list_units(raw, main.Options()))
    assert "zhuna2" in main.doctor(raw, main.Options())[0]
    assert len(list(main.list_units(raw, main.Options(subjects=["dannier"])))) == 5
    os.rename(raw / TRAIN / "dannier", raw / TRAIN / "nobody")
    save(raw / TRAIN / "genebody_split.npy", {"train": ["nobody"], "test": []})
    with pytest.raises(UsageError, match=r"nobody is not in genders\.yaml.*dataset\.gender"):
        list(main.list_units(raw, main.Options()))
    assert len(list(main.list_units(raw, main.Options(gender="male")))) == 5
    (raw / TRAIN / "genebody_split.npy").unlink()
    (raw / "GeneBody-Test10" / "genebody_split.npy").unlink()
    with pytest.raises(
        CorruptInput, match=r"_split\.npy: file is missing.*put genebody_split\.npy"
    ):
        list(main.list_units(raw, main.Options()))


def test_test10_does_without_train40(raw):
    shutil.rmtree(raw / TRAIN)
    options = main.Options(test10=True, subjects=["natacha"])
    units = list(main.list_units(raw, options))
    assert {(u.split, u.id.split("/")[0]) for u in units} == {("test", "natacha")}
    assert main.load_unit(raw, units[0], options)[0].tracks
    with pytest.raises(WorkError, match=r"dannier: folder is missing"):
        list(main.list_units(raw, main.Options(test10=True)))


def test_calibrate_and_doctor_say_what_is_special(raw, monkeypatch):
    lines = main.calibrate(raw, main.Options())
    assert lines[0] == "world joints of 3 subjects: 3 x SMPL-X forward pass"
    assert "anastasia: calibration in old units, multiplied by 2.87" in lines
    assert sum("published meshes to 0.00" in line for line in lines) == 3
    assert main.doctor(raw, main.Options()) == []
    (raw / TRAIN / "dannier" / "annots.npy").unlink()
    (raw / TRAIN / "zhuna2" / "image" / "00" / "notes.txt").touch()
    (raw / TRAIN / "zhuna2" / "image" / "00" / ".hidden").touch()
    (raw / TRAIN / "zhuna2" / "mask" / "01" / "mask0099.png").unlink()
    shutil.rmtree(raw / "body_models")
    (raw.parent / "nowhere").mkdir(exist_ok=True)
    monkeypatch.setenv("SMPLFITTER_BODY_MODELS", str(raw.parent / "nowhere"))
    problems = "\n".join(main.doctor(raw, main.Options()))
    assert "annots.npy: file is missing" in problems
    assert "zhuna2/00: unexpected file notes.txt" in problems and ".hidden" not in problems
    assert "1 of 4 frames with parameters have no mask" in problems
    assert "without SMPLX_FEMALE.npz, SMPLX_MALE.npz" in problems
    assert "keypoints3d" in main.calibrate(raw, main.Options())[0]


def test_everybody_has_a_gender_once():
    table = read_genders()
    assert set(table.values()) == {"male", "female"}
    text = (Path(main.__file__).with_name("genders.yaml")).read_text()
    names = [n for n in text.replace("[", ",").replace("]", ",").split(",") if n.strip().isalnum()]
    assert len(names) == len(set(names))
    # Train40 and Test10 are 50 performers; ivan has two further spellings.
    assert len(table) == 52


def test_motion_figures_are_those_of_the_miniature(raw):
    """The self-check looks at body joints only: fingers stick out of mattes on real data."""
    sequence = load(raw, "zhuna2/13")
    track = sequence.tracks[0]
    moved = track.world_coords.copy()
    track = dataclasses.replace(track, world_coords=moved)
    moved[:, main.BODY.stop :] += 5000
    assert joints_outside_mask("zhuna2", track, sequence.camera, 0.4, joints=main.BODY) < 0.1
    moved[:, main.BODY] += 5000
    with pytest.raises(CorruptInput, match=r"zhuna2: 100% of the joints"):
        joints_outside_mask("zhuna2", track, sequence.camera, 0.4, joints=main.BODY)


def test_options_without_effect_are_refused():
    assert main.Options(joints="none").max_outside_mask == 0.4
    with pytest.raises(ValueError, match="no effect with joints: none"):
        main.Options(joints="none", max_outside_mask=0.5)
