"""Time and memory of the report page of a large dataset, suspects aside and with them.

Usage: ``python benchmarks/report.py [--examples 1000000] [--part-size 2000]``
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from synthetic import Measured, make_archives, report


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=1_000_000)
    parser.add_argument("--part-size", type=int, default=2000)
    args = parser.parse_args()
    from posepile.report import write_report

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        os.environ["DATA_ROOT"] = folder
        make_archives(root, args.examples, args.part_size, 1)
        for case in ("first page", "page again"):  # the first one finds the suspects
            with Measured() as measured:
                write_report("set0", root / "report.html")
            more = {k: v for k, v in measured.figures.items() if k != "ours"}
            size = (root / "report.html").stat().st_size
            more |= {"examples": args.examples, "page_kb": size // 1000}
            more.pop("baseline")
            report("report", case, "s", measured.figures["ours"], None, **more)


if __name__ == "__main__":
    main()
