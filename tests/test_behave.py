"""BEHAVE: calibrations, time folders where something is missing, masks of two kinds, splits."""

import json
import os
import pickle
import shutil

import numpy as np
import pytest
import rlemasklib

from posepile.ds.behave import main
from posepile.errors import CorruptInput, UsageError
from posepile.geometry.pictures import project

# As the card lists them.
SMPL = (
    "lhip rhip bell lkne rkne spin lank rank thor ltoe rtoe neck lcla rcla head lsho rsho lelb "
    "relb lwri rwri lhan rhan pelv"
)
BODY_25 = (
    "nose neck rsho relb rwri lsho lelb lwri rhip rkne rank lhip lkne lank reye leye rear lear "
    "lfoo ltoe lhee rfoo rtoe rhee pelv"
)
TIMES = "t0005.000", "t0007.000", "t0008.000"  # of TRAIN, those with a fit
TRAIN, TEST = "Date05_Sub06_backpack_back", "Date03_Sub03_chairblack_sit"


@pytest.fixture
def root(raw_miniature, tmp_path):
    """Small files can be changed; pictures are links to those of the miniature."""
    made = tmp_path / "behave"

    def copy(source, target):
        (os.symlink if source.endswith(".jpg") else shutil.copy)(source, target)

    shutil.copytree(raw_miniature("behave"), made, copy_function=copy)
    return made


def load(root, *ids, **options):
    """Returns the sequences of some units, or of all, by their ids."""
    options = main.Options(**options)
    units = [unit for unit in main.list_units(root, options) if unit.id in ids or not ids]
    return {s.id: s for unit in units for s in main.load_unit(root, unit, options)}


def load_one(root, id):
    return load(root, id)[id]


def edit(path, change):
    content = json.loads(path.read_text())
    content = change(content) or content
    path.write_text(json.dumps(content))


def test_joints_are_those_of_the_card():
    names = [*SMPL.split(), *(f"{name}_coco" for name in BODY_25.split())]
    assert list(main.SPEC.joint_info.names) == names and len(names) == 49


def test_recordings_units_and_what_is_counted(root):
    sequences = load(root)
    expected = {f"{TRAIN}/k{k}": ("train", 3) for k in range(4)}
    expected |= {f"{TEST}/k{k}": ("test", 2) for k in range(3)}
    assert {id: (s.split, len(s.tracks[0].frames)) for id, s in sequences.items()} == expected
    first = sequences[f"{TRAIN}/k0"]
    assert first.dropped == {main.NO_FIT: 1}
    assert first.image_name(1, 0) == f"sequences/{TRAIN}/t0007.000/k0.color.jpg"
    some = main.list_units(root, main.Options(subjects=["Sub03"]))
    assert [unit.id for unit in some] == [f"{TEST}/k{k}" for k in range(3)]
    with pytest.raises(UsageError, match="no subject Sub09"):
        load(root, subjects=["Sub09"])


def test_activities_are_those_of_the_recordings_names(root):
    for recording, activity in ((TRAIN, "backpack_back"), (TEST, "chairblack_sit")):
        assert load_one(root, f"{recording}/k0").tracks[0].activity == activity


def test_a_recording_without_any_fit_is_counted(root):
    for folder in (root / "sequences" / TEST).glob("*/person/fit02"):
        shutil.rmtree(folder)
    sequence = load_one(root, f"{TEST}/k1")
    assert not sequence.tracks and sequence.dropped == {main.NO_FIT: 2}


def test_a_recording_that_train_does_not_list_is_for_testing(root):
    absent = "Date01_Sub01_box"
    edit(root / "split.json", lambda s: {"train": [absent], "test": s["test"]})
    sequences = load(root)
    assert sequences[f"{TRAIN}/k0"].split == "test"
    assert sequences[f"{TRAIN}/k0"].tracks[0].note == main.NEITHER
    assert sequences[f"{TEST}/k0"].tracks[0].note == ""
    assert sequences["left_out"].dropped == {main.ABSENT: 1}
    assert "left_out" not in load(root, subjects=["Sub03"])  # the absent one is of Sub01


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        (([], [TEST]), "split.json: train: found no name"),
        (([TRAIN], []), "split.json: test: found no name"),
        (([TEST], [TRAIN]), "split.json: test: found Date05.*of Date03_ alone"),
        (([TRAIN, TEST], [TEST]), f"split of {TEST}: found at train and at test"),
        (([f"{TRAIN}\r"], [TEST]), r"train: found 'Date05_Sub06_backpack_back.r'; expected names"),
        (([TRAIN], [f"{TEST}  "]), "test: found 'Date03_Sub03_chairblack_sit  '; expected names"),
    ],
)
def test_lists_that_would_give_wrong_splits_are_refused(root, lists, message):
    edit(root / "split.json", lambda _: dict(zip(("train", "test"), lists, strict=True)))
    with pytest.raises(CorruptInput, match=message):
        load(root)


