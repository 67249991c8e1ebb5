"""A network that is not right ends a run in one line, and no unit is to blame for it."""

import dataclasses

import answering
import fake_dataset
import numpy as np
import pytest
import tiny_networks
from fake_dataset import a_run
from networks_kit import NETWORKS

from posepile.errors import CorruptInput, UsageError
from posepile.models import DetectorFile
from posepile.run import process, results
from posepile.run.backends import Backend
from posepile.run.unit import Outcome

fake = fake_dataset.fake


def quarantined(run):
    return sorted(results.quarantined_names(run.work))


def detect_with(fake, model):
    return a_run(fake, f"detect.model={model}", "box.source=detect", "detect.min_joints_inside=3")


def wrong_kind(path):
    answering.network(path, {"output": answering.scores(1, 1000)})


def wrong_file(path):
    path.write_bytes(b"no network")


def wrong_layout(path):
    tiny_networks.matting(path, layout="nhwc")


@pytest.mark.parametrize("make", [wrong_kind, wrong_file, wrong_layout])
@pytest.mark.parametrize("stage", ["detect", "crop"])
def test_a_wrong_detector_ends_the_run_before_a_unit_is_begun(
    fake, tmp_path, monkeypatch, make, stage
):
    path = tmp_path / "net.onnx"
    make(path)
    run = detect_with(fake, f"{{path: '{path}', layout: nchw}}")
    monkeypatch.setattr(process, "process_unit", lambda order, row: pytest.fail(row.id))
    with pytest.raises(UsageError, match="net.onnx") as said:
        process.process(run, (stage,))
    assert "\n" not in str(said.value)
    assert not quarantined(run)


def test_a_wrong_segmenter_ends_the_run_before_a_unit_is_begun(fake, tmp_path, monkeypatch):
    path = tmp_path / "net.onnx"
    wrong_file(path)
    monkeypatch.setattr(process, "process_unit", lambda order, row: pytest.fail(row.id))
    run = a_run(fake, f"segment.model={{path: '{path}', decoder: matting}}")
    with pytest.raises(UsageError, match="net.onnx"):
        process.process(run, ("crop", "segment"))
    assert not quarantined(run)


def test_on_a_cluster_only_its_workers_load_networks(fake, monkeypatch):
    """They have the GPU that is asked for; where the command runs there may be none."""
    run = detect_with(fake, f"{{path: '{NETWORKS / 'yolov8.onnx'}'}}")
    isolated = run.config.run.model_copy(update={"isolate": True})
    config = run.config.model_copy(update={"run": isolated})
    run = dataclasses.replace(run, config=config, backend=Backend("dask", "tcp://127.0.0.1:1"))
    monkeypatch.setattr(process, "check_networks", lambda *args: pytest.fail("loaded here"))
    monkeypatch.setattr(process, "run_tasks", lambda *args, **options: (x for x in ()))
    assert process.process(run, ("detect",)).done == 0

    def lacks_it(function, rows, **options):
        for row in rows:
            yield row, Outcome(row.id, {}, fatal="device: cuda, but", usage=True, host="node7")

    monkeypatch.setattr(process, "run_tasks", lacks_it)
    with pytest.raises(UsageError, match="^a Dask worker on node7: device: cuda, but$"):
        process.process(run, ("detect",))


def test_a_network_that_fails_during_a_run_quarantines_nothing(fake, monkeypatch):
    from posepile import models

    path = NETWORKS / "yolov8.onnx"
    loaded = []

    def load(params):
        loaded.append(params)
        if len(loaded) > 1:  # the first is the look at it before the run
            raise CorruptInput(str(path), "a network that was exchanged meanwhile")

    monkeypatch.setattr(models, "load_detector", load)
    monkeypatch.setattr(models, "_networks", {})
    monkeypatch.setattr("posepile.run.networks.call_apart", lambda function, what: function())
    run = detect_with(fake, f"{{path: '{path}'}}")
    with pytest.raises(UsageError, match="exchanged meanwhile"):
        process.process(run, ("crop",))
    assert len(loaded) == 2
    assert not quarantined(run)


def test_official_deploy_form_runs(fake, tmp_path):
    """Its second input once made every unit a fault of the program."""
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 30, (1, 20, 2))
    boxes = np.concatenate([low, low + rng.uniform(10, 30, (1, 20, 2))], axis=2)
    path = tmp_path / "deploy.onnx"
    answering.network(
        path,
        {
            "labels": np.arange(20)[None] % 80,
            "boxes": boxes.astype(np.float32),
            "scores": np.linspace(0.9, 0.01, 20, dtype=np.float32)[None],
        },
        inputs={"orig_target_sizes": ("int64", (1, 2))},
    )
    run = detect_with(fake, DetectorFile(path=str(path)).model_dump_json(exclude_none=True))
    done = process.process(run, ("detect",))
    assert not done.errors
    assert done.done
