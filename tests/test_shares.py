"""Shares of an array of jobs: in any order, one twice at once, one killed and submitted again."""

import os
import shutil
import signal

import lost_units_kit
import pytest

from posepile.errors import WorkError
from posepile.run import pack, process

fates = lost_units_kit.fates  # the fixture


@pytest.fixture
def run(fates, tmp_path):
    """A run of a dataset of 16 good units."""
    (tmp_path / "data" / "fates" / "names").write_text(" ".join(f"good{i}" for i in range(16)))
    return lambda **asked: fates("run.isolate=false", **asked)


class Job:
    """A share that is worked on by a process of its own."""

    def __init__(self, run, shard, each=lambda outcome: None):
        ours, theirs = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            said = b"done"
            try:
                process.process(run(shard=shard), ("crop",), each=each)
            except WorkError as e:
                said = str(e).encode()
            finally:
                os.write(theirs, said)
                os._exit(0)
        os.close(theirs)
        self.pipe = ours

    def end(self):
        """What it said, or the signal that has ended it."""
        _, status = os.waitpid(self.pid, 0)
        with os.fdopen(self.pipe, "rb") as f:
            said = f.read().decode()
        return said or f"signal {status}"


def packed(run):
    """Packs; returns the bytes of all files of the archive, and begins anew."""
    pack.pack(run())
    files = sorted(run().archive.parent.glob("fates.barecat*"))
    found = {file.name: file.read_bytes() for file in files}
    for file in files:
        file.unlink()
    shutil.rmtree(run().work)
    return found


def test_an_array_leaves_the_same_bytes_as_one_process(run):
    process.process(run(), ("crop",))
    expected = packed(run)

    assert Job(run, (2, 4)).end() == "done"

    # One is submitted twice: the second says so while the first is at work.
    begun, go = os.pipe(), os.pipe()

    def wait(outcome):
        os.write(begun[1], b"x")
        os.read(go[0], 1)

    first = Job(run, (1, 4), each=wait)
    os.read(begun[0], 1)
    assert "another run of fates is active on these units" in Job(run, (1, 4)).end()
    assert Job(run, (3, 4)).end() == "done"  # other shares are not kept back
    os.write(go[1], b"xxxx")
    assert first.end() == "done"
    assert Job(run, (1, 4)).end() == "done"

    # One is killed right before it gives a finished part its name.
    def kill_later(outcome):
        def replace(*args, **kwargs):
            os.kill(os.getpid(), signal.SIGKILL)

        os.replace = os.rename = os.link = replace

    assert Job(run, (0, 4), each=kill_later).end() == "signal 9"
    with pytest.raises(WorkError, match="3 of 16 units"):
        pack.pack(run())
    assert Job(run, (0, 4)).end() == "done"
    assert packed(run) == expected
