"""Where the real photographs and weights are that some tests need; they are not in the project."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def real_data() -> Path:
    """The folder with ``coco/`` and ``models/``; skips the test where there is none.

    ``$POSEPILE_REAL_DATA``, else ``../shared/real`` beside the checkout or beside the main one of
    which this is a linked worktree.
    """
    if os.environ.get("POSEPILE_REAL_DATA"):
        places = [Path(os.environ["POSEPILE_REAL_DATA"])]
    else:
        places = [ROOT.parent / "shared" / "real"]
        git = ["git", "rev-parse", "--path-format=absolute", "--git-common-dir"]
        done = subprocess.run(git, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            places.append(Path(done.stdout.strip()).parent.parent / "shared" / "real")
    for place in places:
        if (place / "coco" / "annotations").is_dir():
            return place
    pytest.skip(f"no real data at {' or '.join(map(str, places))}; set POSEPILE_REAL_DATA")
