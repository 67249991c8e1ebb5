"""The stages of a run on a tiny made-up dataset of stills, in this process."""

import os
import shutil
import sys

import cv2
import fake_dataset
import numpy as np
import pytest
import rlemasklib
from fake_dataset import (
    BROKEN,
    SIZE,
    Options,
    WholePictures,
    a_run,
    load_unit,
    make_raw,
    outcomes,
    packed_bytes,
    part_of,
    process_and_pack,
    states,
)

from posepile.errors import CorruptInput, PartlyDone, UsageError, WorkError
from posepile.miniature import kit as miniature
from posepile.recipe import Unit
from posepile.run import commands, job, locks, pack, process, raw
from posepile.stages import detect
from posepile.stages.boxes import choose_boxes
from posepile.stages.counts import Counts
from posepile.stages.detections import Detections
from posepile.stages.examples import selected_examples
from posepile.store import parts, verifying

fake = fake_dataset.fake  # the fixture

UNITS = ("seq0", "seq1", "seq2")


def all_of(**stages):
    return dict.fromkeys(UNITS, stages)


def test_everything_is_counted_and_packed(fake, capsys):
    manifest, changed = process_and_pack(fake)
    assert changed
    assert manifest["counts"] == {"train": 8, "val": 4, "test": 0}
    assert manifest["splits"]["train"]["frames_read"] == 8
    assert manifest["fingerprints"] == {"blake2b": 15}
    assert manifest["partial"] is None and manifest["kept_results"] == {}
    assert "12 annotated person-frames, 12 selected, 12 examples" in capsys.readouterr().out
    assert verifying.verify(fake / "fake.barecat") == []
    assert process_and_pack(fake) == (manifest, False)


def test_a_unit_leaves_two_files(fake):
    run = a_run(fake)
    states(run)
    files = [p for p in (run.work / "parts").rglob("*") if p.is_file()]
    assert len(files) == 2 * len(UNITS)
    assert {p.suffix for p in files} == {".part", ".shard"}


def test_any_split_of_the_work_gives_the_same_bytes(fake):
    process_and_pack(fake)
    whole = packed_bytes(fake)
    for path in [*fake.glob("fake.barecat*"), fake / "cache" / "fake.pkl"]:
        path.unlink()
    shutil.rmtree(fake / "fake_work")
    for index in (1, 0):
        states(a_run(fake, shard=(index, 2)))
    pack.pack(a_run(fake))
    assert packed_bytes(fake) == whole


def test_packing_unfinished_work_is_refused(fake):
    states(a_run(fake, shard=(0, 2)))
    with pytest.raises(WorkError, match=r"1 of 3 units are not finished.*seq1"):
        pack.pack(a_run(fake))
    assert not (fake / "fake.barecat").exists()


def test_a_changed_parameter_redoes_what_depends_on_it(fake):
    run = a_run(fake)
    both = ("select", "crop")
    assert states(run, both) == all_of(select="done", crop="done")
    assert states(run, both) == {key: {} for key in UNITS}
    quality = a_run(fake, "crop.jpeg_quality=80")
    assert states(quality, both) == all_of(select="kept", crop="done")
    option = a_run(fake, "crop.jpeg_quality=80", "dataset.stride=2")
    assert states(option, both) == all_of(select="done", crop="done")


def test_a_changed_input_redoes_its_unit_only(fake):
    run = a_run(fake)
    states(run)
    file = fake / "fake" / "seq1" / "2.jpg"
    picture = cv2.imread(str(file))
    cv2.imwrite(str(file), 255 - picture)
    assert states(run) == {"seq0": {}, "seq1": {"crop": "done"}, "seq2": {}}
    os.utime(file)  # a new date alone changes nothing
    assert states(run) == {"seq0": {}, "seq1": {"crop": "kept"}, "seq2": {}}
    # ... and is remembered, so that the file is not read at every run
    assert states(run) == {key: {} for key in UNITS}
    assert pack.pack(run)[1]
    os.utime(file)
    assert not pack.pack(run)[1]


def test_one_broken_still_is_quarantined_and_the_run_fails(fake, capsys):
    file = fake / "fake" / "seq1" / "2.jpg"
    file.write_bytes(file.read_bytes()[:700])
    with pytest.raises(WorkError, match="quarantined"):
        process_and_pack(fake)
    output = capsys.readouterr().out
    assert "2.jpg, frame 2" in output and "--retry" in output
    assert not (fake / "fake.barecat").exists()
    manifest, _ = process_and_pack(fake, "run.max_quarantined=0.2")
    assert manifest["counts"] == {"train": 7, "val": 4, "test": 0}
    (entry,) = manifest["splits"]["train"]["quarantined"]
    assert entry["file"] == "seq1/2.jpg" and entry["frame"] == 2 and entry["reason"]


