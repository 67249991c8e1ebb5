"""What ``plan`` and ``doctor`` say of raw data in the states that people have them in.

Each is named, and the command that is printed is run: after it the trouble is gone.
"""

# ruff: noqa: F811 (fixtures are imported)

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from archive_kinds_kit import tar_bytes, zip_bytes
from genebody_kit import TRAIN
from raw_situations_kit import (  # noqa: F401
    ASPSET,
    ask,
    gzipped_tar,
    home,
    misplaced,
    obey,
    real,
    write,
)

from posepile import cli
from posepile.acquire import estimates, space

# ---------------------------------------------------------------- an empty disk


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("aspset", "posepile run aspset"),
        ("coco", "posepile run coco"),
        ("spec", "posepile plan spec"),
    ],
)
def test_an_empty_disk(home, ask, name, command):
    code, said, commands = ask("doctor", name)
    assert code == 1 and "nothing there yet" in said and commands[0] == command
    code, said, _ = ask("plan", name)
    assert code == ("plan" in command) and " 0 on disk" in said
    assert "at the peak" in said and " to fetch at " in said


@pytest.mark.parametrize(("name", "to"), [("aspset", "/mnt/nowhere/aspset"), ("coco", "coco")])
def test_a_disk_that_is_not_mounted(home, ask, capsys, name, to):
    (home / name).symlink_to(to)
    code, said, commands = ask("doctor", name)
    what = f"{home / name}: is a link to {to}, where nothing is; is its disk mounted?"
    assert code == 1 and what in said and commands == []
    for words in (["plan"], ["run"], ["run", "--miniature"], ["status"], ["list"]):
        capsys.readouterr()
        cli._main([words[0], name, *words[1:]])
        out, err = capsys.readouterr()
        assert what in out + err, words
    assert list(home.glob(f"{name}/*")) == [] and (home / name).is_symlink()


def test_settings_are_in_the_commands(home, ask):
    _, _, commands = ask("doctor", "aspset", "--set", f"dataset.root={home}/x y")
    assert commands[0] == f"posepile run aspset --set 'dataset.root={home}/x y'"


# ---------------------------------------------------------------- half of it


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("aspset", "archives/aspset510_v1_trainval-boxes.tar.gz.part"),
        ("coco", "archives/val2017.zip.part"),
    ],
)
def test_half_a_download(home, ask, name, file):
    write(home / name, {file: b"123"})
    code, said, commands = ask("doctor", name)
    assert code == 1 and "download unfinished, 3 " in said
    assert f"posepile step {name} download" in commands
    assert "resume" in ask("plan", name)[1]


@pytest.mark.parametrize(
    ("name", "file", "lacks", "command"),
    [
        (
            "aspset",
            "data/trainval/joints_3d/a/a-0001.c3d",
            "joints_3d/<subject>/<subject>-<clip>.c3d: 1 files, 450 expected",
            "posepile step aspset download",
        ),
        (
            "genebody",
            "GeneBody-Train40/ahha/annots.npy",
            "GeneBody-Train40/*/annots.npy: 1 files, 40 expected",
            "posepile plan genebody",
        ),
    ],
)
def test_one_of_many_files(home, ask, name, file, lacks, command):
    write(home / name, {file: b"x" * 9})
    code, said, commands = ask("doctor", name)
    assert code == 1 and lacks in said and command in commands
    said = ask("plan", name)[1]
    assert f"not all of it is there: data/trainval/{lacks}" in said or lacks in said
    assert "found extracted" not in said and "found on disk" not in said and " 0 B" not in said


def test_plan_and_doctor_agree_when_all_of_a_kind_is_there(home, ask):
    kinds = {
        f"trainval/joints_3d/{s:02}/{s:02}-{i:04}.c3d": b"1" for s in range(15) for i in range(30)
    }
    write(home / "aspset" / "data", kinds)
    assert "have     trainval-joints_3d  found extracted on disk" in ask("plan", "aspset")[1]
    assert "joints_3d/<subject>" not in re.sub(r"test/\S+", "", ask("doctor", "aspset")[1])


