"""MuCo-3DHP: the list's frames, who is in front, masks that are none, composites of our own."""

import re
import shutil

import numpy as np
import pytest
import rlemasklib
from scipy.io import loadmat

from posepile.ds.muco import compose, main, takes
from posepile.errors import CorruptInput
from posepile.geometry.pictures import project
from posepile.miniature import writers

SET = "unaugmented_set_001"
# Of composite 1, as the list has it: subject, sequence, frame; camera 0.
FIRST = [(2, 1, 9), (6, 2, 12), (3, 1, 4), (8, 1, 15)]


@pytest.fixture
def root(raw_miniature, tmp_path):
    target = tmp_path / "muco"
    shutil.copytree(raw_miniature("muco"), target)
    return target


def load(root, **options):
    options = main.Options(**options)
    (unit,) = main.list_units(root, options)
    (sequence,) = main.load_unit(root, unit, options)
    return sequence


def not_used(root):
    return [line for line in main.calibrate(root, main.Options()) if line.startswith("not used")]


def reasons(sequence, k):
    return [track.unusable(k) for track in sequence.tracks]


def test_joints_are_those_of_the_description():
    assert (
        main.SPEC.joint_info.names
        == (
            "thor spi4 spi2 lcla lhan rcla rhan lfoo ltoe rfoo rtoe htop neck rsho relb rwri lsho "
            "lelb lwri rhip rkne rank lhip lkne lank spin head pelv"
        ).split()
    )
    listed = [0, 1, 2, 8, 12, 13, 17, 21, 22, 26, 27, 7, 5, 14, 15, 16, 9, 10, 11, 23, 24, 25]
    assert takes.OURS == [*listed, 18, 19, 20, 3, 6, 4]
    extended = [8, 6, 15, 16, 17, 10, 11, 12, 24, 25, 26, 19, 20, 21, 5, 4, 7, 18, 13, 28, 23]
    assert [j + 1 for j in takes.EXTENDED] == extended
    assert main.SPEC.image_dir == "muco_downscaled" and main.SPEC.world_up == (0, 1, 0)


def test_people_are_those_of_the_list_with_frames_from_0(root):
    sequence = load(root)
    camera = sequence.camera(0)
    for p, (s, q, k) in enumerate(FIRST):
        labels = loadmat(root / f"3dhp/S{s}/Seq{q}/annot.mat")
        points = labels["annot3"][0, 0][k].reshape(28, 3)[takes.OURS]
        coords = sequence.tracks[p].world_coords[0]
        np.testing.assert_allclose(camera.world_to_camera(coords), points, atol=0.01)
        off = project(camera, coords) - labels["annot2"][0, 0][k].reshape(28, 2)[takes.OURS]
        assert np.median(np.abs(off)) < 0.05
    assert sequence.split == "train" and [track.person for track in sequence.tracks] == [*range(4)]
    assert sequence.image_name(0, 3) == f"{SET}/00/0000/000001_3.jpg"
    assert not sequence.tracks[0].one_person and not sequence.tracks[0].note


def test_the_optical_centre_has_the_right_sign(root):
    camera = load(root).camera(0)
    t = np.array([-562.8666, 1398.138, 3852.623])
    np.testing.assert_allclose(camera.t, -np.float64(camera.R).T @ t, atol=0.1)
    assert camera.t[1] > 0  # above the floor


def test_who_is_in_front_is_told_by_skeletons_of_universal_size(root):
    tracks = load(root).tracks
    seen = [rlemasklib.decode(tracks[p].mask(0)).astype(bool) for p in (0, 2)]
    whole = takes.person_mask(
        takes.frame_file(root / "3dhp", "FGmasks", [3, 1, 0, 4]),
        loadmat(root / "3dhp/S3/Seq1/annot.mat")["annot2"][0, 0][4].reshape(28, 2),
    )
    both = seen[0] & rlemasklib.decode(whole).astype(bool)
    assert both.sum() > 400 and not (both & seen[1]).any()
    depths = [tracks[p].world_coords[0, -1] for p in (0, 2)]
    assert (
        np.diff(load(root).camera(0).world_to_camera(np.array(depths))[:, 2]) < 0
    )  # in true size


