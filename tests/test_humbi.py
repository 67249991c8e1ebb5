"""HUMBI: calibrations of three files, key points that are missing, fits that are off, sizes."""

import shutil

import numpy as np
import pytest

from posepile.ds.humbi import main
from posepile.errors import CorruptInput, UsageError
from posepile.imaging.jpeg import NO_END
from posepile.shapes.units import UNLABELLED

# As the card lists them.
SMPL = (
    "lhip rhip bell lkne rkne spin lank rank thor ltoe rtoe neck lcla rcla head lsho rsho lelb "
    "relb lwri rwri lhan rhan pelv"
)
BODY_25 = (
    "nose neck rsho relb rwri lsho lelb lwri rhip rkne rank lhip lkne lank reye leye rear lear "
    "lfoo ltoe lhee rfoo rtoe rhee pelv"
)
FIRST, LAST = "subject_1/body/00000001", "subject_88/body/00000017"


@pytest.fixture
def root(raw_miniature, tmp_path):
    """Text can be changed; pictures are those of the miniature."""
    made = tmp_path / "humbi"
    shutil.copytree(raw_miniature("humbi"), made, copy_function=shutil.copy)
    return made


def load(root, **options):
    options = main.Options(**options)
    units = main.list_units(root, options)
    return {s.id: s for unit in units for s in main.load_unit(root, unit, options)}


def edit(path, change):
    path.write_text(change(path.read_text()))


def test_joints_are_those_of_the_card():
    names = [*SMPL.split(), *(f"{name}_coco" for name in BODY_25.split())]
    assert list(main.SPEC.joint_info.names) == names and len(names) == 49


def test_the_body_is_scaled_before_it_is_moved(root):
    sequence = load(root)[LAST]
    fit = np.loadtxt(root / LAST / "reconstruction/smpl_parameter.txt")
    body, place = sequence.tracks[0].parameters(0), {"models_root": root / "body_models"}
    bare = {"pose": fit[4:76], "shape": fit[76:]}
    joints = main.models.body_joints("smpl", "neutral", bare, **place)[0]
    expected = 1000 * (joints * fit[0] + fit[1:4])[[*range(1, 24), 0]]
    np.testing.assert_allclose(sequence.tracks[0].world_coords[0, :24], expected, atol=0.05)
    found = 1000 * main.models.body_joints("smpl", "neutral", body, **place)[0]
    np.testing.assert_allclose(found[[*range(1, 24), 0]], expected, atol=0.05)


def test_missing_key_points_are_nan_and_those_off_the_stage_counted(root):
    path = root / FIRST / "reconstruction/keypoints.txt"
    rows = np.loadtxt(path)
    assert not rows[17].any()  # the right ear
    lines = [" ".join(map(str, row)) for row in rows]
    lines[0], lines[1] = "-- n/a none", "8 0 0"
    path.write_text("\r\n".join(lines))
    sequence = load(root)[FIRST]
    missing = np.isnan(sequence.tracks[0].world_coords[0, 24:]).all(axis=1)
    names = np.array(BODY_25.split())
    assert names[missing].tolist() == ["nose", "neck", "rear"]
    assert sequence.checks["points_off_the_stage"] == 1


def test_up_is_the_normal_of_the_ring(root):
    up = np.array(load(root)[FIRST].camera(0).world_up)
    centres = [
        rows[0]
        for rows in main.read_blocks(root / "subject_1/body/extrinsic.txt", (4, 3)).values()
    ]
    np.testing.assert_allclose(np.diff(centres, axis=0) @ up, 0, atol=1e-6)
    assert up[1] < -0.99


def test_pictures_that_make_no_example_are_counted(root):
    sequences = load(root)
    assert sequences[FIRST].dropped[main.NO_CAMERA] == 1
    assert sequences["subject_1/body/00000033"].dropped[NO_END] == 1
    assert "subject_1/body/00000009" not in sequences  # has no picture
    (root / LAST / "reconstruction/keypoints.txt").unlink()
    assert load(root, max_unlabelled=1)[LAST].dropped[UNLABELLED] == 4
    found = set()
    for unit in main.list_units(root, main.Options()):  # the other subject is packed
        if unit.id == LAST:
            with pytest.raises(CorruptInput, match="100% of its subject lack key points"):
                main.load_unit(root, unit, main.Options())
        else:
            found |= {s.id for s in main.load_unit(root, unit, main.Options())}
    assert found == {FIRST, "subject_1/body/00000033"}


@pytest.mark.parametrize("place", ["Body_81_140/subject_88", "Subject_88"])
def test_a_subject_at_another_place_does_not_vanish(root, place):
    (root / place).parent.mkdir(exist_ok=True)
    (root / "subject_88").rename(root / place)
    units = {unit.id: unit for unit in main.list_units(root, main.Options())}
    assert FIRST in units and LAST not in units
    with pytest.raises(CorruptInput, match=f"{place}: found here; expected in {root} itself"):
        main.load_unit(root, units[f"misplaced/{place}"], main.Options())
    assert FIRST in load(root, subjects=["1"])


