"""Splicing: body poses from AMASS and hand poses from MANO put into the metadata files.

Where a pose was taken from one of the two, the released JSON holds a string that says from where.
This fills in the numbers by the rules of the release's own script, with two differences: a file is
written under a temporary name and renamed, so that an interrupted run can simply be started again,
and anything unexpected stops with a message instead of leaving strings or wrong numbers behind.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from functools import lru_cache
from pathlib import Path

import numpy as np

from posepile.bodies.amass import read_amass
from posepile.errors import CorruptInput, WorkError
from posepile.files import write_atomically

N_ROWS = 52
BODY, LEFT, RIGHT = slice(1, 22), slice(22, 37), slice(37, 52)
# Text at the start of a body reference -> (extracted folder, folder inside it)
AMASS_PARTS = {
    "MoSh_MPI_MoSh": ("MoSh", "MPI_mosh"),
    "MoSh_MPI_PoseLimits": ("PosePrior", "MPI_Limits"),
}
STORED_FOLDER = "Data/moshpp_fits_SMPL"
MANO_FOLDER = "manoposesv10/mano_poses_v1_0"
SPLICE_FPS = 30


def splice_tree(root: Path) -> Counter:
    """Splices every metadata file below ``root/SynthEgo``; what is complete stays untouched.

    Args:
        root: Raw folder, with ``SynthEgo``, ``MoSh``, ``PosePrior`` and ``manoposesv10``.

    Returns:
        Number of files by what was done: ``spliced``, ``complete already``.

    Raises:
        WorkError: No metadata at all, or files that could not be spliced; everything else was.
    """
    folder = root / "SynthEgo"
    for leftover in sorted(folder.rglob(".metadata_*.tmp")):  # of a run that was killed
        leftover.unlink()
    counts: Counter = Counter()
    failed: list[CorruptInput] = []
    for path in find_metadata(root):
        try:
            counts["spliced" if splice_file(path, root) else "complete already"] += 1
        except CorruptInput as e:
            failed.append(e)
    if not counts and not failed:
        raise WorkError(
            f"{folder}: no metadata_*.json; run the download stage or extract the ten parts there"
        )
    if failed:
        raise WorkError(
            f"{failed[0]} ({len(failed)} of {len(failed) + counts.total()} metadata files could "
            "not be spliced, the others are done; repair and run calibrate again)"
        )
    return counts


def find_metadata(root: Path) -> list[Path]:
    """All metadata files, sorted; whether the zip parts hold a sub-folder is not documented."""
    return sorted((root / "SynthEgo").rglob("metadata_*.json"))


def splice_file(path: Path, root: Path) -> bool:
    """Splices one metadata file in place. Returns whether it had to be changed.

    Raises:
        CorruptInput: Damaged JSON, a reference that cannot be understood or found.
    """
    raw = path.read_bytes()
    if is_numeric(raw):
        return False
    metadata = parse_metadata(raw, path)
    spliced = splice_pose(metadata["pose"], root, path)
    if spliced == metadata["pose"]:
        return False
    metadata["pose"] = spliced
    write_atomically(path, json.dumps(metadata, indent=4).encode())
    return True


def is_numeric(raw: bytes) -> bool:
    """Quick look whether a metadata file needs no splicing, without parsing all of it.

    True only if the brackets of ``pose`` close before the next quotation mark and the file ends
    like a whole one. Spares a second run over 60,000 finished files the parsing.
    """
    start = re.search(rb'"pose"\s*:\s*(?=\[)', raw)
    if not start or not raw.rstrip().endswith(b"}"):
        return False
    end = raw.find(b'"', start.end())
    pose = raw[start.end() : end if end >= 0 else len(raw)]
    return pose.count(b"[") == pose.count(b"]") > N_ROWS


def parse_metadata(raw: bytes, path: Path) -> dict:
    """Parses a metadata file and checks the form of its pose.

    Raises:
        CorruptInput: Not JSON (truncated by an interrupted splice of the official script,
            for example), or not 52 pose rows.
    """
    hint = f"delete it and extract {path.name} from its zip part again"
    try:
        metadata = json.loads(raw)
    except ValueError as e:
        raise CorruptInput(path, f"not valid JSON: {e}", hint=hint) from e
    pose = metadata.get("pose") if isinstance(metadata, dict) else None
    if not isinstance(pose, list) or len(pose) != N_ROWS:
        found = f"{len(pose)} rows" if isinstance(pose, list) else type(pose).__name__
        raise CorruptInput(path, f"pose is {found}, expected {N_ROWS} rows", hint=hint)
    return metadata


def splice_pose(pose: list, root: Path, path: Path) -> list:
    """Replaces the references in the rows of a pose by rotation vectors.

    Args:
        pose: 52 rows, each ``[3]`` numbers or a reference string.
        root: Where the AMASS and MANO folders lie.
        path: The metadata file, for messages.

    Returns:
        52 rows of 3 numbers.

    Raises:
        CorruptInput: As in :func:`splice_file`.
    """
    rows = list(pose)
    # Three independent tests: each block is looked at through its first row.
    if isinstance(rows[1], str):
        rows[BODY] = body_rows(rows[1], root, path)
    if isinstance(rows[22], str):
        rows[LEFT] = hand_rows(rows[22], "L", root, path)
    if isinstance(rows[37], str):
        rows[RIGHT] = hand_rows(rows[37], "R", root, path)
    for i, row in enumerate(rows):
        numbers = isinstance(row, list) and len(row) == 3
        if not numbers or any(isinstance(x, bool) or not isinstance(x, (int, float)) for x in row):
            raise CorruptInput(
                path,
                f"pose row {i} is {row!r}, expected 3 numbers (references are only known to stand "
                "from rows 1, 22 and 37 on)",
            )
    return rows


def body_rows(reference: str, root: Path, path: Path) -> list[list[float]]:
    """Returns rows 1..21 from the AMASS frame that a reference names."""
    fields = reference.split("_")
    try:
        frame, mirrored = int(fields[-2]), int(fields[-1])
    except (IndexError, ValueError):
        raise CorruptInput(
            path, f"body reference {reference!r} does not end in _<frame>_<mirrored>"
        ) from None
    if mirrored != 0:
        raise CorruptInput(
            path,
            f"body reference {reference!r} asks for a mirrored pose (flag {mirrored}); all known "
            "references have flag 0, so how to mirror is not defined",
            hint="exclude the file or ask the authors",
        )
    motion_path = amass_file(reference, root, path)
    poses, framerate = _load_motion(motion_path)
    step = int(framerate // SPLICE_FPS)
    if step < 1:
        raise CorruptInput(motion_path, f"mocap_framerate {framerate} is below {SPLICE_FPS}")
    n = len(range(0, len(poses), step))
    if not 0 <= frame < n:
        raise CorruptInput(
            path,
            f"body reference {reference!r} asks for frame {frame} of {n} in {motion_path}",
            hint="that file is probably of another AMASS release (SMPL+H G of 2019 is needed)",
        )
    return poses[frame * step].reshape(N_ROWS, 3)[BODY].tolist()


def amass_file(reference: str, root: Path, path: Path) -> Path:
    """Returns the motion file of a body reference ``<group>/<path>.<ext>_<frame>_<mirrored>``."""
    prefix = next((p for p in AMASS_PARTS if reference.startswith(p)), None)
    _, slash, stored = reference.partition("/")
    if prefix is None or not slash or "." not in stored or ".." in stored.split("/"):
        raise CorruptInput(
            path,
            f"body reference {reference!r} is of no known form (expected one starting with "
            f"{' or '.join(AMASS_PARTS)}, then /<folder>/<subject>/<motion>.<ext>_<frame>_<flag>)",
        )
    part, inner = AMASS_PARTS[prefix]
    name = stored[: stored.rindex(".")].replace(STORED_FOLDER, inner)
    # One file of the release is misnamed *_poses_poses.npz.
    for suffix in ("_poses.npz", "_poses_poses.npz"):
        candidate = root / part / (name + suffix)
        if candidate.is_file():
            return candidate
    raise CorruptInput(
        path,
        f"needs the motion {root / part / name}_poses.npz, which is missing",
        hint=f"download the AMASS part {part} (SMPL+H G) and extract it to {root / part}",
    )


def hand_rows(reference: str, side: str, root: Path, path: Path) -> list[list[float]]:
    """Fifteen rows from the MANO pose whose number is the second ``_`` field of a reference."""
    poses = _load_hand_poses(root / MANO_FOLDER, side)
    fields = reference.split("_")
    try:
        index = int(fields[1])
    except (IndexError, ValueError):
        raise CorruptInput(
            path, f"hand reference {reference!r} has no number as its second _ field"
        ) from None
    if not 0 <= index < len(poses):
        raise CorruptInput(
            path, f"hand reference {reference!r} asks for pose {index} of {len(poses)}"
        )
    return poses[index].reshape(15, 3).tolist()


@lru_cache(maxsize=256)  # all of the two parts, which are asked for in no order; half a GB
def _load_motion(path: Path) -> tuple[np.ndarray, float]:
    motion = read_amass(path)
    return motion.poses, motion.framerate


@lru_cache(maxsize=4)
def _load_hand_poses(folder: Path, side: str) -> np.ndarray:
    path = folder / f"handsOnly_REGISTRATIONS_r_lm___POSES___{side}.npy"
    hint = f"download manoposesv10.zip from the MANO site and extract it to {folder.parent}"
    try:
        poses = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise CorruptInput(path, "MANO hand poses are missing", hint=hint) from None
    except (ValueError, EOFError, OSError) as e:
        raise CorruptInput(path, f"cannot be read: {e}", hint=hint) from e
    if poses.ndim != 2 or poses.shape[1] != 45:
        raise CorruptInput(path, f"has shape {poses.shape}, expected (n, 45)", hint=hint)
    return np.asarray(poses, np.float64)
