"""CPU seconds of every pose metric on many poses, and the memory they need beyond their inputs.

    python benchmarks/metrics.py [--poses 1000000] [--joints 17]

One JSON line per metric and one for all together. Timed is the CPU time of the whole process, so
run it on one core (``taskset -c 0``) with ``OPENBLAS_NUM_THREADS=1``.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np
from common import report

from posepile import metrics

METRICS = {
    "MPJPE": metrics.mpjpe,
    "MPJPE root-relative": lambda p, t: metrics.mpjpe(p, t, root=0),
    "MPJPE mean over poses": lambda p, t: metrics.mpjpe(p, t, average="pose"),
    "N-MPJPE": lambda p, t: metrics.n_mpjpe(p, t, root=0),
    "PA-MPJPE": metrics.pa_mpjpe,
    "PA-MPJPE without scale": lambda p, t: metrics.pa_mpjpe(p, t, scale=False),
    "PCK": lambda p, t: metrics.pck(p, t, 150, root=0),
    "AUC": lambda p, t: metrics.auc(p, t, root=0, strict=True),
    "CPS": metrics.cps,
    "CPS-AUC": metrics.cps_auc,
    "MPJVE": metrics.mpjve,
    "acceleration": metrics.mean_acceleration_error,
    "jitter": lambda p, t: metrics.mean_jitter(p),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--poses", type=int, default=1_000_000)
    parser.add_argument("--joints", type=int, default=17)
    args = parser.parse_args()
    pred, true = make_poses(args.poses, args.joints)
    warm = pred[:100], true[:100]
    start, total = peak_mb(), 0.0
    for name, metric in METRICS.items():
        metric(*warm)
        began = time.process_time()
        value = metric(pred, true)
        seconds = time.process_time() - began
        total += seconds
        report(
            "metrics", name, "s", seconds, None, value=value, beyond_inputs_mb=peak_mb() - start
        )
    report("metrics", "all together", "s", total, None, beyond_inputs_mb=peak_mb() - start)


def make_poses(n: int, n_joints: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns predictions and truths ``[n, J, 3]`` in mm, of people metres away."""
    rng = np.random.default_rng(0)
    true = rng.standard_normal((n, n_joints, 3)) * [150, 400, 120]
    true += rng.standard_normal((n, 1, 3)) * 500 + [0, 0, 4000]
    pred = rng.standard_normal((n, n_joints, 3))
    pred *= 60
    pred += true
    return pred, true


def peak_mb() -> float:
    """Returns the largest memory this process ever had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
