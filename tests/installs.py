"""Installs the built wheel as people do, for every Python that is named, and uses it.

``python tests/installs.py [--extra NAME ... | --each] [--uvx] PYTHON ...``: in an empty folder
and a new environment each: pip installs the wheel with the extras, ``posepile`` says its version,
makes a miniature, draws it and checks it, and each extra does what it is for. ``--each`` makes an
environment without extras and one for each extra. Reaches a package index, so it is no test of
``make test``; ``make installs`` runs it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# What somebody does first; with extras on the cheapest dataset.
FIRST = ("--version", "list")
USE = "run {0} --miniature --quiet", "verify {0}", "report {0}", "view {0} --png view.png"
# A batch of the loader; and FiftyOne's samples, as the dataset itself needs a database, which the
# library fetches from elsewhere when it is installed.
BATCH = """
from posepile.augmentation import Augmentation, AugmentationParams
from posepile.datasets2d import TRAIN, get_dataset
from posepile.torch import CropDataset, CropLoader

ds = get_dataset("coco")
plain = {"occlusion": 0, "background": 0, "border": 0}
augment = Augmentation.of(ds, AugmentationParams(side=64, **plain))
for batch in CropLoader(CropDataset(ds.examples[TRAIN], augment), batch_size=2, num_workers=1):
    assert batch["image"].shape == (2, 64, 64, 3)
    break
"""
SAMPLES = """
import os
from pathlib import Path
from posepile.store.opening import open_dataset
from posepile.viewer.chosen import that_meet
from posepile.viewer.fiftyone_set import iter_samples

ds = open_dataset(Path(os.environ["DATA_ROOT"]) / "coco.barecat")
samples = list(iter_samples(ds, that_meet(ds, {}, ["train"]), Path("pictures")))
assert samples and all(s.boxes.detections and s.joints.keypoints for s in samples)
"""
# A worker of another process's scheduler; a job as Slurm would get it; an archive in a store.
DASK = """
import subprocess, sys
from distributed import LocalCluster

local = {"host": "127.0.0.1", "protocol": "tcp://", "dashboard_address": None}
with LocalCluster(n_workers=1, processes=False, **local) as cluster:
    where = ["--backend", "dask", "--scheduler", cluster.scheduler_address]
    words = ["run", "coco", "--miniature", "--variant", "dask", "--quiet", *where]
    sys.exit(subprocess.run(["posepile", *words]).returncode)
"""
SLURM = """
from dask_jobqueue import SLURMCluster
from posepile import paths
from posepile.formats.yaml_files import read_yaml

options = read_yaml(paths.config_dir() / "slurm.yaml", dict, kind="configuration")
del options["jobs"]
with SLURMCluster(scheduler_options={"dashboard_address": ":0"}, **options) as cluster:
    assert "--cpus-per-task=8" in cluster.job_script()
"""
STORE = """
import fsspec, os, subprocess
from posepile.datasets2d import TRAIN, get_dataset

fsspec.filesystem("s3", anon=True)
store = f"file://{os.getcwd()}/store"
subprocess.run(["posepile", "upload", "coco", store], check=True)
assert get_dataset(f"{store}/coco.barecat").examples[TRAIN]
"""
# The versions that were installed, of the libraries that differ most and of those of the extras.
VERSIONS = """
import re, sys
from importlib.metadata import requires, version

marks = [f"extra == '{name}'" for name in sys.argv[1:]]
found = [r for r in requires("posepile") if any(m in r.replace('"', "'") for m in marks)]
names = ["numpy", "numba", "onnxruntime", *(re.match(r"[\\w.-]+", r).group() for r in found)]
print(", ".join(f"{name} {version(name)}" for name in dict.fromkeys(names)))
"""
# What each extra is for: words of a command among the environment's own programs.
EXTRAS: dict[str, list[list[str]]] = {
    "models": [["python", "-c", "import onnxruntime"]],
    "bodies": [["posepile", "run", "ssp3d", "--miniature", "--quiet"]],
    "torch": [["python", "-c", BATCH]],
    "dask": [["python", "-c", DASK]],
    "slurm": [["python", "-c", SLURM]],
    "s3": [["python", "-c", STORE]],
    "egoexo": [["egoexo", "--help"]],
    "export": [
        ["posepile", "export", "coco", "--to", "parquet", "--out", "rows"],
        [
            "python",
            "-c",
            "from pyarrow import dataset as d; assert d.dataset('rows/data').count_rows()",
        ],
    ],
    "keyring": [["python", "-c", "import keyring; keyring.get_keyring()"]],
    "rerun": [
        ["posepile", "view", "coco", "--rerun", "view.rrd", "--no-open"],
        ["rerun", "rrd", "stats", "view.rrd"],
    ],
    "fiftyone": [["python", "-c", SAMPLES]],
    "docs": [["mkdocs", "--version"]],
    "test": [["pytest", "--version"], ["ruff", "--version"]],
}


def main() -> int:
    """Entry point; exit 1 if any installation fails."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pythons", nargs="+", metavar="PYTHON")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--extra", nargs="*", default=[], choices=EXTRAS)
    which.add_argument("--each", action="store_true", help="without extras, and with each alone")
    parser.add_argument("--but", nargs="*", default=[], choices=EXTRAS, help="not with --each")
    parser.add_argument("--uv", action="store_true", help="uv installs; it resolves in seconds")
    parser.add_argument(
        "--data", metavar="FOLDER", help="with coco packed, which extras then use, not make"
    )
    parser.add_argument("--latest", action="store_true", help="without constraints.txt")
    parser.add_argument("--uvx", action="store_true", help="also run the wheel by uvx and pipx")
    args = parser.parse_args()
    sets = [args.extra]
    if args.each:
        sets = [[], *([name] for name in EXTRAS if name not in args.but)]
    failed: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        wheel = built(Path(folder))
        for python in args.pythons:
            failed += [
                python for extras in sets if not works(python, wheel, extras, Path(folder), args)
            ]
        if args.uvx:
            failed += [p for p in ("uvx", "pipx") if not runs_once(p, wheel, Path(folder))]
    return 1 if failed else 0


