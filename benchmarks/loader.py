"""Shuffled random access to crops: PosePile's loader against a hand-written loop and its peers.

    python benchmarks/loader.py [--work decode] [--crops 4000] [--workers 2]

Two kinds of work: ``augment``, the whole augmentation to 256x256 with objects, backgrounds and
labels, and ``decode``, decoding and the middle 256x256 pixels. Peers (one file per crop,
webdataset, litdata) do the same work by the same functions in their workers; of them is compared
how an example is found and read. The hand-written loop has the JPEG files and labels in memory
and augments as one does by hand (``handwritten.py``), in workers and, as ``loop``, in one process
without any. Rates are per wall time and per processor time (which other work on the machine
disturbs less). Peers that are not installed are left out. Needs the extra ``torch``.
"""

from __future__ import annotations

import argparse
import functools
import multiprocessing
import os
import pickle
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from common import report
from handwritten import Row, augment_by_hand, make_helpers

PEERS = ("plain files", "webdataset", "litdata")
SIDE = 256


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


def make_labels(jpegs: list[bytes]) -> list[dict]:
    """What is known of each crop, as plain arrays."""
    import rlemasklib

    rng, labels = np.random.default_rng(1), []
    for data in jpegs:
        h, w, *_ = simplejpeg.decode_jpeg_header(data)
        person = np.zeros((h, w), np.uint8)
        person[h // 2 - 180 : h // 2 + 180, w // 2 - 50 : w // 2 + 50] = 1
        labels.append(
            {
                "bbox": np.array([w / 2 - 85, h / 2 - 192, 170, 384], np.float32),
                "world": rng.normal((0, 4000, 0), 300, (17, 3)).astype(np.float32),
                "rotation": np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]),
                "intrinsics": np.array([[1500, 0, w / 2], [0, 1500, h / 2], [0, 0, 1.0]]),
                "size": (h, w),
                "mask": rlemasklib.encode(person),
            }
        )
    return labels


def skeleton():
    """17 joints."""
    from posepile.joint_info import JointInfo

    return JointInfo([f"{side}{i}" for i in range(8) for side in "lr"] + ["pelv"])


def camera_of(labels: dict):
    """The camera of a crop."""
    import deltacamera

    return deltacamera.Camera(
        rot_world_to_cam=labels["rotation"],
        intrinsic_matrix=labels["intrinsics"],
        world_up=(0, 0, 1),
        image_shape=labels["size"],
    )


