"""ASPset: the miniature against the card, the recipe against the miniature, damage, evaluation."""

import csv
import json
import shutil
import struct

import cv2
import numpy as np
import pytest

from posepile.ds.aspset import eval as aspset_eval
from posepile.ds.aspset import main, miniature
from posepile.errors import CorruptInput, UsageError, WorkError
from posepile.imaging.frames import open_frames
from posepile.miniature import kit
from posepile.stages.select import SelectParams, select_frames


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("aspset")
    miniature.build(folder)
    return folder


@pytest.fixture(scope="module")
def truth(root):
    return json.loads((root / "miniature_truth.json").read_text())


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


def plain_c3d(path):
    """Points of a c3d file by the format's own description: blocks of 512 bytes, Intel floats."""
    data = path.read_bytes()
    n_points = struct.unpack_from("<H", data, 2)[0]
    first, last = struct.unpack_from("<HH", data, 6)
    scale = struct.unpack_from("<f", data, 12)[0]
    start = struct.unpack_from("<H", data, 16)[0]
    assert scale < 0, "negative scale: stored as floats"
    n = last - first + 1
    values = np.frombuffer(data, "<f4", n * n_points * 4, (start - 1) * 512)
    return values.reshape(n, n_points, 4)[..., :3]


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


# ------------------------------------------------------------------------------------------------
# The recipe on the miniature


def test_units_are_those_of_splits_csv(root, truth):
    units = main.list_units(root, main.Options())
    found = {u.id.split("/")[-1]: u.split for u in units}
    assert found == {name: clip["split"] for name, clip in truth["clips"].items()}
    assert [u.id for u in units if u.split == "test"] == ["test/cccc/cccc-0003-mid"]
    assert all(path.is_file() for u in units for path in u.inputs)
    kinds = sorted(path.suffix for path in units[0].inputs)
    assert kinds == [".c3d", ".csv", ".json", ".mkv"]


def test_options_choose_splits_and_views(root):
    units = main.list_units(root, main.Options(splits=["val", "test"], views=["left", "mid"]))
    names = [u.id.split("/")[-1] for u in units]
    assert names == ["bbbb-0016-left", "bbbb-0016-mid", "cccc-0003-mid"]


@pytest.mark.parametrize("place", ["data", "ASPset-510", "."])
def test_all_three_places_of_the_data_are_found(root, tmp_path, place):
    (tmp_path / place).mkdir(exist_ok=True)
    shutil.copy(root / "data" / "splits.csv", tmp_path / place / "splits.csv")
    assert main.data_dir(tmp_path) == tmp_path / place


def test_sequence_holds_what_was_drawn(root, truth):
    for name, clip in truth["clips"].items():
        sequence = load(root, name)
        (track,) = sequence.tracks
        assert sequence.frames.n_frames == clip["frames"] == len(track.frames)
        assert track.world_coords.dtype == np.float32 and track.bbox.dtype == np.float32
        np.testing.assert_allclose(track.world_coords[0], clip["first_pose"], atol=2e-3)
        kept = select_frames(track.world_coords, SelectParams(method="last", threshold_mm=100))
        assert kept.tolist() == clip["kept"]
        assert 1 < len(kept) < clip["frames"]
        part = "test" if clip["split"] == "test" else "trainval"
        subject = name.split("-")[0]
        expected = f"{part}/videos/{subject}/{name}.mkv/000007.jpg"
        assert sequence.image_name(7, 0) == expected
        assert sequence.checks["joints_outside_box_px"] == 0


def test_joints_are_read_as_the_format_says(root):
    for path in sorted(root.glob("data/*/joints_3d/*/*.c3d")):
        np.testing.assert_array_equal(main.load_joints(path), plain_c3d(path))


def test_joints_land_on_the_drawn_discs(root, truth):
    import av

    colors = np.array(truth["colors"])
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
        for _ in range(16):
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


