"""Key points are compared with what moves in videos; what mends usual mistakes is named."""

import re
from dataclasses import replace

import numpy as np
import pytest
from own_recordings import JOINTS, OPENPOSE, Layout, make_recordings

from posepile.errors import CorruptInput, UsageError
from posepile.joint_info import JointInfo
from posepile.recipe import DatasetSpec
from posepile.shapes.recordings import (
    Recordings,
    _matching_files,
    axes_matrix,
    load_recording,
    recording_units,
)
from posepile.shapes.recordings_check import _check_recording, check_recordings, off_person

LAYOUT = Layout(
    "<take>/<camera>.mp4", "<take>/points.trc", "calibration.toml", "anipose", takes=("jump",)
)
EDGES = "htop-neck-pelv,neck-lsho-lelb-lwri,pelv-lhip-lkne-lank"
SPEC = DatasetSpec("own", JointInfo(",".join(JOINTS), EDGES), "own", world_up=(0.0, 0.0, 1.0))
FACTS = Recordings(
    video=LAYOUT.video,
    keypoints=LAYOUT.keypoints,
    calibration=LAYOUT.calibration,
    joints=dict(zip(JOINTS, OPENPOSE, strict=True)),
    camera_unit="m",
)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("recordings")
    make_recordings(root, LAYOUT, n_frames=40)
    return root


def judged(root, facts, spec=SPEC, camera=0):
    return _check_recording(list(recording_units(root, facts))[camera], facts, spec)


def mended(root, facts, camera=0, spec=SPEC):
    """What the error says of wrong facts, and the facts with what it says to set."""
    with pytest.raises(CorruptInput) as error:
        judged(root, facts, spec, camera)
    said = str(error.value)
    hint = re.search(r'(?:with|set) (\w+)=(".*?"|\{.*?\}|\(.*?\)|[\w.]+)', said)
    return said, replace(facts, **{hint[1]: eval(hint[2])})


def test_true_facts_are_accepted(root):
    for camera in range(2):
        assert judged(root, FACTS, camera=camera).share > 0.9
    (line,) = check_recordings(recording_units(root, FACTS), FACTS, SPEC)
    assert re.fullmatch(
        r"key points lie on the person: 9\d% of the body in 2 videos, least 9\d% in jump/cam0\d",
        line,
    )


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"axes": "-yxz"}, 'with axes="xyz"'),
        ({"axes": "-x-yz"}, 'with axes="xyz"'),
        ({"camera_unit": "mm"}, 'with camera_unit="m"'),
        ({"camera_unit": "cm"}, 'with camera_unit="m"'),
        ({"camera_to_world": True}, "with camera_to_world=False"),
        ({"keypoint_unit": "cm"}, 'body of .* mm from end to end; .*set keypoint_unit="m"'),
        ({"keypoint_unit": "mm"}, 'body of .* mm from end to end; .*set keypoint_unit="m"'),
    ],
)
def test_mistakes_are_named_with_what_mends_them(root, wrong, said):
    message, better = mended(root, replace(FACTS, **wrong))
    assert re.search(said, message), message
    assert judged(root, better).share > 0.9


@pytest.mark.parametrize("shift", [-8, -3, 2, 10])
@pytest.mark.parametrize("camera", [0, 1])
def test_videos_that_begin_at_another_instant(root, shift, camera):
    facts = replace(FACTS, first_row={"cam01": shift, "cam02": shift}, length_may_differ=20)
    message, better = mended(root, facts, camera)
    unit = f"jump/cam0{camera + 1}"
    assert f"{abs(shift)} row(s) {'later' if shift < 0 else 'before'}; expected" in message
    assert better.first_row == {unit: 0}


def changed_calibration(root, folder, change):
    """The facts with a calibration that is changed."""
    text = (root / "calibration.toml").read_text()
    assert change(text) != text
    (folder / "calibration.toml").write_text(change(text))
    return replace(FACTS, calibration=str(folder / "calibration.toml"))