def test_a_chair_hides_who_is_farther_than_its_person(root):
    behind, chair = load(root).tracks[2].mask(0), np.s_[1200:1480, 580:740]
    assert not rlemasklib.decode(behind)[chair].any()
    for path in root.glob("3dhp/S6/Seq2/ChairMasks/*.jpg"):
        writers.write_jpeg(path, np.full((2048, 2048), 255, np.uint8))
    assert rlemasklib.decode(load(root).tracks[2].mask(0))[chair].any()


def test_boxes_are_between_the_rows_of_the_joints(root):
    track = load(root).tracks[0]
    x, y, w, h = track.bbox[0]
    seen = rlemasklib.to_bbox(track.mask(0))
    assert (x, w) == (seen[0] - 0.5, seen[2]) and y >= seen[1] - 0.5 and h <= seen[3]


def test_composites_without_picture_or_mask_are_counted(root):
    assert dict(load(root).dropped) == {main.NO_PICTURE: 1}
    takes.frame_file(root / "3dhp", "ChairMasks", [*FIRST[0][:2], 0, 9]).unlink()
    sequence = load(root)
    assert dict(sequence.dropped) == {main.NO_PICTURE: 1, main.NO_MASK: 1}
    assert [path.stem for path in sequence.frames.paths] == ["000002", "000004", "000005"]


def test_masks_that_are_not_of_the_person_leave_out_the_whole_composite(root):
    sequence = load(root)
    assert reasons(sequence, 0) == [None] * 4
    assert reasons(sequence, 2) == ["mask of a source is not of its person"] * 4  # S1/Seq2


def test_who_is_hardly_in_the_picture_does_not_leave_out_the_others(root):
    masks = [
        takes.frame_file(root / "3dhp", k, (*FIRST[p][:2], 0, FIRST[p][2]))
        for p in range(4)
        for k in takes.MASKS
    ]
    pixels = [
        loadmat(root / f"3dhp/S{s}/Seq{q}/annot.mat")["annot2"][0, 0][k] for s, q, k in FIRST
    ]
    pixels = np.reshape(pixels, (1, 4, 28, 2))
    writers.write_jpeg(masks[2], np.zeros((2048, 2048, 3), np.uint8))  # nobody
    order = np.arange(4)[None]
    assert takes.Visible(masks, pixels, order, 0.5)(0, 0) is None
    for n_inside in (0, 4, 5):
        away = pixels.copy()
        away[0, 1, takes.LABELLED[n_inside:]] += 9000
        away[0, 1, np.setdiff1d(range(28), takes.LABELLED)] += 9000
        visible = takes.Visible(masks, away, order, 0.5)
        if n_inside < 5:
            assert rlemasklib.area(visible(0, 1)) == 0 and rlemasklib.area(visible(0, 3)) > 1000
        else:
            assert visible(0, 3) is None


def test_the_same_frame_twice_is_one_person(root):
    assert reasons(load(root), 3) == [None, None, "nobody seen", None]


def test_takes_extracted_from_1_are_not_used(root):
    assert "takes of MPI-INF-3DHP: 5 of 16" in main.calibrate(root, main.Options())
    folder = root / "3dhp/S2/Seq1/FGmasks"
    (folder / "img_0_000000.jpg").rename(folder / "img_0_000001.jpg")
    (told,) = not_used(root)
    assert "S2/Seq1: " in told and "img_0_000001.jpg: is there without img_0_000000.jpg" in told
    (folder / "img_0_000001.jpg").rename(folder / "img_0_000000.jpg")
    picture = root / "3dhp/S3/Seq1/imageSequence/img_7_000001.jpg"
    picture.parent.mkdir()
    picture.touch()
    (told,) = not_used(root)
    assert "imageSequence/img_7_000001.jpg: is there without" in told


