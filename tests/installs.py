"""Installs the built wheel as people do, for every Python that is named, and uses it.

``python tests/installs.py [--extra NAME ...] [--uvx] PYTHON ...``: in an empty folder and a new
environment each: pip installs the wheel with the extras, ``posepile`` says its version, makes a
miniature, draws it and checks it. Reaches a package index, so it is no test of ``make test``;
``make installs`` runs it.
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
# What somebody does first; the dataset is the cheapest.
COMMANDS = (
    "--version",
    "list",
    "run coco --miniature --quiet",
    "verify coco",
    "report coco",
    "view coco --png view.png",
)
# The module that proves an extra.
EXTRAS = {
    "bodies": "smplfitter",
    "torch": "torch",
    "egoexo": "ego4d",
    "export": "pyarrow",
    "keyring": "keyring",
    "rerun": "rerun",
    "fiftyone": "fiftyone",
}


def main() -> int:
    """Entry point; exit 1 if any installation fails."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pythons", nargs="+", metavar="PYTHON")
    parser.add_argument("--extra", nargs="*", default=[], choices=EXTRAS)
    parser.add_argument("--uvx", action="store_true", help="also run the wheel by uvx and pipx")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        wheel = built(Path(folder))
        failed = [p for p in args.pythons if not works(p, wheel, args.extra, Path(folder))]
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


def works(python: str, wheel: Path, extras: list[str], folder: Path) -> bool:
    """Installs for one Python and runs the commands; says how it went in one line."""
    start = time.monotonic()
    place = Path(tempfile.mkdtemp(dir=folder))
    own = place / "env" / "bin"
    what = f"{wheel}[{','.join(extras)}]" if extras else str(wheel)
    env = os.environ | {"DATA_ROOT": str(place / "data"), "PYTHONPATH": ""}
    env.pop("CACHE_DIR", None)
    pip = [str(own / "python"), "-m", "pip", "--disable-pip-version-check"]
    steps = [
        [python, "-m", "venv", str(place / "env")],
        [*pip, "install", "-q", "-c", str(ROOT / "constraints.txt"), what],
    ]
    named = subprocess.run([python, "--version"], capture_output=True, text=True).stdout.strip()
    text = f"{named} {' '.join(extras)}".strip()
    for step in steps:
        if not done(step, place, env, text):
            return False
    # Where the system has no libGL, the twin without windows takes its place, as in make demo.
    if subprocess.run([str(own / "python"), "-c", "import cv2"], capture_output=True).returncode:
        for more in (["uninstall", "-q", "-y", "opencv-python"], ["install", "-q", HEADLESS]):
            if not done([*pip, *more], place, env, text):
                return False
    for name in extras:
        if not done([str(own / "python"), "-c", f"import {EXTRAS[name]}"], place, env, text):
            return False
    for command in COMMANDS:
        if not done([str(own / "posepile"), *command.split()], place, env, text):
            return False
    print(f"{text}: installed and used in {time.monotonic() - start:.0f} s", flush=True)
    shutil.rmtree(place)
    return True


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
