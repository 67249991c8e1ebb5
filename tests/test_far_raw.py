"""A dataset made of raw files in an object store: a local S3 server over HTTP, see s3_kit."""

import os

import pytest
import s3_kit
from usage_kit import posepile

from posepile.errors import WorkError
from posepile.remote import contents, stand_ins, stores
from posepile.run.backends import Shared
from posepile.run.executor import run_tasks

pytest.importorskip("s3fs")
if s3_kit.moto_program() is None:
    pytest.skip("no moto_server, see s3_kit", allow_module_level=True)

ADDRESS = "s3://bucket/raw/aspset"


@pytest.fixture(scope="module")
def store(miniature):
    near = miniature("aspset")
    with s3_kit.store_in_environment() as store:
        store.system.put(str(near / "aspset"), "bucket/raw/aspset", recursive=True)
        yield store


def files_of(root):
    return {p.name: p.read_bytes() for p in root.glob("aspset.barecat*")}


def blocks(folder):
    return sum(p.stat().st_blocks for p in folder.rglob("*") if p.is_file())


def make(*steps):
    """Runs the steps of main.sh in this process, each as a new one would."""
    options = ("--set", f"dataset.root={ADDRESS}", "--jobs", "2")
    for step in steps:
        stand_ins._listed.clear()
        said = posepile("step", "aspset", *step.split(), *options)
        if said.code:
            return said
    return said


def test_the_same_archive(miniature, store, tmp_path, monkeypatch):
    near = miniature("aspset")
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    said = make("download")
    assert said.code == 2 and f"{ADDRESS} holds the miniature: give --miniature" in said.err
    raw = sum(p.stat().st_size for p in (near / "aspset").rglob("*") if p.is_file())
    before = store.relay.n_bytes
    said = make("download --miniature", "calibrate", "process", "pack")
    assert said.code == 0, said.err
    assert files_of(tmp_path) == files_of(near)
    folder = stand_ins.folder_for(ADDRESS)
    assert store.relay.n_bytes - before < 1.2 * raw + 60_000, "something was fetched twice"
    assert blocks(folder) == 0, "something was not let go"

    before = store.relay.n_bytes
    assert make("process", "pack").code == 0
    assert store.relay.n_bytes - before < 60_000, "what is current was fetched"

    name = next(n for n in store.system.find("bucket/raw/aspset") if n.endswith("left.mkv"))
    data = store.system.cat_file(name)
    store.system.pipe_file(name, data[:1000])
    said = make("process")
    assert said.code == 1 and f"s3://{name}" in said.out + said.err
    assert str(folder) not in said.out + said.err
    store.system.pipe_file(name, data)


def test_a_dask_cluster_whose_workers_have_keys_of_their_own(
    miniature, store, tmp_path, monkeypatch
):
    pytest.importorskip("distributed")
    from cluster_kit import Cluster

    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    stand_ins._listed.clear()
    store.relay.users.clear()
    with Cluster() as cluster:
        for _ in range(2):
            cluster.add_worker(AWS_ACCESS_KEY_ID="worker", AWS_SECRET_ACCESS_KEY="its own")
        far = ("--set", f"dataset.root={ADDRESS}")
        said = posepile("step", "aspset", "calibrate", *far)
        assert said.code == 0, said.err
        store.relay.users.clear()
        where = ("--backend", "dask", "--scheduler", cluster.address)
        said = posepile("step", "aspset", "process", *far, *where)
        assert said.code == 0, said.err
        assert store.relay.users == {"nobody", "worker"}  # who lists, who fetches
    assert posepile("step", "aspset", "pack", *far).code == 0
    assert files_of(tmp_path) == files_of(miniature("aspset"))
    assert not any(b"its own" in p.read_bytes() for p in tmp_path.rglob("*") if is_ours(p))


def is_ours(path):
    """Whether it is a file that the run has made, no raw one."""
    return path.is_file() and stand_ins.folder_for(ADDRESS) not in path.parents


def test_the_network_goes_amid_a_unit(store, tmp_path, monkeypatch):
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    listed = posepile("step", "aspset", "process", "--set", f"dataset.root={ADDRESS}", "--dry-run")
    assert listed.code == 0, listed.err
    isolate = "run.isolate=false"
    monkeypatch.setattr(stores, "WAITS", ())
    monkeypatch.setattr("s3fs.S3FileSystem.retries", 1)
    monkeypatch.setattr(store.relay, "left", 30_000)
    said = posepile(
        "step", "aspset", "process", "--set", f"dataset.root={ADDRESS}", "--set", isolate
    )
    assert said.code == 1 and "cannot be read after 1 attempts" in said.err
    assert "Traceback" not in said.err
    assert not (tmp_path / "aspset_work" / "quarantine").exists()
    monkeypatch.setattr(store.relay, "left", None)


def put(store, name, data=b""):
    store.system.call_s3("put_object", Bucket="bucket", Key=name, Body=data)


def test_folders_that_a_console_has_made(store, tmp_path, monkeypatch):
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    for name in ("raw/x/", "raw/x/in/", "raw/x/in/deep/", "raw/x/nothing/"):
        put(store, name)
    for name in ("raw/x/a", "raw/x/in/deep/b"):
        put(store, name, b"content")
    folder = stand_ins.make("s3://bucket/raw/x")
    names = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    assert names == {"a", "in/deep/b"}


def test_shorter_than_it_was_listed(store, tmp_path, monkeypatch):
    """The bytes asked for are beyond the end: no fault of the network, and not tried again."""
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    monkeypatch.setattr(stores, "WAITS", ())
    monkeypatch.setattr(stores, "PIECE", 100)
    address, new = "s3://bucket/raw/y", {"a": b"x" * 99, "b": b"x" * 100, "c": b""}
    for name in new:
        put(store, f"raw/y/{name}", b"y" * 1000)
    folder = stand_ins.make(address)
    for name, data in new.items():
        put(store, f"raw/y/{name}", data)
    contents.hold(address, list(new))
    assert {name: (folder / name).read_bytes() for name in new} == new
    contents.let_go_all(address)
    with pytest.raises(WorkError, match="truncated or another one"):
        stores.read_range(f"{address}/c", 5, 5)


def test_only_these_workers_get_keys(tmp_path, monkeypatch):
    monkeypatch.setenv("MY_TOKEN", "secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    for keys, found in (((), set()), (stores.keys_of(ADDRESS), {"AWS_SECRET_ACCESS_KEY"})):
        shared = Shared(tmp_path, keys=keys)
        names = ["MY_TOKEN", "AWS_SECRET_ACCESS_KEY"]
        got = {name for name, there in run_tasks(os.getenv, names, shared=shared) if there}
        assert got == found


def test_what_only_a_disk_can_give(store, tmp_path, monkeypatch):
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    said = posepile("doctor", "aspset", "--set", f"dataset.root={ADDRESS}")
    assert said.code == 2 and ADDRESS in said.err
    said = posepile("status", "aspset", "--set", "dataset.root=s3://nobody/raw")
    assert said.code == 1 and "s3://nobody/raw" in said.err and "Traceback" not in said.err
