"""Ego-Exo4D: faults of real files and downloads, planted into the miniature one by one."""

import stat

import numpy as np
import pytest
from egoexo4d_kit import CAM01, CAM02, EGO, copy_of, edit, load, unit_ids

from posepile.ds.egoexo4d import aria, download, main, miniature
from posepile.errors import CorruptInput, WorkError
from posepile.miniature import writers
from posepile.run import job, process

BODY, HAND = ("body/automatic", "body/annotation"), ("hand/automatic",)


@pytest.fixture
def raw(raw_miniature):
    return raw_miniature("egoexo4d")


@pytest.fixture
def copy(raw, tmp_path):
    """A miniature whose labels and metadata may be changed."""
    return copy_of(raw, tmp_path / "egoexo4d")


def edit_joints(root, kinds, change):
    """Changes every 3D joint of the labels of some kinds."""

    def edit_all(content):
        for poses in content.values():
            for pose in poses:
                for name, joint in pose["annotation3D"].items():
                    change(name, joint)

    for kind in kinds:
        edit(miniature.label_path(root, miniature.REPAIR, kind), edit_all)


def edit_cameras(root, change):
    edit(miniature.label_path(root, miniature.REPAIR, "camera_pose"), change)


# ---------------------------------------------------------------- labels


@pytest.mark.parametrize(
    ("kind", "side", "said"),
    [
        ("body/automatic", "", "body/automatic/.*cam01: body"),
        ("body/annotation", "", "body/annotation/.*cam01: body"),
        ("hand/automatic", "left", "hand/automatic/.*cam01: left hand"),
        ("hand/automatic", "right", "hand/automatic/.*cam01: right hand"),
    ],
)
def test_labels_of_one_part_and_source_moved_by_a_metre_are_refused(copy, kind, side, said):
    def move(name, joint):
        joint["y"] += 1.0 if name.startswith(side) else 0.0

    edit_joints(copy, [kind], move)
    with pytest.raises(CorruptInput, match=rf"{said}: .*px \(median\).*max_reprojection_px"):
        load(copy, CAM01)
    assert load(copy, CAM01, max_reprojection_px=1e4)
    others = {"parts": ["hand"]} if "body" in kind else {"parts": ["body"]}
    assert load(copy, CAM01, **others)


def test_every_part_and_source_reports_its_own_residual(raw):
    checks = load(raw, CAM01).checks
    assert {name for name in checks if "reprojection" in name} == {
        "reprojection_body_manual_px",
        "reprojection_body_automatic_px",
        "reprojection_left_hand_automatic_px",
        "reprojection_right_hand_automatic_px",
    }
    assert max(checks.values()) < 0.5


def test_hands_alone_are_no_person(copy):
    for path in copy.glob("annotations/ego_pose/train/body/*/*.json"):
        path.unlink()
    for name in (CAM01, CAM02):
        sequence = load(copy, name)
        assert len(sequence.tracks[0].frames) == 0
        assert sequence.dropped == {
            "no box of the person: fewer than 6 body joints in the image": 8
        }
    # In the view of the glasses hands are what there is of their wearer.
    assert list(load(copy, EGO, ego=True).tracks[0].frames) == [0, 1, 2, 3, 4, 6, 7]


def test_boxes_of_people_are_of_the_size_of_people(raw):
    for name in (CAM01, CAM02):
        boxes = load(raw, name).tracks[0].bbox
        assert len(boxes) == 7 and (boxes[:, 3] > 450).all()


# ---------------------------------------------------------------- cameras


@pytest.mark.parametrize("pose", [None, [[None] * 4] * 3, [[float("nan")] * 4] * 3])
def test_a_null_pose_of_the_glasses_costs_its_frame(copy, pose):
    edit_cameras(copy, lambda c: c["aria01"]["camera_extrinsics"].update({"2": pose}))
    sequence = load(copy, EGO, ego=True)
    assert sequence.camera(2) is None and 2 not in sequence.tracks[0].frames
    assert list(sequence.tracks[0].frames) == [0, 1, 3, 4, 6, 7]
    assert sequence.dropped["no pose of the glasses in this frame"] == 2
    path = miniature.label_path(copy, miniature.REPAIR, "camera_pose")
    assert 2 not in aria.read_glasses(path)[0]


@pytest.mark.parametrize("entry", [None, {"camera_intrinsics": None}])
def test_a_null_camera_is_not_localized(copy, entry):
    def forget(content):
        content["cam01"] = None if entry is None else content["cam01"] | entry

    edit_cameras(copy, forget)
    lost = load(copy, CAM01)
    assert lost.tracks == []
    assert lost.dropped == {
        "no pose in the labels": 1,
        "camera is not localized in camera_pose": 8,
    }
    assert len(load(copy, CAM02).tracks[0].frames) == 7


def test_a_pose_of_no_frame_is_named(copy):
    edit_cameras(copy, lambda c: c["aria01"]["camera_extrinsics"].update(x=np.eye(3, 4).tolist()))
    with pytest.raises(CorruptInput, match=r"aria01.*frame key 'x'"):
        load(copy, EGO, ego=True)