# ------------------------------------------------------------------------------------------------
# Damage: one line with file and reason


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
    "one box too many": ("boxes", lambda p: write_with(p, lambda s: s + "1,2,3,4\n"), "17 .* 16"),
    "one box too few": ("boxes", lambda p: write_with(p, lambda s: s[: s[:-1].rindex("\n") + 1]),
                        "15 .* 16"),
    "box without a number": ("boxes", lambda p: write_with(p, lambda s: s + "1,2,x,4\n"),
                             "line 18 .*1,2,x,4"),
    "box of three": ("boxes", lambda p: write_with(p, lambda s: s + "1,2,3\n"), "line 18"),
    "no header": ("boxes", lambda p: write_with(p, lambda s: s.split("\n", 1)[1]), "header"),
    "empty boxes": ("boxes", lambda p: p.write_text(""), "header"),
    "binary boxes": ("boxes", lambda p: p.write_bytes(b"\xff\xfe\x00"), "not a CSV"),
    "garbage camera": ("camera", lambda p: p.write_text("{]"), "not a camera file"),
    "binary camera": ("camera", lambda p: p.write_bytes(b"\x80\x81"), "not a camera file"),
    "camera list": ("camera", lambda p: p.write_text("[1]"), "not a camera file"),
    "camera without key": ("camera", lambda p: p.write_text('{"intrinsic_matrix": []}'),
                           "not a camera file"),
    "short matrix": ("camera", lambda p: write_with(p, lambda s: s.replace("1.0]", "]", 1)
                                                    .replace(", ]", "]")), "not a camera file"),
    "NaN camera": ("camera", camera_with(intrinsic_matrix=(0, float("nan"))), "pinhole"),
    "skewed camera": ("camera", camera_with(intrinsic_matrix=(4, 5.0)), "pinhole"),
    "scaled camera": ("camera", camera_with(extrinsic_matrix=(0, 2.0)), "rigid"),
    "mirrored camera": ("camera", camera_with(extrinsic_matrix=(0, -1.0)), "rigid"),
    "NaN joint": ("joints", lambda p: set_joints(p, one_nan), "frame 3: left_wrist is NaN"),
    "infinite joint": ("joints", lambda p: set_joints(p, one_inf), "frame 3: infinite"),
    "no joint": ("joints", lambda p: set_joints(p, all_nan), "no joint positions"),
    "truncated joints": ("joints", lambda p: p.write_bytes(p.read_bytes()[:-600]), "truncated"),
    "garbage joints": ("joints", lambda p: p.write_bytes(b"no c3d" * 300), "not a readable c3d"),
    "empty joints": ("joints", lambda p: p.write_bytes(b""), "not a readable c3d"),
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
        ("subject_id,clip_id,split,camera_id\n", "line 1 is 'subject_id"),
        ("aaaa,0001,train,all\naaaa,0001,val,mid\n", "aaaa-0001-mid is listed twice"),
        ("aaaa,0001,train,top\n", "line 1 .*camera"),
    ],
)
def test_bad_splits_are_named(copy, text, message):
    (copy / FILES["splits"]).write_text(text)
    with pytest.raises(CorruptInput, match=message):
        main.list_units(copy, main.Options())
    (copy / FILES["splits"]).unlink()
    with pytest.raises(CorruptInput, match=r"splits\.csv"):
        main.list_units(copy, main.Options())


def test_nan_can_be_taken_as_missing(copy):
    set_joints(copy / FILES["joints"], one_nan)
    (track,) = load(copy, NAME, missing_joints="accept").tracks
    missing = ~np.isfinite(track.world_coords).all(axis=-1)
    assert np.argwhere(missing).tolist() == [[3, 9]]


# ------------------------------------------------------------------------------------------------
# Evaluation


def reference(pred, truth):
    """The card's evaluation, pose by pose and in float32."""
    sums = np.zeros(6)
    for p, t in zip(pred.astype(np.float32), truth.astype(np.float32), strict=True):
        a, b = t.astype(np.float64), p.astype(np.float64)
        a_mean, b_mean = a.mean(0), b.mean(0)
        a, b = a - a_mean, b - b_mean
        a_norm, b_norm = np.sqrt((a**2).sum()), np.sqrt((b**2).sum())
        u, w, vt = np.linalg.svd((a / a_norm).T @ (b / b_norm))
        flip = np.diag([1.0, 1.0, np.linalg.det(u @ vt)])
        rotation = u @ flip @ vt
        scale = w.sum() * a_norm / b_norm
        matrix = np.eye(4)
        matrix[:3, :3], matrix[:3, 3] = scale * rotation, a_mean - scale * rotation @ b_mean
        moved = (np.c_[p, np.ones(17, np.float32)] @ matrix.T.astype(np.float32))[:, :3]
        for i, (x, y) in enumerate(((p, t), (p - p[16], t - t[16]), (moved, t))):
            distance = np.sqrt(((y - x) ** 2).sum(axis=1))
            sums[i] += distance.mean()
            sums[3 + i] += np.mean(distance <= 150)
    return sums / len(pred)


