"""Writes the JSON that the body challenge takes, from predictions on our images or in that form.

python -m posepile.ds.egoexo4d.eval_submission --pred-path pred.npz --out submission.json
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from posepile import paths
from posepile.ds.egoexo4d import takes
from posepile.ds.egoexo4d.eval import BODY
from posepile.ds.egoexo4d.eval_predictions import BODY_FORM, body_poses
from posepile.errors import WorkError
from posepile.evaluation.benchmark import MILLIMETRES, Clip, Setup
from posepile.evaluation.checked import clip_arrays
from posepile.evaluation.command import exit_code
from posepile.evaluation.predictions import flatten, read_pred_json
from posepile.evaluation.results import write_result
from posepile.terminal import OneLineParser


def submission(setup: Setup, frames_file: Path | None = None) -> dict[str, Any]:
    """Returns the challenge's JSON, of exactly the frames of ``dummy_test.json`` if given.

    Raises:
        WorkError: A take is unknown, or predictions are missing or cannot be used.
    """
    names = {take["take_uid"]: take["root_dir"] for take in takes.read_takes(setup.root)}
    pred = body_poses(setup.root, setup.pred_path)
    keys = list(flatten(read_pred_json(frames_file, BODY_FORM), 3)) if frames_file else pred.names
    unknown = [key for key in keys if key.partition("/")[0] not in names]
    if unknown:
        file = frames_file or setup.pred_path
        raise WorkError(f"{file}: {unknown[0]}: takes.json has no such take ({len(unknown)} such)")
    _, arrays = clip_arrays(setup, Clip("the submission", keys, {}), pred, Counter(), {})
    result: dict[str, Any] = {}
    for key, pose in zip(keys, arrays["joints"], strict=True):
        uid, _, frame = key.split("/")
        take = result.setdefault(uid, {"take_name": names[uid], "body": {}})
        take["body"][frame] = (pose / 1000).tolist()
    return result


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = OneLineParser(
        prog="python -m posepile.ds.egoexo4d.eval_submission", description=__doc__
    )
    parser.add_argument("--pred-path", type=Path, required=True, help=".npz or .json")
    parser.add_argument("--out", type=Path, required=True, help="the JSON")
    parser.add_argument("--frames", type=Path, help="dummy_test.json: which frames to submit")
    parser.add_argument("--data-dir", type=Path, help="raw data; default $DATA_ROOT/egoexo4d")
    parser.add_argument("--units", choices=tuple(MILLIMETRES), help="of lengths in predictions")

    def work() -> int:
        args = parser.parse_args(argv)
        root = args.data_dir or paths.raw_dir("egoexo4d")
        content = submission(Setup(root, args.pred_path, BODY, args), args.frames)
        write_result(args.out, content)
        n = sum(len(take["body"]) for take in content.values())
        print(f"Submission of {len(content)} takes, {n} frames: {args.out}")
        return 0

    return exit_code(work)


if __name__ == "__main__":
    sys.exit(main())
