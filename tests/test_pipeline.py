"""The pipeline on a tiny made-up dataset of stills, in this process."""

import json
import os
import shutil
import sys
import types
from pathlib import Path

import cv2
import deltacamera
import numpy as np
import pytest
import rlemasklib
from pydantic import BaseModel

import posepile.ds
from posepile.errors import CorruptInput, UsageError, WorkError
from posepile.joint_info import JointInfo
from posepile.miniature import kit as miniature
from posepile.recipe import DatasetSpec, Sequence, Stills, Track, Unit
from posepile.run import commands as steps
from posepile.run import pack as packing
from posepile.run import pipeline
from posepile.stages import crop, detect
from posepile.stages.counts import Counts
from posepile.store import parts, verifying

JOINTS = JointInfo("head,pelv,lank,rank", "head-pelv,pelv-lank,pelv-rank")
POINTS = np.array([[0, -800, 4000], [0, 0, 4000], [-300, 900, 4000], [300, 900, 4000]], float)
FOCAL, SIZE = 500.0, (640, 480)


class Options(BaseModel):
    stride: int = 1


def make_raw(root, n_units=3, n_frames=4):
    rng = np.random.default_rng(0)
    for u in range(n_units):
        folder = root / f"seq{u}"
        folder.mkdir(parents=True)
        worlds = []
        for t in range(n_frames):
            world = POINTS + rng.uniform(-150, 150, 3) + [200 * t - 300, 0, 0]
            image = miniature.background(*SIZE, seed=10 * u + t)
            pixels = world[:, :2] / world[:, 2:] * FOCAL + [319.5, 239.5]
            miniature.draw_person(image, pixels, [(0, 1), (1, 2), (1, 3)], 9)
            cv2.imwrite(str(folder / f"{t}.jpg"), image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 97])
            worlds.append(world.tolist())
        (folder / "world.json").write_text(json.dumps(worlds))


def list_units(root, options):
    return [
        Unit(f.name, "train" if f.name != "seq2" else "val", (f / "world.json", *images(f)))
        for f in sorted(Path(root).iterdir())
    ]


def images(folder):
    return sorted(folder.glob("*.jpg"))


def load_unit(root, unit, options):
    folder = Path(root) / unit.id
    try:
        world = np.array(json.loads((folder / "world.json").read_text()))
    except ValueError:
        raise CorruptInput(folder / "world.json", "not JSON") from None
    if unit.id in BROKEN:
        raise ZeroDivisionError("a fault of the recipe")
    camera = deltacamera.Camera(
        intrinsic_matrix=[[FOCAL, 0, 319.5], [0, FOCAL, 239.5], [0, 0, 1]], world_up=(0, -1, 0)
    )
    low, high = (
        ((world[..., :2] / world[..., 2:] * FOCAL + [319.5, 239.5]).min(1) - 15),
        ((world[..., :2] / world[..., 2:] * FOCAL + [319.5, 239.5]).max(1) + 15),
    )
    track = Track(
        frames=np.arange(0, len(world), options.stride),
        world_coords=world[:: options.stride].astype(np.float32),
        bbox=np.concatenate([low, high - low], 1)[:: options.stride].astype(np.float32),
    )
    return [
        Sequence(
            unit.id,
            unit.split,
            Stills(tuple(images(folder))),
            camera,
            [track],
            lambda frame, person: f"{unit.id}/{frame:06d}.jpg",
        )
    ]


