"""Lists of merged examples as a whole: seconds and megabytes of columns, selections and filters.

    python benchmarks/whole_list.py [--n 1000000] [--parts 4] [--dir FOLDER]

Each figure is measured in a process of its own, after the list has been shuffled; memory is what
the resident set grows by at most, pages of the mapped archives included. The baseline does the
same with 20,000 examples one by one, scaled.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from synthetic import Measured, make_archives, report

BY_EXAMPLE = 20_000


def cases():
    """What is done with a list, by name: by columns, and example by example."""
    from posepile.merging.filters import Filters, keep

    bones = Filters(bone_range=(0.1, 3.0), bone_mm=300)
    box = Filters(min_joints_in_box=8)

    def bone_lengths(ex, info):
        coords = ex.get_world_coords()
        edges = info.stick_figure_edges
        return [float(((coords[i] - coords[j]) ** 2).sum() ** 0.5) for i, j in edges]

    return {
        "column bbox": (lambda x, info: x.column("bbox"), lambda ex, info: ex.bbox.copy()),
        "codes of sequence": (lambda x, info: x.codes("sequence"), lambda ex, info: ex.sequence),
        "codes of image_path": (
            lambda x, info: x.codes("image_path"),
            lambda ex, info: ex.image_path,
        ),
        "where subject, frame": (
            lambda x, info: x.where(subject={"S1"}, frame=range(1000)),
            lambda ex, info: ex.sequence.startswith("S1") and ex.frame < 1000,
        ),
        "to_pandas": (
            lambda x, info: x.to_pandas(),
            lambda ex, info: (ex.sequence, ex.frame, ex.person, ex.activity_name, ex.bbox),
        ),
        "filter by bones": (lambda x, info: keep(x, info, bones), bone_lengths),
        "filter by joints in the box": (
            lambda x, info: keep(x, info, box),
            lambda ex, info: ex.camera.world_to_image(ex.get_world_coords()),
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=1_000_000)
    parser.add_argument("--parts", type=int, default=4)
    parser.add_argument("--dir", type=Path, default=None)
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(json.dumps(measure(*args.child)))
        return
    with tempfile.TemporaryDirectory(dir=args.dir) as folder:
        os.environ["DATA_ROOT"] = folder
        each = args.n // args.parts
        make_archives(Path(folder), each, each, args.parts)
        for name in cases():
            command = [sys.executable, __file__, "--child", name, str(args.parts)]
            found = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
            case = f"{args.n} merged examples: {name}"
            report("whole_list", case, "s", found["s"], found["by_example"], MB=found["mb"])


def measure(name: str, parts: str) -> dict:
    """Seconds and megabytes of one case."""
    import pandas  # noqa: F401  (importing it is no part of the case)

    from posepile.datasets3d import TRAIN, get_dataset
    from posepile.merging.merge import merge_datasets

    merged = merge_datasets({f"set{k}": get_dataset(f"set{k}") for k in range(int(parts))})
    examples = merged.examples[TRAIN]
    examples.shuffle(0)
    whole, one = cases()[name]
    whole(examples[:100], merged.joint_info)
    with Measured() as measured:
        whole(examples, merged.joint_info)
    start = time.process_time()
    for ex in examples[:BY_EXAMPLE]:
        one(ex, merged.joint_info)
    by_example = (time.process_time() - start) * len(examples) / min(BY_EXAMPLE, len(examples))
    seconds, grown = measured.figures["processor_s"], measured.figures["resident_mb"]
    return {"s": seconds, "mb": grown, "by_example": by_example}


if __name__ == "__main__":
    main()