def test_a_subject_without_a_body_session_is_counted(root):
    (root / "subject_88/body").rename(root / "subject_88/Body")
    sequences = load(root)
    assert sequences["subject_88/left_out"].dropped == {main.NO_SESSION: 1}
    assert FIRST in sequences


@pytest.mark.parametrize("file", ["keypoints.txt", "smpl_parameter.txt"])
def test_a_broken_file_costs_its_own_instant_and_not_all_subjects(root, file):
    path = root / FIRST / "reconstruction" / file
    path.write_text(path.read_text()[:100])
    assert "median over 2 subjects" in main.calibrate(root, main.Options())[0]
    with pytest.raises(CorruptInput, match=f"{FIRST}.*{file}: "):
        load(root)


@pytest.mark.filterwarnings("error")
def test_fits_without_key_points_are_told_and_refused_if_all_are(root):
    path = root / FIRST / "reconstruction/keypoints.txt"
    np.savetxt(path, np.zeros((25, 3)))
    (track,) = load(root)[FIRST].tracks
    assert track.note == main.body25.UNCHECKED and track.parameters is not None
    assert "median over 2 subjects" in main.calibrate(root, main.Options())[0]
    for other in root.glob("*/body/*/reconstruction/keypoints.txt"):
        np.savetxt(other, np.zeros((25, 3)))
    with pytest.raises(CorruptInput, match="none of 4 fits has key points to be compared with"):
        main.calibrate(root, main.Options())


def test_one_calibration_or_number_of_two_subjects_is_refused(root):
    shutil.copy(root / "subject_1/body/project.txt", root / "subject_88/body/project.txt")
    with pytest.raises(CorruptInput, match="found at .*subject_1/.* and at .*subject_88/"):
        main.calibrate(root, main.Options())
    (root / "subject_088").mkdir()
    with pytest.raises(CorruptInput, match="subject_088"):
        load(root)


def test_bodies_that_are_off_are_left_out_with_a_note(root):
    fit = root / FIRST / "reconstruction/smpl_parameter.txt"
    values = np.loadtxt(fit)
    values[1] += 0.2
    np.savetxt(fit, values)
    (track,) = load(root)[FIRST].tracks
    assert track.note == main.body25.FAR_OFF and track.parameters is None
    assert np.isnan(track.world_coords[:, :24]).all()
    fit.unlink()
    (track,) = load(root)[FIRST].tracks
    assert track.note == main.NO_FIT and np.isfinite(track.world_coords[0, 24]).all()
    shutil.rmtree(root / "body_models")
    (track,) = load(root)[LAST].tracks
    assert "the SMPL file was not found" in track.note
    assert "basicmodel_neutral" in main.plan(root, main.Options())[0]


@pytest.mark.parametrize(
    ("file", "factor", "message"),
    [
        ("keypoints.txt", 3.28, "shank 1"),
        ("smpl_parameter.txt", [100.0] + [1] * 85, "scale of bodies 9"),
        ("keypoints.txt", [-1, 1, 1], "mm from their key points; expected about 1"),
    ],
)
def test_other_units_and_axes_are_refused_in_the_median(root, file, factor, message):
    for path in root.glob(f"subject_*/body/*/reconstruction/{file}"):
        np.savetxt(path, np.loadtxt(path) * factor)
    with pytest.raises(CorruptInput, match=message):
        main.calibrate(root, main.Options())


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("project", lambda t: t.replace("0 33", "0 34"), "camera 33 is not in all of"),
        ("extrinsic", lambda t: t.replace("0 61", "0 61 7"), "found '0 61 7'; expected 0 and a c"),
        ("extrinsic", lambda t: t.replace("0 61", "0 107"), "found '0 107'; expected 0 and a"),
        ("intrinsic", lambda t: t.replace("0 61", "0 33"), "camera 33: found at line 8 and at"),
        ("intrinsic", lambda t: t.rpartition("0 0 1")[0], "camera 61: found shape"),
    ],
)
def test_calibrations_that_do_not_agree_are_refused(root, file, change, message):
    edit(root / f"subject_88/body/{file}.txt", change)
    with pytest.raises(CorruptInput, match=message):
        load(root, subjects=["88"])


def test_a_calibration_of_another_subject_is_refused(root):
    shutil.copy(root / "subject_1/body/project.txt", root / "subject_88/body/project.txt")
    with pytest.raises(CorruptInput, match=r"project.txt, camera 1: point \d+ projects"):
        load(root, subjects=["88"])


def test_subjects_are_chosen(root):
    assert set(load(root, subjects=["88"])) == {LAST}
    with pytest.raises(UsageError, match="no subject 2"):
        load(root, subjects=["2"])
