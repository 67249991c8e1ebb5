"""Opening a table of a million examples takes little memory, whatever their number."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from conftest import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))
N_EXAMPLES, PART = 1_000_000, 20_000

CHILD = """
import json, re, sys
import deltacamera
from posepile import datasets3d
from posepile.store import packing

def peak():  # of this program; getrusage also counts the process that it was started from
    return int(re.search(r"VmHWM:\\s*(\\d+)", open("/proc/self/status").read())[1]) / 1024

imported = peak()
examples = datasets3d.get_dataset("bench.barecat").examples[0]
n = len(examples)
example = examples[int(sys.argv[1])].load(load_image=False)
opened = peak()
examples.shuffle(0)
print(json.dumps({"n": n, "path": example.image_path, "joints": example.world_coords.shape,
                  "imported": imported, "opened": opened, "shuffled": peak()}))
"""


@pytest.fixture(scope="module")
def million(tmp_path_factory):
    """DATA_ROOT with an archive of a million examples; its images are one part's, linked."""
    synthetic = pytest.importorskip("synthetic")
    from posepile.store import packing

    root = tmp_path_factory.mktemp("million")
    if shutil.disk_usage(root).free < 3 << 30:
        pytest.skip("needs 3 GB of disk")
    parts = synthetic.make_parts(root / "parts", N_EXAMPLES, PART)
    packing.pack(parts, root / "bench.barecat", synthetic.SPEC, {})
    shutil.rmtree(root / "parts")
    yield root
    for file in root.glob("bench.barecat*"):
        file.unlink()


@pytest.mark.parametrize("row", [0, N_EXAMPLES - 1])
def test_opening_a_million_examples_takes_little_memory(million, row):
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(row)],
        env=os.environ | {"DATA_ROOT": str(million), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    assert found["n"] == N_EXAMPLES
    expected = f"seq{row // PART:05d}/{row % PART:06d}.jpg"
    assert found["path"] == f"bench_downscaled/{expected}"
    assert found["joints"] == [17, 3]
    assert found["opened"] < 200, found
    # Beyond what the libraries take: not even a byte per example to open, some to shuffle.
    assert found["opened"] - found["imported"] < 16, found
    assert found["shuffled"] - found["imported"] < 48, found