def outcomes(root, **options):
    """Returns what becomes of each unit: its sequence, or what is said."""
    options, found = main.Options(**options), {}
    for unit in main.list_units(root, options):
        try:
            (found[unit.id],) = main.load_unit(root, unit, options)
        except CorruptInput as e:
            found[unit.id] = str(e)
    return found


@pytest.mark.parametrize("fault", ["missing", "damaged", "another gender"])
def test_a_recording_without_its_description_fails_alone(root, fault):
    path = root / f"sequences/{TRAIN}/info.json"
    if fault == "missing":
        path.unlink()
    elif fault == "damaged":
        path.write_text(path.read_text()[:40])
    else:
        edit(path, lambda info: info.update(gender="neutral"))
    found = outcomes(root)
    assert found.keys() == {TRAIN, *(f"{TEST}/k{k}" for k in range(3))}
    assert f"{TRAIN}/info.json" in found[TRAIN] and len(found[f"{TEST}/k0"].tracks[0].frames) == 2


@pytest.mark.parametrize("name", [TRAIN.lower(), f"Date05/{TRAIN}", f"{TRAIN}/{TRAIN}"])
def test_a_recording_at_another_place_does_not_vanish(root, name):
    place = root / "sequences"
    (place / TRAIN).rename(root / "away")
    (place / name).parent.mkdir(exist_ok=True)
    (root / "away").rename(place / name)
    found = outcomes(root)
    assert f"{name}: found here; expected in {place} itself" in found[f"misplaced/{name}"]
    assert f"misplaced/{name}" not in outcomes(root, subjects=["Sub03"])


@pytest.mark.parametrize("file", ["fit02/person_fit.pkl", "person_J3d.json"])
def test_a_damaged_file_of_a_time_folder_costs_that_one(root, file):
    paths = [root / f"sequences/{TRAIN}/{time}/person/{file}" for time in sorted(TIMES)]
    paths[0].write_bytes(paths[0].read_bytes()[:50])
    found = outcomes(root)
    for k in range(4):
        assert found[f"{TRAIN}/k{k}"].dropped == {main.NO_FIT: 1, main.UNREADABLE: 1}
        assert len(found[f"{TRAIN}/k{k}"].tracks[0].frames) == 2
    paths[1].write_bytes(paths[1].read_bytes()[:50])
    found = outcomes(root)
    assert "2 of 3 cannot be read, the first one: " in found[f"{TRAIN}/k0"]
    assert len(found[f"{TEST}/k0"].tracks[0].frames) == 2


def test_a_folder_that_is_named_like_no_time_is_counted(root):
    place = root / f"sequences/{TEST}"
    (place / "t0003.000").rename(place / "T0003")
    assert load_one(root, f"{TEST}/k0").dropped == {main.NO_TIME: 1}


def exchange(first, second):
    spare = first.with_name("spare")
    first.rename(spare)
    second.rename(first)
    spare.rename(second)


@pytest.mark.parametrize("what", ["cameras", "masks", "poses"])
def test_kinects_and_poses_that_were_exchanged_are_refused(root, what):
    """Each view has less than the limit for one view outside, but half of them have much."""
    if what == "cameras":
        for folder in (root / "calibs").glob("Date*/config"):
            exchange(folder / "0", folder / "2")
    for time in (root / "sequences").glob("*/t*") if what == "masks" else ():
        for path in time.glob("k0.person_mask.*"):
            exchange(path, path.with_name(path.name.replace("k0", "k2")))
    if what == "poses":
        folder = root / "sequences" / TRAIN
        exchange(folder / "t0005.000/person", folder / "t0008.000/person")
        exchange(folder / "t0007.000/person", folder / "t0008.000/person")
    found = outcomes(root, max_outside_mask=0.95)
    for id in (f"{TRAIN}/k{k}" for k in range(4)):
        assert "in half of 4 views" in found[id] and "poses are others" in found[id]
    if what != "poses":
        assert "in half of 3 views" in found[f"{TEST}/k1"]


def test_another_kinects_broken_calibration_costs_only_its_own_view(root):
    (root / "calibs/Date05/config/3/config.json").write_text("{")
    found = outcomes(root)
    assert "config/3/config.json" in found[f"{TRAIN}/k3"]
    assert found[f"{TRAIN}/k0"].checks["outside_half"] < 0.2


