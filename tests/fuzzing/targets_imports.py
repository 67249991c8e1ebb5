"""Datasets in the formats of others, imported whole: annotations, shards, archives, pickles."""

from __future__ import annotations

import os
import pickle
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import archive_kit
import imports_kit

from fuzzing.mutators import GENERIC
from fuzzing.mutators_archives import TAR
from fuzzing.mutators_numpy import NPY, in_zip
from fuzzing.mutators_pickle import OBJECT_NPY, PICKLE
from fuzzing.mutators_text import JSON
from fuzzing.target import Target
from posepile.datasets3d import JointInfo, Pose3DDataset, Pose3DExample
from posepile.imports.facts import Facts
from posepile.imports.forms import import_dataset
from posepile.store.opening import get_dataset

FACTS = Facts(
    licence="x",
    units="m",
    axes="camera",
    world_up="-y",
    split="train",
    joints=["pelv", "lhip", "rhip", "lkne", "rkne"],
)


def importer(form: str, name: str, facts: Facts) -> Callable[[Path, Path], None]:
    """Reads the file of that name in a folder, whose pictures are below ``images``."""

    def use(path: Path, output: Path) -> None:
        root = output / "data"
        root.mkdir()
        os.environ["DATA_ROOT"] = str(root)
        os.environ.pop("CACHE_DIR", None)
        copy = output / "files"
        shutil.copytree(path, copy)
        images = copy / "images" if (copy / "images").is_dir() else None
        import_dataset([copy / name], form, "mine", facts, images=images, tell=lambda _: None)

    return use


def folder_of(make: Callable[[Path], object]) -> Callable[[Path], list[Path]]:
    """Samples that are one folder."""

    def samples(folder: Path) -> list[Path]:
        root = folder / "files"
        root.mkdir()
        make(root)
        return [root]

    return samples


def make_pickle(root: Path) -> None:
    """A pickled dataset and its pictures."""
    names = [f"gym/{i}.jpg" for i in range(3)]
    imports_kit.write_pictures(root / "images", names)
    examples = [
        Pose3DExample(n, imports_kit.pose(i), [1, 2, 30, 40], imports_kit.camera(i))
        for i, n in enumerate(names)
    ]
    dataset = Pose3DDataset(JointInfo(imports_kit.OWN, "lsho-lelb"), examples)
    (root / "ds.pkl").write_bytes(pickle.dumps(dataset))


def make_entries(root: Path) -> None:
    """An archive of entries and files of pictures."""
    from posepile.export.upstream import export_upstream

    made = root.parent / "made"
    made.mkdir()
    os.environ["DATA_ROOT"] = str(made)
    records = archive_kit.make_archive(made, n=3)
    export_upstream("toy.barecat", root / "ann.barecat")
    for record in records:
        path = root / "images" / record.image_path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(archive_kit.jpeg())
    shutil.rmtree(made)


def make_export(form: str) -> Callable[[Path], None]:
    """An export of this package: examples as JSON."""

    def make(root: Path) -> None:
        from posepile.export.coco import export_coco
        from posepile.export.webdataset import export_webdataset

        made = root.parent / "made"
        made.mkdir()
        os.environ["DATA_ROOT"] = str(made)
        record = archive_kit.record
        with archive_kit.parts.PartWriter(made / "a.part") as writer:
            for i in range(3):
                writer.add(record("toy", "train", 0, i, mask=None), archive_kit.jpeg(i))
        facts = archive_kit.spec("toy")
        archive_kit.packing.pack([made / "a.part"], made / "toy.barecat", facts, {"sources": []})
        dataset = get_dataset("toy.barecat", None)
        export = {"coco": export_coco, "webdataset": export_webdataset}[form]
        export(dataset, made / "out")
        shutil.copytree(made / "out", root, dirs_exist_ok=True)
        shutil.rmtree(made)

    return make


def within_json(data: bytes, rng: random.Random) -> bytes:
    """Damages the first JSON of a shard and puts it back."""
    start = data.find(b'{"')
    end = data.find(b"\0", start)
    if start < 0 or end < 0:
        return data[:600]
    inner = rng.choice(JSON)(data[start:end], rng)[: end - start].ljust(end - start)
    return data[:start] + inner + data[end:]


def within_pickle(name: str) -> Callable[[bytes, random.Random], bytes]:
    """Damages the first pickle of a shard and puts it back."""

    def change(data: bytes, rng: random.Random) -> bytes:
        at = data.find(name.encode())
        octal = data[at + 124 : at + 136].split(b"\0")[0].strip()
        size = int(octal, 8) if at >= 0 and octal else 0
        start = at + 512
        if size == 0:
            return data[:600]
        inner = rng.choice(PICKLE)(data[start : start + size], rng)[:size].ljust(size, b"\0")
        return data[:start] + inner + data[start + size :]

    return change


def target(
    name: str, form: str, file: str, make: Callable[[Path], object], mutators, facts: Facts = FACTS
) -> Target:
    """An import of one file of a folder."""
    return Target(f"import_{name}", folder_of(make), importer(form, file, facts), mutators)


_TAR = [*TAR, *GENERIC]
_WITHOUT_JOINTS = Facts(licence="x", split="train", world_up="-y")

TARGETS = [
    target(
        "coco",
        "coco",
        "person_keypoints_train2020.json",
        lambda root: imports_kit.coco(root, n=2),
        [*JSON, *GENERIC],
        _WITHOUT_JOINTS,
    ),
    target(
        "humandata",
        "humandata",
        "toy.npz",
        lambda root: imports_kit.human_data(root / "toy.npz", n=4),
        [*in_zip(*NPY), *in_zip(*OBJECT_NPY), *GENERIC],
    ),
    target(
        "sam3d",
        "webdataset",
        "a.tar",
        lambda root: imports_kit.sam3d(root / "a.tar", n=2, people=1),
        [within_pickle("coco-000.annotation.pyd"), *_TAR],
        _WITHOUT_JOINTS,
    ),
    target(
        "hmr2",
        "webdataset",
        "a.tar",
        lambda root: imports_kit.hmr2(root / "a.tar", n=2),
        [within_pickle("00.data.pyd"), *_TAR],
        _WITHOUT_JOINTS,
    ),
    target(
        "export_coco",
        "coco",
        "annotations/out_train.json",
        make_export("coco"),
        [*JSON, *GENERIC],
        _WITHOUT_JOINTS,
    ),
    target(
        "export_shard",
        "webdataset",
        "out-train-000000.tar",
        make_export("webdataset"),
        [within_json, within_json, *_TAR],
        _WITHOUT_JOINTS,
    ),
    target("pickle", "pickle", "ds.pkl", make_pickle, [*PICKLE, *GENERIC], _WITHOUT_JOINTS),
    target("upstream", "upstream", "ann.barecat", make_entries, GENERIC, _WITHOUT_JOINTS),
]
