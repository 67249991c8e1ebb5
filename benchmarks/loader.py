"""Shuffled random access to crops with decoding: PosePile's loader against its peers.

    python benchmarks/loader.py [--crops 4000] [--workers 2]

All read the same JPEG crops and decode them with the same decoder in the workers, which hand over
the middle 256x256 pixels; what is compared is how an example is found and read, in wall time and
in processor time (which other work on the machine disturbs less). Peers that are not installed are
left out. Needs the extra ``torch``.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from common import report

PEERS = ("plain files", "webdataset", "litdata")


def make_crops(n: int) -> list[bytes]:
    """JPEGs of about the size and detail of packed crops."""
    rng = np.random.default_rng(0)
    jpegs = []
    for _ in range(n):
        h, w = rng.integers(450, 750, 2)
        image = np.zeros((h, w, 3))
        for cell, strength in ((120, 60), (30, 30), (8, 14), (2, 8)):
            shape = (h // cell + 2, w // cell + 2, 3)
            noise = rng.normal(0, strength, shape).astype(np.float32)
            image += cv2.resize(noise, (w, h), interpolation=cv2.INTER_CUBIC)
        pixels = np.clip(image + 128, 0, 255).astype(np.uint8)
        jpegs.append(simplejpeg.encode_jpeg(pixels, 95, "RGB", "420"))
    return jpegs


def pack_crops(jpegs: list[bytes], archive_path: Path):
    """The crops as the train split of a packed dataset of 17 joints."""
    import deltacamera

    from posepile.joint_info import JointInfo
    from posepile.recipe import DatasetSpec
    from posepile.store import opening, packing, parts
    from posepile.store.codec import Record

    names = [f"a{i}" for i in range(17)]
    spec = DatasetSpec("crops", JointInfo(names), "crops_downscaled", world_up=(0, -1, 0))
    camera = deltacamera.Camera(intrinsic_matrix=np.diag([800.0, 800.0, 1.0]))
    joints = np.random.default_rng(1).normal(0, 500, (len(jpegs), 17, 3)).astype(np.float32)
    part = archive_path.parent / "unit.part"
    with parts.PartWriter(part) as writer:
        for i, data in enumerate(jpegs):
            h, w, *_ = simplejpeg.decode_jpeg_header(data)
            record = Record(
                image_path=f"crops_downscaled/{i // 500:04d}/{i:06d}.jpg",
                split="train",
                bbox=np.array([100, 100, 200, 300], np.float32),
                imshape=(h, w),
                frame=i,
                person=0,
                sequence=f"{i // 500:04d}",
                world_coords=joints[i],
                camera=camera,
            )
            writer.add(record, data)
    packing.pack([part], archive_path, spec, {"counts": {"train": len(jpegs)}})
    return opening.open_dataset(archive_path).examples[0]


def processor_time() -> float:
    """Seconds of processor time of this process and its workers so far."""
    total = time.process_time()
    for worker in multiprocessing.active_children():
        fields = Path(f"/proc/{worker.pid}/stat").read_text().rpartition(")")[2].split()
        total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


def measure(loader, n: int) -> tuple[float, float]:
    """Crops per second of wall time and of processor time in one pass."""
    wall, cpu = time.perf_counter(), processor_time()
    seen = sum(len(batch) for batch in loader)
    if seen != n:
        raise RuntimeError(f"{seen} of {n} crops")
    return n / (time.perf_counter() - wall), n / (processor_time() - cpu)


def decode(data: bytes) -> np.ndarray:
    """The decoder all of them use, and what is handed over: as much as training looks at."""
    return middle(simplejpeg.decode_jpeg(data, "RGB"))


def middle(image: np.ndarray, side: int = 256) -> np.ndarray:
    """A copy of the middle of an image."""
    y, x = ((n - side) // 2 for n in image.shape[:2])
    return image[y : y + side, x : x + side].copy()


class BareDecoding:
    """The floor: bytes are in memory already, nothing but decoding happens."""

    def __init__(self, jpegs):
        self.jpegs = jpegs

    def __len__(self):
        return len(self.jpegs)

    def __getitem__(self, i):
        return decode(self.jpegs[i])


class PlainFiles(BareDecoding):
    """One file per crop."""

    def __getitem__(self, i):
        return decode(Path(self.jpegs[i]).read_bytes())


def only_image(example):
    """What is handed over, the same for all."""
    return middle(example.image)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--crops", type=int, default=4000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--passes", type=int, default=3)
    args = parser.parse_args()
    import torch
    from torch.utils.data import DataLoader

    torch.set_num_threads(1)
    jpegs = make_crops(args.crops)
    with tempfile.TemporaryDirectory() as folder:
        tmp = Path(folder)
        os.environ["DATA_ROOT"] = str(tmp)
        options = {
            "batch_size": 32,
            "num_workers": args.workers,
            "collate_fn": list,
            "persistent_workers": args.workers > 0,
        }

        def map_style(dataset, sampler=None):
            return DataLoader(dataset, sampler=sampler, shuffle=sampler is None, **options)

        from posepile.torch import CropDataset, ShardShuffleSampler

        examples = pack_crops(jpegs, tmp / "crops.barecat")
        cases = {"bare decoding": map_style(BareDecoding(jpegs))}
        dataset = CropDataset(examples, transform=only_image)
        cases["posepile full shuffle"] = map_style(dataset, ShardShuffleSampler(examples, block=1))
        cases["posepile blocks"] = map_style(dataset, ShardShuffleSampler(examples))
        cases["plain files"] = map_style(PlainFiles(write_files(jpegs, tmp / "files")))
        cases |= webdataset_case(jpegs, tmp / "wds", options)
        cases |= litdata_case(jpegs, tmp / "litdata", options)
        for loader in cases.values():
            measure(loader, len(jpegs))  # starts the workers
        passes = {name: [] for name in cases}
        for _ in range(args.passes):  # in turns, so that all see the same machine
            for name, loader in cases.items():
                passes[name].append(measure(loader, len(jpegs)))
    best = {name: np.max(rates, axis=0) for name, rates in passes.items()}
    for k, unit in enumerate(("crops/s", "crops/processor s")):
        for name, rates in best.items():
            case = f"{name}, {args.workers} workers, {args.crops} crops ({unit})"
            report("loader", case, "crops/s", rates[k], best["bare decoding"][k])
    peers = [name for name in best if name in PEERS]
    for name in peers:
        case = f"posepile vs {name} (crops/processor s)"
        report("loader", case, "crops/s", best["posepile blocks"][1], best[name][1])


def write_files(jpegs, folder):
    """One file per crop, in subfolders as datasets come."""
    paths = []
    for i, data in enumerate(jpegs):
        path = folder / f"{i // 500:04d}" / f"{i:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        paths.append(str(path))
    return paths


def webdataset_case(jpegs, folder, options):
    """Tar shards read in sequence, shuffled in a buffer: not random access, its best mode."""
    try:
        import webdataset
    except ImportError:
        return {}
    folder.mkdir()
    with webdataset.ShardWriter(f"{folder}/%04d.tar", maxcount=500, verbose=0) as writer:
        for i, data in enumerate(jpegs):
            writer.write({"__key__": f"{i:06d}", "jpg": data})
    shards = sorted(str(p) for p in folder.glob("*.tar"))
    dataset = (
        webdataset.WebDataset(shards, shardshuffle=len(shards), empty_check=False)
        .shuffle(1000)
        .map(lambda sample: decode(sample["jpg"]))
    )
    from torch.utils.data import DataLoader

    return {"webdataset": DataLoader(dataset, **options)}


def litdata_case(jpegs, folder, options):
    """Chunks with an index, shuffled."""
    try:
        import litdata
        from litdata.streaming import StreamingDataset
        from litdata.streaming.writer import BinaryWriter
    except ImportError:
        return {}
    folder.mkdir()
    writer = BinaryWriter(str(folder), chunk_bytes="64MB")
    for i, data in enumerate(jpegs):
        writer[i] = data
    writer.done()
    writer.merge()

    class Decoded(StreamingDataset):
        def __getitem__(self, index):
            return decode(bytes(super().__getitem__(index)))

    return {"litdata": litdata.StreamingDataLoader(Decoded(str(folder), shuffle=True), **options)}


if __name__ == "__main__":
    main()
