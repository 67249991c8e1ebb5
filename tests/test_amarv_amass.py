"""AMARV: BABEL labels, the password made from AMASS, locked archives."""

import json
import os
import shutil
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from archive_kinds_kit import (
    aes_zip_bytes,
    pieces,
    seven_zip_bytes,
    split_zip,
    tar_bytes,
    zip_bytes,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from posepile.bodies.amass import find_amass, read_amass
from posepile.ds.amarv import main, unlock
from posepile.errors import CorruptInput, UsageError, WorkError
from posepile.formats import babel


@pytest.fixture
def made(raw_miniature):
    return raw_miniature("amarv")


def entry(segments=(), whole=(), duration=2.0, split="train"):
    return babel.BabelEntry(split, duration, tuple(segments), tuple(whole))


def test_activity_at_a_time():
    e = entry([("walk", 0.0, 1.0), ("turn", 0.5, 1.5), ("walk", 0.6, 0.7), ("end", 1.8, 2.4)])
    expected = {0: "walk", 0.5: "walk|turn", 0.65: "walk|turn", 1.0: "turn", 1.6: "unknown"}
    for time, label in (expected | {1.9: "end", 2.0: "end", 2.4: "end", 2.5: "unknown"}).items():
        assert babel.activity_at(e, time) == label, time
    assert babel.activity_at(entry(whole=["a", "b", "a"]), 0.3) == "a|b"
    assert babel.activity_at(None, 0) == babel.activity_at(entry(), 0) == "unknown"


def test_babel_files_of_both_forms(tmp_path):
    def raw(**more):
        base = {"babel_sid": 7, "dur": 2.0, "feat_p": "MPIHDM05/MPI_HDM05/bk/a_poses.npz"}
        return {"7": base | more}

    first = {"labels": [{"raw_label": "r", "proc_label": "p", "act_cat": None} | times(0, 1)]}
    second = {"labels": [{"raw_label": "r", "act_cat": ["x", "y"]} | times(1, 2)]}
    (tmp_path / "train.json").write_text(json.dumps(raw(frame_ann=first, seq_ann=None)))
    (tmp_path / "extra_train.json").write_text(json.dumps(raw(frame_anns=[second], seq_anns=[])))
    (tmp_path / "test.json").write_text(json.dumps(raw(frame_ann={"labels": None}, seq_ann=None)))
    entries = babel.load_babel(tmp_path, ["train.json", "extra_train.json"])
    assert entries["MPI_HDM05/bk/a_poses.npz"].segments == (("x", 1, 2), ("y", 1, 2))
    only = babel.load_babel(tmp_path, ["test.json"])["MPI_HDM05/bk/a_poses.npz"]
    assert (only.split, only.segments) == ("test", ())
    with pytest.raises(CorruptInput, match=r"babel\.is\.tue"):
        babel.load_babel(tmp_path, ["val.json"])
    (tmp_path / "val.json").write_text('{"1": {"feat_p": "a/b/c"}}')
    with pytest.raises(CorruptInput, match="entry 1"):
        babel.load_babel(tmp_path, ["val.json"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"act_cat": [["walk"]]}, r"act_cat is \[\['walk'\]\]; expected a list of names"),
        ({"act_cat": "walk"}, "act_cat is 'walk'"),
        ({"start_t": float("nan")}, "nan is no time"),
        ({"end_t": "1"}, "'1' is no time"),
        ({"end_t": 10**400}, "entry 7"),
    ],
)
def test_labels_that_are_none_are_refused(tmp_path, change, message):
    label = {"act_cat": ["walk"], "proc_label": "walk"} | times(0, 1) | change
    motion = {"dur": 2.0, "feat_p": "CMU/CMU/01/a_poses.npz", "frame_ann": {"labels": [label]}}
    (tmp_path / "train.json").write_text(json.dumps({"7": motion}))
    with pytest.raises(CorruptInput, match=message):
        babel.load_babel(tmp_path, ["train.json"])


