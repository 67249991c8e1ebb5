"""MoVi: what is missing, columns of the rounds, MATLAB's cameras, clocks, sides, phones."""

import json
import shutil

import numpy as np
import pytest
from scipy.io import loadmat

from posepile.ds.bml_movi import main, takes
from posepile.errors import CorruptInput
from posepile.geometry.pictures import project
from posepile.miniature import writers

F1, S1 = "1/F_PG1_Subject_1_L", "46/S1_PG2_Subject_46_L"
NAMES = """backneck upperback clavicle sternum umbilicus lfronthead lbackhead lback lshom lupperarm
lelbm lforearm lwrithumbside lwripinkieside lfin lasis lpsis lfrontthigh lthigh lknem lankm lhee
lfifthmetatarsal ltoe lcheek lbreast lelbinner lwaist lthumb lfrontinnerthigh linnerknee lshin
lfirstmetatarsal lfourthtoe lscapula lbum rfronthead rbackhead rback rshom rupperarm relbm rforearm
rwrithumbside rwripinkieside rfin rasis rpsis rfrontthigh rthigh rknem rankm rhee rfifthmetatarsal
rtoe rcheek rbreast relbinner rwaist rthumb rfrontinnerthigh rinnerknee rshin rfirstmetatarsal
rfourthtoe rscapula rbum head mhip pelv thor lank lelb lhip lhan lkne lsho lwri lfoo rank relb rhip
rhan rkne rsho rwri rfoo""".split()
VIRTUAL = "virtualMarkerLocation"
CLOCK = {"fps": 30, "offset": 0.1}  # of a phone


@pytest.fixture
def root(raw_miniature, tmp_path):
    return shutil.copytree(raw_miniature("bml_movi"), tmp_path / "bml_movi")


def units(root, **options):
    options = main.Options(**options)
    return {u.id: (u, options) for u in main.list_units(root, options)}


def load(root, name, **options):
    unit, options = units(root, **options)[name]
    return main.load_unit(root, unit, options)[0]


def change(path, name, edit):
    """Lets a function edit the structures in ``move`` of a file, and writes it again."""
    content = loadmat(path, simplify_cells=True)[name]
    moves = content["move"] if not isinstance(content["move"], dict) else [content["move"]]
    for move in moves:
        edit(move)
    cell = np.empty((1, len(moves)), object)
    cell[0, :] = list(moves)
    writers.write_mat(path, {name: content | {"move": cell}})


def marks_f(root, edit):
    change(root / "F_Subjects_1_45/F_v3d_Subject_1.mat", "Subject_1_F", edit)


def test_videos_that_cannot_be_used_are_counted(root):
    assert main.SPEC.joint_info.names == NAMES and len(NAMES) == 87
    assert list(units(root)) == [
        *(F1, "1/F_PG2_Subject_1_L", "46/F_PG1_Subject_46_L", S1, "46/S2_PG1_Subject_46_L"),
        "left_out",
    ]
    assert load(root, "left_out").dropped == {main.NO_MARKERS: 1, main.UNCALIBRATED: 1}
    assert "left out: 1; README" in main.plan(root, main.Options())[0]
    assert list(units(root, subjects=[46], rounds=["S2"])) == ["46/S2_PG1_Subject_46_L"]


def test_a_point_is_missing_only_if_all_of_it_is_zero(root):
    def edit(move):
        for key, k in (("markerLocation", 70), ("virtualMarkerLocation", 3)):
            move[key][:8, k, 1] = 0
        move["markerLocation"][4, 2] = 0
        move["markerLocation"][8, 1] += (0, 0, 1600)  # another ghost

    marks_f(root, edit)
    sequence = load(root, F1)
    joints = sequence.tracks[0].world_coords
    assert np.isfinite(joints[:2, 70]).all() and (joints[:2, 70, 1] == 0).all()
    assert (joints < 0).any(axis=-1).mean() > 0.3 and np.isnan(joints[1, 2]).all()
    assert np.isnan(joints[2, 1]).all() and sequence.checks["stray_points"] > 0
    assert np.isfinite(load(root, F1, max_reach_mm=3000).tracks[0].world_coords[2, 1]).all()
    assert sequence.dropped == {"no joint known": 1}


