"""Ego-Exo4D: what is fetched, what it costs, what is on disk."""

import json
import stat

import pytest
from egoexo4d_kit import copy_of, edit, load

from posepile.acquire.manifests import cost_of, load_manifest
from posepile.ds.egoexo4d import download, main, miniature
from posepile.errors import CorruptInput, UsageError, WorkError


@pytest.fixture
def raw(raw_miniature):
    return raw_miniature("egoexo4d")


@pytest.fixture
def copy(raw, tmp_path):
    """A miniature whose labels and metadata may be changed."""
    return copy_of(raw, tmp_path / "egoexo4d")


def program(folder, name, body):
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IEXEC)


@pytest.fixture
def bin_dir(tmp_path, monkeypatch):
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


EXPIRED = (
    "botocore.exceptions.ClientError: An error occurred (ExpiredToken) when calling HeadObject"
)


@pytest.mark.parametrize(
    "body",
    [
        f"echo '{EXPIRED}' >&2; exit 1",
        "echo 'ERROR: could not get manifests for all parts (nothing to download)'; exit 1",
        "echo 'botocore.exceptions.NoCredentialsError: Unable to locate credentials'; exit 1",
        "echo 'WARN: failed to get stats for 3 files, will skip. Forbidden'; exit 0",
    ],
)
def test_expired_keys_give_the_renewal_steps(raw, bin_dir, body):
    program(bin_dir, "egoexo", body)
    with pytest.raises(WorkError) as e:
        main.download(raw, main.Options())
    message = str(e.value)
    assert "ego4d.dev/request/ego-exo4d" in message and "aws configure" in message
    assert "goes on where it stopped" in message and "\n" not in message


def test_a_missing_program_says_what_to_install(tmp_path, bin_dir):
    with pytest.raises(WorkError, match=r"ego4d>=1.7"):
        main.download(tmp_path / "raw", main.Options())
    assert any(
        "pip install 'ego4d" in line for line in main.plan(tmp_path / "raw", main.Options())
    )
    assert any("pip install 'ego4d" in line for line in main.doctor(tmp_path, main.Options()))


@pytest.mark.parametrize(
    "body",
    [
        "echo 'Please retry the download (... returning with error code 2)'; exit 2",
        "echo 'WARN: failed to get stats for 3 files, will skip.'; echo 'Bye.'",
    ],
)
def test_an_incomplete_download_is_not_taken_for_a_finished_one(raw, bin_dir, body):
    program(bin_dir, "egoexo", body)
    with pytest.raises(WorkError, match="run this step again"):
        main.download(raw, main.Options())


def calls_of(bin_dir, root, **options):
    log = bin_dir / "calls"
    program(bin_dir, "egoexo", f'echo "$@" >> {log}')
    lines = main.download(root, main.Options(**options))
    calls = [c.split() for c in log.read_text().splitlines()]
    log.unlink()
    return calls, lines


def after(call, flag):
    rest = call[call.index(flag) + 1 :]
    end = next((i for i, x in enumerate(rest) if x.startswith("-")), len(rest))
    return rest[:end]


def test_only_what_is_chosen_is_asked_for(raw, bin_dir):
    uids = miniature.UIDS
    (labels, videos), lines = calls_of(bin_dir, raw, download={"every": 2})
    assert after(labels, "--parts") == ["metadata", "annotations", "ego_pose_pseudo_gt"]
    assert "--uids" not in labels and after(labels, "-o") == [str(raw)]
    assert after(videos, "--parts") == ["takes"] and after(videos, "--views") == ["exo"]
    # Every second take of takes.json; the fifth has no pose labels.
    assert after(videos, "--uids") == [uids[miniature.REPAIR], uids[miniature.COOK]]
    assert after(videos, "--release") == ["v2"] and videos[-1] == "-y"
    assert "2 takes" in lines[0]

    (_, videos), _ = calls_of(
        bin_dir,
        raw,
        ego=True,
        video="448",
        download={
            "uids": [uids[miniature.DANCE]],
            "benchmarks": ["egopose"],
            "splits": ["val"],
            "universities": ["upenn"],
            "take_parts": ["take_trajectory"],
            "absent": "report",
        },
    )
    assert after(videos, "--parts") == [
        "downscaled_takes/448",
        "take_trajectory",
        "take_vrs_noimagestream",
    ]
    assert after(videos, "--views") == ["exo", "ego"]
    assert after(videos, "--uids") == [uids[miniature.DANCE]]
    assert after(videos, "--benchmarks") == ["egopose"] and after(videos, "--splits") == ["val"]
    assert after(videos, "--universities") == ["upenn"]

    calls, _ = calls_of(bin_dir, raw, download={"every": 0})
    assert len(calls) == 1


def test_mistaken_choices_are_refused(raw):
    with pytest.raises(ValueError, match="take_trajectory"):  # there are
        main.Options(download={"take_parts": ["take"]})
    with pytest.raises(UsageError, match="no-such-uid is not in"):
        main.plan(raw, main.Options(download={"uids": ["no-such-uid"]}))


def manifest(uid, *files, **attributes):
    return {
        "uid": uid,
        "paths": [
            {"source_path": f"s3://b/{p}", "relative_path": p, "size": size, **more}
            for p, size, more in files
        ],
        **attributes,
    }