def test_cameras_and_labels_of_different_poses_are_refused(root):
    told = "labels of two cameras are up to 0.0 mm apart in the world"
    assert told in main.calibrate(root, main.Options())
    path = root / "3dhp/S2/Seq1/camera.calibration"
    main.read_cameras.cache_clear()
    path.write_text(path.read_text().replace("3852.623", "-3852.623"))
    (told,) = not_used(root)
    assert "two cameras have a joint 7705 mm apart" in told
    main.read_cameras.cache_clear()


@pytest.mark.parametrize("damage", ["missing", "cut", "nan", "calibration"])
def test_a_damaged_take_costs_its_composites_only(root, damage):
    before, folder = load(root), root / "3dhp/S6/Seq2"
    path = folder / "annot.mat"
    if damage == "missing":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:5000])
    elif damage == "nan":
        content = {k: v for k, v in loadmat(path).items() if not k.startswith("__")}
        content["annot3"][0, 0][3] = np.nan
        writers.write_mat(path, content)
    else:
        (folder / "camera.calibration").write_text("Skeletool")
    main.read_cameras.cache_clear()
    (told,) = not_used(root)
    assert "not used: S6/Seq2: " in told
    sequence = load(root)
    n = sequence.dropped[main.BAD_TAKE]
    assert n >= 1 and len(sequence.frames.paths) == len(before.frames.paths) - n
    main.read_cameras.cache_clear()


def turn_cameras(root, turned):
    def other(match):
        matrix = np.array(match[1].split(), float).reshape(4, 4)
        matrix[:3, :3] = turned(matrix[:3, :3])
        return "extrinsic " + " ".join(map(repr, matrix.ravel().tolist()))

    for path in root.glob("3dhp/*/*/camera.calibration"):
        path.write_text(re.sub(r"extrinsic ([^\n]+)", other, path.read_text()))
    main.read_cameras.cache_clear()


@pytest.mark.parametrize(
    "turned, told",
    [
        (np.transpose, "rotations are transposed"),
        (lambda rotation: rotation @ np.eye(3)[[1, 2, 0]], "bodies stand along"),
    ],
)
def test_cameras_that_are_wrong_in_all_takes_are_refused(root, turned, told):
    turn_cameras(root, turned)
    with pytest.raises(CorruptInput, match=told):
        main.calibrate(root, main.Options())
    with pytest.raises(CorruptInput, match=told):
        load(root)


def test_chunks_without_a_usable_composite_are_counted(root):
    for path in root.glob("3dhp/*/*/ChairMasks/*.jpg"):
        path.unlink()
    sequence = load(root)
    assert not sequence.frames.paths and sequence.dropped[main.NO_MASK] >= 4


def test_composites_numbered_from_0_are_refused(root):
    (root / SET / "000002.jpg").rename(root / SET / "000000.jpg")
    with pytest.raises(CorruptInput, match="000000.jpg: composites are numbered from 0"):
        load(root)


def test_what_is_needed_depends_on_the_composites(root):
    assert not main.doctor(root, main.Options())
    (root / main.LIST).unlink()
    (needed,) = main.doctor(root, main.Options())
    assert needed == "dataset.composites=official needs sampled_dataset_info.mat"
    (root / SET).rename(root / "elsewhere")
    assert "needs (un)augmented_set_001" in main.doctor(root, main.Options())[1]
    assert not main.doctor(root, main.Options(composites="own"))
    assert "MuCo-3DHP.json" in main.doctor(root, main.Options(composites="coco_pack"))[0]


def test_cameras_of_other_takes_are_compared(root):
    assert not any(line.startswith("camera") for line in main.calibrate(root, main.Options()))
    path = root / "3dhp/S2/Seq1/camera.calibration"
    text = path.read_text()
    main.read_cameras.cache_clear()
    path.write_text(text.replace("1497.693", "1500.693").replace("3852.623", "3854.623"))
    assert "camera 0 differs between takes: 3.00 px, 2.0 mm apart" in " ".join(
        main.calibrate(root, main.Options())
    )
    (root / SET / "chunk_00001_annot.mat").unlink()
    assert reasons(load(root), 0) == ["lens of another take", None, None, None]
    main.read_cameras.cache_clear()


