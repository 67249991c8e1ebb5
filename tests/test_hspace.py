"""HSPACE: joints among those of GHUM, labels of people, colours of stored pictures, checks."""

import shutil

import cv2
import numpy as np
import pytest

from posepile.ds.hspace import main, miniature
from posepile.errors import CorruptInput
from posepile.formats.tfrecords import iter_examples, read_span
from posepile.imaging.frames import open_frames
from posepile.miniature.tfrecords import write_tfrecord
from posepile.miniature.truth import read_truth

GHUM = (
    "pelv,spin1,spin2,spin3,neck,head,head2,lbrow1,lbrow2,rbrow1,rbrow2,lbrow3,rbrow3,lcla,lsho,"
    "lelb,lwri,lindex1,lindex2,lindex3,lmiddle1,lmiddle2,lmiddle3,lring1,lring2,lring3,lpinkie1,"
    "lpinkie2,lpinkie3,lthu1,lthu2,lthu,rcla,rsho,relb,rwri,rindex1,rindex2,rindex3,rmiddle1,"
    "rmiddle2,rmiddle3,rring1,rring2,rring3,rpinkie1,rpinkie2,rpinkie3,rthu1,rthu2,rthu,lhip,lkne,"
    "lank,lhee,lfoo,ltoe,rhip,rkne,rank,rhee,rfoo,rtoe"
).split(",")
KEPT = (
    "pelv,spin1,spin2,spin3,neck,head,head2,lbrow1,rbrow1,lcla,lsho,lelb,lwri,lmiddle1,lmiddle3,"
    "lthu,rcla,rsho,relb,rwri,rmiddle1,rmiddle3,rthu,lhip,lkne,lank,lhee,lfoo,ltoe,rhip,rkne,rank,"
    "rhee,rfoo,rtoe"
).split(",")
RECORD = "seq_000017"


@pytest.fixture
def root(raw_miniature, tmp_path):
    shutil.copytree(raw_miniature("hspace"), tmp_path / "hspace")
    main.find_people.cache_clear()
    return tmp_path / "hspace"


def file_of(root, record=RECORD):
    return root / f"2021_01/train/{record}.tfrecord"


def load(root, record=RECORD, **options):
    options = main.Options(**options)
    (unit,) = [u for u in main.list_units(root, options) if u.id == f"train/{record}"]
    return main.load_unit(root, unit, options)[0]


def edit(root, change):
    """Writes the first two records anew; checksums by the miniature are slow in large ones."""
    path, examples = file_of(root), []
    for example in list(iter_examples(path))[:2]:
        for key in ("image/rgb", "character_masks"):
            picture = np.frombuffer(read_span(path, example[key][0]), np.uint8)
            small = cv2.imencode(".png", cv2.imdecode(picture, -1), [16, 9])[1]
            example[key] = small.tobytes()
        examples.append(change(example) or example)
    write_tfrecord(path, examples)
    main.find_people.cache_clear()


def test_joints_are_those_of_the_card_among_those_of_ghum():
    assert len(GHUM) == 63 and [GHUM[j] for j in main.KEPT] == KEPT
    assert main.SPEC.joint_info.names == KEPT
    edges = {frozenset(KEPT[j] for j in e) for e in main.SPEC.joint_info.stick_figure_edges}
    assert frozenset(("rthu", "rwri")) in edges and frozenset(("lhee", "lfoo")) in edges
    assert len(edges) == 27


def test_joints_are_metres_in_the_axes_of_the_camera(root):
    sequence, (first, *_) = load(root), iter_examples(file_of(root))
    joints = first["RIGGED_1/joints_3d"].reshape(63, 3)
    track = sequence.tracks[1]
    np.testing.assert_allclose(track.world_coords[0], 1000 * joints[main.KEPT], rtol=1e-6)
    camera = sequence.camera(0)
    assert camera.R.tolist() == np.eye(3).tolist() and not camera.t.any()
    fx, fy, cx, cy = first["camera_intrinsics"].tolist()
    assert camera.intrinsic_matrix.tolist() == [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]
    assert sequence.image_name(3, 1) == f"train/{RECORD}/00000003_001.jpg"


def test_red_is_red_where_pictures_are_stored_as_bgr(root):
    x, y, w, h = read_truth(root).facts["red"]
    for stored, color in (("bgr", [255, 0, 0]), ("rgb", [0, 0, 255])):
        with open_frames(load(root, stored=stored).frames) as frames:
            for _, frame in frames.read([0, 4]):
                patch = frame.rgb()[y : y + h, x : x + w]
                assert (patch == color).all()