def built(folder: Path) -> Path:
    """Builds the wheel from what version control has."""
    tree = folder / "tree"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(tree)], check=True)
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder), str(tree)]
    subprocess.run(pip, check=True)
    (wheel,) = folder.glob("posepile-*.whl")
    return wheel


def works(
    python: str, wheel: Path, extras: list[str], folder: Path, args: argparse.Namespace
) -> bool:
    """Installs for one Python and runs the commands; says how it went in one line."""
    start = time.monotonic()
    place = Path(tempfile.mkdtemp(dir=folder))
    own = place / "env" / "bin"
    what = f"{wheel}[{','.join(extras)}]" if extras else str(wheel)
    env = os.environ | {
        "DATA_ROOT": str(place / "data"),
        "FIFTYONE_DO_NOT_TRACK": "true",
        "HOME": str(place),
        "PATH": f"{own}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": "",
        "UV_CACHE_DIR": os.environ.get("UV_CACHE_DIR", str(Path.home() / ".cache" / "uv")),
    }
    env.pop("CACHE_DIR", None)
    named = subprocess.run([python, "--version"], capture_output=True, text=True).stdout.strip()
    text = f"{named} {' '.join(extras)}".strip()
    pip = [str(own / "python"), "-m", "pip", "--disable-pip-version-check"]
    install, remove = [*pip, "install", "-q"], [*pip, "uninstall", "-q", "-y"]
    if args.uv:
        uv = [sys.executable, "-m", "uv", "pip"]
        of = ["-q", "--python", str(own / "python")]
        install, remove = [*uv, "install", *of], [*uv, "uninstall", *of]
    bounds = [] if args.latest else ["-c", str(ROOT / "constraints.txt")]
    steps = [[python, "-m", "venv", str(place / "env")], [*install, *bounds, what]]
    try:
        if not all(done(step, place, env, text) for step in steps):
            return False
        # Where the system has no libGL, the twin without windows takes its place, as in make demo.
        if subprocess.run(
            [str(own / "python"), "-c", "import cv2"], capture_output=True
        ).returncode:
            steps = [[*remove, "opencv-python"], [*install, *bounds, HEADLESS]]
            if not all(done(step, place, env, text) for step in steps):
                return False
            text += f" ({HEADLESS})"
        dataset = "coco" if extras else "aspset"
        given = bool(extras and args.data)
        if given:
            shutil.copytree(args.data, place / "data")
        words = (*FIRST, *(USE[-1:] if given else USE))
        use = [f"posepile {some}".format(dataset).split() for some in words]
        for command in (*use, *(words for name in extras for words in EXTRAS[name])):
            if not done([str(own / command[0]), *command[1:]], place, env, text):
                return False
        versions = [str(own / "python"), "-c", VERSIONS, *extras]
        said = subprocess.run(versions, env=env, capture_output=True, text=True).stdout.strip()
        took = f"{time.monotonic() - start:.0f} s"
        print(f"{text}: installed and used in {took}: {said}", flush=True)
        return True
    finally:
        shutil.rmtree(place)


HEADLESS = "opencv-python-headless"


def runs_once(program: str, wheel: Path, folder: Path) -> bool:
    """Runs the program without installing it, by uvx or pipx."""
    if shutil.which(program) is None:
        print(f"{program}: not there, not tried", flush=True)
        return True
    option = "--from" if program == "uvx" else "--spec"
    command = [program, *([] if program == "uvx" else ["run"]), option, str(wheel), "posepile"]
    env = os.environ | {"PYTHONPATH": ""}
    if not all(done([*command, word], folder, env, program) for word in ("--version", "list")):
        return False
    print(f"{program}: ran posepile", flush=True)
    return True


def done(command: list[str], place: Path, env: dict[str, str], text: str) -> bool:
    """Runs one step; a failure is printed with the last lines that it said."""
    result = subprocess.run(command, cwd=place, env=env, capture_output=True, text=True)
    if result.returncode:
        said = "\n  ".join((result.stderr or result.stdout).strip().splitlines()[-4:])
        print(f"{text}: exit {result.returncode} of {' '.join(command)}\n  {said}", flush=True)
    return result.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
