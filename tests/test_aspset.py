"""ASPset: the recipe on the miniature, and every damage by name."""

import csv
import json
import shutil

import cv2
import numpy as np
import pytest
from aspset_kit import plain_c3d

from posepile.ds.aspset import main, miniature
from posepile.errors import CorruptInput, UsageError
from posepile.imaging.frames import open_frames
from posepile.miniature import kit
from posepile.miniature.truth import read_truth
from posepile.stages.select import SelectParams, select_frames


@pytest.fixture
def root(raw_miniature):
    return raw_miniature("aspset")


@pytest.fixture
def truth(root):
    return read_truth(root)


@pytest.fixture
def copy(root, tmp_path):
    """A copy that may be damaged; the videos are links, nobody writes to them."""
    shutil.copytree(root / "data", tmp_path / "data", copy_function=link_videos)
    return tmp_path


def link_videos(source, target):
    if str(source).endswith(".mkv"):
        return shutil.os.link(source, target)
    return shutil.copy2(source, target)


def unit_of(root, name, options=None):
    units = main.list_units(root, options or main.Options())
    return next(u for u in units if u.id.endswith(name))


def load(root, name, **options):
    options = main.Options(**options)
    return main.load_unit(root, unit_of(root, name, options), options)[0]


def plain_rgb(frame, left, top, width, height):
    """A window in RGB, from BT.709; chroma samples lie at even columns, between two rows."""
    planes = frame.to_ndarray(format="yuv420p")
    h, w = frame.height, frame.width
    x = np.arange(left, left + width, dtype=np.float32)
    x, y = np.meshgrid(x, np.arange(top, top + height, dtype=np.float32))
    u, v = (
        cv2.remap(plane, x / 2, (y - 0.5) / 2, cv2.INTER_LINEAR) - 128.0
        for plane in planes[h:].reshape(2, h // 2, w // 2)
    )
    luma = (planes[top : top + height, left : left + width] - 16.0) / 219
    u, v = u / 224, v / 224
    rgb = np.stack([luma + 1.5748 * v, luma - 0.1873 * u - 0.4681 * v, luma + 1.8556 * u], -1)
    return (rgb * 255).round().clip(0, 255).astype(np.uint8)


def test_units_are_those_of_splits_csv(root, truth):
    units = list(main.list_units(root, main.Options()))
    found = {u.id.split("/")[-1]: u.split for u in units}
    assert found == {name: s.split for name, s in truth.sequences.items()}
    assert [u.id for u in units if u.split == "test"] == ["test/cccc/cccc-0003-mid"]
    assert all(path.is_file() for u in units for path in u.inputs)
    kinds = sorted(path.suffix for path in units[0].inputs)
    assert kinds == [".c3d", ".csv", ".json", ".mkv"]


def test_options_choose_splits_and_views(root):
    units = list(
        main.list_units(root, main.Options(splits=["val", "test"], views=["left", "mid"]))
    )
    names = [u.id.split("/")[-1] for u in units]
    assert names == ["bbbb-0016-left", "bbbb-0016-mid", "cccc-0003-mid"]


def test_subjects_can_be_chosen(root):
    def names(*subjects, **options):
        units = main.list_units(root, main.Options(subjects=subjects or None, **options))
        return [u.id.split("/")[-1] for u in units]

    assert len(names()) == 7
    assert names("cccc", "bbbb", views=["mid"]) == ["bbbb-0016-mid", "cccc-0003-mid"]
    message = r"dataset\.subjects: no subject aaab; did you mean aaaa.*there are: aaaa, bbbb, cccc"
    with pytest.raises(UsageError, match=message):
        names("aaab")
    with pytest.raises(UsageError, match="no subject cccc"):  # a test subject
        names("cccc", splits=["train"])


@pytest.mark.parametrize("place", ["data", "ASPset-510", "."])
def test_all_three_places_of_the_data_are_found(root, tmp_path, place):
    (tmp_path / place).mkdir(exist_ok=True)
    shutil.copy(root / "data" / "splits.csv", tmp_path / place / "splits.csv")
    assert main.data_dir(tmp_path) == tmp_path / place


def test_sequence_holds_what_was_drawn(root, truth):
    for name, expected in truth.sequences.items():
        clip = truth.facts["clips"][name]
        sequence = load(root, name)
        (track,) = sequence.tracks
        assert sequence.frames.n_frames == clip["frames"] == len(track.frames)
        assert track.world_coords.dtype == np.float32 and track.bbox.dtype == np.float32
        np.testing.assert_allclose(track.world_coords[0], clip["first_pose"], atol=2e-3)
        kept = select_frames(track.world_coords, SelectParams(method="last", threshold_mm=100))
        assert [(k, 0) for k in kept] == expected.examples
        assert 1 < len(kept) < clip["frames"]
        part = "test" if expected.split == "test" else "trainval"
        subject = name.split("-")[0]
        path = f"{part}/videos/{subject}/{name}.mkv/000007.jpg"
        assert sequence.image_name(7, 0) == path
        assert sequence.checks["joints_outside_box_px"] == 0


def test_joints_are_read_as_the_format_says(root):
    for path in sorted(root.glob("data/*/joints_3d/*/*.c3d")):
        np.testing.assert_array_equal(main.load_joints(path), plain_c3d(path))


def test_joints_land_on_the_drawn_discs(root, truth):
    import av

    colors = np.array(truth.colors)
    hidden = 0
    for name in ("aaaa-0001-left", "bbbb-0016-right", "cccc-0003-mid"):
        sequence = load(root, name)
        (track,) = sequence.tracks
        middle = len(track.frames) // 2
        with av.open(str(sequence.frames.path)) as container:
            for k, frame in enumerate(container.decode(video=0)):
                if k not in (0, middle, len(track.frames) - 1):
                    continue
                assert (frame.width, frame.height) == (3840, 2160)
                points = sequence.camera.world_to_image(track.world_coords[k]).astype(float)
                x, y, w, h = track.bbox[k]
                assert np.all(points > [x, y]) and np.all(points < [x + w, y + h])
                window = int(x) - 20, int(y) - 20, int(w) + 40, int(h) + 40
                image = plain_rgb(frame, *window)
                found = kit.find_joints(image, points - window[:2], colors, search=14)
                found += window[:2]
                errors = np.linalg.norm(found - points, axis=-1)
                assert np.isfinite(errors).sum() >= 13, f"{name}, frame {k}"
                assert np.nanmax(errors) < 0.5, f"{name}, frame {k}: {errors}"
                if k == middle:  # the board stands before the left wrist
                    hidden += np.isnan(errors[main.LABELS.index("left_wrist")])
        assert k == len(track.frames) - 1
    assert hidden == 3


def test_a_smaller_copy_of_the_videos_is_refused(copy):
    import av

    path = copy / "data/trainval/videos/aaaa/aaaa-0001-left.mkv"
    path.unlink()
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=50)
        stream.width, stream.height, stream.pix_fmt = 960, 540, "yuv420p"
        for _ in range(10):
            picture = av.VideoFrame.from_ndarray(np.zeros((540, 960, 3), np.uint8), "rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    message = r"left\.mkv: is 960x540 pixels, but its annotations are for 3840x2160"
    with pytest.raises(CorruptInput, match=message), open_frames(load(copy, NAME).frames):
        pass


def test_videos_have_b_frames_and_the_official_rate(root):
    import av

    with av.open(str(next(root.glob("data/trainval/videos/*/*.mkv")))) as container:
        stream = container.streams.video[0]
        packets = [p for p in container.demux(stream) if p.pts is not None]
        assert stream.average_rate == 50
    pts = [p.pts for p in packets]
    assert pts != sorted(pts), "decoding order equals display order: no B frames"


def test_names_that_consumers_import(root):
    train, val, test = main.load_split(root / "data" / "splits.csv")
    assert train == [("aaaa", "0001", v) for v in ("left", "mid", "right")]
    assert len(val) == 3 and test == [("cccc", "0003", "mid")]
    path = root / "data/test/boxes/cccc/cccc-0003-mid.csv"
    plain = np.array(list(csv.reader(path.open()))[1:], float)
    boxes = main.load_boxes(path)
    sides, centers = plain[:, 2:] - plain[:, :2], (plain[:, 2:] + plain[:, :2]) / 2
    np.testing.assert_allclose(boxes[:, 2:], sides * 1.1, rtol=1e-6)
    np.testing.assert_allclose(boxes[:, :2] + boxes[:, 2:] / 2, centers, rtol=1e-6)


@pytest.mark.parametrize("header", ["x1,y1,x2,y2", "bbox", "left,top,width,height"])
def test_names_in_the_header_of_boxes_do_not_matter(tmp_path, header):
    path = tmp_path / "boxes.csv"
    path.write_text(f"{header}\n10,20,30,60\n")
    assert main.load_boxes(path, expand=1).tolist() == [[10, 20, 20, 40]]


def test_camera_projects_by_the_textbook(root):
    path = root / "data/trainval/cameras/aaaa/aaaa-right.json"
    content = json.loads(path.read_text())
    k = np.reshape(content["intrinsic_matrix"], (3, 4))
    e = np.reshape(content["extrinsic_matrix"], (4, 4))
    points = np.random.default_rng(0).normal(size=(50, 3)) * 800 + miniature.SUBJECT_AT
    image = k @ e @ np.column_stack([points, np.ones(50)]).T
    camera = main.load_camera(path)
    np.testing.assert_allclose(camera.world_to_image(points), (image[:2] / image[2]).T, atol=0.01)
    np.testing.assert_allclose(camera.world_up, [0, -1, 0])
    nested = {"intrinsic_matrix": k.tolist(), "extrinsic_matrix": e.tolist()}
    path = path.parent / "nested.json"
    path.write_text(json.dumps(nested))
    np.testing.assert_array_equal(main.load_camera(path).intrinsic_matrix, camera.intrinsic_matrix)
    path.unlink()


NAME = "aaaa-0001-left"


FILES = {
    "boxes": "data/trainval/boxes/aaaa/aaaa-0001-left.csv",
    "camera": "data/trainval/cameras/aaaa/aaaa-left.json",
    "joints": "data/trainval/joints_3d/aaaa/aaaa-0001.c3d",
    "splits": "data/splits.csv",
}


def set_joints(path, change):
    joints = plain_c3d(path).astype(np.float64)
    change(joints)
    miniature.write_c3d(path, joints)


def write_with(path, replace):
    path.write_text(replace(path.read_text()))


def one_nan(joints):
    joints[3, 9] = np.nan


def one_inf(joints):
    joints[3, 9, 1] = np.inf


def all_nan(joints):
    joints[:] = np.nan


def camera_with(**changes):
    def change(path):
        content = json.loads(path.read_text())
        for key, (index, value) in changes.items():
            content[key][index] = value
        path.write_text(json.dumps(content))

    return change


DAMAGE = {
    "one box too many": ("boxes", lambda p: write_with(p, lambda s: s + "1,2,3,4\n"), "11 .* 10"),
    "one box too few": ("boxes", lambda p: write_with(p, lambda s: s[: s[:-1].rindex("\n") + 1]),
                        "9 .* 10"),
    "box without a number": ("boxes", lambda p: write_with(p, lambda s: s + "1,2,x,4\n"),
                             "line 12, column right: found 'x'"),
    "box of three": ("boxes", lambda p: write_with(p, lambda s: s + "1,2,3\n"), "line 12"),
    "no header": ("boxes", lambda p: write_with(p, lambda s: s.split("\n", 1)[1]),
                  "expected a header row"),
    "empty boxes": ("boxes", lambda p: p.write_text(""), "found nothing; expected a header"),
    "binary boxes": ("boxes", lambda p: p.write_bytes(b"\xff\xfe\x00"), "not UTF-8 text"),
    "garbage camera": ("camera", lambda p: p.write_text("{]"), "not valid JSON"),
    "binary camera": ("camera", lambda p: p.write_bytes(b"\x80\x81"), "not UTF-8 text"),
    "camera list": ("camera", lambda p: p.write_text("[1]"), "expected a mapping with"),
    "camera without key": ("camera", lambda p: p.write_text('{"intrinsic_matrix": []}'),
                           "found no extrinsic_matrix"),
    "short matrix": ("camera", lambda p: write_with(p, lambda s: s.replace("1.0]", "]", 1)
                                                    .replace(", ]", "]")), r"\(15,\).*\(16,\)"),
    "NaN camera": ("camera", camera_with(intrinsic_matrix=(0, float("nan"))), "expected finite"),
    "skewed camera": ("camera", camera_with(intrinsic_matrix=(4, 5.0)), "expected focal lengths"),
    "scaled camera": ("camera", camera_with(extrinsic_matrix=(0, 2.0)), "off by 3"),
    "mirrored camera": ("camera", camera_with(extrinsic_matrix=(0, -1.0)), "reflection"),
    "shifted last row": ("camera", camera_with(extrinsic_matrix=(14, 1.0)), "last row"),
    "NaN joint": ("joints", lambda p: set_joints(p, one_nan), "frame 3: left_wrist is NaN"),
    "infinite joint": ("joints", lambda p: set_joints(p, one_inf), "frame 3: infinite"),
    "no joint": ("joints", lambda p: set_joints(p, all_nan), "no joint positions"),
    "truncated joints": ("joints", lambda p: p.write_bytes(p.read_bytes()[:-600]), "truncated"),
    "garbage joints": ("joints", lambda p: p.write_bytes(b"no c3d" * 300), "not a c3d file"),
    "empty joints": ("joints", lambda p: p.write_bytes(b""), "0 bytes"),
    "other labels": ("joints", lambda p: p.write_bytes(
        p.read_bytes().replace(b"left_wrist", b"left_hand ")), "labels"),
    "other skeleton": ("joints", lambda p: p.write_bytes(
        p.read_bytes().replace(b"aspset_17j", b"aspset_21j")), "aspset_21j"),
    "other rate": ("joints", lambda p: miniature.write_c3d(p, plain_c3d(p).copy(), 60.0),
                   r"rate is 60\.0; expected 50"),
}  # fmt: skip


@pytest.mark.parametrize("what", DAMAGE)
def test_damage_is_named(copy, what):
    kind, damage, message = DAMAGE[what]
    damage(copy / FILES[kind])
    with pytest.raises(CorruptInput, match=message) as caught:
        load(copy, NAME)
    assert caught.value.file.endswith(FILES[kind].rsplit("/", 1)[-1])
    assert "\n" not in str(caught.value)
    load(copy, "bbbb-0016-left")  # other units are unharmed


@pytest.mark.parametrize("kind", ["boxes", "camera", "joints"])
def test_missing_file_is_named(copy, kind):
    (copy / FILES[kind]).unlink()
    with pytest.raises(CorruptInput, match=FILES[kind].rsplit("/", 1)[-1]):
        load(copy, NAME)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("aaaa,0001,train\n", "line 1.*expected subject,clip,split,camera"),
        ("subject_id,clip_id,split,camera_id\n", "line 1.split: found 'split'"),
        (
            "aaaa,0001,train,all\naaaa,0001,val,mid\n",
            "clip and view aaaa 0001 mid: found at line 1 and at line 2; expected once",
        ),
        ("aaaa,0001,train,top\n", "line 1.camera: found 'top'"),
    ],
)
def test_bad_splits_are_named(copy, text, message):
    (copy / FILES["splits"]).write_text(text)
    with pytest.raises(CorruptInput, match=message):
        list(main.list_units(copy, main.Options()))
    (copy / FILES["splits"]).unlink()
    with pytest.raises(CorruptInput, match=r"splits\.csv"):
        list(main.list_units(copy, main.Options()))


def test_nan_can_be_taken_as_missing(copy):
    set_joints(copy / FILES["joints"], one_nan)
    (track,) = load(copy, NAME, missing_joints="accept").tracks
    missing = ~np.isfinite(track.world_coords).all(axis=-1)
    assert np.argwhere(missing).tolist() == [[3, 9]]