def test_plan_adds_up_the_chosen_files_offline(copy, bin_dir):
    uids, name = miniature.UIDS, f"takes/{miniature.REPAIR}/frame_aligned_videos/"
    here = (copy / f"{name}cam01.mp4").stat().st_size
    entries = [
        manifest(
            uids[miniature.REPAIR],
            (f"{name}cam01.mp4", here, {"views": ["exo"]}),
            (f"{name}cam02.mp4", 5_000_000, {"views": ["exo"]}),
            (f"{name}aria01_214-1.mp4", 7_000_000, {"views": ["ego"]}),
            (f"{name}note.txt", None, {}),
        ),
        manifest(uids[miniature.UNPOSED], ("other.mp4", 10**12, {"views": ["exo"]})),
        manifest(None, ("general.json", 1_000, {"views": None}), splits=None),
    ]
    wanted = main.Options(download={"uids": [uids[miniature.REPAIR]]})
    (request,) = download.take_requests(copy, wanted)
    cost = cost_of(copy, entries, request)
    assert (cost.files, cost.size, cost.unsized) == (4, here + 5_001_000, 1)
    assert cost.present == here

    path = copy / "manifests/v2/takes/manifest.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(entries))
    lines = main.plan(copy, wanted)
    total = f"{(here + 5_001_000) / 1e9:,.3f} GB"
    assert any(
        "takes: 4 files" in x and total in x and "1 files of unknown size" in x for x in lines
    )
    assert sum(getattr(x, "bytes", 0) for x in lines if "takes:" in x) == 5_001_000
    assert not any("total" in x for x in lines)  # there is one sum, of everything, at the end
    assert any("ego_pose_pseudo_gt: about 138.6 GB" in x for x in lines)
    assert any("aws s3 cp" in x for x in lines)

    path.write_text("<html>")
    with pytest.raises(CorruptInput, match="not valid JSON"):
        main.plan(copy, wanted)


def test_manifests_are_fetched_whole_or_not_at_all(tmp_path, bin_dir):
    root = tmp_path / "raw"
    bucket = download.RELEASE.bucket(root, "v2", download.DownloadOptions(fetch_manifests=True))
    with pytest.raises(WorkError, match=r"program aws is missing: .*ego4d>=1.7"):
        load_manifest(bucket, "takes")
    program(bin_dir, "aws", 'for x; do f="$x"; done; echo "[{" > "$f"; echo slow >&2; exit 1')
    with pytest.raises(WorkError, match="aws did not get s3://.*manifest.json: slow"):
        load_manifest(bucket, "takes")
    program(bin_dir, "aws", f"echo '{EXPIRED}' >&2; exit 1")
    with pytest.raises(WorkError, match="ego4d.dev/request/ego-exo4d"):
        load_manifest(bucket, "takes")
    assert not root.exists()
    program(bin_dir, "aws", 'for x; do f="$x"; done; echo "[]" > "$f"')
    assert load_manifest(bucket, "takes") == []
    assert (root / "manifests/v2/takes/manifest.json").is_file()


def test_plan_reaches_the_network_only_when_asked(copy, bin_dir):
    log = bin_dir / "calls"
    program(bin_dir, "aws", f'echo "$@" >> {log}; exit 1')
    for root in (copy, copy / "nothing_yet"):
        text = "\n".join(main.plan(root, main.Options()))
        assert "fetch_manifests=true" in text and "138.6 GB" in text
    assert not log.exists()
    with pytest.raises(WorkError, match="aws did not get"):
        main.plan(copy, main.Options(download={"fetch_manifests": True}))
    assert "metadata/manifest.json" in log.read_text()


def test_what_is_on_disk_is_said(copy):
    (line,) = main.calibrate(copy, main.Options())
    assert "6 of 6 videos of the 4 takes" in line
    (copy / f"takes/{miniature.REPAIR}/frame_aligned_videos/cam01.mp4").unlink()
    edit(
        copy / "annotations/splits.json",
        lambda c: c["take_uid_to_split"].pop(miniature.UIDS[miniature.DANCE]),
    )
    (line,) = main.calibrate(copy, main.Options())
    assert "3 of 4 videos of the 3 takes" in line and "1 are in no split" in line


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: {"takes": c}, "expected a list"),
        (lambda c: [*c, {"take_uid": "x", "take_name": "y"}], "found no root_dir"),
    ],
)
def test_a_strange_list_of_takes_is_named(copy, change, message):
    path = copy / "takes.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(CorruptInput, match=f"takes.json: .*{message}.*download metadata"):
        list(main.list_units(copy, main.Options()))


def test_a_test_take_of_unknown_length_is_counted(copy):
    def forget(content):
        for take in content:
            take.update(timesync_start_idx=None, timesync_end_idx=None, duration_sec=None)

    edit(copy / "takes.json", forget)
    sequence = load(copy, f"test/{miniature.COOK}/cam01")
    assert sequence.dropped == {"takes.json does not say how many frames": 1}


def test_downloads_say_nothing_about_results():
    a, b = main.Options(), main.Options(download={"every": 1})
    assert a.model_dump() == b.model_dump()


def test_doctor_counts_what_is_missing(copy):
    assert main.doctor(copy, main.Options()) == []
    for path in copy.glob("takes/*/frame_aligned_videos/*.mp4"):
        path.unlink()
    assert any("none of the 5 videos" in p for p in main.doctor(copy, main.Options()))
    for path in copy.glob("annotations/ego_pose/*/camera_pose/*.json"):
        path.unlink()
    assert any(
        "2 takes have labels but no camera_pose" in p for p in main.doctor(copy, main.Options())
    )


def test_downloads_that_contradict_themselves_are_refused():
    assert download.DownloadOptions(uids=["x"]).every == 5
    with pytest.raises(ValueError, match="at odds with every: 1"):
        download.DownloadOptions(uids=["x"], every=1)