def test_free_text_is_no_category(tmp_path):
    """What BABEL has put into no category has none, as in its official code."""
    text = {"raw_label": "walks to the left", "proc_label": "walk to left"}

    def activity(seq=(), frames=()):
        motion = {"dur": 2.0, "feat_p": "CMU/CMU/01/a_poses.npz"}
        motion["seq_ann"] = {"labels": [text | {"act_cat": c} for c in seq]} if seq else None
        if frames:
            labels = [text | {"act_cat": c} | times(i, i + 1) for i, c in enumerate(frames)]
            motion["frame_ann"] = {"labels": labels}
        (tmp_path / "train.json").write_text(json.dumps({"7": motion}))
        entry = babel.load_babel(tmp_path, ["train.json"])["CMU/01/a_poses.npz"]
        return [babel.activity_at(entry, t) for t in (0.5, 1.5)]

    assert activity(seq=[["walk"]]) == ["walk", "walk"]
    assert activity(seq=[None]) == activity(seq=[[]]) == ["unknown", "unknown"]
    assert activity(seq=[["walk"]], frames=[["turn"], None]) == ["turn", "unknown"]
    assert activity(seq=[["walk"]], frames=[None, None]) == ["unknown", "unknown"]


@pytest.mark.parametrize("named", ["no", "file", "empty"])
@pytest.mark.parametrize("by", ["dataset.amass_root", "environment variable AMASS_ROOT"])
def test_a_mistyped_amass_folder_is_not_searched_elsewhere(tmp_path, monkeypatch, named, by):
    (tmp_path / "amass" / "CMU").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    assert find_amass(tmp_path / "amarv") == tmp_path / "amass"
    wrong = str(tmp_path / named)
    if "AMASS_ROOT" in by:
        monkeypatch.setenv("AMASS_ROOT", wrong)
    with pytest.raises(UsageError, match=f"{by}: {wrong}: found") as e:
        find_amass(tmp_path / "amarv", None if "AMASS_ROOT" in by else wrong)
    assert e.value.exit_code == 2
    amass_root = None if "AMASS_ROOT" in by else wrong
    for stage in (main.download, main.plan, main.calibrate):
        with pytest.raises(UsageError, match=by):
            stage(tmp_path / "amarv", main.Options(amass_root=amass_root))


def times(start, end):
    return {"start_t": start, "end_t": end}


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.tuples(st.integers(0, 3), st.integers(0, 5)),
        st.sampled_from(["train", "val", "test", None]),
        min_size=1,
    )
)
def test_no_subject_is_on_two_sides(motions):
    paths = {f"{s}-{m}-{c}": f"D/{s}/{m}.npz" for s, m in motions for c in range(2)}
    entries = {f"D/{s}/{m}.npz": entry(split=v) for (s, m), v in motions.items() if v}
    splits, conflicts = babel.assign_splits(paths.values(), entries)
    for subject in {s for s, _ in motions}:
        sides = {splits[f"D/{subject}"]}
        votes = [v for (s, _), v in sorted(motions.items()) if s == subject and v]
        assert len(sides) == 1
        if not votes:
            assert sides == {"train"}
        else:
            best = max(map(votes.count, votes))
            assert sides == {next(v for v in votes if votes.count(v) == best)}
        assert any(f"D/{subject} " in c for c in conflicts) == (len(set(votes)) > 1)


@pytest.fixture
def amass_tree(tmp_path):
    root = tmp_path / "amass"
    for i, name in enumerate(unlock.PASSWORD_FILES):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"file %d\n" % i)
    return root


