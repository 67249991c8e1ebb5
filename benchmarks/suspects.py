"""How long it takes to look through a million examples, and how much memory; what is found.

    python benchmarks/suspects.py [n_copies]

Ten thousand made-up examples with planted errors are packed once and given other names; each copy
of them has the same errors.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import numpy as np
import walkers
from synthetic import Measured, jpeg, report

from posepile.store import packing
from posepile.store.opening import open_dataset
from posepile.store.parts import read_arrays, shard_of, write_part
from posepile.suspects.search import find_suspects


def main() -> None:
    copies = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    recordings = walkers.made_up(420, views=2, recordings=12)
    by = {recording.name: recording for recording in recordings}
    walkers.swapped(by["S0/walk0/cam1"])
    walkers.shifted(by["S1/walk1/cam1"], 5)
    walkers.mirrored(by["S0/walk3/cam0"])
    for view in range(2):
        walkers.scaled(by[f"S2/walk2/cam{view}"], 1.1)
        walkers.late(by[f"S1/walk4/cam{view}"], 1)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        walkers.pack(recordings, root / "first.barecat", jpeg())
        for n in sorted({1, max(1, copies // 10), copies}):
            path = root / f"{n}.barecat"
            packing.pack(_copies(root / "parts", n), path, walkers.SPEC, {})
            dataset = open_dataset(path)
            with Measured() as measured:
                suspects = find_suspects(dataset, "train")
            first = len({suspects.kind(i) for i in range(20)})
            seconds = measured.figures.pop("ours")
            measured.figures.pop("baseline")
            report(
                "suspects", f"{suspects.n} examples", "s", seconds, None, **measured.figures,
                findings=len(suspects), kinds_on_first_page=first,
            )  # fmt: skip
            path.unlink()


def _copies(folder: Path, n: int) -> list[Path]:
    """Returns parts: those that there are, and copies of them under other names."""
    originals = sorted(folder.glob("S*.part"))
    result = []
    for k in range(n):
        for part in originals:
            path = folder / f"copy{k:05d}-{part.name}"
            header, columns = read_arrays(part)
            for name in ("dir_strings", "sequence_strings"):
                text = columns[name].tobytes().replace(b"walk", b"%04d" % k)
                columns[name] = np.frombuffer(text, np.uint8)
            shard_of(path).unlink(missing_ok=True)
            shard_of(path).hardlink_to(shard_of(part))
            write_part(path, header, columns)
            result.append(path)
    return result


if __name__ == "__main__":
    main()