NUMBERS = (
    "MPJPE",
    "Root-relative MPJPE",
    "Procrustes-aligned MPJPE",
    "PCK",
    "Root-relative PCK",
    "Procrustes-aligned PCK",
)


def clip_joints(root, name="cccc-0003", part="test"):
    return plain_c3d(root / f"data/{part}/joints_3d/{name[:4]}/{name}.c3d").astype(np.float64)


def write_json(path, points, rate, changes=()):
    content = {"rate": rate, "units": "mm", "skel": "aspset_17j", "points": points.tolist()}
    path.write_text(json.dumps(content | dict(changes)))


def write_csv(path, points, rate, digits=4):
    header = ["t", *(f"{j}_{axis}" for j in miniature.JOINTS for axis in "xyz")]
    rows = [[f"{i / rate:.{digits}f}", *p.ravel()] for i, p in enumerate(points)]
    with path.open("w", newline="") as f:
        csv.writer(f).writerows([header, *rows])


@pytest.mark.parametrize("mirrored", [False, True])
def test_six_numbers_equal_the_reference(root, tmp_path, mirrored):
    rng = np.random.default_rng(5)
    joints = clip_joints(root)
    pred = joints + rng.normal(scale=90, size=joints.shape) + [30, -40, 200]
    if mirrored:  # the alignment must undo a reflection and keep the official scale
        pred[..., 2] = 2 * miniature.SUBJECT_AT[2] - pred[..., 2]
    write_json(tmp_path / "cccc-0003.json", pred[::5], 10)
    result = aspset_eval.evaluate(root, tmp_path)
    pred = pred[::5]
    assert tuple(result["scores"]) == NUMBERS
    np.testing.assert_allclose(
        list(result["scores"].values()), reference(pred, joints[::5]), atol=2e-5
    )
    assert result["n_poses"] == len(pred) and result["rate"] == 10


def test_formats_and_rates_agree(root, tmp_path):
    joints = clip_joints(root) + np.float64([7, 3, -2])
    (tmp_path / "deep" / "er").mkdir(parents=True)
    found = []
    for suffix, rate in ((".c3d", 50), (".c3d", 10), (".json", 50), (".json", 10), (".csv", 50)):
        file = tmp_path / "deep" / "er" / f"cccc-0003-mid{suffix}"
        points = joints[:: int(50 / rate)]
        if suffix == ".c3d":
            miniature.write_c3d(file, points, float(rate))
        else:
            {".json": write_json, ".csv": write_csv}[suffix](file, points, rate)
        found.append(aspset_eval.evaluate(root, tmp_path)["scores"])
        file.unlink()
    for scores in found:
        np.testing.assert_allclose(list(scores.values()), list(found[0].values()), atol=1e-4)
    assert found[0]["MPJPE"] == pytest.approx(np.sqrt(62), abs=1e-3)


def test_a_shift_of_ten_millimetres(root, tmp_path):
    miniature.write_c3d(tmp_path / "cccc-0003.c3d", clip_joints(root) + np.float64([0, 10, 0]))
    scores = aspset_eval.evaluate(root, tmp_path)["scores"]
    expected = dict(zip(NUMBERS, (10, 0, 0, 1, 1, 1), strict=True))
    for name, value in expected.items():
        assert scores[name] == pytest.approx(value, abs=2e-3)


def test_universal_scale_is_of_the_truth_only(root, tmp_path):
    joints = clip_joints(root)
    ids = {name: i for i, name in enumerate(miniature.JOINTS)}
    scaled = []
    for pose in joints:
        height = sum(
            np.linalg.norm(pose[ids[a]] - pose[ids[b]])
            for a, b in (("left_knee", "left_hip"), ("spine", "pelvis"), ("neck", "spine"))
        )
        scaled.append(pose * 910 / height)
    miniature.write_c3d(tmp_path / "cccc-0003.c3d", np.array(scaled))
    scores = aspset_eval.evaluate(root, tmp_path, univ=True)["scores"]
    assert scores["MPJPE"] < 2e-3
    assert aspset_eval.evaluate(root, tmp_path)["scores"]["MPJPE"] > 50


