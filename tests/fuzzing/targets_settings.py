"""What people and tools write: settings, sources, lists, records, predictions; and networks."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import tiny_networks

from fuzzing import heads, mutators_store
from fuzzing.looking import look_at
from fuzzing.mutators_numpy import NPZ
from fuzzing.mutators_text import JSON, TEXT, YAML
from fuzzing.target import Target
from posepile import config
from posepile.acquire.credentials import get_credentials
from posepile.acquire.release import read_release
from posepile.acquire.sources import load_sources
from posepile.ds import dataset_names, load_recipe
from posepile.errors import PosePileError
from posepile.evaluation import predictions
from posepile.evaluation.benchmark import Clip
from posepile.evaluation.forms import npz_poses
from posepile.evaluation.trajectories import read_trajectory
from posepile.formats.schema import Array
from posepile.models import (
    DetectorFile,
    DetectParams,
    SegmenterFile,
    SegmentParams,
    load_detector,
    load_segmenter,
    weights,
)
from posepile.run.clusters.connecting import address_in
from posepile.stages.exclusions import load_exclusions

ROOT = Path(__file__).resolve().parent.parent.parent


def _copies(*files: Path) -> Callable[[Path], Sequence[Path]]:
    def samples(folder: Path) -> list[Path]:
        # Several have the same name in their own folders.
        return [
            Path(shutil.copy(f, folder / f"{f.parent.name}-{f.stem}{f.suffix}")) for f in files
        ]

    return samples


def _of_datasets(name: str) -> list[Path]:
    return sorted((ROOT / "posepile" / "ds").glob(f"*/{name}"))


# ---------------------------------------------------------------- YAML


def read_config(path: Path, out: Path) -> None:
    """Reads a configuration as every command does."""
    module = load_recipe(path.stem.removeprefix("configs-"))
    os.environ["DATA_ROOT"] = str(out)
    options = getattr(module, "Options", config.NoOptions)
    found = config.load_config(path.stem, options, path=path, spec=module.SPEC)
    look_at(found.model_dump(mode="json"))


def read_sources(path: Path, out: Path) -> None:
    """Reads a list of sources and what is derived from it."""
    sources = load_sources(path)
    for source in sources.sources:
        look_at([source.path, source.size, source.places])
    look_at(sources.select().__len__())


def read_exclusions(path: Path, out: Path) -> None:
    """Reads a list of exclusions and asks it."""
    from posepile.stages.exclusions import matching

    for exclusion in matching(load_exclusions(path), ["a/b", "s1"]):
        exclusion.covers(3, 0)


def read_credentials(path: Path, out: Path) -> None:
    """Looks for an account in a file of credentials."""
    os.environ["POSEPILE_CREDENTIALS"] = str(_private(path, out))
    refusal = None
    for service, need_user in (("amass", True), ("archive", False)):
        try:
            get_credentials(service, host="h", need_user=need_user, prompt=False)
        except PosePileError as e:
            if "geheim" in str(e):
                raise RuntimeError("a password in a message") from None
            refusal = e
    if refusal is not None:
        raise refusal


def _private(path: Path, out: Path) -> Path:
    """Returns a copy that nobody else may read."""
    copy = Path(shutil.copy(path, out / path.name))
    copy.chmod(0o600)
    return copy


def read_netrc(path: Path, out: Path) -> None:
    """Looks for an account in a netrc file."""
    missing = str(out / "none.yaml")
    os.environ |= {"NETRC": str(_private(path, out)), "POSEPILE_CREDENTIALS": missing}
    get_credentials("amass", host="h.org", prompt=False)


def _credentials(folder: Path) -> Sequence[Path]:
    file = folder / "credentials.yaml"
    file.write_text(
        'amass: {user: "me@x.org", password: "geheim1"}\n'
        'archive:\n  password: "geheim2"\nother: {user: "a", password: "b"}\n'
    )
    file.chmod(0o600)
    return [file]


def _netrcs(folder: Path) -> Sequence[Path]:
    file = folder / "netrc"
    file.write_text("machine h.org login me password geheim\nmacdef x\n cd\n\ndefault login a\n")
    file.write_text("machine h.org login me password geheim\nmachine b login c password d\n")
    file.chmod(0o600)
    return [file]


def _scheduler_files(folder: Path) -> Sequence[Path]:
    import json

    facts = {"type": "Scheduler", "id": "Scheduler-1", "address": "tcp://10.0.0.7:8786"}
    (folder / "scheduler.json").write_text(json.dumps({**facts, "services": {}, "workers": {}}))
    return [folder / "scheduler.json"]


# ---------------------------------------------------------------- predictions

JOINTS = {17: None, 25: [24, 0, 1]}


def read_npz_predictions(path: Path, out: Path) -> None:
    """Reads predictions of images and averages their views."""
    more = {"key_of": lambda p: p.rpartition("/")[2], "views": True}
    opened = npz_poses(path, "coords3d_pred_world", JOINTS, **more)
    look_at(opened.take(Clip("all", opened.names, {})).arrays["joints"])


def _npz_predictions(folder: Path) -> Sequence[Path]:
    rng = np.random.default_rng(0)
    for name, n in (("few", 17), ("more", 25)):
        names = ["c1/0.jpg", "c2/0.jpg", "c1/1.jpg", "c2/1.jpg"]
        coords = rng.normal(size=(4, n, 3)).astype(np.float32)
        np.savez(folder / f"{name}.npz", image_path=names, coords3d_pred_world=coords)
    return sorted(folder.glob("*.npz"))


def read_json_predictions(path: Path, out: Path) -> None:
    """Reads predictions by sequence and frame."""
    schema = {"*": {"*": Array(3, 3, finite=False)}}
    look_at(predictions.flatten(predictions.read_pred_json(path, schema), 2))


def _json_predictions(folder: Path) -> Sequence[Path]:
    import json

    rng = np.random.default_rng(0)
    poses = {f"s{i}": {f"{t}": rng.normal(size=(3, 3)).tolist() for t in range(3)} for i in (1, 2)}
    (folder / "pred.json").write_text(json.dumps(poses))
    return [folder / "pred.json"]


def read_predicted_motion(path: Path, out: Path) -> None:
    """Reads a predicted motion, and at another rate."""
    look_at(read_trajectory(path, ["head", "hips"], "two", 10.0)["joints"])


def _motions(folder: Path) -> Sequence[Path]:
    import json

    points = np.arange(60.0).reshape(10, 2, 3)
    content = {"points": points.tolist(), "rate": 50.0, "skel": "two", "units": "mm"}
    (folder / "clip.json").write_text(json.dumps(content))
    names = ",".join(f"{j}_{a}" for j in ("head", "hips") for a in "xyz")
    rows = [f"{t / 50:.2f}," + ",".join(map(str, points[t].ravel())) for t in range(10)]
    (folder / "clip.csv").write_text("\n".join([f"t,{names}", *rows]) + "\n")
    return sorted(folder.glob("clip.*"))


# ---------------------------------------------------------------- networks


def run_network(path: Path, out: Path) -> None:
    """Loads a network and lets it work, as a unit's process does."""
    picture = np.full((40, 60, 3), 30, np.uint8)
    picture[10:30, 20:40] = 255
    kind = path.stem
    if kind in ("yolox", "detr"):
        model = DetectorFile(path=str(path), decoder=kind, person_class=0)
        look_at(load_detector(DetectParams(model=model, threads=1))([picture]))
        return
    model = SegmenterFile(path=str(path), decoder=kind)
    segmenter = load_segmenter(SegmentParams(model=model, threads=1))
    joints = np.array([[25.0, 15.0], [30.0, 25.0]])
    look_at(segmenter.foreground(picture, np.array([20.0, 10, 20, 20]), joints, [], [(0, 1)]))


