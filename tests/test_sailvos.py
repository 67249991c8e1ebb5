"""SAIL-VOS: bones of pose files, one camera for all people of a picture, far from the origin."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from posepile.acquire.plan import plan, sources_of
from posepile.ds.sailvos import main
from posepile.errors import CorruptInput
from posepile.formats.folders import names_like
from posepile.geometry.fitting import fit_focal
from posepile.geometry.pictures import project

JOINTS = (
    "htop,neck,rsho,relb,rwri,lsho,lelb,lwri,rhip,rkne,rank,lhip,lkne,lank,spin,head,pelv,rtoe,"
    "ltoe,nose,reye,leye,rear,lear,rhan,lhan"
).split(",")
SCENE = "tonya_mcs_1"


@pytest.fixture
def root(raw_miniature, tmp_path):
    shutil.copytree(raw_miniature("sailvos"), tmp_path / "sailvos")
    main.read_visible.cache_clear()
    return tmp_path / "sailvos"


def load(root, name=SCENE, **options):
    options = main.Options(**options)
    (unit,) = [unit for unit in main.list_units(root, options) if unit.id == name]
    return main.load_unit(root, unit, options)[0]


def pose_files(root, kind, scene=SCENE, person="*"):
    return sorted((root / scene).glob(f"{person}_Ped_*/*_{kind}.txt"))


def edit(paths, change):
    for path in paths:
        np.savetxt(path, change(np.loadtxt(path)), fmt="%.6f")


def test_joints_are_those_of_the_card_in_its_order():
    assert main.SPEC.joint_info.names == JOINTS
    assert not main.SPEC.far_from_origin  # since a scene is about its cameras
    assert main.ROWS["leye"] == [227, 304, 58, 229] and main.ROWS["rkne"] == [215, 131, 253]
    assert sum(map(len, main.ROWS.values())) == 52 and max(map(max, main.ROWS.values())) == 342


def test_pictures_of_either_kind_are_enough_to_go_on(root):
    sources = sources_of("sailvos", Path(main.__file__).with_name("sources.yaml"))
    assert [d.action for d in plan(sources, root)] == ["verify"]


def test_bones_count_by_whole_rows(root):
    seen, space = pose_files(root, "2d")[0], pose_files(root, "3d")[0]
    joints, bones = main.read_pose(seen, space)

    def one_number_is_zero(xyz):
        xyz[61, 0], xyz[330], xyz[216] = 0, 0, 0  # neck; left elbow; one of the right shoulder's
        return xyz

    edit([space], one_number_is_zero)
    changed, fewer = main.read_pose(seen, space)
    assert changed[1, 0] == 0 and changed[1, 1] == pytest.approx(joints[1, 1])
    assert np.isnan(changed[6]).all() and len(fewer) == len(bones) - 2
    xyz = np.loadtxt(space)
    np.testing.assert_allclose(changed[2], xyz[234])
    pixels = np.loadtxt(seen)
    pixels[61], pixels[171], pixels[234] = (-1280, 5), (5, -800), (-800, -800)
    np.savetxt(seen, pixels)
    again, left = main.read_pose(seen, space)
    np.testing.assert_array_equal(again, changed)  # what is not in the picture is in the world
    assert len(left) == len(fewer) - 3


def test_pose_files_that_lack_rows_are_refused(root):
    edit(pose_files(root, "2d")[:1], lambda rows: rows[:-1])
    with pytest.raises(CorruptInput, match=r"_2d\.txt: found 342 rows; expected 343"):
        load(root)
    edit(pose_files(root, "3d")[:1], lambda rows: rows[:-1])
    with pytest.raises(CorruptInput, match="found 342 rows; expected at least 343"):
        load(root)


def test_one_camera_of_a_picture_sees_everybody_at_their_pixels(root):
    sequence = load(root)
    focal, off = 640 / np.tan(np.radians(30)), []
    for track in sequence.tracks:
        for k, frame in enumerate(track.frames.tolist()):
            camera = sequence.camera(frame)
            assert camera.intrinsic_matrix[0, 0] == pytest.approx(focal, rel=2e-3)
            assert camera.intrinsic_matrix[:2, 2].tolist() == [639.5, 399.5]
            folder = next((root / SCENE).glob(f"{track.person:04d}_Ped_*"))
            row = np.loadtxt(folder / f"{frame:06d}_2d.txt")[61]  # the neck
            if row[0] >= 0:
                off.append(project(camera, track.world_coords[k, 1]) + 0.5 - row)
    assert len(off) == 7 and np.abs(off).max() < 0.3


def test_the_scene_is_about_the_mean_of_its_cameras(root):
    sequence = load(root)
    places = [sequence.camera(frame).t for frame in range(4)]
    assert np.abs(np.mean(places, axis=0)).max() < 1  # kilometres away in the files
    assert np.ptp(places, axis=0).max() > 300
    track = sequence.tracks[0]
    assert track.world_coords.dtype == np.float64
    raw = np.loadtxt(pose_files(root, "3d", person=f"{track.person:04d}")[0])[61]
    assert np.abs(raw).max() > 1000 and np.abs(track.world_coords).max() < 20_000
    step = np.loadtxt(pose_files(root, "3d", person=f"{track.person:04d}")[1])[61] - raw
    np.testing.assert_allclose(
        np.diff(track.world_coords[:2, 1], axis=0)[0], 1000 * step, atol=0.01
    )


def test_pictures_without_camera_are_left_out_and_many_are_refused(root):
    def shuffled(rows):
        return np.where(rows[:, :1] < 0, rows, np.random.default_rng(0).permutation(rows))

    edit([path for path in pose_files(root, "2d") if path.name[5] == "1"], shuffled)
    sequence = load(root)
    assert sequence.camera(1) is None and sequence.camera(0) is not None
    track = sequence.tracks[0]
    assert track.unusable(track.frames.tolist().index(1)) == main.NO_CAMERA
    with pytest.raises(CorruptInput, match=r"no camera fits 1 of 4.*max_unfitted"):
        load(root, max_unfitted=0.2)


def test_pictures_whose_people_tell_no_focal_length_are_left_out(root):
    rng = np.random.default_rng(0)

    def noisy(rows):
        return np.where(rows < 0, rows, rows + rng.normal(0, 0.5, rows.shape))

    edit(pose_files(root, "2d"), noisy)
    sequence = load(root)
    assert all(sequence.camera(frame) for frame in range(4))
    sequence = load(root, max_focal_error=1e-4)
    assert not any(sequence.camera(frame) for frame in range(4))  # but the scene is none the worse
    assert sequence.tracks[0].unusable(0) == main.VAGUE


def test_a_map_is_read_once_for_everybody(root, monkeypatch):
    read, seen = main.read_array, []
    monkeypatch.setattr(
        main, "read_array", lambda path, *args: seen.append(path) or read(path, *args)
    )
    for track in load(root).tracks:
        for k in range(len(track.frames)):
            track.unusable(k), track.mask(k)
    assert len(seen) == len(set(seen)) > 0


def amodal_masks(root, person="*"):
    return sorted((root / SCENE).glob(f"{person}_Ped_*/*.png"))


@pytest.mark.parametrize("fault", ["black", "half", "maps one off", "of another size"])
def test_amodal_masks_that_are_not_of_what_is_visible_are_refused(root, fault):
    assert load(root).checks["masks_of_others_share"] == 0
    maps = sorted((root / SCENE / "visible").iterdir())
    if fault == "maps one off":
        content = [path.read_bytes() for path in maps]
        for path, other in zip(maps, content[1:] + content[:1], strict=True):
            path.write_bytes(other)
    else:
        for path in amodal_masks(root):
            mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
            rows = np.flatnonzero(mask.any(axis=1))
            mask[rows[0] : rows[-1] + 1 if fault == "black" else rows.mean().astype(int)] = 0
            cv2.imwrite(str(path), mask[:400] if fault == "of another size" else mask)
    message = "holds 1280 x 400 pixels; expected 1280 x 800"
    if fault != "of another size":
        message = rf"{SCENE}: in \d+ of \d+ pictures of people more than 10% of their visible"
    main.read_visible.cache_clear()
    with pytest.raises(CorruptInput, match=message):
        load(root)


def test_one_whose_visible_pixels_are_not_theirs_is_left_out(root):
    cv2.imwrite(str(amodal_masks(root, "0003")[0]), np.zeros((800, 1280), np.uint8))
    why = load(root).tracks[0].unusable
    assert why(0) == main.OUTSIDE and why(1) is None
    assert load(root, max_outside=1).tracks[0].unusable(0) is None


def test_folders_of_other_names_are_people_too_or_counted(root):
    people = sorted(path for path in (root / SCENE).iterdir() if "_Ped_" in path.name)
    people[0].rename(people[0].with_name(people[0].name.replace("Ped", "ped")))
    assert len(load(root).tracks) == 3
    (root / SCENE / "images").rename(root / SCENE / "Images")
    (root / "train").mkdir()
    (root / "abigail_mcs_2").rename(root / "train/abigail_mcs_2")
    (root / "empty/images").mkdir(parents=True)
    sequence = load(root, "left_out")
    assert sequence.dropped == {f"{main.OTHER}empty": 3}


def test_a_picture_there_twice_costs_its_scene_alone(root):
    shutil.copy(root / SCENE / "images/000001.bmp", root / SCENE / "images/000001.png")
    with pytest.raises(CorruptInput, match="pictures 1: found at 000001.bmp and at 000001.png"):
        load(root)
    assert load(root, "abigail_mcs_2").tracks


def test_a_world_that_does_not_stand_on_z_is_refused(root, monkeypatch):
    least = main.check_up
    monkeypatch.setattr(main, "check_up", lambda *given: least(*given, least=5))
    load(root)
    edit(pose_files(root, "3d"), lambda xyz: xyz[:, [0, 2, 1]])
    with pytest.raises(CorruptInput, match=r"bodies stand along \[0, 1, 0\]"):
        load(root)


def test_who_is_no_example_and_why(root):
    sequence = load(root)
    why = {t.person: [t.unusable(k) for k in range(len(t.frames))] for t in sequence.tracks}
    assert set(why) == {3, 12, 20} and "fewer than 6 joints" in why[20][0]
    assert why[3][:2] == [None, None] and "shorter side" in why[3][2]
    track = load(root, min_side=0).tracks[0]
    assert track.unusable(2) == "hidden by more than dataset.max_hidden"
    assert load(root, min_side=0, max_hidden=1).tracks[0].unusable(2) is None


def test_files_that_are_not_there(root):
    for path in pose_files(root, "3d", person="0012")[:2]:
        path.unlink()
    (root / SCENE / "visible/000003.npy").unlink()
    sequence = load(root)
    assert sequence.dropped[main.INCOMPLETE] == 2 + 2  # 0012 and 0020 are in the last picture
    for path in [*pose_files(root, "3d"), *pose_files(root, "2d")]:
        path.unlink()
    public = load(root)
    assert not public.tracks and public.dropped[main.NO_POSE] == 11
    assert public.bystanders[0][0].mask() is not None
    shutil.copytree(*[next((root / SCENE).glob("0003_Ped_*")), root / SCENE / "0003_Ped_other"])
    with pytest.raises(CorruptInput, match="pose 3 0: found at 0003_Ped_"):
        load(root)


def test_pictures_and_maps_may_have_been_converted(root):
    scene = root / "abigail_mcs_2"
    masks = [t.mask(0) for t in load(root, scene.name).tracks]
    for path in (scene / "images").iterdir():
        cv2.imwrite(str(path.with_suffix(".jpg")), cv2.imread(str(path)))
        path.unlink()
    for path in (scene / "visible").iterdir():
        np.savez_compressed(path.with_suffix(".npz"), visible_ids=np.load(path))
        path.unlink()
    main.read_visible.cache_clear()
    after = load(root, scene.name)
    assert names_like(scene / "images", r".*\.jpg") and after.frames.paths[0].suffix == ".jpg"
    assert [t.mask(0) for t in after.tracks] == masks
    assert after.image_name(1, 5) == "abigail_mcs_2/images/000008_0005.jpg"


def test_a_focal_length_is_found_within_its_limits():
    rng = np.random.default_rng(0)
    points = rng.normal(0, 0.5, (60, 3)) + np.array([3000, -900, 6])
    seen = points - np.array([3000, -900, 0])
    pixels = 800 * seen[:, :2] / seen[:, 2:] + [640, 400]
    off, uncertain, camera = fit_focal("a", points, pixels, (640, 400), (537, 2389))
    assert off < 1e-2 and camera["focal"] == pytest.approx(800, rel=1e-3) and uncertain < 1e-3
    assert fit_focal("a", points[:5], pixels[:5], (640, 400), (537, 2389)) is None
    off, uncertain, camera = fit_focal("a", points, pixels, (640, 400), (900, 2389))
    assert off > 0.5 and camera["focal"] == pytest.approx(900, rel=1e-2) and uncertain == np.inf


def test_how_uncertain_a_focal_length_is_tells_its_error():
    rng, wrong = np.random.default_rng(0), {}
    for distance in (4, 15):
        for _ in range(20):
            points = rng.normal(0, 1, (26, 3)) * (0.25, 0.5, 0.2) + (0, 0, distance)
            pixels = 1108 * points[:, :2] / points[:, 2:] + (640, 400)
            pixels += rng.normal(0, 0.5, pixels.shape)
            _, uncertain, camera = fit_focal("a", points, pixels, (640, 400), (537, 2389))
            off = np.log(camera["focal"] / 1108) / uncertain
            wrong.setdefault(distance, []).append((uncertain, off))
    near, far = (np.array(wrong[distance]) for distance in (4, 15))
    assert near[:, 0].max() < 0.05 and far[:, 0].min() > 0.1
    assert 0.5 < np.sqrt((near[:, 1] ** 2).mean()) < 1.5  # standard errors