BROKEN = set()


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """A dataset called ``fake`` with its raw data in place; returns DATA_ROOT."""
    module = types.ModuleType("posepile.ds.fake.main")
    spec = DatasetSpec("fake", JOINTS, "fake_downscaled", world_up=(0, -1, 0), licence="CC0")
    for name, value in {
        "SPEC": spec,
        "Options": Options,
        "list_units": list_units,
        "load_unit": load_unit,
    }.items():
        setattr(module, name, value)
    monkeypatch.setitem(sys.modules, "posepile.ds.fake", types.ModuleType("posepile.ds.fake"))
    monkeypatch.setitem(sys.modules, "posepile.ds.fake.main", module)
    monkeypatch.setattr(posepile.ds, "dataset_names", lambda: ["fake"])
    monkeypatch.setenv("DATA_ROOT", str(tmp_path / "data"))
    BROKEN.clear()
    make_raw(tmp_path / "data" / "fake")
    (tmp_path / "fake.yaml").write_text("select: {method: last, threshold_mm: 50}\n")
    return tmp_path / "data"


def a_run(fake, *overrides, **kwargs):
    path = fake.parent / "fake.yaml"
    return pipeline.make_run("fake", overrides, quiet=True, config_path=path, **kwargs)


def process_and_pack(fake, *overrides):
    run = a_run(fake, *overrides)
    steps.process(run, pipeline.default_stages(run.config))
    return packing.pack(run)


def packed_bytes(fake):
    files = sorted([*fake.glob("fake.barecat*"), fake / "cache" / "fake.pkl"])
    return {f.name: f.read_bytes() for f in files}


def test_everything_is_counted_and_packed(fake, capsys):
    manifest, changed = process_and_pack(fake)
    assert changed
    assert manifest["counts"] == {"train": 8, "val": 4, "test": 0}
    assert manifest["splits"]["train"]["frames_read"] == 8
    assert "12 annotated person-frames, 12 selected, 12 examples" in capsys.readouterr().out
    assert verifying.verify(fake / "fake.barecat") == []
    assert process_and_pack(fake) == (manifest, False)


def test_any_split_of_the_work_gives_the_same_bytes(fake):
    process_and_pack(fake)
    whole = packed_bytes(fake)
    for path in [*fake.glob("fake.barecat*"), fake / "cache" / "fake.pkl"]:
        path.unlink()
    shutil.rmtree(fake / "fake_work")
    for index in (1, 0):
        pipeline.run_units(a_run(fake, shard=(index, 2)), ("crop",))
    packing.pack(a_run(fake))
    assert packed_bytes(fake) == whole


def test_packing_unfinished_work_is_refused(fake):
    pipeline.run_units(a_run(fake, shard=(0, 2)), ("crop",))
    with pytest.raises(WorkError, match=r"1 of 3 units are not finished.*seq1"):
        packing.pack(a_run(fake))
    assert not (fake / "fake.barecat").exists()


def test_a_changed_parameter_redoes_what_depends_on_it(fake):
    run = a_run(fake)
    assert states(run, ("select", "crop")) == [{"select": "done", "crop": "done"}] * 3
    assert states(run, ("select", "crop")) == [{"select": "kept", "crop": "kept"}] * 3
    quality = a_run(fake, "crop.jpeg_quality=80")
    assert states(quality, ("select", "crop")) == [{"select": "kept", "crop": "done"}] * 3
    option = a_run(fake, "crop.jpeg_quality=80", "dataset.stride=2")
    assert states(option, ("select", "crop")) == [{"select": "done", "crop": "done"}] * 3


def test_a_changed_input_redoes_its_unit_only(fake):
    run = a_run(fake)
    states(run, ("crop",))
    file = fake / "fake" / "seq1" / "2.jpg"
    picture = cv2.imread(str(file))
    cv2.imwrite(str(file), 255 - picture)
    assert [s["crop"] for s in states(run, ("crop",))] == ["kept", "done", "kept"]
    os.utime(file)  # a new date alone changes nothing
    assert [s["crop"] for s in states(run, ("crop",))] == ["kept", "kept", "kept"]


def states(run, stages):
    return [o.stages for o in pipeline.run_units(run, stages)]