def _networks(folder: Path) -> Sequence[Path]:
    return [
        getattr(tiny_networks, name)(folder / f"{name}.onnx")
        for name in ("yolox", "detr", "matting", "sam")
    ]


TARGETS = [
    Target(
        "config",
        _copies(*(ROOT / "configs" / f"{name}.yaml" for name in dataset_names())),
        read_config,
        YAML,
    ),
    Target("sources", _copies(*_of_datasets("sources.yaml")), read_sources, YAML),
    Target("exclusions", _copies(*_of_datasets("exclusions.yaml")), read_exclusions, YAML),
    Target("release", _copies(*_of_datasets("release.yaml")), lambda p, o: read_release(p), YAML),
    Target(
        "models",
        _copies(ROOT / "configs" / "models.yaml"),
        lambda p, o: look_at(weights.load_registry(p)),
        YAML,
    ),
    Target("credentials", _credentials, read_credentials, YAML, False, heads.is_mapping),
    Target("netrc", _netrcs, read_netrc, TEXT, False, heads.is_netrc),
    Target("dask-scheduler", _scheduler_files, lambda p, o: look_at(address_in(p)), JSON),
    Target("npz-predictions", _npz_predictions, read_npz_predictions, NPZ),
    Target("json-predictions", _json_predictions, read_json_predictions, JSON),
    Target("predicted-motion", _motions, read_predicted_motion, (*JSON, *TEXT)),
    Target("onnx", _networks, run_network, mutators_store.ONNX, True, heads.is_onnx),
]
