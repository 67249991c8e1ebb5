"""A power cut at any moment: what was not synced is lost, and the next run ends the same."""

import contextlib
import io
import json
import os
import random
import shutil
import threading
import zipfile
from pathlib import Path

import fake_dataset
import pytest
from fake_dataset import a_run, packed_bytes, process_and_pack
from web_kit import Case

from posepile import durable
from posepile.acquire.lockfile import read_lock
from posepile.checking.power_cuts import Disk, before_changes
from posepile.files import replacing, write_atomically
from posepile.formats.derived import derived_folder
from posepile.run import commands, process
from posepile.store import verifying
from posepile.store.parts import damage_of_part

fake = fake_dataset.fake  # the fixture: a tiny dataset called "fake"


@pytest.fixture(autouse=True)
def _no_waiting(no_fsync, monkeypatch):
    """What the model knows to be on the disk need not be."""
    monkeypatch.setattr(durable, "syncfs", lambda fd: None)


@pytest.mark.parametrize("count", [10, durable.MOST_BY_NAME + 1])
def test_files_on_several_disks_are_all_waited_for(tmp_path, monkeypatch, count):
    """A part of the raw folder may live on another disk by way of a link."""
    synced, real = set(), Path.stat

    def device(path):
        return {"here": 1, "there": 2}[path.parent.name]

    class Status:
        def __init__(self, path):
            self.st_dev = device(path)

    def opened(fd):
        return Path(os.readlink(f"/proc/self/fd/{fd}"))

    paths = [tmp_path / ("there" if i % 3 == 2 else "here") / str(i) for i in range(count)]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    monkeypatch.setattr(os, "fsync", lambda fd: synced.add(opened(fd)))
    monkeypatch.setattr(
        durable,
        "syncfs",
        lambda fd: synced.update(p for p in paths if device(p) == device(opened(fd))),
    )
    with monkeypatch.context() as patch:
        patch.setattr(Path, "stat", lambda p, **k: Status(p) if p in paths else real(p, **k))
        durable.sync_all(paths)
    assert synced == set(paths)


def cuts(root, folder, work, seeds=("",), every=1):
    """Does some work and makes what might be left after a power cut before each of its changes.

    Args:
        root: What is on the disk.
        folder: For the states.
        work: What is done in it; is given a function that stands for one more change.
        seeds: So many states are made before each change, and at the end.
        every: Before so many changes, once.

    Returns:
        The states; those at the end are called so.
    """
    disk, states, busy, n = Disk(root), [], [], [0]

    def change(place=None):
        if busy:
            return
        busy.append(True)
        n[0] += 1
        wanted = place is not None or n[0] % every == 0
        place = f"{n[0]:04d}" if place is None else place
        for seed in seeds if wanted else ():
            states.append(folder / f"{place}{seed}")
            disk.cut(states[-1], random.Random(states[-1].name))
        busy.pop()

    try:
        with disk.watching():
            with before_changes(change):
                work(change)
            change("end")
    finally:
        disk.close()
    return states


def replace(root, state):
    shutil.rmtree(root)
    shutil.copytree(state, root)


@pytest.mark.parametrize("state", ["new", "packed with other parameters"])
def test_packing_goes_on_after_a_power_cut(fake, tmp_path, state):
    if state != "new":
        process_and_pack(fake, "dataset.stride=2")
    shutil.copytree(fake, tmp_path / "before")
    process_and_pack(fake)
    whole = packed_bytes(fake)
    replace(fake, tmp_path / "before")
    states = cuts(fake, tmp_path / "cut", lambda change: process_and_pack(fake), every=4)
    assert len(states) > 15
    for found in states:
        replace(fake, found)
        process_and_pack(fake)
        assert packed_bytes(fake) == whole, found.name
        assert verifying.verify(fake / "fake.barecat") == []