def test_a_block_grows_by_three_pixels_to_the_right_and_below(tmp_path):
    labels = np.zeros((60, 80), np.uint8)
    labels[20:30, 20:30], labels[50:53, 60:63] = 9, 9  # and a speck
    path = tmp_path / "labels.png"
    cv2.imwrite(str(path), labels)
    span = (0, path.stat().st_size)
    ((mask, box),) = main.find_people(path, 0, span, (9,), (80, 60))
    assert box.tolist() == [19.5, 19.5, 13, 13]
    labels[50:53, 60:63] = 0
    np.testing.assert_array_equal(main.rlemasklib.decode(mask), labels > 0)


def test_labels_are_the_id_and_the_one_below_unless_it_is_taken(tmp_path):
    labels = np.repeat(np.uint16([0, 1, 2, 3, 299, 300]), 10)[None].repeat(20, axis=0)
    path = tmp_path / "labels.png"
    cv2.imwrite(str(path), labels)
    span, size = (0, path.stat().st_size), (60, 20)
    found = main.find_people(path, 0, span, (1, 3, 2, 300), size)
    columns = [main.rlemasklib.decode(mask)[10].nonzero()[0].tolist() for mask, _ in found]
    assert columns == [list(range(10, 20)), list(range(30, 40)), list(range(20, 30)),
                       list(range(40, 60))]  # fmt: skip
    with pytest.raises(CorruptInput, match=r"record 7: character_masks: found shape \(20, 60\)"):
        main.find_people(path, 7, span, (1,), (60, 30))


def test_small_and_hidden_people_are_left_out_after_selection(root):
    sequence = load(root, "seq_000150")
    hidden, small = sequence.tracks
    assert hidden.frames.tolist() == small.frames.tolist() == [0, 1, 2, 3, 4]
    assert hidden.unusable(1) is None and "shorter side" in hidden.unusable(2)
    assert "shorter side" in small.unusable(0)
    assert load(root, "seq_000150", min_side=40).tracks[1].unusable(0) is None


def test_people_may_come_and_go(root):
    def second_left(example):
        if second_left.first:
            second_left.first = False
            return None
        left = {k: v for k, v in example.items() if not k.startswith("RIGGED_1/")}
        return left | {"number_of_rigged_characters": np.array([1])}

    second_left.first = True
    edit(root, second_left)
    assert [t.frames.tolist() for t in load(root).tracks] == [[0, 1], [0]]


def test_somebody_may_stay_behind_the_camera(root):
    unseen = {"RIGGED_0/mask_id": np.array([250])}  # who has no pixels
    edit(root, lambda e: e | {"RIGGED_0/joints_3d": -e["RIGGED_0/joints_3d"]} | unseen)
    assert 0 < load(root).checks["joints_behind"] <= 0.5


CHANGES = {
    "of the joints are behind the camera": lambda e: (
        e | {f"RIGGED_{p}/joints_3d": -e[f"RIGGED_{p}/joints_3d"] for p in range(2)}
    ),
    "joints project outside the mask": lambda e: (
        e | {f"RIGGED_{p}/joints_3d": e[f"RIGGED_{1 - p}/joints_3d"] for p in range(2)}
    ),
    "called heel is .* in front of the shank": lambda e: (
        e | {f"RIGGED_{p}/joints_3d": swap_feet(e[f"RIGGED_{p}/joints_3d"]) for p in range(2)}
    ),
    r"record 0\.RIGGED_0/joints_3d: found shape \(186,\)": lambda e: (
        e | {"RIGGED_0/joints_3d": e["RIGGED_0/joints_3d"][:186]}
    ),
    "number_of_rigged_characters: found 99; expected 2": lambda e: (
        e | {"number_of_rigged_characters": np.array([99])}
    ),
    "number_of_rigged_characters: found 0; expected 2": lambda e: (
        e | {"number_of_rigged_characters": np.array([0])}
    ),
    "mask_id: found .* expected one for each": lambda e: e | {"RIGGED_1/mask_id": np.array([4])},
    "camera_intrinsics": lambda e: {k: v for k, v in e.items() if k != "camera_intrinsics"},
}


def swap_feet(joints):
    joints = joints.reshape(63, 3)
    order = np.arange(63)
    order[[54, 56, 60, 62]] = 56, 54, 62, 60
    return joints[order].ravel()


@pytest.mark.parametrize("text", CHANGES)
def test_records_that_cannot_be_are_refused(root, text):
    edit(root, CHANGES[text])
    with pytest.raises(CorruptInput, match=text):
        load(root)


def test_a_damaged_record_is_named(root):
    data = bytearray(file_of(root).read_bytes())
    data[-1000] ^= 1
    file_of(root).write_bytes(data)
    with pytest.raises(CorruptInput, match=rf"{RECORD}\.tfrecord: record 4: checksum of its data"):
        load(root)