def test_a_null_video_is_no_video(copy):
    def forget(content):
        content[0]["frame_aligned_videos"]["cam01"]["0"] = None

    edit(copy / "takes.json", forget)
    assert CAM01 not in unit_ids(copy) and CAM02 in unit_ids(copy)


def test_calibrations_for_either_picture_give_one_lens(copy):
    file = copy / "aria_calib_json" / "takes" / f"{miniature.REPAIR}.json"
    of_sensor = load(copy, EGO, ego=True)
    recorded = miniature.ARIA.copy()
    recorded[0], recorded[1:3] = recorded[0] / 2, (recorded[1:3] - 0.5 - 32) / 2
    writers.write_aria_lens(file, recorded)
    of_picture = load(copy, EGO, ego=True)
    for name in ("intrinsic_matrix", "distortion_coeffs"):
        of_both = (getattr(s.camera(0), name) for s in (of_sensor, of_picture))
        np.testing.assert_allclose(*of_both, rtol=1e-6)
    recorded[1:3] += 300
    writers.write_aria_lens(file, recorded)
    with pytest.raises(CorruptInput, match=r"principal point.*neither the sensor of 2880"):
        load(copy, EGO, ego=True)


def test_labels_beyond_the_end_of_the_video_cost_themselves_only(copy, monkeypatch):
    def add_frames(content):
        content |= {"8": content["5"], "9": content["7"]}

    def say_more(content):
        content[0]["timesync_end_idx"] += 2

    edit(copy / "takes.json", say_more)
    edit(miniature.label_path(copy, miniature.REPAIR, "body/automatic"), add_frames)
    monkeypatch.setenv("DATA_ROOT", str(copy.parent))
    options = "run.isolate=false", "dataset.frame_count=report", "dataset.video=448"
    run = job.make_run("egoexo4d", (*options, "select.method=none"), quiet=True, only=CAM01)
    found = process.process(run, ("crop",))
    assert not found.errors and found.counts.examples == 7
    assert found.counts.dropped["annotated frame beyond the end of the video"] == 2
    assert found.counts.notes["video has fewer frames than annotated"] == 1


# ---------------------------------------------------------------- downloads


@pytest.fixture
def bin_dir(tmp_path, monkeypatch):
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder


def egoexo(bin_dir, body):
    """Puts a program in place of the official one; returns where it writes down its calls."""
    path, log = bin_dir / "egoexo", bin_dir / "calls"
    path.write_text(f'#!/bin/sh\necho "$@" >> {log}\n{body}\n')
    path.chmod(path.stat().st_mode | stat.S_IEXEC)
    return log


BAR = r"printf '\r%d%%|####      | 1.2G/6.9G [00:11<00:43, 101MB/s]' 17"
TRACE = """
echo 'Traceback (most recent call last):' >&2
echo '  File "/x/ego4d/internal/download/cli.py", line 61, in wrap_map' >&2
"""
CLIENT_ERROR = "botocore.exceptions.ClientError: An error occurred"


@pytest.mark.parametrize(
    "error",
    [
        f"{CLIENT_ERROR} (400) when calling the HeadObject operation: Bad Request",
        f"{CLIENT_ERROR} (403) when calling the HeadObject operation: Forbidden",
        f"{CLIENT_ERROR} (ExpiredToken) when calling the GetObject operation: The provided token",
    ],
)
@pytest.mark.parametrize("n_bars", [1, 2000])
def test_keys_that_expire_in_the_middle_are_found_behind_progress_bars(
    raw, bin_dir, error, n_bars
):
    bars = f"i=0; while [ $i -lt {n_bars} ]; do i=$((i+1)); {BAR}; done"
    egoexo(bin_dir, f"{BAR}\n{TRACE}\necho '{error}' >&2\n{bars}\nexit 1")
    with pytest.raises(WorkError, match=r"ego4d.dev/request/ego-exo4d.*aws configure"):
        main.download(raw, main.Options())


def test_another_reason_is_found_behind_progress_bars(raw, bin_dir):
    error = "OSError: [Errno 28] No space left on device: takes/a/cam01.mp4"
    egoexo(bin_dir, f"{BAR}\n{TRACE}\necho '{error}' >&2\n{BAR}\n{BAR}\nexit 1")
    with pytest.raises(WorkError, match="No space left on device") as caught:
        main.download(raw, main.Options())
    assert "MB/s" not in str(caught.value) and "aws configure" not in str(caught.value)


def test_files_that_failed_without_a_reason_may_be_for_the_keys(raw, bin_dir):
    said = "WARN: failed to fetch 3 files [integrity=0, exceptions=3]"
    retry = "Please retry the download (... returning with error code 2)"
    egoexo(bin_dir, f"{BAR}\necho\necho '{said}'\necho '{retry}'\nexit 2")
    with pytest.raises(WorkError, match=r"failed to fetch 3 files.*aws configure"):
        main.download(raw, main.Options())


