"""NTU RGB+D: skeleton files, lenses, sides, people, splits, the rendered set."""

import json
import shutil

import numpy as np
import pytest

from posepile.ds.ntu import main
from posepile.errors import CorruptInput, UsageError, WorkError
from posepile.formats.kinect_files import read_kinect_bodies
from posepile.geometry.fitting import fit_beside
from posepile.geometry.pictures import project
from posepile.miniature import kinect

FRONT, PAIR = "S001C003P001R001", "S001C003P002R001"


@pytest.fixture
def root(raw_miniature, tmp_path):
    target = tmp_path / "ntu"
    shutil.copytree(raw_miniature("ntu"), target)
    return target


def units(root, **options):
    options = main.Options(layout=None, **options)
    return {u.id: (u, options) for u in main.list_units(root, options)}


def load(root, name, **options):
    return main.load_unit(root, *units(root, **options)[name])


def edit(root, clip, change):
    """Changes the lines of a skeleton file."""
    (path,) = root.glob(f"nturgb+d_skeletons*/{clip}.skeleton")
    path.write_text("\n".join(change(path.read_text().splitlines())) + "\n")


def test_joints_are_those_of_the_card():
    official = (  # SDK's names, by hand
        "SpineBase SpineMid Neck Head ShoulderLeft ElbowLeft WristLeft HandLeft ShoulderRight "
        "ElbowRight WristRight HandRight HipLeft KneeLeft AnkleLeft FootLeft HipRight KneeRight "
        "AnkleRight FootRight SpineShoulder HandTipLeft ThumbLeft HandTipRight ThumbRight"
    ).split()
    ours = {"SpineBase": "pelv", "SpineMid": "bell", "SpineShoulder": "neck", "Neck": "head"}
    ours |= {"Head": "htop"}
    parts = {"Shoulder": "sho", "Elbow": "elb", "Wrist": "wri", "HandTip": "fin", "Hand": "han"}
    parts |= {"Hip": "hip", "Knee": "kne", "Ankle": "ank", "Foot": "toe", "Thumb": "thu"}
    for part, name in parts.items():
        ours |= {f"{part}Left": f"r{name}", f"{part}Right": f"l{name}"}  # mirrored
    assert list(main.SPEC.joint_info.names) == [ours[name] for name in official]
    parents = [2, 1, 21, 3, 21, 5, 6, 7, 21, 9, 10, 11, 1, 13, 14, 15, 1, 17, 18, 19, 2, 8, 8]
    bones = {frozenset((j, p - 1)) for j, p in enumerate([*parents, 12, 12])}
    assert {frozenset(edge) for edge in main.SPEC.joint_info.stick_figure_edges} == bones


def test_official_splits_have_as_many_people_setups_and_cameras():
    names = [f"S{s:03d}C{c:03d}P{p:03d}R001A001" for s, c, p in
             [(1, c, p) for c in (1, 2, 3) for p in range(1, 107)]]  # fmt: skip
    count = lambda protocol: sum(main.split_of(name, protocol) == "train" for name in names)
    assert (count("xsub60"), count("xsub120"), count("xview60")) == (60, 159, 212)
    assert [main.split_of(f"S{s:03d}C001P001R001A001", "xset120") for s in (1, 18)] == [
        "test",
        "train",
    ]
    assert main.split_of("S018C002P001R001A061", "xsub60") is None
    assert main.split_of("S017C001P001R001A001", "xview60") == "test"


def test_subjects_and_protocols_choose_units(root):
    assert {key[:4] for key in units(root, protocol="xview60")} == {"S001"}
    assert {u.split for u, _ in units(root, protocol="none").values()} == {"train"}
    assert set(units(root, subjects=["P103"])) == {"S018C002P103R002"}
    with pytest.raises(UsageError, match="P107"):
        units(root, subjects=["P107"])


def test_ids_are_whole_numbers_and_crlf_and_blanks_do_not_matter(root):
    edit(root, "S001C002P001R001A001", lambda lines: [f" {line}  " for line in lines])
    bodies = read_kinect_bodies(root / "nturgb+d_skeletons/S001C002P001R001A001.skeleton")
    assert set(bodies.ids) == {72057594037931101}
    assert bodies.joints.shape == (5, 25, 3) and np.isnan(bodies.joints[3, 23]).all()
    assert read_kinect_bodies(root / f"nturgb+d_skeletons/{FRONT}A001.skeleton").n_frames == 4


def other_joints(lines):
    return [*lines[:3], "26", *lines[4:]]