@pytest.mark.parametrize("shift", [30, 60])
def test_a_camera_that_is_wrong_is_named(root, tmp_path, shift):
    def change(text):  # the principal point of the first camera
        old = re.search(r"matrix = \[\[[\d.]+, 0.0, ([\d.]+)", text)
        return text[: old.start(1)] + str(float(old[1]) + shift) + text[old.end(1) :]

    facts = changed_calibration(root, tmp_path, change)
    with pytest.raises(CorruptInput, match=r"cam01.mp4: found [34]\d% .*; expected 60%") as error:
        check_recordings(recording_units(root, facts), facts, SPEC)
    assert "other cameras fit: look at the calibration and the video of cam01" in str(error.value)
    check_recordings(recording_units(root, facts), facts, SPEC, 0.8)  # who knows better


def test_key_points_of_another_size_are_refused_or_doubted(root):
    units = list(recording_units(root, FACTS))
    facts = replace(FACTS, keypoint_unit=1200)
    with pytest.raises(CorruptInput, match="found 4.% .*; expected 60%; none of the usual"):
        check_recordings(units, facts, SPEC)
    facts = replace(FACTS, keypoint_unit=900)
    _, doubt = check_recordings(units, facts, SPEC)
    assert re.match(r"probably wrong, below 85%: jump/cam0\d [78]\d%", doubt), doubt
    shares = [off_person(unit, facts, SPEC)["off_person"] for unit in units]
    assert 0.15 < max(shares) < 0.4
    assert max(off_person(unit, FACTS, SPEC)["off_person"] for unit in units) < 0.15


def test_exchanged_cameras_are_named(root, tmp_path):
    def change(text):
        return text.replace("cam01", "x").replace("cam02", "cam01").replace('"x"', '"cam02"')

    facts = changed_calibration(root, tmp_path, change)
    with pytest.raises(CorruptInput, match="cameras are exchanged: set camera_names=") as error:
        check_recordings(recording_units(root, facts), facts, SPEC)
    names = eval(str(error.value).partition("camera_names=")[2])
    assert names == {"cam01": "cam02", "cam02": "cam01"}
    facts = replace(facts, camera_names=names)
    assert "least 9" in check_recordings(recording_units(root, facts), facts, SPEC)[0]


def changed_points(folder, change):
    """Recordings with other key points ``[T, J, 3]``."""
    from posepile.formats.point_files import read_points
    from posepile.miniature.recordings import write_points

    make_recordings(folder, LAYOUT, n_frames=40)
    path = folder / "jump/points.trc"
    points = read_points(path)
    write_points(path, change(points.points.copy()), points.labels, points.rate, points.unit)
    return list(recording_units(folder, FACTS))


def test_an_instant_is_advised_only_if_all_cameras_agree(tmp_path):
    units = changed_points(tmp_path, lambda points: points + np.array([0.3, 0, 0]))
    with pytest.raises(CorruptInput, match="none of the usual mistakes explains it in all"):
        check_recordings(units, FACTS, SPEC)


def test_an_instant_of_all_cameras_is_advised_for_all(root):
    facts = replace(FACTS, first_row={"cam01": 8, "cam02": 8}, length_may_differ=20)
    with pytest.raises(CorruptInput, match=r'set first_row=\{"jump/cam01": 0, "jump/cam02": 0\}'):
        check_recordings(recording_units(root, facts), facts, SPEC)


def exchanged_joints(*pairs):
    joints = dict(FACTS.joints)
    for a, b in pairs:
        joints[a], joints[b] = joints[b], joints[a]
    return replace(FACTS, joints=joints)


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        (
            exchanged_joints(*((f"l{name}", f"r{name}") for name in ("hip", "kne", "ank"))),
            "backwards in .* of the poses; .* are left and right exchanged in `joints`",
        ),
        (exchanged_joints(("lkne", "lank")), "found lhip-kne .* times as long as rhip-kne"),
    ],
)
def test_exchanged_joints_are_told_from_the_body_itself(root, facts, said):
    with pytest.raises(CorruptInput, match=said):
        check_recordings(recording_units(root, facts), facts, SPEC)


