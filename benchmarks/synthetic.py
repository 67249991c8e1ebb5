"""Made-up parts of any number of examples, for the benchmarks of packing and opening."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path

import cv2
import deltacamera
import numpy as np
import rlemasklib

from posepile.joint_info import JointInfo
from posepile.recipe import DatasetSpec
from posepile.store import packing
from posepile.store.codec import Record
from posepile.store.parts import PartWriter, read_arrays, shard_of, write_part

JOINTS = JointInfo(
    "pelv,lhip,rhip,lkne,rkne,lank,rank,spin,neck,head,lsho,rsho,lelb,relb,lwri,rwri,htop",
    "pelv-lhip-lkne-lank,pelv-spin-neck-head-htop,neck-lsho-lelb-lwri",
)
SPEC = DatasetSpec("bench", JOINTS, "bench_downscaled", world_up=(0, 0, 1), citation="none")


def jpeg(side: int = 96, quality: int = 85) -> bytes:
    """A small JPEG of noise."""
    image = np.random.default_rng(0).integers(0, 255, (side // 8, side // 8, 3), np.uint8)
    image = cv2.resize(image, (side, side), interpolation=cv2.INTER_CUBIC)
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def records(n: int, sequence: str = "seq00000"):
    """Iterates over records of one sequence: 17 joints, camera, mask."""
    rng = np.random.default_rng(0)
    coords = rng.normal(0, 500, (n, 17, 3)).astype(np.float32)
    person = cv2.ellipse(np.zeros((96, 96), np.uint8), (48, 48), (20, 44), 5, 0, 360, 1, -1)
    mask = {"size": [96, 96], "counts": rlemasklib.encode(person)["counts"]}
    camera = deltacamera.Camera(
        intrinsic_matrix=[[900, 0, 48], [0, 900, 48], [0, 0, 1]],
        rot_world_to_cam=cv2.Rodrigues(np.array([0.1, 1.2, 0.3]))[0],
        optical_center=[1000, -3000, 1500],
        image_shape=(96, 96),
    )
    for i in range(n):
        yield Record(
            image_path=f"{SPEC.image_dir}/{sequence}/{i:06d}.jpg",
            split="train",
            bbox=np.array([10, 5, 70, 90], np.float32),
            imshape=(96, 96),
            frame=i,
            person=0,
            sequence=sequence,
            world_coords=coords[i],
            camera=camera,
            mask=mask,
            activity="walking",
        )


def make_parts(root: Path, n_examples: int, part_size: int) -> list[Path]:
    """Writes parts: the first through PartWriter, the others as its copies under another name."""
    image = jpeg()
    first = root / "part00000.part"
    with PartWriter(first) as writer:
        for record in records(part_size):
            writer.add(record, image)
    header, columns = read_arrays(first)
    paths = [first]
    for k in range(1, n_examples // part_size):
        path = root / f"part{k:05d}.part"
        shard_of(path).unlink(missing_ok=True)
        shard_of(path).hardlink_to(shard_of(first))
        for name in ("dir_strings", "sequence_strings"):
            text = columns[name].tobytes().replace(b"seq%05d" % (k - 1), b"seq%05d" % k)
            columns[name] = np.frombuffer(text, np.uint8)
        write_part(path, header, columns)
        paths.append(path)
    return paths


def make_archives(root: Path, n: int, part_size: int, n_sets: int, **facts) -> None:
    """Packs an archive of ``n`` examples, ``set0``, and gives it other names.

    Args:
        root: Where the archives go.
        n: Examples of each.
        part_size: Of a part, and of a sequence.
        n_sets: How many names.
        facts: What the archive says of itself besides ``SPEC``.
    """
    made = make_parts(root / "parts", n, part_size)
    packing.pack(made, root / "set0.barecat", dataclasses.replace(SPEC, **facts), {})
    for file in root.glob("set0.barecat*"):
        for k in range(1, n_sets):
            (root / file.name.replace("set0", f"set{k}", 1)).hardlink_to(file)


def peak_mb() -> float:
    """The most memory that this process has held, in megabytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


class Measured:
    """Time and memory of a block."""

    def __enter__(self):
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts from what is held now
        self._before = peak_mb()
        self._wall, self._processor = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_):
        wall, processor = time.perf_counter(), time.process_time()
        self.figures = {
            "ours": wall - self._wall,
            "baseline": None,
            "processor_s": round(processor - self._processor, 6),
            "resident_mb": round(peak_mb() - self._before),
        }


def report(benchmark: str, case: str, unit: str, ours: float, baseline: float | None, **more):
    """Prints one JSON line; the ratio is how many times better ours is."""
    line = {"benchmark": benchmark, "case": case, "unit": unit, "ours": round(ours, 4)}
    if baseline is None:
        line.update(baseline=None, ratio=None)
    else:
        smaller_is_better = unit in ("s", "MB")
        ratio = baseline / ours if smaller_is_better else ours / baseline
        line.update(baseline=round(baseline, 4), ratio=round(ratio, 2))
    line.update(more)
    print(json.dumps(line), flush=True)