def pack_crops(jpegs: list[bytes], labels: list[dict], archive_path: Path):
    """The crops as the train split of a packed dataset of 17 joints."""
    from posepile.recipe import DatasetSpec
    from posepile.store import opening, packing, parts
    from posepile.store.codec import Record

    spec = DatasetSpec("crops", skeleton(), "crops_downscaled", world_up=(0, 0, 1))
    part = archive_path.parent / "unit.part"
    with parts.PartWriter(part) as writer:
        for i, (data, known) in enumerate(zip(jpegs, labels, strict=True)):
            record = Record(
                image_path=f"crops_downscaled/{i // 500:04d}/{i:06d}.jpg",
                split="train",
                bbox=known["bbox"],
                imshape=known["size"],
                frame=i,
                person=0,
                sequence=f"{i // 500:04d}",
                world_coords=known["world"],
                camera=camera_of(known),
                mask=known["mask"],
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
    seen = sum(len(batch["image"]) for batch in loader)
    if seen != n:
        raise RuntimeError(f"{seen} of {n} crops")
    return n / (time.perf_counter() - wall), n / (processor_time() - cpu)


def decode(data: bytes, labels: dict) -> dict:
    """The small work: what is handed over is the middle."""
    del labels
    return middle(simplejpeg.decode_jpeg(data, "RGB"))


def middle(image: np.ndarray) -> dict:
    """A copy of the middle of an image."""
    y, x = ((n - SIDE) // 2 for n in image.shape[:2])
    return {"image": image[y : y + SIDE, x : x + SIDE].copy()}


def only_image(example) -> dict:
    """The same of an example."""
    return middle(example.image)


class Augmented:
    """The whole work on what a peer has read."""

    def __init__(self, transform):
        self.transform = transform
        self.rng = np.random.default_rng(0)

    def __call__(self, data: bytes, labels: dict) -> dict:
        """An example of a peer's bytes, augmented."""
        from posepile.datasets3d import Pose3DExample
        from posepile.torch import Draw

        example = Pose3DExample(
            "", labels["world"], labels["bbox"], camera_of(labels), mask=labels["mask"]
        )
        example.image = simplejpeg.decode_jpeg(data, "RGB")
        return self.transform(example, Draw(0, 0, self.rng))


class ByHand:
    """The whole work as one writes it by hand."""

    def __init__(self, occluders, backgrounds):
        self.helpers = occluders, backgrounds
        self.mirror = np.array(skeleton().mirror_mapping)
        self.rng = np.random.default_rng(0)

    def __call__(self, data: bytes, labels: dict) -> dict:
        """The arrays of a crop."""
        row = Row(
            **{k: labels[k] for k in ("bbox", "world", "rotation", "intrinsics", "mask")},
            center=np.zeros(3),
            up=np.array([0, 0, 1.0]),
        )
        return augment_by_hand(data, row, self.mirror, self.rng, *self.helpers)


class InMemory:
    """JPEG files and labels are in memory already."""

    def __init__(self, jpegs, labels, work):
        self.jpegs, self.labels, self.work = jpegs, labels, work

    def __len__(self):
        return len(self.jpegs)

    def __getitem__(self, i):
        return self.work(self.jpegs[i], self.labels[i])


class PlainFiles(InMemory):
    """One file per crop; labels in memory."""

    def __getitem__(self, i):
        return self.work(Path(self.jpegs[i]).read_bytes(), self.labels[i])


def loop(dataset):
    """One process, no loader: batches of 32 in random order."""
    order = np.random.permutation(len(dataset))
    for start in range(0, len(order), 32):
        items = [dataset[i] for i in order[start : start + 32]]
        yield {key: np.stack([item[key] for item in items]) for key in items[0]}


class Again:
    """A generator function as something to be gone through again."""

    def __init__(self, make, *arguments):
        self.make = functools.partial(make, *arguments)

    def __iter__(self):
        return self.make()


def works(kind: str, folder: Path):
    """(transform of examples, the same for peers, the same by hand)."""
    if kind == "decode":
        return only_image, decode, decode
    from posepile.augmentation import Augmentation, Backgrounds, Occluders

    occluders, files = make_helpers(folder)
    transform = Augmentation(
        None,
        skeleton(),
        Backgrounds(files),
        Occluders(folder / "pascal_voc_occluders.pkl"),
        replaceable=True,
    )
    return transform, Augmented(transform), ByHand(occluders, files)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", choices=("augment", "decode"), default="augment")
    parser.add_argument("--crops", type=int, default=4000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--passes", type=int, default=3)
    args = parser.parse_args()
    import torch
    from torch.utils.data import DataLoader

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        tmp = Path(folder)
        os.environ["DATA_ROOT"] = str(tmp)
        jpegs = make_crops(args.crops)
        labels = make_labels(jpegs)
        transform, work, by_hand = works(args.work, tmp)
        options = {
            "batch_size": 32,
            "num_workers": args.workers,
            "persistent_workers": args.workers > 0,
        }

        def map_style(dataset):
            return DataLoader(dataset, shuffle=True, **options)

        from posepile.torch import CropDataset, CropLoader

        examples = pack_crops(jpegs, labels, tmp / "crops.barecat")
        dataset = CropDataset(examples, transform)
        by_hand = InMemory(jpegs, labels, by_hand)
        cases = {
            "loop": Again(loop, by_hand),
            "by hand": map_style(by_hand),
            "posepile full shuffle": CropLoader(dataset, block=1, **options),
            "posepile blocks": CropLoader(dataset, **options),
        }
        files = write_files(jpegs, tmp / "files")
        cases["plain files"] = map_style(PlainFiles(files, labels, work))
        both = list(zip(jpegs, labels, strict=True))
        cases |= webdataset_case(both, tmp / "wds", work, options)
        cases |= litdata_case(both, tmp / "litdata", work, options)
        for loader in cases.values():
            measure(loader, len(jpegs))  # starts the workers
        passes = {name: [] for name in cases}
        for _ in range(args.passes):  # in turns, so that all see the same machine
            for name, loader in cases.items():
                passes[name].append(measure(loader, len(jpegs)))
    best = {name: np.max(rates, axis=0) for name, rates in passes.items()}
    for k, unit in enumerate(("crops/s", "crops/processor s")):
        for name, rates in best.items():
            case = f"{args.work}: {name}, {args.workers} workers, {args.crops} crops ({unit})"
            report("loader", case, "crops/s", rates[k], best["by hand"][k])
    for name in ("loop", "by hand", *(name for name in best if name in PEERS)):
        case = f"{args.work}: posepile vs {name} (crops/processor s)"
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


def webdataset_case(crops, folder, work, options):
    """Tar shards read in sequence, shuffled in a buffer: not random access, its best mode."""
    try:
        import webdataset
    except ImportError:
        return {}
    folder.mkdir()
    with webdataset.ShardWriter(f"{folder}/%04d.tar", maxcount=500, verbose=0) as writer:
        for i, (data, labels) in enumerate(crops):
            writer.write({"__key__": f"{i:06d}", "jpg": data, "pyd": pickle.dumps(labels)})
    shards = sorted(str(p) for p in folder.glob("*.tar"))
    dataset = (
        webdataset.WebDataset(shards, shardshuffle=len(shards), empty_check=False)
        .shuffle(1000)
        .map(lambda sample: work(sample["jpg"], pickle.loads(sample["pyd"])))
    )
    from torch.utils.data import DataLoader

    return {"webdataset": DataLoader(dataset, **options)}


def litdata_case(crops, folder, work, options):
    """Chunks with an index, shuffled."""
    try:
        import litdata
        from litdata.streaming import StreamingDataset
        from litdata.streaming.writer import BinaryWriter
    except ImportError:
        return {}
    folder.mkdir()
    writer = BinaryWriter(str(folder), chunk_bytes="64MB")
    for i, (data, labels) in enumerate(crops):
        writer[i] = pickle.dumps((data, labels))
    writer.done()
    writer.merge()

    class Finished(StreamingDataset):
        def __getitem__(self, index):
            return work(*pickle.loads(super().__getitem__(index)))

    return {"litdata": litdata.StreamingDataLoader(Finished(str(folder), shuffle=True), **options)}


if __name__ == "__main__":
    main()