def test_the_direction_up(root):
    spec = replace(SPEC, world_up=(0.0, 1.0, 0.0))
    with pytest.raises(CorruptInput, match=r"stand along z of .*; set world_up=\(0.0, 0.0, 1.0\)"):
        judged(root, FACTS, spec)


def test_nothing_is_concluded_where_nobody_moves(tmp_path):
    make_recordings(tmp_path, LAYOUT, n_frames=6, step_mm=0)
    facts = replace(FACTS)
    frames = np.stack([np.full((360, 480, 3), 90, np.uint8)] * 6)
    from posepile.miniature.video import write_video

    for camera in LAYOUT.cameras:
        write_video(tmp_path / f"jump/{camera}.mp4", list(frames), 25)
    assert "hardly anything moves" in judged(tmp_path, facts).reason
    (line,) = check_recordings(recording_units(tmp_path, facts), facts, SPEC)
    assert line.startswith("not compared with the person: 2 videos, the first jump/cam01: hardly")


def test_a_sequence_has_the_joints_of_its_frames(root):
    unit, *_ = recording_units(root, FACTS)
    track = load_recording(unit, FACTS, SPEC).tracks[0]
    shifted = replace(FACTS, first_row={"cam01": 5}, length_may_differ=5)
    sequence = load_recording(unit, shifted, SPEC)
    assert sequence.dropped == {"no row of key points belongs to the frame": 5}
    np.testing.assert_array_equal(sequence.tracks[0].world_coords, track.world_coords[5:])
    turned = load_recording(unit, replace(FACTS, axes="zxy"), SPEC).tracks[0]
    np.testing.assert_array_equal(turned.world_coords, track.world_coords[..., [2, 0, 1]])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"first_row": {"cam01": 5}}, "found 40 frames; expected 35, as the 40 rows"),
        ({"rows_per_frame": 2}, "found 25 rows per second, 1 per frame of cam01.mp4; expected 2"),
        ({"joints": {"pelv": "Hips"}}, "found no point 'Hips'; expected it for joint pelv.*Hip"),
        ({"camera_names": {"cam01": "left"}}, r"no camera 'left' \(there: cam01, cam02\)"),
        ({"calibration": "none.toml"}, "none.toml: file is missing"),
    ],
)
def test_files_that_do_not_fit_together(root, wrong, said):
    facts = replace(FACTS, **wrong)
    unit, *_ = recording_units(root, facts)
    with pytest.raises(CorruptInput, match=said):
        load_recording(unit, facts, SPEC)


def test_pictures_of_another_size_than_calibrated(root, tmp_path):
    text = (root / "calibration.toml").read_text()
    facts = replace(FACTS, calibration=str(tmp_path / "half.toml"))
    (tmp_path / "half.toml").write_text(text.replace("480.0, 360.0", "960.0, 720.0"))
    unit, *_ = recording_units(root, facts)
    with pytest.raises(CorruptInput, match="found pictures of 480 x 360; expected 960 x 720"):
        load_recording(unit, facts, SPEC)