def cut_joint(lines):
    return [*lines[:5], " ".join(lines[5].split()[:11]), *lines[6:]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (other_joints, "line 4: found 26 joints; expected 25"),
        (cut_joint, "line 6: found 11 words; expected 12, of a joint"),
        (lambda lines: ["5", *lines[1:]], "found the end of the file; expected the number of bod"),
        (lambda lines: ["3", *lines[1:]], "found more lines; expected the end after 3 frames"),
        (lambda lines: ["x", *lines[1:]], "line 1: found 'x'; expected the number of frames"),
        (lambda lines: [*lines[:2], "7.2e16" + lines[2][17:], *lines[3:]], "the id of a body"),
        (lambda lines: [*lines[:4], "a" + lines[4], *lines[5:]], "line 5"),
    ],
)
def test_a_file_that_is_no_skeleton_is_refused_with_its_line(root, change, message):
    edit(root, FRONT + "A001", change)
    with pytest.raises(CorruptInput, match=message):
        load(root, FRONT)


def test_only_frames_with_as_many_people_as_act_are_used(root):
    (single,) = load(root, "S001C002P001R001")
    assert single.tracks[0].frames.tolist() == [0, 2, 3, 4]  # of frame 1, 19 joints were seen
    assert single.dropped == {"not 1 well-tracked bodies": 1}
    assert load(root, "S001C002P001R001", min_tracked=19)[0].tracks[0].frames.tolist() == [
        *range(5)
    ]
    (pair,) = load(root, PAIR)
    a, b = (track.world_coords for track in pair.tracks)
    assert (np.linalg.norm(a - b, axis=-1) > 300).all()  # a frame lists them the other way round
    steps = [np.linalg.norm(np.diff(t, axis=0), axis=-1).max() for t in (a, b)]
    assert max(steps) < 200
    # Whoever is seen badly besides is kept out of the mask.
    path = root / f"nturgb+d_skeletons/{FRONT}A001.skeleton"
    bodies = read_kinect_bodies(path)
    joints = bodies.joints * (1000, -1000, 1000)
    seen, ghost, aside = np.full(25, 2), np.full(25, 1), np.array([700, 0, 0])
    ghost[:5] = 2
    frames = [[(1, j, seen), (2, j + aside, ghost)] for j in joints]
    kinect.write_kinect_bodies(path, frames)
    (sequence,) = load(root, FRONT)
    assert len(sequence.tracks[0].frames) == 4 and len(sequence.bystanders[2]) == 1
    kinect.write_kinect_bodies(path, [[(1, j, seen), (2, j + aside, seen)] for j in joints])
    assert load(root, FRONT)[0].dropped == {"not 1 well-tracked bodies": 4}


def test_a_chair_among_two_people_is_nobody(root):
    path = root / f"nturgb+d_skeletons/{PAIR}A050.skeleton"
    bodies = read_kinect_bodies(path)
    joints, seen = bodies.joints[[0, 2, 5, 6]] * (1000, -1000, 1000), np.full(25, 2)
    chair = joints * (3, 0.3, 1) + (1500, 0, 0)
    kinect.write_kinect_bodies(
        path, [[(1, j, seen), (2, c, seen)] for j, c in zip(joints, chair, strict=True)]
    )
    (sequence,) = load(root, PAIR)
    assert len(sequence.tracks) == 1 and sequence.dropped["body as wide as a chair"] == 4
    wider = joints * (5, 0.3, 1)  # of two wide ones, the less wide is somebody
    kinect.write_kinect_bodies(
        path, [[(1, w, seen), (2, c, seen)] for w, c in zip(wider, chair, strict=True)]
    )
    (sequence,) = load(root, PAIR)
    assert [track.person for track in sequence.tracks] == [1]
    # Who falls and comes back as somebody else is not compared with themselves.
    path = root / f"nturgb+d_skeletons/{FRONT}A001.skeleton"
    joints = read_kinect_bodies(path).joints * (1000, -1000, 1000)
    poses = [joints[0], joints[1], joints[2] * (3, 0.3, 1), joints[3] * (3, 0.3, 1)]
    kinect.write_kinect_bodies(path, [[(1, pose, seen)] for pose in poses])
    (sequence,) = load(root, FRONT)
    assert sorted(len(track.frames) for track in sequence.tracks) == [2, 2]
    assert "body as wide as a chair" not in sequence.dropped


def test_clips_on_the_list_are_counted_and_their_skeletons_not_read(root):
    (sequence,) = load(root, "S001C002P005R002")
    assert sequence.dropped == {"clip on the list of missing skeletons": 1}
    (root / "NTU_RGBD120_samples_with_missing_skeletons.txt").unlink()
    (sequence,) = load(root, "S001C002P005R002")
    assert not sequence.tracks and not sequence.dropped  # it has no frame
    (root / f"nturgb+d_skeletons/{FRONT}A001.skeleton").unlink()
    (sequence,) = load(root, FRONT)
    assert not sequence.tracks and sequence.dropped == {main.NO_FILE: 1}


