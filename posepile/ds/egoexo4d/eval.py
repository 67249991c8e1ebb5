"""The ego-pose benchmarks of Ego-Exo4D: body (MPJPE, MPJVE) and hands (MPJPE, PA-MPJPE).

    python -m posepile.ds.egoexo4d.eval body --pred-path pred.json --split val
    python -m posepile.ds.egoexo4d.eval body --pred-path pred.npz --split test --submission s.json
    python -m posepile.ds.egoexo4d.eval hand --pred-path pred.json --split val [--offset]

Predictions are the challenge's JSON, or an ``.npz`` with ``image_path`` (of our archives) and
``coords3d_pred_world`` ``[n, 61, 3]`` (or 17 body joints) in millimetres; several views of one
instant are averaged. Results are printed and written as JSON next to the predictions.

Body JSON, global frame, metres: ``{take_uid: {"take_name": "takes/<name>", "body": {frame:
17x3}}}``. Hand JSON, frame of the glasses' RGB camera, metres: ``{take_uid: {frame:
{"left_hand_3d": 21x3, "right_hand_3d": 21x3}}}``.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

from posepile.ds.egoexo4d.annotations import read_json
from posepile.ds.egoexo4d.eval_body import body_submission, evaluate_body, load_body_predictions
from posepile.ds.egoexo4d.eval_hand import evaluate_hand, hand_truth, load_hand_predictions
from posepile.ds.egoexo4d.predictions import write_json
from posepile.errors import PosePileError, UsageError


def main(argv: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    args = _parser().parse_args(argv)
    try:
        root = Path(args.data_dir) if args.data_dir else _default_root()
        lines, result = run_body(root, args) if args.what == "body" else run_hand(root, args)
        if result:
            out = args.out or args.pred_path.with_suffix(f".{args.what}_eval_{args.split}.json")
            write_json(out, result)
            lines.append(f"Written to {out}")
    except PosePileError as e:
        print(e, file=sys.stderr)
        return e.exit_code
    print("\n".join(lines))
    return 0


def run_body(root: Path, args: argparse.Namespace) -> tuple[list[str], dict]:
    """Evaluates body predictions and writes the submission if asked."""
    pred, lines = load_body_predictions(root, args.pred_path), []
    if args.submission:
        frames = read_json(args.frames) if args.frames else None
        submission = body_submission(root, pred, frames)
        write_json(args.submission, submission)
        n = sum(len(take["body"]) for take in submission.values())
        lines.append(f"Submission of {len(submission)} takes, {n} frames: {args.submission}")
    if args.split == "test":
        if not args.submission:
            raise UsageError("the test split has no labels here: give --submission FILE")
        return lines, {}
    result = evaluate_body(root, pred, args.split, args.labels, args.reference)
    for name, scores in [*result["scenarios"].items(), ("All", result["scores"])]:
        lines.append(
            f"{name}: {scores['takes']} takes, MPJPE {scores['MPJPE_cm']:.4f} cm, "
            f"MPJVE {scores['MPJVE_m_per_s']:.4f} m/s"
        )
    lines += [f"Left out: {n} frames {reason}" for reason, n in result["left_out"].items()]
    return lines, result


def run_hand(root: Path, args: argparse.Namespace) -> tuple[list[str], dict]:
    """Evaluates hand predictions against given or prepared truth."""
    if args.truth:
        truth, left_out = read_json(args.truth), Counter()
    else:
        if args.split == "test":
            raise UsageError("the test split has no labels here: give --truth FILE")
        truth, left_out = hand_truth(root, args.split, args.labels, use_mask=args.mask)
    if args.write_truth:
        write_json(args.write_truth, truth, nan=True)  # as the official tools have it
    pred = load_hand_predictions(root, args.pred_path, args.split)
    result = {
        "benchmark": "hand",
        "split": args.split,
        "labels": args.labels,
        "offset": args.offset,
        "scores": evaluate_hand(pred, truth, args.offset),
        "left_out": dict(left_out),
    }
    scores = result["scores"]
    lines = [
        f"{scores['hands']} hands: MPJPE {scores['MPJPE_mm']:.4f} mm, "
        f"PA-MPJPE {scores['PA-MPJPE_mm']:.4f} mm"
    ]
    return lines + [f"Left out: {n} {reason}" for reason, n in left_out.items()], result


def _default_root() -> Path:
    from posepile import paths

    return paths.raw_dir("egoexo4d")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m posepile.ds.egoexo4d.eval")
    commands = parser.add_subparsers(dest="what", required=True)
    body = commands.add_parser("body", help="17 body joints")
    hand = commands.add_parser("hand", help="2 x 21 hand joints")
    for sub in (body, hand):
        sub.add_argument(
            "--pred-path", type=Path, required=True, help="predictions, .json or .npz"
        )
        sub.add_argument("--data-dir", help="raw data; default $DATA_ROOT/egoexo4d")
        sub.add_argument("--split", choices=("train", "val", "test"), default="val")
        sub.add_argument("--labels", choices=("manual", "automatic"), default="manual")
        sub.add_argument("--out", type=Path, help="result; default next to the predictions")
    body.add_argument("--reference", choices=("camera", "first", "global"), default="camera")
    body.add_argument("--submission", type=Path, help="also write the challenge's JSON here")
    body.add_argument("--frames", type=Path, help="dummy_test.json: which frames to submit")
    hand.add_argument("--truth", type=Path, help="prepared truth instead of the labels")
    hand.add_argument("--write-truth", type=Path, help="also write the prepared truth here")
    hand.add_argument(
        "--offset", action="store_true", help="predictions are relative to the wrist"
    )
    hand.add_argument("--no-mask", dest="mask", action="store_false", help="without calibration")
    return parser


if __name__ == "__main__":
    sys.exit(main())