def test_one_broken_still_is_quarantined_and_the_run_fails(fake, capsys):
    file = fake / "fake" / "seq1" / "2.jpg"
    file.write_bytes(file.read_bytes()[:700])
    with pytest.raises(WorkError, match="quarantined"):
        process_and_pack(fake)
    output = capsys.readouterr().out
    assert "2.jpg, frame 2" in output
    assert not (fake / "fake.barecat").exists()
    manifest, _ = process_and_pack(fake, "run.max_quarantined=0.2")
    assert manifest["counts"] == {"train": 7, "val": 4, "test": 0}
    (entry,) = manifest["splits"]["train"]["quarantined"]
    assert entry["file"] == "seq1/2.jpg" and entry["frame"] == 2 and entry["reason"]


def test_a_mask_of_another_size_costs_its_picture_only(fake, monkeypatch):
    def masked(root, unit, options):
        (sequence,) = load_unit(root, unit, options)

        def mask(k):
            w, h = (320, 240) if (unit.id, k) == ("seq1", 2) else SIZE
            return rlemasklib.encode(np.ones((h, w), np.uint8))

        sequence.tracks[0].mask = mask
        return [sequence]

    monkeypatch.setattr(sys.modules["posepile.ds.fake.main"], "load_unit", masked)
    with pytest.raises(WorkError, match="0 of 3 units and 1 single frames"):
        process_and_pack(fake)
    manifest, _ = process_and_pack(fake, "run.max_quarantined=0.2")
    (entry,) = manifest["splits"]["train"]["quarantined"]
    assert (entry["file"], entry["frame"]) == ("seq1/2.jpg", 2)
    assert entry["reason"] == "is 640x480 pixels, but its mask is 320x240"


def test_a_corrupt_unit_leaves_the_others_unharmed(fake):
    (fake / "fake" / "seq0" / "world.json").write_text("{garbage")
    run = a_run(fake)
    outcomes = pipeline.run_units(run, ("crop",))
    assert [bool(o.error) for o in outcomes] == [True, False, False]
    assert outcomes[0].error["reason"] == "not JSON"
    assert not list((run.work / "crop").glob("seq0*"))
    with pytest.raises(WorkError, match=r"1 of 3 units.*33\.33%"):
        packing.pack(run)
    manifest, _ = packing.pack(a_run(fake, "run.max_quarantined=0.4"))
    assert manifest["quarantined_units"][0]["file"] == "seq0/world.json"
    # Repaired, the unit is done again without being asked for, and leaves quarantine.
    make_raw(fake / "again")
    (fake / "fake" / "seq0" / "world.json").write_bytes(
        (fake / "again" / "seq0" / "world.json").read_bytes()
    )
    manifest, _ = process_and_pack(fake)
    assert manifest["quarantined_units"] == []


def test_a_fault_of_the_recipe_is_named_and_traced(fake):
    BROKEN.add("seq1")
    outcomes = pipeline.run_units(a_run(fake), ("crop",))
    assert [bool(o.error) for o in outcomes] == [False, True, False]
    assert "ZeroDivisionError" in outcomes[1].error["reason"]
    assert "load_unit" in outcomes[1].error["trace"]
    with pytest.raises(WorkError, match="not finished"):
        packing.pack(a_run(fake))


def test_a_full_disk_stops_the_run_and_leaves_nothing_half_written(fake, monkeypatch):
    written = []
    add = parts.PartWriter.add

    def fills_up(self, record, data):
        written.append(record)
        if len(written) == 6:
            raise OSError(28, os.strerror(28))
        return add(self, record, data)

    monkeypatch.setattr(parts.PartWriter, "add", fills_up)
    run = a_run(fake)
    with pytest.raises(WorkError, match="No space left on device"):
        pipeline.run_units(run, ("crop",))
    assert [p.name.partition("~")[0] for p in (run.work / "crop").iterdir()] == ["seq0"]
    monkeypatch.undo()