def test_password_equals_that_of_a_shell(amass_tree):
    if not (shutil.which("bash") and shutil.which("md5sum")):
        pytest.skip("needs bash and md5sum")
    listing = amass_tree.parent / "list.txt"
    listing.write_text("\n".join(unlock.PASSWORD_FILES) + "\n")
    script = (
        'all=""; while read -r f; do s=$(md5sum "$f"); all="$all${s%% *}"; done < ../list.txt; '
        'printf %s "$all" | md5sum'
    )
    done = subprocess.run(
        ["bash", "-c", script], cwd=amass_tree, capture_output=True, text=True, check=True
    )
    assert len(unlock.PASSWORD_FILES) == 19
    assert unlock.archive_password(amass_tree) == done.stdout.split()[0]


def test_renamed_upper_folders_are_found(amass_tree):
    before = unlock.archive_password(amass_tree)
    (amass_tree / "MPI_mosh").rename(amass_tree / "MoSh")
    (amass_tree / "BMLrub/BioMotionLab_NTroje/rub001").rename(amass_tree / "rub001")
    (amass_tree / "SSM_synced").rename(amass_tree / "SSM")
    assert unlock.archive_password(amass_tree) == before
    copy = amass_tree / "other" / "00008"
    copy.mkdir(parents=True)
    shutil.copy(amass_tree / "MoSh/00008/misc_poses.npz", copy)
    with pytest.raises(WorkError, match="several files fit"):
        unlock.archive_password(amass_tree)


def test_missing_amass_files_are_all_listed(amass_tree, capsys):
    (amass_tree / "SFU/0005/0005_2FeetJump001_poses.npz").unlink()
    shutil.rmtree(amass_tree / "KIT")
    assert unlock.main([str(amass_tree)]) == 1
    text = capsys.readouterr().err
    assert "2 of 19" in text and "SFU/0005" in text and "KIT/KIT/10" in text


def test_archives_of_every_kind_are_unlocked(amass_tree, tmp_path):
    root, password = tmp_path / "amarv", unlock.archive_password(amass_tree)
    folder = root / "archives"
    assert unlock.unlock(root, str(amass_tree)) == []
    folder.mkdir(parents=True)
    (folder / "a.zip").write_bytes(zip_bytes({"CMU/a": b"1"}))
    (folder / "b.zip").write_bytes(aes_zip_bytes({"CMU/b": b"2"}, password))
    (folder / "c.7z").write_bytes(seven_zip_bytes({"CMU/c": b"3"}, password, hide_names=True))
    (folder / "d.tar.gz").write_bytes(tar_bytes({"CMU/d": b"4"}))
    split_zip(folder / "e.zip", aes_zip_bytes({"CMU/e": bytes(range(256)) * 9}, password), 300)
    pieces(folder / "f.7z", seven_zip_bytes({"CMU/f": b"6" * 99}, password), 60)
    (folder / "._a.zip").write_bytes(b"mac")
    (folder / "README.txt").write_bytes(b"put them there")
    lines = unlock.unlock(root, str(amass_tree))
    assert lines == [
        "README.txt: not an archive by its name, left alone",
        *(f"{n}: extracted, 1 files" for n in "a.zip b.zip c.7z d.tar.gz e.zip f.7z.001".split()),
    ]
    assert sorted(os.listdir(root / "CMU")) == list("abcdef")
    assert all("was extracted before" in x for x in unlock.unlock(root, str(amass_tree))[1:])


