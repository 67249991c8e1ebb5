"""Stores of raw files that do not answer, tried with fsspec's local files as the store."""

import contextlib
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from posepile.errors import WorkError
from posepile.formats.derived import work_folder
from posepile.remote import contents, stand_ins, stores
from posepile.remote.on_demand import fetching
from posepile.run.job import make_run

pytest.importorskip("fsspec")


@pytest.fixture
def far(tmp_path, monkeypatch):
    monkeypatch.setenv("DATA_ROOT", str(tmp_path / "data"))
    folder = tmp_path / "far"
    folder.mkdir()
    (folder / "list.csv").write_bytes(b"a,b\n")
    yield folder
    contents.let_go_all(f"file://{folder}")
    stand_ins._listed.clear()


@pytest.mark.parametrize("how", ["before the unit", "when it is opened"])
def test_a_silent_store_is_no_stall(far, monkeypatch, how):
    """The process says that it is alive while the library waits; it need not end by itself."""
    address, ticks = f"file://{far}", []
    folder = stand_ins.make(address)
    told, read = threading.Event(), stores.read_range

    def silent(*asked):
        assert told.wait(60)
        return read(*asked)

    def alive():
        ticks.append(1)
        if len(ticks) == 3:
            told.set()

    def use():
        if how == "before the unit":
            contents.hold(address, ["list.csv"], alive)
        with fetching(address, alive):
            assert (folder / "list.csv").read_bytes() == b"a,b\n"

    monkeypatch.setattr(stores, "read_range", silent)
    monkeypatch.setattr(contents, "_TICK_SECONDS", 0.01)
    use()
    contents.let_go_all(address)
    told.clear()
    try:
        with pytest.raises(WorkError, match="has been silent for 0 minutes.*run again"):
            patient = contents.patiently
            monkeypatch.setattr(contents, "patiently", lambda *args: patient(*args, most=0.02))
            ticks += [1] * 3
            use()
    finally:
        told.set()


def test_one_of_many_fails(monkeypatch):
    """The others that have begun are waited for, no further one begins."""
    done, waits, ticks = [], threading.Event(), []

    def one(number):
        if number == 1:
            raise WorkError("no")
        assert waits.wait(60)
        done.append(number)

    def alive():
        ticks.append(1)
        if len(ticks) == 3:
            waits.set()

    monkeypatch.setattr(contents, "_TICK_SECONDS", 0.01)
    with pytest.raises(WorkError, match="no"):
        contents.patiently("s3://x", one, range(100), alive, [0])
    assert 7 <= len(done) < 20 and len(ticks) >= 3


def test_what_is_derived_lies_where_it_would_for_a_folder(far, tmp_path):
    run = make_run("aspset", (f"dataset.root=file://{far}",))
    assert run.root == stand_ins.folder_for(f"file://{far}")
    assert work_folder(run.root) == run.work == tmp_path / "data" / "aspset_work"
    assert work_folder(Path("/raw/x")) == Path("/raw/x_work")


def test_another_share_believes_a_list_of_ten_minutes(far, monkeypatch):
    address = f"file://{far}"
    stand_ins.make(address)
    now = stand_ins.listed_at(address)
    monkeypatch.setattr(stores, "look_below", None)
    for then, believed in ((now + 500, True), (now + 700, False), (now - 700, False)):
        clock = SimpleNamespace(time=lambda then=then: then)
        monkeypatch.setattr(stand_ins, "time", clock)
        stand_ins._listed.clear()
        with contextlib.nullcontext() if believed else pytest.raises(TypeError):
            stand_ins.make(address, share=True)
