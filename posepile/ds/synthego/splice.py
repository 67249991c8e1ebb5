"""Splicing: body poses of AMASS and hand poses of MANO put into the metadata files.

Where a pose was taken from one of the two, the released JSON holds a string that says from where.
This fills in the numbers by the rules of the release's own script.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from functools import lru_cache
from pathlib import Path

from posepile.bodies.amass import read_amass
from posepile.errors import CorruptInput, PartlyDone, WorkError
from posepile.files import files_below, write_atomically
from posepile.formats.arrays import read_npy
from posepile.formats.schema import Array, check
from posepile.formats.text_files import read_json

# Start of a body reference -> (extracted folder, folder inside it)
PARTS = {"MoSh_MPI_MoSh": ("MoSh", "MPI_mosh")}
PARTS |= {"MoSh_MPI_PoseLimits": ("PosePrior", "MPI_Limits")}
REFERENCE = rf"({'|'.join(PARTS)})[^/]*/Data/moshpp_fits_SMPL/(.+)\.[^./]*_(\d+)_(\d+)"
HANDS = "manoposesv10/mano_poses_v1_0/handsOnly_REGISTRATIONS_r_lm___POSES___{}.npy"
MIRRORED = "mirrored pose: nothing public says what is mirrored"
# A quick look at finished files: 52 rows of numbers, and the file ends like a whole one
SPLICED = re.compile(
    rb'(?s)"pose"\s*:\s*\[\s*(\[[\s\d.,eE+-]*\]\s*,?\s*){52}\](?=\s*[,}]).*\}\s*\Z'
)

load_motion = lru_cache(maxsize=256)(read_amass)  # all that are asked for, in no order: 0.5 GB
load_hands = lru_cache(maxsize=2)(lambda file: read_npy(file, Array("n", 45)))


def find_metadata(root: Path) -> list[Path]:
    """Returns all metadata files; whether the zip parts hold a sub-folder is not documented."""
    return files_below(root / "SynthEgo", "**/metadata_*.json")


def splice_tree(root: Path) -> Counter:
    """Splices every metadata file; returns the number of files by what was done.

    Raises:
        WorkError: No file could be spliced; its kind PartlyDone: some could not, all others were.
    """
    for leftover in sorted((root / "SynthEgo").rglob(".metadata_*.tmp")):  # of a killed run
        leftover.unlink()
    counts, failed = Counter(), []
    for path in (files := find_metadata(root)):
        try:
            counts[splice_file(path, root)] += 1
        except CorruptInput as e:
            failed.append(f"{path.name}: {e}")
    if failed or not counts:
        first = failed[0] if failed else f"{root}/SynthEgo: no metadata_*.json; download them"
        n, kind = f"{len(failed)} of {len(files)}", PartlyDone if counts else WorkError
        raise kind(f"{first} ({n} metadata files not spliced, the others are done)")
    return counts


def splice_file(path: Path, root: Path) -> str:
    """Splices one metadata file in place, if need be; returns what became of it."""
    if SPLICED.search(path.read_bytes()):
        return "complete already"
    metadata = read_json(path, {"pose": [(list, str)], "*": None})
    rows = list(metadata["pose"])
    if is_mirrored(rows):
        return f"left out: {MIRRORED}"
    for first, last in ((1, 22), (22, 37), (37, 52)):  # each looked at through its first row
        if len(rows) > first and isinstance(rows[first], str):
            rows_of = body_rows if first == 1 else hand_rows
            rows[first:last] = rows_of(rows[first], root, path, "L" if first == 22 else "R")
    check(rows, Array(52, 3), path, "pose")
    write_atomically(path, json.dumps({**metadata, "pose": rows}, indent=4).encode())
    return "spliced"


def is_mirrored(rows: list) -> bool:
    """Returns whether the body reference among the rows of a pose has the mirror flag."""
    match = re.fullmatch(REFERENCE, str(rows[1])) if len(rows) > 1 else None
    return match is not None and int(match[4]) == 1


def body_rows(reference: str, root: Path, path: Path, _: str) -> list[list[float]]:
    """Returns rows 1..21 of the AMASS frame that a reference names."""
    m = re.fullmatch(REFERENCE, reference)
    if not m or ".." in m[2].split("/") or int(m[4]):
        expected = f"{' or '.join(PARTS)}.../Data/moshpp_fits_SMPL/<file>.<ext>_<frame>_0"
        raise CorruptInput(path, f"body reference is {reference!r}; expected {expected}")
    part, inner = PARTS[m[1]]
    # One file of the release is misnamed *_poses_poses.npz.
    files = [root / part / inner / f"{m[2]}{end}.npz" for end in ("_poses", "_poses_poses")]
    file = next((f for f in files if f.is_file()), files[0])
    motion, frame = load_motion(file), int(m[3])
    poses = motion.poses[:: max(1, int(motion.framerate // 30))]  # references count at 30 fps
    if frame >= len(poses):
        raise CorruptInput(
            path,
            f"body reference asks for frame {frame} of {file}; expected one of {len(poses)}",
            hint="that file is probably of another AMASS release (SMPL+H G of 2019 is needed)",
        )
    return poses[frame, 3:66].reshape(21, 3).tolist()


def hand_rows(reference: str, root: Path, path: Path, side: str) -> list[list[float]]:
    """Returns the fifteen rows of the MANO pose that a reference names by its number."""
    poses = load_hands(root / HANDS.format(side))
    m = re.match(r"[^_]*_(\d+)(_|$)", reference)
    if not m or int(m[1]) >= len(poses):
        expected = f"a number below {len(poses)} in its second field"
        raise CorruptInput(path, f"hand reference is {reference!r}; expected {expected}")
    return poses[int(m[1])].reshape(15, 3).tolist()