def test_the_password_is_made_only_where_it_is_needed(tmp_path):
    """Without AMASS, archives that are not encrypted open, and others say what is missing."""
    root = tmp_path / "amarv"
    (root / "archives").mkdir(parents=True)
    (root / "archives" / "a.7z").write_bytes(seven_zip_bytes({"CMU/a": b"1"}))
    assert "extracted, 1 files" in unlock.unlock(root, None)[0]
    (root / "archives" / "b.7z").write_bytes(seven_zip_bytes({"CMU/b": b"2"}, "secret"))
    with pytest.raises(WorkError, match="AMASS_ROOT"):
        unlock.unlock(root, None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mocap_framerate": np.array([120.0])}, None),
        ({"mocap_framerate": np.array([[120]])}, None),
        ({"mocap_framerate": np.array([120.0, 60.0])}, "mocap_framerate is 2 numbers"),
        ({"mocap_framerate": np.array([])}, "mocap_framerate is 0 numbers"),
        ({"mocap_framerate": np.array([np.nan])}, "mocap_framerate is nan"),
        ({"betas": np.tile(np.arange(16.0), (4, 1))}, None),
        ({"betas": np.arange(64.0).reshape(4, 16)}, r"betas of shape \(4, 16\) differ"),
        ({"betas": np.array("none")}, "betas: found .*; expected numbers"),
        ({"gender": np.array(["male"] * 4)}, None),
        ({"gender": np.array(["male", "female"])}, "gender is .* expected male, female"),
        ({"gender": np.array([b"male", b"female"])}, "gender is .* expected male, female"),
    ],
)
def test_a_rate_in_an_array_and_betas_per_frame(tmp_path, change, message):
    motion = {"poses": np.zeros((4, 156)), "trans": np.zeros((4, 3)), "betas": np.arange(16.0)}
    np.savez(tmp_path / "a.npz", **{"mocap_framerate": 120.0, **motion, **change})
    if message is None:
        read = read_amass(tmp_path / "a.npz")
        assert read.framerate == 120 and read.betas.tolist() == list(range(16))
        return
    with pytest.raises(CorruptInput, match=message):
        read_amass(tmp_path / "a.npz")


def smplh_files(root):
    for name in unlock.PASSWORD_FILES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        motion = {"poses": np.zeros((2, 156)), "trans": np.zeros((2, 3)), "betas": np.zeros(16)}
        np.savez(root / name, gender="male", mocap_framerate=120.0, **motion)