def test_the_world_is_kinect_1_and_the_lens_is_rational(root):
    camera = load_one(root, f"{TRAIN}/k2").camera
    pose = json.loads((root / "calibs/Date05/config/2/config.json").read_text())
    to_world = np.reshape(pose["rotation"], (3, 3))
    np.testing.assert_allclose(camera.t, 1000 * np.array(pose["translation"]), rtol=1e-5)
    np.testing.assert_allclose(camera.R, to_world.T, atol=1e-6)
    lens = json.loads((root / "calibs/intrinsics/2/calibration.json").read_text())["color"]
    point, k = np.array([0.5, -0.4, 1.0]), lens
    r = point[0] ** 2 + point[1] ** 2
    radial = (1 + k["k1"] * r + k["k2"] * r**2 + k["k3"] * r**3) / (
        1 + k["k4"] * r + k["k5"] * r**2 + k["k6"] * r**3
    )
    x = point[0] * radial + 2 * k["p1"] * point[0] * point[1] + k["p2"] * (r + 2 * point[0] ** 2)
    world = 1000 * (to_world @ (2 * point) + pose["translation"])
    assert project(camera, world)[0] == pytest.approx(k["fx"] * x + k["cx"], abs=0.01)


def test_what_is_far_outside_the_lens_is_not_folded_into_the_picture(root):
    camera = load_one(root, f"{TRAIN}/k1").camera
    angles = np.radians(np.arange(0, 89, 0.5))
    points = 2000 * np.stack([np.sin(angles), 0 * angles, np.cos(angles)], axis=1)
    x = project(camera, points)[:, 0]
    assert (np.diff(x[np.isfinite(x)]) > 0).all()
    assert not (x[angles > np.radians(60)] < 2047).any()


def test_key_points_without_support_are_missing(root):
    tracks = load_one(root, f"{TRAIN}/k0").tracks[0]
    missing = np.isnan(tracks.world_coords).all(axis=-1)
    assert missing.sum(axis=1).tolist() == [1, 0, 25]  # a wrist; none; no file
    assert missing[0, 24 + BODY_25.split().index("lwri")]
    path = root / f"sequences/{TRAIN}/t0007.000/person/person_J3d.json"
    edit(path, lambda c: c["body_joints3d"][0].__setitem__(3, 0))  # the score of the nose
    assert np.isnan(load_one(root, f"{TRAIN}/k0").tracks[0].world_coords[1, 24]).all()


def change_points(root, change):
    for time in ("t0005.000", "t0007.000"):
        path = root / f"sequences/{TRAIN}/{time}/person/person_J3d.json"
        edit(path, lambda c: {"body_joints3d": change(np.array(c["body_joints3d"])).tolist()})


def test_key_points_that_are_no_numbers_are_missing(root):
    change_points(root, lambda points: np.where(np.arange(25)[:, None] == 4, np.nan, points))
    (track,) = load_one(root, f"{TRAIN}/k0").tracks
    missing = np.isnan(track.world_coords).all(axis=-1)
    assert missing[:2, 24 + BODY_25.split().index("rwri")].all() and missing[1].sum() == 1


def test_either_group_of_joints_has_to_lie_on_the_person(root):
    (root / "body_models").rename(root / "elsewhere")
    for path in (root / "sequences").glob("*/*/person/person_J3d.json"):
        path.rename(path.with_name("away.json"))
    (sequence,) = load(root, f"{TRAIN}/k1").values()  # with neither, nothing is compared
    assert sequence.checks["outside_mask"] == 0 and sequence.dropped["no joint known"] == 3
    (root / "elsewhere").rename(root / "body_models")
    (sequence,) = load(root, f"{TRAIN}/k1").values()
    assert len(sequence.tracks[0].frames) == 3 and sequence.checks["outside_mask"] < 0.6
    for path in (root / "sequences").glob("*/*/person/away.json"):
        path.rename(path.with_name("person_J3d.json"))
    change_points(root, lambda points: points + np.array([1.5, 0, 0, 0]))
    for limit in (100, 1e4):
        with pytest.raises(CorruptInput, match="of the joints project outside the mask"):
            load(root, f"{TRAIN}/k1", max_fit_mm=limit)


def test_fits_of_somebody_elsewhere_are_left_out(root):
    (near,) = load(root, f"{TRAIN}/k1").values()
    assert near.checks["fit_mm"] < 60
    (far,) = load(root, f"{TRAIN}/k1", max_fit_mm=0.01).values()
    (track,) = far.tracks
    assert "fitted elsewhere" in track.note and track.parameters is None
    assert np.isnan(track.world_coords[:, :24]).all()
    assert np.isfinite(track.world_coords[:, 24:]).any()


