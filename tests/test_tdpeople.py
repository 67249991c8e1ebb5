"""3DPeople: which row is which joint, cameras of points alone, pictures without skeletons."""

import shutil

import cv2
import numpy as np
import pytest

from posepile.ds.tdpeople import main, miniature, votes
from posepile.errors import CorruptInput
from posepile.geometry.pictures import project

UNIT = f"woman17/02_04_jump/camera01/{miniature.LOOKS}"


@pytest.fixture
def root(raw_miniature, tmp_path):
    target = tmp_path / "tdpeople"
    shutil.copytree(raw_miniature("tdpeople"), target)
    return target


def units(root, **options):
    return {unit.id: unit for unit in main.list_units(root, main.Options(**options))}


def load(root, name=UNIT, **options):
    (sequence,) = main.load_unit(root, units(root)[name], main.Options(**options))
    return sequence


def reorder(root, order):
    """Writes all skeletons with their rows in another order."""
    for path in root.glob("skeleton/*/*/*/*.txt"):
        lines = path.read_text().splitlines()
        head, rows = lines[:-67], lines[-67:]
        path.write_text("\n".join([*head, *(rows[j] for j in order)]))


# Where PosePile's reading has the head top, the right knuckle and the legs.
POSEPILES = [*range(6), 7, 8, 6, *range(9, 37), *range(53, 57), *range(41, 53), *range(37, 41)]
POSEPILES += [*range(62, 67), *range(57, 62)]


def test_the_joints_are_those_of_the_description():
    names = (
        "pelv,spin,spi1,spi2,neck,head,reye,leye,htop,lcla,lsho,lelb,lwri,lhan,rcla,rsho,relb,"
        "rwri,rhan,lhip,lkne,lank,lfoo,ltoe,rhip,rkne,rank,rfoo,rtoe"
    )
    assert ",".join(main.SPEC.joint_info.names) == names
    assert main.SPEC.image_dir.startswith("3dpeople")


@pytest.mark.parametrize("order", [list(range(67)), POSEPILES])
@pytest.mark.parametrize("colors", [True, False])
def test_rows_are_found_in_either_order(root, order, colors):
    expected = load(root).tracks[0].world_coords
    reorder(root, order)
    if not colors:
        shutil.rmtree(root / "segmentation_body")
    np.testing.assert_allclose(load(root).tracks[0].world_coords, expected)
    lines = main.calibrate(root, main.Options())
    first = "right" if order[57] == 57 else "left"
    assert f"first legs: {first} (14 of 14 votes)" in lines
    assert any(line.startswith("first arms, by colour: right") for line in lines) == colors
    assert f"head top: {order.index(6)} (14 of 14 votes)" in lines
    assert f"knuckle of the right hand: {order.index(37)} (14 of 14 votes)" in lines


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows[[*range(57), *range(62, 67), *range(57, 62)]], "first legs: "),
        (lambda rows: rows[[*range(6), 7, 8, 6, *range(9, 67)]], "head top: "),
        (
            lambda rows: rows[
                [*range(37), *range(53, 57), *range(41, 53), *range(37, 41), *range(57, 67)]
            ],
            "knuckle of",
        ),
    ],
)
def test_a_vote_without_a_large_majority_is_refused(root, change, message):
    for path in root.glob("skeleton/woman17/*/*/0001.txt"):
        text = [line for line in path.read_text().splitlines() if line[0] != "#"]
        path.write_text("\n".join(change(np.array(text))))
    with pytest.raises(CorruptInput, match=f"{message}.*expected at least 95% of them"):
        units(root)
    assert units(root, min_vote=0.6)


def test_colours_that_contradict_the_feet_are_refused(root):
    for path in root.glob("segmentation_body/*/*/*/*.png"):
        image = cv2.imread(str(path))[..., ::-1]
        right, left = ((image == color).all(axis=-1) for color in ((255, 255, 128), (0, 128, 128)))
        image[right], image[left] = (0, 128, 128), (255, 255, 128)
        cv2.imwrite(str(path), image[..., ::-1])
    with pytest.raises(CorruptInput, match="first legs: right, first legs, by colour: left; expe"):
        units(root)


def rewrite(root, pattern, change):
    for path in root.glob(f"skeleton/{pattern}"):
        rows = np.loadtxt(path)
        np.savetxt(path, change(rows))