def test_exclusions_redo_the_units_they_concern(fake, monkeypatch):
    run = a_run(fake)
    states(run, ("crop",))
    folder = fake.parent / "folder"
    folder.mkdir()
    (folder / "exclusions.yaml").write_text(
        "- {sequence: seq2, frames: [1, 2], reason: known bad, source: this test}\n"
    )
    monkeypatch.setattr(pipeline, "dataset_dir", lambda name: folder)
    assert [s["crop"] for s in states(run, ("crop",))] == ["kept", "kept", "done"]
    manifest, _ = packing.pack(run)
    assert manifest["counts"]["val"] == 2
    assert manifest["splits"]["val"]["excluded"] == {"known bad": 2}
    off = a_run(fake, "run.exclusions=false")
    assert [s["crop"] for s in states(off, ("crop",))] == ["kept", "kept", "done"]


class FixedDetector:
    """Finds the person by colour, as a network would: only from the pixels it is given."""

    label = "fixed"

    def __call__(self, batch):
        result = []
        for image in batch:
            figure = miniature.find_silhouette(image).astype(np.uint8)
            _, _, stats, _ = cv2.connectedComponentsWithStats(figure)
            x, y, w, h, _ = stats[1 + np.argmax(stats[1:, cv2.CC_STAT_AREA])]
            result.append(np.array([[x, y, w, h, 0.9]], np.float32))
        return result


@pytest.mark.parametrize("short_side", [240, None])
def test_detection_in_passing_or_apart_gives_the_same_bytes(fake, monkeypatch, short_side):
    import posepile.models

    monkeypatch.setattr(posepile.models, "load_detector", lambda params: FixedDetector())
    model = fake.parent / "model.onnx"
    model.write_bytes(b"stands for weights")
    options = (
        f"detect.model={{path: '{model}', decoder: yolox}}",
        "box.source=detect",
        f"detect.short_side={'null' if short_side is None else short_side}",
        "detect.min_joints_inside=3",
    )
    run = a_run(fake, *options)
    steps.process(run, ("crop",))
    packing.pack(run)
    streamed = packed_bytes(fake)
    assert pipeline.total(pipeline.run_units(run, ("crop",))).notes["box by fixed"] == 12
    shutil.rmtree(run.work)
    steps.process(run, ("detect",))
    monkeypatch.setattr(FixedDetector, "__call__", lambda self, batch: pytest.fail("again"))
    steps.process(run, ("crop",))
    packing.pack(run)
    assert packed_bytes(fake) == streamed


def test_detections_survive_their_file(tmp_path):
    boxes = np.arange(10, dtype=np.float32).reshape(2, 5)
    before = {0: {3: boxes, 7: boxes[:0], 9: boxes[:1]}, 2: {}}
    detect.save_detections(tmp_path / "d.npz", detect.Detections("net@1234", before))
    loaded = detect.load_detections(tmp_path / "d.npz")
    after = loaded.boxes
    assert loaded.label == "net@1234"
    assert after.keys() == before.keys()
    for i, frames in before.items():
        assert after[i].keys() == frames.keys()
        for f, value in frames.items():
            np.testing.assert_array_equal(after[i][f], value)


def test_lengths_that_disagree_are_an_error(fake):
    run = a_run(fake)
    (sequence,) = load_unit(fake / "fake", pipeline.list_units(run)[0], Options())
    sequence.tracks[0].bbox = sequence.tracks[0].bbox[:-1]
    with pytest.raises(CorruptInput, match="3 bbox for 4 frames"):
        crop.selected_examples(sequence, run.config.select, [], Counts())


def test_two_runs_do_not_work_on_the_same_units(fake):
    run = a_run(fake)
    with pipeline.lock(run), pytest.raises(WorkError, match="another run of fake is active"):
        pipeline.run_units(run, ("crop",))


def test_detections_without_joints_are_a_wrong_request(fake):
    run = a_run(fake, "box.source=detect", "detect.model=yolox_nano")
    found = np.array([[10, 10, 50, 100, 0.9]], np.float32)
    with pytest.raises(UsageError, match=r"box\.source = detect tells people apart by"):
        crop.choose_boxes([None], [None], found, SIZE, run.config, Counts())