def test_what_a_browser_fetched_twice_is_one_file(home, ask):
    archives = [f"archives/Videos_S{k}.tgz" for k in (1, 5, 6, 7, 8, 9)]
    write(home / "h36m", dict.fromkeys([*archives, "archives/Videos_S7 (1).tgz"], gzipped_tar(9)))
    assert "archives/Videos_S*.tgz is missing, 6 of 7 there" in ask("plan", "h36m")[1]
    write(home / "h36m", {"archives/Videos_S11.tgz": gzipped_tar(9)})
    assert "archives/Videos_S*.tgz is missing" not in ask("plan", "h36m")[1]


# ---------------------------------------------------------------- in another place


@pytest.mark.parametrize(
    ("change", "command"),
    [
        # the folder of the joints has another name
        (
            ("trainval/joints_3d", "trainval/joints3d"),
            "mv -n {0}/trainval/joints3d {0}/trainval/joints_3d",
        ),
        # the tree has one folder more than it should, with a blank in its name
        (("", "ASPset 510 v1"), "mv -n '{0}/ASPset 510 v1' {0}/data"),
        # a part of it was moved out
        (("trainval/boxes", "old/trainval/boxes"), None),
    ],
)
def test_a_renamed_or_moved_folder(home, ask, change, command):
    old, new = change
    root = home / "aspset"
    files = {
        (f"{new}/{path}" if not old else path.replace(old, new)): content
        for path, content in ASPSET.items()
    }
    write(root, files)
    code, said, commands = ask("doctor", "aspset")
    assert code == 1 and misplaced(said)
    assert said.count("belong in") == 1 and len(said.splitlines()) < 40
    if command:
        assert commands[0] == command.format(root)
    before = sum(1 for p in root.rglob("*") if p.is_file())
    obey(commands[0])
    assert sum(1 for p in root.rglob("*") if p.is_file()) == before
    assert not misplaced(ask("doctor", "aspset")[1])


def test_files_scattered_by_hundreds_are_one_line_each_and_one_command(home, ask):
    root = home / "aspset"
    files = {}
    for path, content in ASPSET.items():
        parts = path.split("/")
        files["/".join(["x", *parts]) if "boxes" in path else "/".join(["y", *parts])] = content
    files["splits.csv"] = files.pop("y/splits.csv")
    write(root, files)
    _, said, commands = ask("doctor", "aspset")
    assert re.findall(r"(\w+)/: (\d+) files, which belong", said) == [("x", "240"), ("y", "86")]
    mends = [c for c in commands if "--mend" in c]
    assert mends == ["posepile doctor aspset --mend"]
    assert ask("doctor", "aspset", "--mend")[0] == 1  # others are missing still
    assert {p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()} == set(ASPSET)
    moved = json.loads((home / "aspset_work/moved.json").read_text())
    assert len(moved["moves"]) == 326


def test_nothing_is_overwritten(home, ask, capsys):
    root = home / "aspset"
    write(root, ASPSET)
    write(root, {"old/splits.csv": b"other", "x/trainval/cameras/c/c-left.json": b"{}"})
    _, said, _ = ask("doctor", "aspset", "--mend")
    assert (root / "splits.csv").read_bytes() == ASPSET["splits.csv"]
    assert (root / "old/splits.csv").read_bytes() == b"other" and "a second splits.csv" in said
    assert (root / "trainval/cameras/c/c-left.json").exists() and not (root / "x").exists()


@pytest.mark.parametrize("name", ["bml_movi", "aspset"])
def test_the_whole_raw_folder_under_another_name(home, ask, raw_miniature, name):
    there = real(raw_miniature, name, home, f"My {name} download")
    code, said, commands = ask("doctor", name)
    assert code == 1 and f"{there}: holds what belongs at {home / name}" in said
    assert commands[0] == f"mv -n '{there}' {home / name}"
    obey(commands[0])
    assert "holds what belongs" not in ask("doctor", name)[1] and (home / name).is_dir()