@pytest.mark.parametrize("most", [durable.MOST_BY_NAME, 5])
def test_what_a_run_has_said_is_done_outlives_a_power_cut(fake, tmp_path, monkeypatch, most):
    monkeypatch.setattr(durable, "MOST_BY_NAME", most)  # of more, the whole disk is waited for
    monkeypatch.setattr(process, "MOST_BY_NAME", most)
    states = cuts(
        fake,
        tmp_path / "cut",
        lambda change: commands.process(a_run(fake), ("crop",)),
        seeds=range(20),
        every=10**6,  # at the end alone
    )
    made = {path.relative_to(fake) for path in fake.rglob("*.part")}
    assert len(made) == 3
    for state in states:
        assert [damage_of_part(state / path) for path in made] == [None] * 3, state.name


# ---------------------------------------------------------------- single files and folders

OLD = {f"{i}.txt": b"old" * 99 for i in range(3)}
NEW = {f"{i}.txt": b"new!" * 99 for i in range(4)}


def a_file(root, content):
    write_atomically(root / "new" / "whole", b"".join(content.values()))


def a_folder(root, content):
    with replacing(root / "whole") as new:
        fill(new, content)


def a_derived_folder(root, content):
    (root / "source.json").write_bytes(b"[]")
    derived_folder([root / "source.json"], root, lambda new: fill(new, content))


def fill(folder, content):
    for name, data in content.items():
        (folder / name).write_bytes(data)


def found(root, writer):
    """Content of what a writer has made, by file; None if it is not there."""
    if writer is a_file:
        path = root / "new" / "whole"
        return {"": path.read_bytes()} if path.exists() else None
    folders = [root / "whole"] if writer is a_folder else root.glob("[0-9a-f]*-v1")
    for folder in filter(Path.is_dir, folders):
        return {p.name: p.read_bytes() for p in folder.iterdir()}
    return None


@pytest.mark.parametrize("writer", [a_file, a_folder, a_derived_folder])
@pytest.mark.parametrize("before", [None, OLD])
def test_what_has_its_name_is_whole(tmp_path, writer, before):
    root = tmp_path / "root"
    root.mkdir()
    if before is not None and writer is not a_derived_folder:
        writer(root, before)
    was = found(root, writer)
    states = cuts(root, tmp_path / "cut", lambda change: writer(root, NEW), "abcdefgh")
    new = found(root, writer)
    assert sum(map(len, new.values())) == sum(map(len, NEW.values()))
    seen = [found(state, writer) for state in states]
    for state, content in zip(states, seen, strict=True):
        # What is derived is derived again where its name is lost.
        ended = state.name.startswith("end") and writer is not a_derived_folder
        assert content in ([new] if ended else [new, was, None]), state
    assert was in seen and new in seen


def test_the_model_loses_what_is_not_synced(tmp_path):
    root = tmp_path / "root"
    root.mkdir()

    def careless(change):
        (root / ".x.tmp").write_bytes(b"new" * 99)
        os.replace(root / ".x.tmp", root / "x")

    states = cuts(root, tmp_path / "cut", careless, range(50))[-50:]
    contents = {(s / "x").read_bytes() if (s / "x").exists() else None for s in states}
    assert {None, b"", bytes(297), b"new" * 99} < contents


# ---------------------------------------------------------------- downloads


def zipped(content):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as z:
        for name, text in content.items():
            z.writestr(name, text)
    return data.getvalue()


@pytest.fixture
def sources(server, no_accounts, tmp_path):
    """Two sources, and the content of the files that they become."""
    rng = random.Random(0)
    members = {f"d{i % 2}/{i}.txt": rng.randbytes(3000) for i in range(4)}
    video = rng.randbytes(700_000)  # of which no checksum is known
    server.files |= {"/a.zip": zipped(members), "/v.bin": video}

    def case(keep=True):
        extract = {"to": "inside", "keep": keep}
        return Case(
            tmp_path / "disk",
            {"name": "a", "url": f"{server.url}/a.zip", "to": "a.zip", "extract": extract},
            {"name": "v", "url": f"{server.url}/v.bin", "to": "v.bin"},
        )

    (tmp_path / "disk").mkdir()
    return case, {f"inside/{name}": text for name, text in members.items()} | {"v.bin": video}