def test_a_list_of_missing_skeletons_names_as_many_clips_as_it_says(root):
    path = root / "NTU_RGBD120_samples_with_missing_skeletons.txt"
    text, clip = path.read_text(), "S001C002P005R002A008"
    for damaged, message in (
        ("", "line 1: found ''; expected how many names follow"),
        ("<!DOCTYPE html>\n\n<html>\n", "line 1: found '<!DOCTYPE html>'; expected how many"),
        (text.replace(clip, clip.lower()), "line 4: found 's001.*; expected a name like"),
        (text.replace(clip, f"{clip}.skeleton"), r"line 4: found 'S001.*\.skeleton'; expected"),
        (text.replace(clip, ""), "line 1: found '1 of the samples"),
        ("2" + text[1:], "found 1 different names; expected 2, as line 1 says"),
    ):
        path.write_text(damaged)
        with pytest.raises(CorruptInput, match=rf"missing_skeletons\.txt: {message}"):
            units(root)
    path.write_text(text.replace("\n", " \r\n"))
    assert "S001C002P005R002" in units(root)
    assert main.calibrate(root, main.Options(layout=None)) == []
    path.rename(root / path.name.replace("120", ""))
    assert main.calibrate(root, main.Options(layout=None, protocol="xsub60")) == []
    assert main.calibrate(root, main.Options(layout=None)) == [main.NO_LIST]


def test_files_of_other_names_are_no_clips_and_counted(root):
    before, folder = set(units(root)), root / main.VIDEOS
    for name in ("S1C1P1R1A1_rgb.avi", "S001C001P107R001A001_rgb.avi", "S033C001P001R001A001.avi"):
        (folder / name).touch()
    (folder / f"{FRONT}A001_rgb.avi").rename(folder / f"{FRONT}A001_rgb.mp4")
    assert {*units(root)} == before - {FRONT} | {"other_names"}
    (lost,) = load(root, "other_names")
    (reason,) = lost.dropped
    assert "S001C001P107R001A001_rgb.avi" in reason and lost.dropped[reason] == 4


def test_names_count_in_any_case(root):
    clip, folder = f"{FRONT}A001", root / main.VIDEOS
    (folder / f"{clip}_rgb.avi").rename(folder / f"{clip.lower()}_RGB.AVI")
    skeletons = root / "nturgb+d_skeletons"
    (skeletons / f"{clip}.skeleton").rename(skeletons / f"{clip.lower()}.SKELETON")
    (sequence,) = load(root, FRONT)
    assert sequence.id == clip and sequence.tracks


def test_a_clip_that_lies_there_twice_costs_its_unit_alone(root):
    folder, name, other = root / "nturgb+d_rgb", f"{FRONT}A001", root / "nturgb+d_skeletons120"
    shutil.copytree(root / "nturgb+d_skeletons", other, dirs_exist_ok=True)
    load(root, FRONT)  # the same twice
    (other / f"{name}.skeleton").write_text("0\n")
    with pytest.raises(CorruptInput, match=r"skeletons: found here and at .*; expected once"):
        load(root, FRONT)
    assert load(root, PAIR)
    shutil.rmtree(other)
    (folder / "S001/C003P001").mkdir(parents=True)
    shutil.copy(folder / f"{PAIR}A050_rgb.avi", folder / f"S001/C003P001/{name}_rgb.avi")
    with pytest.raises(CorruptInput, match=rf"{name}_rgb\.avi: video: found here and at"):
        load(root, FRONT)


def test_videos_and_skeletons_are_found_where_others_put_them(root):
    video = root / f"nturgb+d_rgb/{FRONT}A001_rgb.avi"
    (folder := video.parent / "S001/C003P001").mkdir(parents=True)
    shutil.move(video, folder)
    shutil.move(root / f"nturgb+d_skeletons/{FRONT}A001.skeleton", root)
    (sequence,) = load(root, FRONT)
    assert sequence.frames.path == folder / video.name and sequence.frames.mismatch_known
    assert sequence.image_name(3, 0) == f"S001/C003P001/{FRONT}A001_000003_0.jpg"