def test_calibrate_tells_what_there_is(root, tmp_path):
    (line,) = main.calibrate(root, main.Options())
    assert f"{RECORD}.tfrecord: " in line
    assert "RIGGED_1/joints_3d: 189 float32" in line and "image/rgb: 1 bytes" in line
    assert main.calibrate(tmp_path / "nothing", main.Options()) == []
    file_of(root).write_bytes(file_of(root).read_bytes()[:1000])
    assert main.calibrate(root, main.Options()) == []


def test_labels_that_are_a_hand_off_are_refused(root):
    assert load(root).checks["joints_outside_mask"] < 0.25
    off = np.tile(np.float32([0.09, 0, 0]), 63)
    edit(root, lambda e: e | {k: v + off for k, v in e.items() if k.endswith("joints_3d")})
    assert 0.35 < load(root, max_outside=1).checks["joints_outside_mask"] < 0.6
    with pytest.raises(CorruptInput, match="joints project outside the mask"):
        load(root)


def test_who_is_never_visible_says_nothing_of_the_labels(root):
    """Hidden people must not speak for wrong labels, nor against right ones."""
    nobody = {"RIGGED_0/mask_id": np.array([250])}
    edit(root, lambda e: e | nobody)
    assert 0 < load(root).checks["joints_outside_mask"] < 0.35
    behind = np.tile(np.float32([1, 1, -1]), 63)
    off = np.tile(np.float32([0.12, 0, 0]), 63)

    def change(e):
        e["RIGGED_0/joints_3d"] = e["RIGGED_0/joints_3d"] * behind
        return e | {"RIGGED_1/joints_3d": e["RIGGED_1/joints_3d"] + off}

    edit(root, change)
    with pytest.raises(CorruptInput, match="joints project outside the mask"):
        load(root, max_behind=1)


def test_labels_that_nobody_has_are_refused(root):
    edit(root, lambda e: e | {f"RIGGED_{p}/mask_id": np.array([250 + 3 * p]) for p in range(2)})
    with pytest.raises(CorruptInput, match="100% of the joints .* all masks are empty"):
        load(root)


def test_copies_and_files_of_other_names_are_counted(root):
    file, folder = file_of(root), file_of(root).parent
    shutil.copy(file, folder / "seq_000017 (1).tfrecord")
    (folder / "train").mkdir()
    for other in ("a.tfrecord-00000-of-00002", "b.tfrecord.gz", "c.TFRECORD", "train/d.tfrecord"):
        (folder / other).write_bytes(b"1234")
    units = {unit.id: unit for unit in main.list_units(root, main.Options())}
    assert list(units) == ["train/seq_000017", "train/seq_000150", "left_out"]
    (sequence,) = main.load_unit(root, units["left_out"], main.Options())
    assert sequence.dropped == {
        "copy of another record file": 1,
        "file not named like a record file": 4,
    }
    for record in folder.glob("seq*"):
        record.rename(record.with_suffix(".tfrecords"))
    assert [*main.list_units(root, main.Options())] == []  # so that doctor is named


def test_joints_of_the_record_before_are_refused(tmp_path, monkeypatch):
    """Most joints are still in the mask then."""
    lens, people = (300, 300, 240, 135), ((4, (-1350, 0, 4900)), (1, (1400, 60, 4700)))
    monkeypatch.setattr(miniature, "RECORDS", ((RECORD, lens, False, people),))
    monkeypatch.setattr(miniature, "SIZE", (480, 270))
    monkeypatch.setattr(miniature, "N", 64)
    miniature.build(tmp_path)
    assert load(tmp_path).checks["joints_outside_mask"] < 0.35
    path = file_of(tmp_path)
    examples = list(iter_examples(path))
    joints = [{k: v for k, v in e.items() if k.endswith("joints_3d")} for e in examples]
    for example, before in zip(examples, [joints[0], *joints[:-1]], strict=True):
        for key in ("image/rgb", "character_masks"):
            example[key] = read_span(path, example[key][0])
        example |= before
    write_tfrecord(path, examples)
    main.find_people.cache_clear()
    assert load(tmp_path, max_outside=1).checks["joints_outside_mask"] < 0.6
    with pytest.raises(CorruptInput, match=r"masks move like the joints 1 frame\(s\) later"):
        load(tmp_path, max_outside=0.6)


@pytest.mark.parametrize("off", [-1, 1])
def test_labels_that_are_one_off_are_refused(root, off):
    edit(
        root, lambda e: e | {f"RIGGED_{p}/mask_id": e[f"RIGGED_{p}/mask_id"] + off for p in (0, 1)}
    )
    with pytest.raises(CorruptInput, match="joints project outside the mask"):
        load(root)