def test_a_still_with_a_harmless_flaw_is_used_and_counted_as_a_note(fake):
    file = fake / "fake" / "seq1" / "2.jpg"
    data = file.read_bytes()
    assert data.endswith(b"\xff\xd9")
    file.write_bytes(data[:-2])
    manifest, _ = process_and_pack(fake)
    assert manifest["counts"] == {"train": 8, "val": 4, "test": 0}
    notes = manifest["splits"]["train"]["notes"]
    assert notes["picture with missing end mark after the last pixel"] == 1
    assert manifest["splits"]["train"]["quarantined"] == []


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
    found = outcomes(run)
    assert [bool(found[u].error) for u in UNITS] == [True, False, False]
    assert found["seq0"].error["reason"] == "not JSON"
    assert not part_of(run, "crop", "seq0").exists()
    with pytest.raises(WorkError, match=r"1 of 3 units.*33\.33%"):
        pack.pack(run)
    manifest, _ = pack.pack(a_run(fake, "run.max_quarantined=0.4"))
    assert manifest["quarantined_units"][0]["file"] == "seq0/world.json"
    # Repaired, the unit is done again without being asked for, and leaves quarantine.
    make_raw(fake / "again")
    (fake / "fake" / "seq0" / "world.json").write_bytes(
        (fake / "again" / "seq0" / "world.json").read_bytes()
    )
    manifest, _ = process_and_pack(fake)
    assert manifest["quarantined_units"] == []
    assert list(run.work.glob("quarantine/*/*")) == []


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
        states(run)
    left = [p.name.partition("~")[0] for p in (run.work / "parts").rglob("*") if p.is_file()]
    assert left == ["seq0", "seq0"]


def test_exclusions_redo_the_units_they_concern(fake, monkeypatch):
    run = a_run(fake)
    states(run)
    folder = fake.parent / "folder"
    folder.mkdir()
    (folder / "exclusions.yaml").write_text(
        "- {sequence: seq2, frames: [1, 2], reason: known bad, source: this test}\n"
    )
    monkeypatch.setattr(job, "dataset_dir", lambda name: folder)
    assert states(run) == {"seq0": {}, "seq1": {}, "seq2": {"crop": "done"}}
    manifest, _ = pack.pack(run)
    assert manifest["counts"]["val"] == 2
    assert manifest["splits"]["val"]["excluded"] == {"known bad": 2}
    assert [e["reason"] for e in manifest["exclusions"]] == ["known bad"]
    off = a_run(fake, "run.exclusions=false")
    assert states(off) == {"seq0": {}, "seq1": {}, "seq2": {"crop": "done"}}


@pytest.mark.parametrize("damage", ["world.json", "1.jpg", "absent"])
def test_an_exclusion_has_an_effect_on_what_was_quarantined(fake, monkeypatch, damage):
    run, raw = a_run(fake), fake / "fake" / "seq2"
    file = raw / ("world.json" if damage == "absent" else damage)
    states(run)
    file.unlink() if damage == "absent" else file.write_text("")
    commands.process(a_run(fake, "run.max_quarantined=0.5"), ("crop",))
    folder = fake.parent / "folder"
    folder.mkdir()
    monkeypatch.setattr(job, "dataset_dir", lambda name: folder)
    frames = "frames: [1, 1], " if damage == "1.jpg" else ""
    text = f"- {{sequence: seq2, {frames}reason: known bad, source: this test}}\n"
    (folder / "exclusions.yaml").write_text(text)
    manifest, _ = process_and_pack(fake)
    val = manifest["splits"]["val"]
    assert manifest["quarantined_units"] == [] == val["quarantined"]
    if damage == "1.jpg":
        assert (val["examples"], val["excluded"]) == (3, {"known bad": 1})
    else:
        assert val["dropped"] == {"known bad (a whole unit that cannot be read)": 1}
    assert [entry["reason"] for entry in manifest["exclusions"]] == ["known bad"]
    if damage == "world.json":  # without the exclusion it is found damaged again
        with pytest.raises(WorkError, match=r"1 of 3 units"):
            commands.process(a_run(fake, "run.exclusions=false"), ("crop",))


class FixedDetector(WholePictures):
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

    monkeypatch.setattr(posepile.models, "_networks", {})
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
    commands.process(run, ("crop",))
    pack.pack(run)
    streamed = packed_bytes(fake)
    assert process.process(run, ("crop",)).counts.notes["box by fixed"] == 12
    shutil.rmtree(run.work)
    commands.process(run, ("detect",))
    monkeypatch.setattr(FixedDetector, "__call__", lambda self, batch: pytest.fail("again"))
    commands.process(run, ("crop",))
    pack.pack(run)
    assert packed_bytes(fake) == streamed