def test_what_the_program_names_parts_is_accepted(copy, bin_dir):
    six = ["metadata", "annotations", "takes", "captures"]
    six += ["take_trajectory", "take_vrs_noimagestream"]
    options = main.Options(download={"parts": ["default", "take_audio", "metadata"], "every": 0})
    assert sorted(options.download.parts) == sorted([*six, "take_audio"])
    assert len(download.DownloadOptions(parts=["all"]).parts) == 19
    text = "\n".join(main.plan(copy, options))
    assert "takes: about 10,553 GB" in text.replace("1.055e+04", "10,553")


def calls_of(log):
    return [line.split(" --") for line in log.read_text().splitlines()]


def test_parts_of_captures_are_fetched_by_the_ids_of_captures(copy, bin_dir):
    def name_captures(content):
        for i, take in enumerate(content):
            take["capture_uid"] = f"capture-{i % 2}"

    edit(copy / "takes.json", name_captures)
    (copy / "captures" / "upenn_0710_Dance_1" / "trajectory").mkdir(parents=True)
    wanted = {"uids": [*miniature.UIDS.values()][:2], "absent": "report"}
    wanted["take_parts"] = ["take_trajectory", "capture_trajectory", "captures"]
    options = main.Options(download=wanted)
    log = egoexo(bin_dir, "exit 0")
    main.download(copy, options)
    _, of_takes, of_captures = calls_of(log)
    assert "parts takes take_trajectory" in of_takes
    assert "parts capture_trajectory captures" in of_captures
    assert "uids capture-0 capture-1" in of_captures
    lines = main.plan(copy, options)
    (i,) = [i for i, line in enumerate(lines) if line == "For 2 of 2 captures:"]
    assert lines[i + 1].startswith("  capture_trajectory: about 852 GB")


def test_a_take_that_has_not_arrived_is_not_said_to_be_in(copy, bin_dir):
    egoexo(bin_dir, "exit 0")
    everything = main.Options(download={"every": 1})
    (line,) = main.download(copy, everything)
    assert "the videos of 4 takes are in" in line
    for video in copy.glob(f"takes/{miniature.DANCE}/frame_aligned_videos/gp0*.mp4"):
        video.unlink()
    with pytest.raises(WorkError) as caught:
        main.download(copy, everything)
    message = str(caught.value)
    assert "1 of 4 takes" in message and miniature.DANCE in message
    assert "dataset.download.absent=report" in message and "\n" not in message
    lines = main.download(copy, main.Options(download={"every": 1, "absent": "report"}))
    assert "but for this" in lines[0]
    assert (
        f"takes of 1 of 4 takes has not arrived: nothing is at takes/{miniature.DANCE}/"
        in lines[1]
    )


def test_an_empty_video_has_not_arrived(copy, bin_dir):
    egoexo(bin_dir, "exit 0")
    for video in copy.glob(f"takes/{miniature.DANCE}/frame_aligned_videos/gp0*.mp4"):
        video.unlink()
        video.touch()
    with pytest.raises(WorkError, match=miniature.DANCE):
        main.download(copy, main.Options(download={"every": 1}))


@pytest.mark.parametrize(
    ("part", "pattern"),
    [
        ("metadata", "takes.json"),
        ("annotations", "annotations/splits.json"),
        ("ego_pose_pseudo_gt", "annotations/ego_pose/*/*/automatic/*.json"),
    ],
)
def test_a_part_that_has_not_arrived_is_named(copy, bin_dir, part, pattern):
    for path in copy.glob(pattern):
        path.unlink()
    egoexo(bin_dir, "exit 0")
    with pytest.raises(WorkError, match=rf"{part} has not arrived.*{pattern.split('/')[0]}"):
        main.download(copy, main.Options())


def test_parts_of_takes_that_have_not_arrived_are_named(copy, bin_dir):
    egoexo(bin_dir, "exit 0")
    wanted = {"uids": [*miniature.UIDS.values()][:2], "take_parts": ["take_trajectory"]}
    with pytest.raises(WorkError, match=rf"take_trajectory of 1 of 2 takes.*{miniature.DANCE}"):
        main.download(copy, main.Options(download=wanted))


def test_files_of_another_size_than_the_manifest_says_have_not_arrived(copy, bin_dir):
    egoexo(bin_dir, "exit 0")
    name = f"takes/{miniature.REPAIR}/frame_aligned_videos/cam01.mp4"
    path = copy / "manifests/v2/takes/manifest.json"
    size = (copy / name).stat().st_size
    uid = miniature.UIDS[miniature.REPAIR]
    for listed, arrived in ((size, True), (size + 1, False)):
        writers.write_json(
            path, [{"uid": uid, "paths": [{"relative_path": name, "size": listed}]}]
        )
        options = main.Options(download={"uids": [uid]})
        if arrived:
            assert "has not arrived" not in "\n".join(main.download(copy, options))
        else:
            with pytest.raises(WorkError, match=f"1 of 1 files .*{name}"):
                main.download(copy, options)