def test_every_camera_may_have_a_world_of_its_own_but_not_some_frames_only(root):
    assert "joints are told in: the world (" in " ".join(main.calibrate(root, main.Options()))
    off = np.array([0, 0, 0, 1, 0, 0])
    rewrite(root, "*/*/camera0[24]/*.txt", lambda rows: rows + off)
    rewrite(root, "woman17/*/camera03/*.txt", lambda rows: rows - off)
    lines = main.calibrate(root, main.Options())
    assert any(line.startswith("joints are told in: the camera") for line in lines)
    assert load(root).checks["projection_px"] < 0.01
    rewrite(root, "*/*/camera02/*.txt", lambda rows: rows - off)
    with pytest.raises(CorruptInput, match="joints are told in: .* expected at least 95%"):
        units(root)


@pytest.mark.parametrize("up", ["y", "-z"])
def test_the_axis_that_points_up_is_found_and_becomes_z(root, up):
    expected = load(root)
    turn = {"y": [[1, 0, 0], [0, 0, -1], [0, 1, 0]], "-z": [[1, 0, 0], [0, -1, 0], [0, 0, -1]]}[up]

    def turned(rows):
        rows[:, 3:] = rows[:, 3:] @ np.array(turn)
        return rows

    rewrite(root, "*/*/*/*.txt", turned)
    assert units(root)[UNIT].args["up"] == up
    person = load(root).tracks[0]
    np.testing.assert_allclose(person.world_coords, expected.tracks[0].world_coords, atol=0.01)


def test_the_camera_follows_from_the_points(root):
    sequence = load(root)
    stored = np.loadtxt(root / "skeleton/woman17/02_04_jump/camera01/0001.txt")
    camera, (person,) = sequence.camera(1), sequence.tracks
    rows = units(root)[UNIT].args["joints"]
    off = project(camera, person.world_coords[0]) - stored[rows, :2]
    assert np.abs(off).max() < 0.01
    np.testing.assert_allclose(camera.intrinsic_matrix, main.LENS)
    np.testing.assert_allclose(person.world_coords[0], 100 * stored[rows, 3:], rtol=1e-5)
    assert person.motion_coords.shape == (4, 67, 3)
    assert person.activity == "02_04_jump"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows * [1, 1, 1, 1, 1, -1], r"px off \(RMS\); expected all in front"),
        (lambda rows: (rows - [320, 240, 0, 0, 0, 0]) * [1.3, 1.3, 1, 1, 1, 1], r"px off \(RMS\)"),
        (lambda rows: rows[:66], r"66.*67"),
        (lambda rows: rows[:, :5], r"5.*6"),
    ],
)
def test_skeletons_of_another_lens_or_form_are_refused(root, change, message):
    unit = units(root)[UNIT]
    path = root / "skeleton/woman17/02_04_jump/camera01/0002.txt"
    np.savetxt(path, change(np.loadtxt(path)))
    with pytest.raises(CorruptInput, match=message) as error:
        main.load_unit(root, unit, main.Options())
    assert "camera01/0002.txt" in str(error.value)


def test_a_broken_skeleton_costs_its_own_unit_and_many_are_refused(root):
    path = next(votes.sample_files(root / "skeleton"))
    path.write_text("")
    (root / "skeleton/man36/05_11_dance/camera01/0000.txt").write_text("")  # has no picture
    lines = main.calibrate(root, main.Options())
    assert any(line.startswith("passed over, ") for line in lines), lines
    unit = next(id for id in units(root) if id.startswith("/".join(path.parts[-4:-1])))
    with pytest.raises(CorruptInput, match=rf"{path.name}: found shape \(0, 6\)"):
        load(root, unit)
    for other in root.glob("skeleton/*/*/*/*.txt"):
        other.write_text("")
    with pytest.raises(CorruptInput, match=r"\.txt: found shape \(0, 6\)"):
        main.calibrate(root, main.Options())


def test_parts_of_another_size_are_refused(root):
    for path in root.glob("segmentation_body/woman17/*/camera01/*.png"):
        cv2.imwrite(str(path), np.full((240, 320, 3), 153, np.uint8))
    with pytest.raises(CorruptInput, match="segmentation_body/.*: found .240, 320.; expected"):
        load(root)