def test_labels_that_do_not_fit_are_refused(root):
    path = root / "3dhp/S3/Seq1/annot.mat"
    content = {k: v for k, v in loadmat(path).items() if not k.startswith("__")}
    for c in range(14):
        content["annot2"][c, 0] = content["annot2"][c, 0] + 3.0
    writers.write_mat(path, content)
    with pytest.raises(CorruptInput, match="joints of 00000..jpg are 3 px from those of the list"):
        load(root)
    (root / SET / "chunk_00001_annot.mat").unlink()
    assert load(root).checks["arms_projection_px"] < 0.5  # a median: one of five takes
    for c in range(14):
        content["annot2"][c, 0] = content["annot2"][c, 0][:3]
        content["annot3"][c, 0] = content["annot3"][c, 0][:3]
        content["univ_annot3"][c, 0] = content["univ_annot3"][c, 0][:3]
    content["frames"] = np.arange(3)
    writers.write_mat(path, content)
    with pytest.raises(CorruptInput, match="has 3 frames; expected frame 4 of a composite"):
        load(root)


def listed(path, *people):
    cells = np.empty((1, 4), object)
    for p, source in enumerate(people):
        cells[0, p] = np.empty((1, 6), object)
        cells[0, p][0, :] = [np.float64([source])] * 6
    writers.write_mat73(path, {"composite_info": cells})
    return path


def test_the_list_is_checked(tmp_path, capsys):
    path, good = tmp_path / "list.mat", (8, 2, 13, 0)
    assert main.read_list(listed(path, good, good, good, good)).tolist() == [[list(good)] * 4]
    for wrong in ((9, 2, 13, 0), (8, 0, 13, 0), (8, 2, 12, 0), (8, 2, 13, -1), (8, 2, 13, 0.5)):
        with pytest.raises(CorruptInput, match="composite 1: found .* one camera, a frame from 0"):
            main.read_list(listed(path, good, good, good, wrong))
    path, n = tmp_path / "long.mat", 3
    cells = np.empty((n, 4), object)
    for i, p in np.ndindex(n, 4):
        cells[i, p] = np.empty((1, 6), object)
        cells[i, p][0, :] = [np.float64([(p + 1, 1, 0, i if i < 2 else -1)])] * 6
    writers.write_mat73(path, {"composite_info": cells})
    assert main.read_list(path, first=2)[1].tolist() == [[p, 1, 0, 1] for p in (1, 2, 3, 4)]
    assert "reads 2 of 3 composites, person 4 of 4" in capsys.readouterr().err
    with pytest.raises(CorruptInput, match="composite 3: found"):
        main.read_list(path, first=None)
    with pytest.raises(CorruptInput, match="expected four of four numbers each"):
        main.read_list(listed(tmp_path / "list.mat", good, good, good, (1, 2, 3)))


def test_pictures_may_have_been_moved_and_only_the_first_be_wanted(root):
    for path in (root / SET).glob("*.jpg"):
        target = root / SET / "00/0000" / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
    assert [path.stem for path in load(root, first=2).frames.paths] == ["000001", "000002"]
    assert not load(root, first=2).dropped


def test_composites_of_our_own_are_said_to_be_ours(root, monkeypatch):
    monkeypatch.setattr(takes, "CAMERAS", [0])
    for path in root.glob("3dhp/*/*/FGmasks/img_0_*.jpg"):
        value = 50 * int(path.parts[-4][1:]) % 256
        frame = path.parents[1] / "imageSequence" / path.name
        writers.write_jpeg(frame, np.full((2048, 2048), value, np.uint8))
    options = {"composites": "own", "own_number": 2}
    lines = main.calibrate(root, main.Options(**options))
    assert "2 composites (2 made now), seed 0: composite of our own making, not" in " ".join(lines)
    sequence = load(root, **options)
    assert {track.note for track in sequence.tracks} == {compose.NOTE}
    assert sequence.image_name(0, 0) == "own_set/00/0000/000001_0.jpg"
    first = root / "own_set/000001.jpg"
    content = first.read_bytes()
    first.unlink()
    assert "(1 made now)" in " ".join(main.calibrate(root, main.Options(**options)))
    assert first.read_bytes() == content
    with pytest.raises(CorruptInput, match="was made by another seed"):
        main.calibrate(root, main.Options(**options, own_seed=1))
    path = root / "own_set/sources.json"
    path.write_text("{}")
    with pytest.raises(CorruptInput, match="sources.json: .*move .*own_set away"):
        main.calibrate(root, main.Options(**options))
    path.unlink()  # another list could be drawn now
    with pytest.raises(CorruptInput, match="is not there, but composites are"):
        main.calibrate(root, main.Options(**options))