def test_rounds_with_few_markers_have_these(root):
    track = load(root, S1).tracks[0]
    known = np.isfinite(track.world_coords[0]).all(axis=-1)
    expected = """lfronthead lbackhead lwrithumbside lwripinkieside lankm rfronthead rbackhead
    rwrithumbside rwripinkieside rankm head lank lwri rank rwri""".split()
    assert [n for n, k in zip(NAMES, known, strict=True) if k] == expected
    other = load(root, "46/S2_PG1_Subject_46_L").tracks[0]
    assert np.abs(other.world_coords[0, 67] - track.world_coords[0, 67]).max() > 1
    assert track.frames.tolist() == [0, 1, 2, 3, 4] and track.activity[0] == "walking"


def test_cameras_are_matlabs(root):
    camera = load(root, F1).camera
    assert np.allclose(camera.t, [4927, 7, 1345], atol=1) and camera.R[2, 0] < -0.9
    assert np.allclose(camera.intrinsic_matrix[:2, 2], [407.027, 290.170], atol=1e-3)
    assert np.allclose(camera.get_distortion_coeffs()[:2], [-0.18236, 0.18389], atol=1e-6)
    path = root / "Calib/Extrinsics_PG1.npz"
    pose = dict(np.load(path))
    writers.write_npz(path, **pose | {"rotationMatrix": pose["rotationMatrix"].T})
    with pytest.raises(CorruptInput, match=r"Extrinsics_PG1.npz: the camera is at \[-1030"):
        load(root, F1)


@pytest.mark.parametrize("name", ["Extrinsics", "cameraParams"])
def test_cameras_are_the_published_ones(root, name):
    one, other = (root / f"Calib/{name}_PG{k}.npz" for k in (1, 2))
    one.rename(root / "kept")
    other.rename(one)
    (root / "kept").rename(other)
    with pytest.raises(CorruptInput, match=f"{name}_PG1.npz: .*PG1 and PG2 exchanged"):
        load(root, F1)


def test_videos_are_found_by_any_spelling_and_twice_concern_themselves_alone(root):
    (root / f"{F1[2:]}.avi").rename(root / "f_pg1_subject_01.AVI")
    assert len(load(root, "1/f_pg1_subject_01").tracks[0].frames) == 11
    second = shutil.copyfile(root / "F_PG2_Subject_1_L.avi", root / "F_PG2_Subject_1.avi")
    name = "1/F_PG2_Subject_1"
    assert len(load(root, name).tracks[0].frames) == 11  # a copy
    second.write_bytes(b"another")
    with pytest.raises(CorruptInput, match="Subject_1_L.avi: the video: found here and at"):
        load(root, name)
    load(root, "1/f_pg1_subject_01")


def test_every_fourth_row_is_a_frame_and_marks_must_agree(root):
    raw = loadmat(root / "F_Subjects_1_45/F_v3d_Subject_1.mat", simplify_cells=True)
    rows = raw["Subject_1_F"]["move"]["markerLocation"]
    track = load(root, F1).tracks[0]
    np.testing.assert_allclose(track.world_coords[3, 68], rows[12, 68], atol=1e-3)
    assert track.activity[0] == "walking" and track.activity[-1] == "jumping_jacks"

    def late(move):
        move["flags30"] = move["flags30"] + 3

    marks_f(root, late)
    with pytest.raises(CorruptInput, match="flags30 and flags120 are 12 rows apart"):
        load(root, F1)