def test_pictures_are_paired_by_number_and_counted_without_a_skeleton(root):
    assert load(root).tracks[0].frames.tolist() == [1, 2, 3, 4]
    (root / "skeleton/woman17/02_04_jump/camera01/0002.txt").unlink()
    sequence = load(root, max_unlabelled=0.3)
    (track,), paths = sequence.tracks, sequence.frames.paths
    assert track.frames.tolist() == [1, 3, 4]  # as in the other cameras
    assert [paths[k].stem for k in track.frames] == ["0001", "0003", "0004"]
    assert sequence.dropped == {"picture without annotations": 1}
    with pytest.raises(CorruptInput, match="0002.jpg: found no annotations of this"):
        load(root)


def test_masks_are_of_whole_people_of_the_same_picture(root):
    assert load(root).checks["skin_outside_mask"] == 0
    place = root / "segmentation_clothes/woman17/02_04_jump/camera01"
    image = cv2.imread(str(place / "0001.png"))
    bare = image.copy()
    bare[(image == miniature.SKIN[::-1]).all(axis=-1)] = 153
    cv2.imwrite(str(place / "0001.png"), bare)
    with pytest.raises(CorruptInput, match=r"0001.png: lacks \d+% of the body's parts"):
        load(root)
    for path in place.glob("*.png"):
        cv2.imwrite(str(path), np.roll(image, 200, axis=1))
    with pytest.raises(CorruptInput, match="of the joints project outside the mask"):
        load(root)


def test_backgrounds_may_be_nearly_grey_and_transparent(root):
    expected = load(root).tracks[0].bbox[0]
    place = root / "segmentation_clothes/woman17/02_04_jump/camera01/0001.png"
    image = cv2.imread(str(place))
    image[(image == 153).all(axis=-1)] += np.uint8(9)
    opaque = np.full(image.shape[:2], 255, np.uint8)
    cv2.imwrite(str(place), np.dstack([image, opaque]))
    np.testing.assert_array_equal(load(root).tracks[0].bbox[0], expected)


def test_splits_are_the_official_ones(root):
    assert {id.split("/")[0]: unit.split for id, unit in units(root).items()} == {
        "man36": "test",
        "woman17": "train",
    }
    assert set(units(root, subjects=["man36"])) < set(units(root))


def test_what_is_named_otherwise_is_counted(root):
    camera = root / "rgb/woman17/02_04_jump/camera01"
    shutil.copytree(root / "rgb/man36", root / "rgb/Man36")
    for k in (5, 6):
        (camera / f"000{k}.jpg").write_bytes(b"")
    (camera.parent / "0001.jpg").write_bytes(b"")
    (camera / miniature.LOOKS / "0004.jpg").rename(camera / miniature.LOOKS / "0004.JPG")
    two = root / "skeleton/woman17/02_04_jump/camera02"
    shutil.copy(two / "0001.txt", two / "1.txt")
    found = units(root)
    assert len(found) == 6 and not any("camera02" in id for id in found if id[:3] == "wom")
    assert load(root, "left_out").dropped == {main.NOBODY: 1, main.NO_LOOKS: 3, main.TWICE: 1}
    assert load(root).dropped == {main.UNSEEN: 1}
    for picture in camera.glob("*/*.jpg"):
        picture.rename(picture.with_suffix(".jpeg"))
    with pytest.raises(CorruptInput, match=r"camera01/.*: found no <number>.jpg with a skeleton"):
        load(root)


@pytest.mark.parametrize("shift", [0, 1, -2])
def test_masks_of_a_frame_that_is_near_are_refused(tmp_path, monkeypatch, shift):
    """Most joints are still in the mask then."""
    monkeypatch.setattr(miniature, "TAKES", (("woman17", "02_04_jump", "train", 2, 64),))
    miniature.build(tmp_path)
    for kind in ("segmentation_clothes", "segmentation_body"):
        files = sorted((tmp_path / kind).glob("*/*/camera01/*.png"))
        contents = [path.read_bytes() for path in files]
        for k, path in enumerate(files):
            path.write_bytes(contents[min(max(k + shift, 0), len(files) - 1)])
    if not shift:
        assert load(tmp_path).checks["joints_outside_mask"] < 0.1
        return
    with pytest.raises(CorruptInput, match=f"masks move like the joints {abs(shift)} frame"):
        load(tmp_path)
    assert load(tmp_path, max_outside_mask=1).checks["joints_outside_mask"] < 0.2
