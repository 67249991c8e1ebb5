"""A power cut at any moment: what was not synced is lost, and the next run ends the same."""

import random
import shutil

import fake_dataset
import pytest
from fake_dataset import packed_bytes, process_and_pack

from posepile.checking.power_cuts import Disk, before_changes
from posepile.store import verifying

fake = fake_dataset.fake  # the fixture: a tiny dataset called "fake"


def cuts(root, folder, work):
    """Does some work and makes what might be left after a power cut before each of its changes.

    Args:
        root: What is on the disk.
        folder: For the states.
        work: What is done in it.

    Returns:
        The states.
    """
    disk, states, busy = Disk(root), [], []

    def change():
        if not busy:
            busy.append(True)
            states.append(folder / f"{len(states):03d}")
            disk.cut(states[-1], random.Random(states[-1].name))
            busy.pop()

    try:
        with disk.watching(), before_changes(change):
            work()
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
    states = cuts(fake, tmp_path / "cut", lambda: process_and_pack(fake))
    assert len(states) > 40
    for found in states:
        replace(fake, found)
        process_and_pack(fake)
        assert packed_bytes(fake) == whole, found.name
        assert verifying.verify(fake / "fake.barecat") == []