def test_who_is_nearer_is_pasted_later_with_soft_edges(root):
    sources = np.array([(8, 1, 0, 15), (2, 1, 0, 9)])
    for value, (s, q, c, k) in zip((40, 200), sources, strict=True):
        frame = takes.frame_file(root / "3dhp", "imageSequence", (s, q, c, k))
        writers.write_jpeg(frame, np.full((2048, 2048), value, np.uint8))
    image = compose.compose(root / "3dhp", sources, np.random.default_rng(0))[..., 0]
    mask = takes.read_label_image(takes.frame_file(root / "3dhp", "FGmasks", sources[1]))[..., 0]
    far, near = np.median(image[mask < 5]), np.median(image[mask > 250])
    assert 60 < far < 75 and 208 < near < 216  # brightened by an exponent of 0.7 to 0.8
    assert ((image > far + 20) & (image < near - 20)).sum() > 1000


def test_the_pack_of_a_third_party_has_21_joints(root):
    fx, fy, cx, cy = 1497.693, 1497.103, 1024.704, 1051.394
    people, labels = [], []
    for s, q, k in FIRST:
        told = loadmat(root / f"3dhp/S{s}/Seq{q}/annot.mat")
        points, pixels = (told[key][0, 0][k].reshape(28, -1) for key in ("annot3", "annot2"))
        points, pixels = points[takes.EXTENDED], pixels[takes.EXTENDED]
        person = {"image_id": 7, "keypoints_img": pixels, "keypoints_cam": points}
        people.append(person | {"bbox": [600, 500, 300, 700], "id": k})
        labels.append(points)
    image = {"id": 7, "width": 2048, "height": 2048, "file_name": f"{SET}/000001.jpg"}
    images = [image | {"f": [fx, fy], "c": [cx, cy]}]
    images.append(images[0] | {"id": 8, "file_name": f"{SET}/000009.jpg"})  # is not there
    content = {"images": images, "annotations": people}
    writers.write_json(root / "MuCo-3DHP.json", content)
    sequence = load(root, composites="coco_pack")
    camera, names = sequence.camera(0), main.SPEC.joint_info.names
    known = np.isfinite(sequence.tracks[2].world_coords[0]).all(axis=-1)
    assert {names[j] for j in np.flatnonzero(~known)} == {
        *("thor", "spi4", "spi2", "lcla", "rcla", "lfoo", "rfoo")
    }
    found = camera.world_to_camera(sequence.tracks[2].world_coords[0])
    for j, name in {0: "htop", 1: "neck", 17: "rhan", 20: "ltoe", 14: "pelv"}.items():
        np.testing.assert_allclose(found[names.index(name)], labels[2][j], atol=0.01)
    head, foot = (sequence.tracks[2].world_coords[0, names.index(n)] for n in ("htop", "rank"))
    assert head[1] - foot[1] > 1000 and sequence.checks["arms_projection_px"] < 0.05
    assert dict(sequence.dropped) == {"picture of the pack is not there": 1}
    assert sequence.image_name(0, 2) == f"coco_pack/{SET}/000001_2.jpg"
    content["annotations"][0]["image_id"] = 9
    writers.write_json(root / "MuCo-3DHP.json", content)
    with pytest.raises(CorruptInput, match="annotations of image 9, which is not there"):
        load(root, composites="coco_pack")
    content["annotations"] = [
        p | {"image_id": 7, "keypoints_img": p["keypoints_img"] + 2} for p in people
    ]
    writers.write_json(root / "MuCo-3DHP.json", content)
    with pytest.raises(CorruptInput, match="2D labels lie 2.8 px"):
        load(root, composites="coco_pack")