def test_other_splits_are_evaluated_at_50_hz_per_view(root, tmp_path):
    joints = clip_joints(root, "bbbb-0016", "trainval")
    for i, view in enumerate(main.VIEWS):
        miniature.write_c3d(
            tmp_path / f"bbbb-0016-{view}.c3d", joints + np.float64([0, 0, 10 * i])
        )
    result = aspset_eval.evaluate(root, tmp_path, "val")
    assert result["n_poses"] == 3 * len(joints) and result["n_files"] == 3
    assert result["scores"]["MPJPE"] == pytest.approx(10, abs=1e-3)
    # A clip seen by several views must not be predicted without naming one.
    for view in main.VIEWS:
        (tmp_path / f"bbbb-0016-{view}.c3d").unlink()
    miniature.write_c3d(tmp_path / "bbbb-0016.c3d", joints)
    with pytest.raises(WorkError, match=r"no prediction bbbb-0016-left\.\*$"):
        aspset_eval.evaluate(root, tmp_path, "val")
    write_json(tmp_path / "bbbb-0016-left.json", joints[::5], 10)
    with pytest.raises(WorkError, match=r"10 Hz; expected an integer multiple of 50 Hz"):
        aspset_eval.evaluate(root, tmp_path, "val")


def test_skipping_says_what_and_why(root, tmp_path):
    joints = clip_joints(root, "bbbb-0016", "trainval")
    miniature.write_c3d(tmp_path / "bbbb-0016-mid.c3d", joints)
    (tmp_path / "bbbb-0016-left.json").write_text("{")
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        miniature.write_c3d(tmp_path / folder / "bbbb-0016-right.c3d", joints)
    with pytest.raises(WorkError):
        aspset_eval.evaluate(root, tmp_path, "val")
    result = aspset_eval.evaluate(root, tmp_path, "val", skip_missing=True)
    assert result["n_files"] == 1 and result["scores"]["PCK"] == 1
    assert "expected JSON" in result["skipped"]["bbbb-0016-left"]
    assert "2 predictions" in result["skipped"]["bbbb-0016-right"]
    with pytest.raises(WorkError, match="nothing to evaluate: 1 clip"):
        aspset_eval.evaluate(root, tmp_path, "test", skip_missing=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"points": [[[0.0] * 3] * 17] * 3}, "3 poses .* has 4"),
        ({"skel": "mpii_16j"}, "mpii_16j"),
        ({"rate": 25}, "25 Hz"),
        ({"rate": 0}, "rate is 0"),
        ({"points": [[[0.0] * 2] * 17] * 4}, "shape"),
        ({"points": "none"}, "expected JSON"),
    ],
)
def test_predictions_that_do_not_fit(root, tmp_path, change, message):
    write_json(tmp_path / "cccc-0003.json", clip_joints(root)[::5], 10, change)
    with pytest.raises(CorruptInput, match=message):
        aspset_eval.evaluate(root, tmp_path)


def test_missing_joints_make_the_error_nan_and_a_miss(root, tmp_path):
    joints = clip_joints(root)[::5]
    joints[1, 4] = np.nan
    miniature.write_c3d(tmp_path / "cccc-0003.c3d", joints, 10.0)
    scores = aspset_eval.evaluate(root, tmp_path)["scores"]
    assert np.isnan(scores["MPJPE"]) and np.isnan(scores["Procrustes-aligned MPJPE"])
    assert scores["PCK"] == pytest.approx(1 - 1 / (17 * len(joints)))


def test_command_line(root, tmp_path, capsys):
    folder = tmp_path / "predictions"
    folder.mkdir()
    miniature.write_c3d(folder / "cccc-0003.c3d", clip_joints(root))
    arguments = ["--pred-path", str(folder), "--data-dir", str(root)]
    assert aspset_eval.main(arguments) == 0
    output = capsys.readouterr().out
    assert "4 poses in 1 prediction files" in output and "MPJPE: 0.0000" in output
    result = json.loads((tmp_path / "predictions_eval_test.json").read_text())
    assert result["scores"]["PCK"] == 1 and result["split"] == "test"
    assert aspset_eval.main([*arguments, "--split", "val"]) == 1
    error = capsys.readouterr().err
    assert "no prediction bbbb-0016-left" in error and error.count("\n") == 1
    assert aspset_eval.main(["--pred-path", str(tmp_path / "none"), "--data-dir", str(root)]) == 2
    with pytest.raises(UsageError):
        aspset_eval.evaluate(root, tmp_path / "none")