def test_marks_of_motions_lie_within_the_rows(root):
    raw = root / "F_Subjects_1_45/F_v3d_Subject_1.mat"
    before = raw.read_bytes()
    for change in (-1, 4000):
        raw.write_bytes(before)
        marks_f(root, lambda move, by=change: move["flags120"].__iadd__(by))
        with pytest.raises(
            CorruptInput, match=r"flags120 are rows \d+ to \d+; expected first and last of 46"
        ):
            load(root, F1)
    raw.write_bytes(before)
    marks_f(root, lambda move: [move[k].fill(0) for k in ("markerLocation", VIRTUAL)])
    with pytest.raises(CorruptInput, match="no ankle is known"):
        load(root, F1)


def test_order_and_sides_of_the_columns_are_checked(root):
    def turn(move):
        for key in ("markerLocation", "virtualMarkerLocation"):
            move[key][:, [-16, -8]] = move[key][:, [-8, -16]]

    marks_f(root, turn)
    with pytest.raises(CorruptInput, match=r"F_amass_Subject_1.mat: ankles lie \d+ mm"):
        load(root, F1)
    marks_f(root, lambda move: move["virtualMarkerLocation"].__iadd__(2))
    with pytest.raises(CorruptInput, match=r"virtual joints are 2.0 mm from the last columns"):
        load(root, F1)
    lying = np.zeros((60 * 25, 87, 3))
    lying[:, takes.HEAD, 1] = 1600
    take = takes.Take(lying, [], np.empty((0, 2)), np.empty((0, 2)))
    with pytest.raises(CorruptInput, match="bodies stand along"):
        takes.check_take(root, take, 8)


def phone(root, **content):
    camera = load(root, F1).camera
    pose = {"R": camera.R.tolist(), "t": (-camera.R @ camera.t).tolist()}
    path = root / "phone_cameras/F_CP1_Subject_1.json"
    writers.write_json(path, CLOCK | pose | content)
    return camera, json.loads(path.read_text())


def test_phones_are_used_where_somebody_calibrated_them(root):
    phone(root, fps=29.0)
    sequence = load(root, "1/F_CP1_Subject_1")
    track, points = sequence.tracks[0], load(root, F1).tracks[0].world_coords
    row = (4 / 29 - 0.1) * 120  # of frame 4, between rows 4 and 5, which are frames 1 and 1.25
    k = track.frames.tolist().index(4)
    between = points[1, 68] + (row / 4 - 1) * (points[2, 68] - points[1, 68])
    np.testing.assert_allclose(track.world_coords[k, 68], between, atol=2)
    assert track.frames[0] == 3 and sequence.frames.size == (1920, 1080)
    assert np.allclose(sequence.camera.intrinsic_matrix[0], [1508.7021, 0, 960])
    pixel = project(sequence.camera, track.world_coords[k, 68]).tolist()
    seen = [{"frame": 4, "joint": "mhip", "x": pixel[0] + 5, "y": pixel[1]}]
    phone(root, fps=29.0, seen=seen)
    assert round(load(root, "1/F_CP1_Subject_1").checks["phone_px"]) == 5
    with pytest.raises(CorruptInput, match=r"seen: 1 joints lie 5.0 px"):
        load(root, "1/F_CP1_Subject_1", max_phone_px=3)


def test_a_phone_that_moves_has_a_camera_in_some_frames(root):
    camera, content = phone(root)
    roll = np.radians(8)
    turn = [[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]]
    turned = [(np.array(turn) @ camera.R).tolist(), (turn @ (-camera.R @ camera.t)).tolist()]
    poses = {"R": [content["R"], content["R"], turned[0]]}
    poses["t"] = [content["t"], content["t"], turned[1]]
    phone(root, **poses, frames=[1, 5, 6])
    sequence = load(root, "1/F_CP1_Subject_1")
    assert sequence.tracks[0].frames.tolist() == [5]
    assert sequence.dropped == {main.TILTED: 1, main.NO_CAMERA: 10}
    assert load(root, "1/F_CP1_Subject_1", max_roll=9).tracks[0].frames.tolist() == [5, 6]
    phone(root, **poses, frames=[5, 1, 6])
    with pytest.raises(CorruptInput, match="each once, in order"):
        load(root, "1/F_CP1_Subject_1")
