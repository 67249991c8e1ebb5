"""Helpers of the tests of evaluations."""

from pathlib import Path

import numpy as np

from posepile.ds import load_evaluation
from posepile.evaluation.benchmark import Benchmark, Clip, Protocol, Setup
from posepile.evaluation.columns import pose_figures
from posepile.evaluation.command import benchmark_parser, run_benchmark
from posepile.evaluation.forms import npz_poses
from posepile.evaluation.scoring import score_protocol


def score(benchmark, root, pred_path, *options):
    """What a benchmark finds, or its error, in this process; options as on the command line."""
    args = benchmark_parser(benchmark).parse_args([*options, "--pred-path", str(pred_path)])
    setup = Setup(Path(root), Path(pred_path), benchmark.protocol(args.protocol), args)
    return score_protocol(benchmark, setup, args.worst)


def evaluate(name, root, pred_path, *options):
    """The result of a dataset's evaluation."""
    return score(load_evaluation(name).BENCHMARK, root, pred_path, *options).result


JOINTS = ("pelv", "head", "lank", "rank")
SKELETON = np.array([[0.0, 0, 0], [0, -700, 0], [-100, 900, 0], [100, 900, 0]])
P1 = Protocol(
    "gym.p1",
    ("MPJPE_mm", "PA-MPJPE_mm"),
    joints="4",
    root="pelvis",
    alignment="none (PA: similarity)",
    averaging="all",
    source="ours",
    joint_names=JOINTS,
    edges="head-pelv-lank,pelv-rank",
)


class Gym:
    """A made-up benchmark: three clips of people, of which an npz of paths and joints is wanted.

    Attributes:
        true: Clip -> ``[n, 4, 3]`` mm.
        keys: Path of every entry, clip after clip.
    """

    def __init__(self, *protocols, picture=None, finish=None, sizes=(4, 3, 5)):
        rng = np.random.default_rng(0)
        self.true = {
            f"clip{i}": SKELETON + rng.normal(0, 40, (n, 4, 3)) + [0, 0, 4000]
            for i, n in enumerate(sizes)
        }
        self.keys = [f"{clip}/{i}.jpg" for clip, x in self.true.items() for i in range(len(x))]
        self.picture = picture
        more = {"finish": finish} if finish else {}
        self.benchmark = Benchmark(
            "gym", protocols or (P1,), self.truth, self.predictions, self.score, **more
        )

    def truth(self, setup):
        for clip, joints in self.true.items():
            keys = [key for key in self.keys if key.startswith(f"{clip}/")]
            groups = {"activity": ["run" if clip == "clip1" else "sit"] * len(keys)}
            shown = self.picture and (lambda i, joints=joints: self.picture(joints[i]))
            yield Clip(clip, keys, {"joints": joints}, groups, shown)

    def predictions(self, setup):
        return npz_poses(setup.pred_path, "coords3d_pred_world", {4: None})

    def score(self, setup, clip, pred):
        figures = pose_figures(pred["joints"], clip.truth["joints"], root=0)
        figures["hits"] = (figures["MPJPE_mm"] <= 10).all(axis=1)
        return figures

    def stacked(self):
        """The truth as a prediction has it: ``[n, 4, 3]`` mm."""
        return np.concatenate(list(self.true.values()))

    def write(self, path, coords=None, keys=None, **more):
        """Writes predictions, those of the truth unless others are given; returns the path."""
        coords = self.stacked() if coords is None else coords
        keys = self.keys if keys is None else keys
        np.savez(path, image_path=np.array(keys, str), coords3d_pred_world=coords, **more)
        return path

    def evaluate(self, path, *options):
        """What is found in this process."""
        return score(self.benchmark, path.parent / "raw", path, *options).result

    def run(self, path, *options):
        """The exit code of the command line."""
        asked = ["--pred-path", str(path), "--data-dir", str(path.parent / "raw"), *options]
        return run_benchmark(self.benchmark, asked, "What the gym is.")