@pytest.mark.parametrize("keep", [True, False])
def test_downloads_go_on_after_a_power_cut(server, sources, tmp_path, monkeypatch, keep):
    make, expected = sources
    case, disk = make(keep), tmp_path / "disk"

    def download(change):
        server.before_end = lambda path: change()
        case.run()

    states = cuts(disk, tmp_path / "cut", download, every=3)
    server.before_end = None
    assert len(states) > 12
    boot = tmp_path / "boot"
    monkeypatch.setattr(durable, "BOOT_ID", boot)
    for state in states:
        boot.write_text(state.name)  # the machine was started again
        replace(disk, state)
        case.run()
        for name, data in expected.items():
            assert (case.root / name).exists(), (state.name, name, case.text)
            assert (case.root / name).read_bytes() == data, (state.name, name)
        assert set(case.actions()) == {"have"}


def recorded(root):
    """What is below a raw folder: of records all but the times, of other files the name."""
    lock = read_lock(root)
    facts = {n: {k: v for k, v in f.items() if k != "mtime_ns"} for n, f in lock.items()}
    names = (p.relative_to(root).as_posix() for p in root.rglob("*"))
    # A note of who held the lock stays until somebody takes the lock again.
    return facts, sorted(name for name in names if ".lock.system" not in name)


def copy_moment(folder, copy):
    """Copies a folder as it is at one moment, though another thread may be amid a change."""
    while True:
        with contextlib.suppress(shutil.Error, OSError):
            shutil.copytree(folder, copy)
            if contents(folder) == contents(copy):  # so it was like this in between
                return
        shutil.rmtree(copy, ignore_errors=True)


def contents(folder):
    """Content of each file below a folder, None for folders."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def test_downloads_killed_before_any_change_leave_what_others_leave(sources, tmp_path):
    """Of a killed process, all that it has done is there: no rule decides, so one state each."""
    make, _ = sources
    case, disk, states = make(), tmp_path / "disk", []
    shutil.copytree(disk, tmp_path / "before")
    copying, is_copying = threading.RLock(), False

    def change():
        nonlocal is_copying
        with copying:  # another thread waits before its next change
            if not is_copying:
                is_copying = True
                states.append(tmp_path / f"killed-{len(states)}")
                copy_moment(disk, states[-1])
                is_copying = False

    with before_changes(change):
        case.run()
    expected = recorded(case.root)
    assert {f["from"].rpartition("/")[2] for f in expected[0].values()} == {"a.zip", "v.bin"}
    for state in states[::3]:
        replace(disk, state)
        case.run()
        assert recorded(case.root) == expected, state.name


def test_what_was_fetched_before_the_machine_started_again_is_not_trusted(
    server, sources, tmp_path, monkeypatch
):
    make, expected = sources
    case = make()
    case.root.mkdir()
    part, notes = case.root / "v.bin.part", case.root / "v.bin.part.json"
    for boot, synced in (("another", 1000), (durable.boot_id(), 0)):
        data = expected["v.bin"]
        part.write_bytes(data[:1000] + (bytes(9000) if boot == "another" else data[1000:10000]))
        known = {"url": f"{server.url}/v.bin", "etag": server.etag, "total": len(data)}
        notes.write_text(json.dumps(known | {"boot": boot, "synced": synced}))
        case.run()
        assert (case.root / "v.bin").read_bytes() == data
        asked = [h.get("Range") for path, h, _ in server.requests if path == "/v.bin"]
        assert asked[-1] == f"bytes={1000 if boot == 'another' else 10000}-"
        (case.root / "v.bin").unlink()


def test_a_machine_that_was_started_again_is_known_by_its_number(tmp_path, monkeypatch):
    monkeypatch.setattr(durable, "BOOT_ID", tmp_path / "boot")
    (tmp_path / "boot").write_text("one\n")
    first = durable.boot_id()
    (tmp_path / "boot").write_text("another\n")
    assert [first, durable.boot_id()] == ["one", "another"]