def test_two_files_of_key_points_are_refused(tmp_path):
    for name in ("jump/cam01.mp4", "jump/a.trc", "jump/b.trc"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    facts = replace(FACTS, keypoints="<take>/*.trc")
    with pytest.raises(CorruptInput, match="found a.trc and b.trc; expected one file like jump"):
        list(recording_units(tmp_path, facts))


@pytest.mark.parametrize("axes", ["xy", "xxz", "xzy", "-xyz", "abc", "xyzx", ""])
def test_axes_that_are_none(axes):
    with pytest.raises(UsageError, match="expected three axes"):
        axes_matrix(axes)
    with pytest.raises(UsageError):
        replace(FACTS, axes=axes)


@pytest.mark.parametrize(
    "wrong",
    [
        {"camera_unit": "inch"},
        {"camera_unit": -1},
        {"camera_unit": None},
        {"camera_unit": True},
        {"keypoint_unit": float("inf")},
        {"keypoint_unit": float("nan")},
        {"rows_per_frame": 0},
        {"rows_per_frame": 1.5},
        {"length_may_differ": -1},
        {"first_row": {"cam01": "5"}},
        {"splits": {"jump": "validation"}},
    ],
)
def test_facts_that_are_none(wrong):
    with pytest.raises(UsageError, match="expected"):
        replace(FACTS, **wrong)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"splits": {"jmp": "test"}}, r"splits: found 'jmp' \(did you mean 'jump'\?\); .*: jump"),
        (
            {"first_row": {"cam1": 3}},
            r"first_row: found 'cam1' \(did .* 'cam01'\?\); .* jump/cam02",
        ),
        ({"first_row": {"run/cam01": 3}}, "first_row: found 'run/cam01' .* camera or take/camera"),
        ({"camera_names": {"left": "cam01"}}, "camera_names: found 'left'; .* cam01, cam02"),
    ],
)
def test_facts_of_what_is_not_there(root, wrong, said):
    with pytest.raises(UsageError, match=said):
        list(recording_units(root, replace(FACTS, **wrong)))


def numbered(folder, begin):
    """Recordings without the first frames of the key points, numbered as the whole would be."""
    make_recordings(folder, LAYOUT, n_frames=24)
    path = folder / "jump/points.trc"
    head, rows = path.read_text().splitlines()[:6], path.read_text().splitlines()[6:]
    rows = [f"{k}\t{row.partition(chr(9))[2]}" for k, row in enumerate(rows)]
    head[2] = head[2].replace("\t24\t", f"\t{24 - begin}\t", 1)
    path.write_text("\n".join(head + rows[begin:]) + "\n")
    return path


def test_rows_that_are_numbered_as_those_of_the_whole_video(tmp_path):
    numbered(tmp_path, 5)
    facts = replace(FACTS, length_may_differ=5)
    units = list(recording_units(tmp_path, facts))
    with pytest.raises(
        CorruptInput, match="numbered from 5 on, of cam01.mp4 that has 24"
    ) as error:
        load_recording(units[0], facts, SPEC)
    assert 'set first_row={"cam01": -5} if' in str(error.value)
    facts = replace(FACTS, first_row={"cam01": -5, "cam02": -5}, length_may_differ=5)
    assert load_recording(units[0], facts, SPEC).tracks[0].frames[0] == 5
    assert judged(tmp_path, facts).share > 0.9


def test_rows_that_are_numbered_otherwise_but_as_many_as_frames(tmp_path):
    path = numbered(tmp_path, 0)
    lines = path.read_text().splitlines()
    rows = [f"{k + 101}\t{row.partition(chr(9))[2]}" for k, row in enumerate(lines[6:])]
    path.write_text("\n".join(lines[:6] + rows) + "\n")
    _, note = check_recordings(recording_units(tmp_path, FACTS), FACTS, SPEC)
    assert note.startswith("points.trc: rows are numbered from 101 on; the first one is taken for")


def test_drawn_takes_need_not_have_the_names_of_the_facts(root, tmp_path):
    from posepile.miniature import TRUTH

    make_recordings(tmp_path, LAYOUT, n_frames=2)
    (tmp_path / TRUTH).touch()
    facts = replace(FACTS, splits={"walk": "test"})
    assert len(list(recording_units(tmp_path, facts))) == 2


def test_patterns_hold_what_names_hold(tmp_path):
    for name in ("a/x/a-1.mp4", "a/x/b-1.mp4", "b/x/b-2.mp4", ".c/x/c-1.mp4", "a/y.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = _matching_files(tmp_path, "<take>/x/<take>-<camera>.mp4")
    assert [named for _, named in found] == [
        {"take": "a", "camera": "1"},
        {"take": "b", "camera": "2"},
    ]