@pytest.mark.parametrize("name", ["aspset", "spec"])
def test_data_elsewhere(home, ask, raw_miniature, tmp_path, name):
    shared = tmp_path / "another disk" / "sets"
    there = real(raw_miniature, name, shared, "its own name")
    assert "holds what" not in ask("doctor", name)[1]
    code, said, commands = ask("doctor", name, "--look-in", str(shared))
    assert code == 1 and f"{there}: holds what belongs" in said
    assert commands[0] == f"ln -s '{there}' {home / name}"
    obey(commands[0])
    assert (home / name).resolve() == there
    (home / name).unlink()
    write(home / name, {"junk.txt": b""})
    _, _, commands = ask("doctor", name, "--look-in", str(shared))
    assert f"posepile run {name} --set 'dataset.root={there}'" in commands


def test_archives_elsewhere(home, ask, tmp_path, monkeypatch):
    downloads = tmp_path / "Down loads"
    write(downloads, {"spec-syn.zip": zip_bytes({"spec-syn/annotations/train.npz": b"1"})})
    monkeypatch.chdir(tmp_path)
    _, said, commands = ask("doctor", "spec", "--look-in", "Down loads")
    assert "spec-syn.zip: belongs at" in said
    obey(commands[0])
    assert (home / "spec/archives/spec-syn.zip").is_file()
    assert (downloads / "spec-syn.zip").is_file()


def test_another_layout_on_a_disk_that_cannot_be_written(home, ask, tmp_path):
    share = tmp_path / "share"
    write(
        share,
        {path.replace("trainval/joints_3d", "joints/joints_3d"): c for path, c in ASPSET.items()},
    )
    before = sorted(share.rglob("*"))
    _, said, _ = ask("doctor", "aspset", "--link-from", str(share))
    root = home / "aspset"
    found = {p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()}
    assert set(ASPSET) <= {p.removeprefix("data/") for p in found}, said
    assert all(p.is_symlink() for p in root.rglob("*") if p.is_file())
    assert sorted(share.rglob("*")) == before


# ---------------------------------------------------------------- damaged