def test_the_lens_is_that_of_the_colour_camera_and_labels_of_another_are_refused(root):
    (sequence,) = load(root, FRONT)
    camera, path = sequence.camera, root / f"nturgb+d_skeletons/{FRONT}A001.skeleton"
    np.testing.assert_allclose(camera.intrinsic_matrix[[0, 1], [0, 1]], 1060, atol=0.1)
    np.testing.assert_allclose(camera.t, [-60, 0, 0], atol=0.1)
    assert tuple(camera.world_up) == (0, -1, 0)
    bodies = read_kinect_bodies(path)
    projected = project(camera, sequence.tracks[0].world_coords)
    np.testing.assert_allclose(projected, bodies.color_pixels, atol=0.05)
    edit(root, FRONT + "A001", lambda lines: [shifted(line, 5, 9) for line in lines])
    with pytest.raises(CorruptInput, match="colour pixels: 2D labels lie"):
        load(root, FRONT)
    (root / f"nturgb+d_rgb/{PAIR}A050_rgb.avi").unlink()  # the lens is fitted to this one alone
    edit(root, FRONT + "A001", lambda lines: [shifted(line, 0, 1e3) for line in lines])
    with pytest.raises(CorruptInput, match="fit focal lengths"):
        load(root, FRONT)


def shifted(line, column, by):
    words = line.split()
    if len(words) != 12:
        return line
    words[column] = str(float(words[column]) * by if by > 100 else float(words[column]) + by)
    return " ".join(words)


def test_a_lens_beside_the_sensor_is_found_and_too_few_points_are_refused():
    points = np.random.default_rng(0).uniform((-1, -1, 2), (1, 1, 5), (50, 3))
    pixels = 1060 * (points[:, :2] + (0.055, -0.01)) / points[:, 2:] + (960, 540)
    points[7, 1] = np.nan
    matrix, beside = fit_beside("a", points, pixels)
    np.testing.assert_allclose(matrix, [[1060, 0, 960], [0, 1060, 540], [0, 0, 1]], atol=1e-6)
    np.testing.assert_allclose(beside, [0.055, -0.01, 0], atol=1e-9)
    fit_beside("a", points, pixels, focal=(1000, 1100), max_shift=0.06)
    with pytest.raises(CorruptInput, match="focal lengths of 1060 and 1060 px; expected 900 to 1"):
        fit_beside("a", points, pixels, focal=(900, 1000))
    with pytest.raises(CorruptInput, match=r"a lens 0.0559 beside the sensor; expected at most 0"):
        fit_beside("a", points, pixels, max_shift=0.05)
    with pytest.raises(CorruptInput, match="found 2 points; expected 3 or more"):
        fit_beside("a", points[:2], pixels[:2])


def test_sides_that_somebody_has_turned_are_noticed_in_clips_from_the_front(root):
    def exchange(lines):
        joints = [k for k, line in enumerate(lines) if len(line.split()) == 12]
        for first in joints[::25]:
            for a, b in ((4, 8), (12, 16), (5, 9), (14, 18), (15, 19)):
                a, b = first + a, first + b
                lines[a], lines[b] = lines[b], lines[a]
        return lines

    edit(root, FRONT + "A001", exchange)
    with pytest.raises(CorruptInput, match="in 0% of 4 frames from the front the right shoulder"):
        load(root, FRONT)
    load(root, FRONT, min_facing=0)
    edit(root, "S001C002P001R001A001", exchange)  # seen from the side: nothing to tell
    load(root, "S001C002P001R001")


def test_the_rendered_set_is_read_only_when_it_is_as_the_layout_says(root):
    options = main.Options()
    with pytest.raises(WorkError, match="not validated"):
        list(main.list_units(root, options))
    assert "reprojection" in "\n".join(main.calibrate(root, options))
    (unit,) = (u for u in main.list_units(root, options) if "layout" in u.args)
    sequences = main.load_unit(root, unit, options)
    assert [s.id[-2:] for s in sequences] == ["v0", "v1", "v2", "v3"] and unit.split == "train"
    path = "synthetic/S001C001P001R001A001"
    assert sequences[2].image_name(3, 0) == f"{path}/v2/000003.jpg"
    assert sequences[0].tracks[0].activity == ["A001"] * 4
    np.testing.assert_allclose(
        sequences[1].tracks[0].world_coords,
        1000 * np.load(root / f"{path}_pose.npz")["joints"],
        atol=0.01,
    )
    cameras = json.loads((root / f"{path}_cam.json").read_text())
    cameras["extrinsics"] = {v: cameras["extrinsics"][str(3 - int(v))] for v in "0123"}
    (root / f"{path}_cam.json").write_text(json.dumps(cameras))
    assert any("reprojection test" in problem for problem in main.doctor(root, options))
    shutil.rmtree(root / "synthetic")
    assert main.calibrate(root, options) == [] == main.doctor(root, options)
    assert "train/synthetic/00000" not in {u.id for u in main.list_units(root, options)}