def test_detections_survive_their_file(tmp_path):
    boxes = np.arange(10, dtype=np.float32).reshape(2, 5)
    before = {0: {3: boxes, 7: boxes[:0], 9: boxes[:1]}, 2: {}}
    header = {"label": "net@1234"}
    parts.write_part(tmp_path / "d.part", header, Detections("net@1234", before).arrays())
    loaded = detect.load(tmp_path / "d.part")
    after = loaded.boxes
    assert loaded.label == "net@1234"
    assert after.keys() == before.keys()
    for i, frames in before.items():
        assert after[i].keys() == frames.keys()
        for f, value in frames.items():
            np.testing.assert_array_equal(after[i][f], value)


def test_lengths_that_disagree_are_an_error(fake):
    run = a_run(fake)
    (sequence,) = load_unit(fake / "fake", Unit("seq0", "train", ()), Options())
    sequence.tracks[0].bbox = sequence.tracks[0].bbox[:-1]
    with pytest.raises(CorruptInput, match="3 bbox for 4 frames"):
        selected_examples(sequence, run.config.select, [], Counts())


def test_two_runs_do_not_work_on_the_same_units(fake):
    run = a_run(fake)
    with locks.lock(run), pytest.raises(WorkError, match="another run of fake is active"):
        states(run)


def test_detections_without_joints_are_a_wrong_request(fake):
    run = a_run(fake, "box.source=detect", "detect.model=yolox_nano")
    found = np.array([[10, 10, 50, 100, 0.9]], np.float32)
    with pytest.raises(UsageError, match=r"box\.source = detect tells people apart by"):
        choose_boxes([None], [None], found, SIZE, run.config.box, run.config.detect, Counts())


@pytest.mark.parametrize(
    ("stage", "expected"),
    [
        ("select", "12 annotated person-frames, 12 selected\n"),
        ("detect", "fake: nothing is to be detected: boxes come from box.source = annotation"),
        ("segment", "fake: nothing is to be segmented: segment.model = raw"),
    ],
)
def test_every_stage_alone_is_a_right_request(fake, capsys, stage, expected):
    commands.process(a_run(fake), (stage,))
    assert expected in capsys.readouterr().out


def test_no_example_is_an_error_that_says_where_they_went(fake):
    tiny = "box.min_side=10000"
    with pytest.raises(WorkError) as processing:
        commands.process(a_run(fake, tiny), ("crop",))
    with pytest.raises(WorkError) as packing:
        pack.pack(a_run(fake, tiny))
    assert (
        str(processing.value)
        == str(packing.value)
        == (
            "fake: no example is left of 12 annotated person-frames: 12 selected, "
            "12 box smaller than 10000 px; nothing was packed"
        )
    )
    assert not (fake / "fake.barecat").exists()
    commands.process(a_run(fake, tiny, shard=(0, 2)), ("crop",))  # of a share, one cannot say


def test_results_of_an_earlier_layout_go_when_the_new_ones_are_packed(fake, capsys):
    run = a_run(fake)
    old = run.work / "crop" / "seq0~12345678"
    old.mkdir(parents=True)
    (old / "result.json").write_text("{}")
    commands.process(run, ("crop",))
    assert "of an earlier layout" in capsys.readouterr().out
    assert old.is_dir()
    pack.pack(run)
    assert not (run.work / "crop").exists()
    commands.process(run, ("crop",))
    assert "earlier layout" not in capsys.readouterr().out


def test_a_fault_of_the_recipe_quarantines_its_unit(fake):
    BROKEN.add("seq1")
    found = outcomes(a_run(fake))
    assert [bool(found[u].error) for u in UNITS] == [False, True, False]
    assert "ZeroDivisionError" in found["seq1"].error["reason"]
    assert "load_unit" in found["seq1"].error["trace"]
    with pytest.raises(WorkError, match="1 of 3 units"):
        pack.pack(a_run(fake))
    manifest, _ = pack.pack(a_run(fake, "run.max_quarantined=0.5"))
    assert "ZeroDivisionError" in manifest["quarantined_units"][0]["reason"]
    BROKEN.clear()
    assert states(a_run(fake)) == {key: {} for key in UNITS}  # the key is the same
    assert states(a_run(fake, retry=True)) == {"seq0": {}, "seq1": {"crop": "done"}, "seq2": {}}


def test_a_file_that_calibration_cannot_use_stops_no_other(fake, monkeypatch, capsys):
    def calibrate(root, options):
        raise PartlyDone("a.json: is cut short (1 of 9 files not done)")

    monkeypatch.setattr(a_run(fake).recipe, "calibrate", calibrate, raising=False)
    raw.calibrate(a_run(fake))
    assert capsys.readouterr().out == "fake: a.json: is cut short (1 of 9 files not done)\n"