@pytest.mark.parametrize(
    ("name", "file", "make", "command"),
    [
        (
            "aspset",
            "archives/aspset510_v1_trainval-boxes.tar.gz",
            gzipped_tar,
            "mv -n {0} {0}.part && posepile step aspset download --parts trainval-boxes",
        ),
        (
            "spec",
            "archives/spec-syn.zip",
            lambda: zip_bytes({"a": os.urandom(9000)}),
            "mv -n {0} {0}.damaged && posepile plan spec",
        ),
        (
            "genebody",
            "archives/GeneBody-Train40/ahha.tar.gz",
            gzipped_tar,
            "mv -n {0} {0}.damaged && posepile plan genebody",
        ),
        (
            "genebody",
            "archives/GeneBody-Train40/ahha.tar",
            lambda: tar_bytes({"a": os.urandom(9000)}),
            "mv -n {0} {0}.damaged && posepile plan genebody",
        ),
    ],
)
def test_a_truncated_archive(home, ask, name, file, make, command):
    data = make()
    write(home / name, {file: data})
    assert "  truncated: " not in ask("doctor", name)[1]
    write(home / name, {file: data[: len(data) // 2 + 1]})
    code, said, commands = ask("doctor", name)
    assert code == 1 and "truncated: 1" in said and "cut off" in said
    planned = ask("plan", name)[1]
    assert f"{file}: cut off" in planned and f"    posepile doctor {name}\n" in planned
    assert command.format(home / name / file) in commands


def test_a_damaged_file_that_comes_again(home, ask):
    root = home / "aspset"
    clips = [f"data/trainval/videos/a/a-000{i}-left.mkv" for i in (1, 2)]
    write(root, {clips[0]: b"no video"})
    _, said, commands = ask("doctor", "aspset")
    assert "truncated: 1" in said
    then = "posepile step aspset download --parts trainval-videos"
    assert f"posepile doctor aspset --mend ; {then}" in commands
    write(root, {"archives/aspset510_v1_trainval-videos.tar.gz": gzipped_tar()})
    _, _, commands = ask("doctor", "aspset")
    assert f"mv -n {root / clips[0]} {root / clips[0]}.damaged && {then}" in commands
    (root / "archives/aspset510_v1_trainval-videos.tar.gz").unlink()
    write(root, {clips[1]: b"no video"})
    _, _, commands = ask("doctor", "aspset")
    assert f"posepile doctor aspset --mend ; {then}" in commands
    ask("doctor", "aspset", "--mend")
    assert all((root / f"{clip}.damaged").exists() for clip in clips)


# ---------------------------------------------------------------- another version


@pytest.mark.parametrize("name", ["genebody"])
def test_the_right_version_is_not_blamed(ask, raw_miniature, home, name):
    shutil.copytree(raw_miniature(name), home / name)
    assert "wrong version" not in ask("doctor", name)[1]


def test_a_wrong_version_of_genebody(ask, raw_miniature, home):
    root = home / "genebody"
    shutil.copytree(raw_miniature("genebody"), root)
    folder = root / TRAIN / "zhuna2"
    file = folder / "annots.npy"
    cams = np.load(file, allow_pickle=True).item()["cams"]  # written by our own miniature
    columns = {key: [cam[key] for cam in cams.values()] for key in ("K", "c2w", "D")}
    columns = {key: values[:-1] for key, values in columns.items()}  # which is which is unknown
    np.save(file, np.array({"cams": columns}, dtype=object))
    for parameters in (folder / "param").glob("*.npy"):
        np.save(parameters, np.array({}, dtype=object))  # as well, and one folder still
    (home / "genebody_other_version" / TRAIN / "zhuna2").mkdir(parents=True)
    code, said, commands = ask("doctor", "genebody")
    assert code == 1 and said.count(f"{folder} is of a wrong version of genebody") == 1
    assert "posepile step genebody download" not in commands  # all of it is by hand
    (command,) = (c for c in commands if "zhuna2" in c)
    assert command.endswith("posepile plan genebody")
    n = sum(1 for p in folder.rglob("*"))
    obey(command)
    aside = home / "genebody_other_version-2" / TRAIN / "zhuna2"
    assert not folder.exists() and sum(1 for p in aside.rglob("*")) == n
    shutil.rmtree(root)
    _, said, commands = ask("doctor", "genebody")
    assert "holds what belongs" not in said and not any("download" in c for c in commands)


# ---------------------------------------------------------------- too small a disk


def test_a_disk_that_is_too_small(home, ask, monkeypatch):
    monkeypatch.setattr(estimates, "roomy_disks", lambda need, root: [])
    room = 3 * 10**8
    for module in (space, estimates):
        monkeypatch.setattr(module, "free_bytes", lambda path: room)
    code, said, commands = ask("plan", "aspset")
    assert code == 1 and "too small: 46.8 GB are needed, 300.0 MB are free" in said
    assert commands == [] and "name a folder on another disk" in said
    code, said, _ = ask("plan", "aspset", "--json")
    found = json.loads(said)
    assert code == 1 and not found["ok"] and not found["room"]["enough"]
    assert len(found["mends"]) == 1 and "command" not in found["mends"][0]
    code, said, _ = ask("plan", "egoexo4d")
    assert code == 1 and said.count("in all:") == 1 and "too small" in said
    monkeypatch.setattr(
        "posepile.run.raw_state.roomy_disks", lambda need, root: [Path("/big disk")]
    )
    _, _, commands = ask("plan", "aspset")
    assert commands == ["posepile run aspset --set 'dataset.root=/big disk/aspset'"]


def test_time_and_room_are_of_one_sum(home, ask):
    code, said, _ = ask("plan", "egoexo4d", "--rate", "100MB")
    (total,) = re.findall(r"([\d.]+ TB) to get", said)
    assert code == 0 and f"({total} of it by the dataset's own program)" in said
    assert f"{total} at the peak" in said and "at 100.0 MB a second" in said
    with pytest.raises(SystemExit):
        cli._main(["plan", "egoexo4d", "--rate", "fast"])


def test_json_of_the_doctor(home, ask):
    write(home / "aspset", {"ASPset 510/" + path: content for path, content in ASPSET.items()})
    code, said, _ = ask("doctor", "aspset", "--json")
    found = json.loads(said)
    assert code == 1 and found["ok"] is False and len(found["misplaced"]) == len(ASPSET)
    assert [m["from"] for m in found["moves"]] == ["ASPset 510"]
    assert found["mends"][0]["command"].startswith("mv -n ")