def test_parameters_are_those_of_smplh_and_joints_those_of_smpl(root):
    track = load_one(root, f"{TEST}/k0").tracks[0]
    file = root / f"sequences/{TEST}/t0003.000/person/fit02/person_fit.pkl"
    fit, body = pickle.loads(file.read_bytes()), track.parameters(0)
    assert (body["type"], body["gender"]) == ("smplh", "male")
    np.testing.assert_allclose(body["pose"], fit["pose"], rtol=1e-6)
    smpl = {"pose": [*fit["pose"][:66], *[0] * 6], "shape": fit["betas"], "trans": fit["trans"]}
    found = main.models.body_joints("smpl", "male", smpl, models_root=root / "body_models")[0]
    np.testing.assert_allclose(track.world_coords[0, 23], 1000 * found[0], atol=0.01)
    np.testing.assert_allclose(track.world_coords[0, 21:23], 1000 * found[22:], atol=0.01)


def test_without_models_there_are_key_points_parameters_and_a_note(root):
    shutil.rmtree(root / "body_models")
    track = load_one(root, f"{TEST}/k0").tracks[0]
    assert "the SMPL file was not found" in track.note and track.parameters(1)["type"] == "smplh"
    assert np.isnan(track.world_coords[:, :24]).all()
    assert np.isfinite(track.world_coords[1, 24:]).all()
    (line,) = main.plan(root, main.Options())
    assert "basicmodel_m_lbs" in line and "basicmodel_f_lbs" in line


def test_masks_of_both_kinds_and_missing_ones(root):
    for name in (TRAIN, TEST):
        track = load_one(root, f"{name}/k1").tracks[0]
        assert 5000 < rlemasklib.area(track.mask(0)) < 500000
    (root / f"sequences/{TEST}/t0003.000/k1.person_mask.png").unlink()
    (root / f"sequences/{TEST}/t0004.000/k1.color.jpg").unlink()
    track = load_one(root, f"{TEST}/k1").tracks[0]
    assert track.mask(0) is None
    assert [track.unusable(i) for i in range(2)] == [None, main.NO_PICTURE]


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("intrinsics/1/calibration.json", lambda c: c["color"].update(k3=c["color"]["p1"]),
         r"k1 k2 p1 p2 k3 k4 k5 k6: found .* expected the same numbers"),
        ("intrinsics/0/calibration.json", lambda c: c["color"].update(width=1920),
         "expected the same numbers, of pictures"),
        ("intrinsics/1/calibration.json",
         lambda c: (c["color"].update(fx=980.3), c["color"]["opencv"].__setitem__(0, 980.3))[2:],
         "fx fy cx cy: found .980.3"),
        ("Date05/config/1/config.json", lambda c: c["translation"].__setitem__(2, 0.1),
         "config/1/config.json: this Kinect is 0.1 from the origin"),
        ("Date05/config/0/config.json", lambda c: c["translation"].__setitem__(2, 99),
         "of the joints project outside the mask"),
        ("Date05/config/3/config.json",
         lambda c: c.update(rotation=np.reshape(c["rotation"], (3, 3)).T.ravel().tolist()),
         "of the joints project outside the mask"),
        ("../sequences/" + TRAIN + "/info.json", lambda c: c.update(kinects=[1, 2]),
         r"kinects: found \[1, 2\]; expected 0, 1, 2"),
        ("../sequences/" + TRAIN + "/info.json", lambda c: c.update(gender="neutral"),
         "gender: found 'neutral'"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_calibration_is_said(root, file, change, message):
    edit(root / "calibs" / file, change)
    with pytest.raises(CorruptInput, match=message):
        load(root, subjects=["Sub06"])


def test_kinects_may_be_null(root):
    edit(root / f"sequences/{TEST}/info.json", lambda c: c.update(kinects=None))
    assert len([*main.list_units(root, main.Options(subjects=["Sub03"]))]) == 3


def test_pictures_of_kinects_that_are_not_listed_are_counted(root):
    edit(root / f"sequences/{TRAIN}/info.json", lambda c: c.pop("kinects") and c)
    found = load(root, subjects=["Sub06"]).values()
    assert [s.dropped.get(main.UNLISTED, 0) for s in found] == [0, 0, 3]


@pytest.mark.parametrize("file", ["config.json", "calibration.json"])
def test_a_calibration_that_is_missing_costs_its_own_kinect(root, file):
    info = json.loads((root / f"sequences/{TRAIN}/info.json").read_text())
    place = info["config" if file == "config.json" else "intrinsic"]
    (root / "sequences" / TRAIN / place / "2" / file).unlink()
    lost = {
        unit.id
        for unit in main.list_units(root, main.Options())
        if unit.id.startswith(TRAIN) and not all(path.exists() for path in unit.inputs)
    }
    assert lost == {f"{TRAIN}/k2"}
    assert len(load_one(root, f"{TRAIN}/k0").tracks[0].frames) == 3