def test_a_refused_password_names_the_files_that_do_not_fit(tmp_path, capsys):
    """The archives are whole: nobody is told that they are damaged, or to delete them."""
    root, amass = tmp_path / "amarv", tmp_path / "all_of_amass"
    smplh_files(amass)
    folder = root / "archives"
    folder.mkdir(parents=True)
    (folder / "a.zip").write_bytes(aes_zip_bytes({"CMU/a": b"1"}, "the author's"))
    with pytest.raises(WorkError, match="All 19 AMASS files .* another release") as e:
        unlock.unlock(root, str(amass))
    assert unlock.main(["--files", str(amass)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 19
    Options = main.Options
    assert not any("does not fit" in x for x in main.plan(root, Options(amass_root=str(amass))))
    (amass / "MPI_mosh").rename(amass / "MoSh")
    np.savez(
        amass / "SFU/0005/0005_2FeetJump001_poses.npz",
        poses=np.zeros((2, 165)),
        **{"mocap_framerate": 120.0},
    )
    plan = main.plan(root, Options(amass_root=str(amass)))
    assert len([x for x in plan if "does not fit: " in x]) == 2
    for archive in ("a.zip", "b.7z"):
        if archive == "b.7z":
            (folder / "a.zip").unlink()
            (folder / "b.7z").write_bytes(seven_zip_bytes({"CMU/a": b"1"}, "the author's"))
        with pytest.raises(WorkError, match="the password is wrong") as e:
            unlock.unlock(root, str(amass))
        told = str(e.value)
        assert "these do not fit: " in told and told.count(".npz: ") == 2
        assert "MPI_mosh/00008/misc_poses.npz: found as MoSh/00008/misc_poses.npz" in told
        assert "0005_2FeetJump001_poses.npz: poses has shape (2, 165), expected (T, 156)" in told
        assert "delete" not in told and "truncated" not in told
        assert unlock.archive_password(amass) not in told
    assert not (root / "CMU").exists()


def test_the_download_step_unlocks_what_a_person_put_there(made, amass_tree, tmp_path):
    """By the command, as a person runs it: archives, then BABEL, then all is there."""
    root = tmp_path / "data" / "amarv"
    (root / "archives").mkdir(parents=True)

    def step():
        return command("step", "download", "--set", f"dataset.amass_root={amass_tree}")

    def command(name, *more):
        return subprocess.run(
            [sys.executable, "-m", "posepile", name, "amarv", *more],
            env=os.environ | {"DATA_ROOT": str(tmp_path / "data")},
            capture_output=True,
            text=True,
            check=False,
        )

    empty = step()
    plan = command("plan").stdout
    assert "https://s.kit.edu/amarv" in plan and "https://babel.is.tue.mpg.de" in plan
    doctor = command("doctor")
    assert doctor.returncode == 1 and doctor.stdout.rstrip().endswith("not ok")
    assert empty.returncode == 1 and "no file matches clip_glob" in empty.stderr
    assert "posepile plan amarv" in empty.stderr and "Traceback" not in empty.stderr
    with zipfile.ZipFile(root / "archives" / "a.zip", "w") as z:
        z.write(made / "CMU/sit_rgb_v0.mp4", "CMU/sit_rgb_v0.mp4")
    unlocked = step()
    assert (root / "CMU/sit_rgb_v0.mp4").is_file()
    assert unlocked.returncode == 1 and "BABEL labels are missing" in unlocked.stderr
    shutil.copytree(made / "babel_v1.0_release", tmp_path / "data" / "babel")
    done = step()
    assert done.returncode == 0, done.stderr
    assert "was extracted before" in done.stdout


def test_an_encrypted_zip_opens_with_the_password_only(amass_tree, tmp_path):
    root = tmp_path / "amarv"
    (root / "archives").mkdir(parents=True)
    archive = root / "archives" / "a.zip"
    content = b"rendered" * 50
    archive.write_bytes(zipcrypto("CMU/x.txt", content, unlock.archive_password(amass_tree)))
    unlock.unlock(root, str(amass_tree))
    assert (root / "CMU/x.txt").read_bytes() == content
    other = tmp_path / "other"
    (other / "archives").mkdir(parents=True)
    (other / "archives" / "a.zip").write_bytes(zipcrypto("CMU/x.txt", content, "wrong"))
    with pytest.raises(WorkError, match="password is wrong"):
        unlock.unlock(other, str(amass_tree))
    assert not (other / "CMU").exists()


def zipcrypto(name, content, password):
    """A stored zip entry with the classic encryption, written by the format's description."""
    import binascii
    import io
    import struct

    table = []
    for i in range(256):
        c = i
        for _ in range(8):
            c = (c >> 1) ^ 0xEDB88320 if c & 1 else c >> 1
        table.append(c)
    keys = [0x12345678, 0x23456789, 0x34567890]

    def update(byte):
        keys[0] = (keys[0] >> 8) ^ table[(keys[0] ^ byte) & 255]
        keys[1] = ((keys[1] + (keys[0] & 255)) * 134775813 + 1) & 0xFFFFFFFF
        keys[2] = (keys[2] >> 8) ^ table[(keys[2] ^ (keys[1] >> 24)) & 255]

    for byte in password.encode():
        update(byte)
    crc = binascii.crc32(content)
    secret = bytearray()
    for byte in bytes(range(11)) + bytes([crc >> 24]) + content:
        k = keys[2] | 2
        secret.append(byte ^ (((k * (k ^ 1)) >> 8) & 255))
        update(byte)
    plain = io.BytesIO()
    with zipfile.ZipFile(plain, "w") as z:
        z.writestr(zipfile.ZipInfo(name), content)
    raw = bytearray(plain.getvalue())
    directory = raw.index(b"PK\x01\x02")
    head = 30 + len(name)
    local, central = raw[:head], raw[directory:]
    local[6] |= 1
    local[18:22] = struct.pack("<I", len(secret))
    central[8] |= 1
    central[20:24] = struct.pack("<I", len(secret))
    end = central.index(b"PK\x05\x06")
    central[end + 16 : end + 20] = struct.pack("<I", head + len(secret))
    return bytes(local + secret + central)
