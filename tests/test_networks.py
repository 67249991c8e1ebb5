"""The networks of a run: by default those of the card's recipe, fetched by the download step."""

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest
import tiny_networks
import yaml
from fake_dataset import a_run, fake  # noqa: F401 - a fixture
from web_kit import Server

from posepile import cli
from posepile.config import load_config
from posepile.ds import dataset_names, load_recipe
from posepile.errors import CorruptInput, UsageError, WorkError
from posepile.miniature import TRUTH
from posepile.models import weights
from posepile.run import commands, networks, pack, raw, raw_state
from posepile.store.reading import read_manifest

# Which stage of the default configuration loads which network, by the cards' section 8.
DEFAULTS = {
    "agora": {"detect": "yolox_x"},
    "aic": {},
    "aist": {"segment": "rvm_mobilenetv3"},
    "amarv": {},
    "aspset": {"segment": "rvm_mobilenetv3"},
    "behave": {"detect": "yolox_s"},
    "bmhad": {"segment": "rvm_mobilenetv3"},
    "coco": {},
    "coco_wholebody": {},
    "crowdpose": {},
    "densepose_coco": {},
    "densepose_posetrack": {},
    "jrdb": {"detect": "yolox_x"},
    "egoexo4d": {"detect": "yolox_s"},
    "ehf": {},
    "emdb": {},
    "genebody": {},
    "gpa": {"detect": "yolox_s"},
    "halpe": {},
    "h36m": {"segment": "rvm_mobilenetv3"},
    "hspace": {},
    "inria_holidays": {"dataset": "yolox_x"},
    "pascal_voc": {},
    "jta": {"detect": "yolox_x"},
    "mads": {"detect": "yolox_s", "segment": "rvm_mobilenetv3"},
    "mpii": {"detect": "yolox_x"},
    "mupots": {"detect": "yolox_s"},
    "panoptic": {"detect": "yolox_s", "segment": "rvm_mobilenetv3"},
    "posetrack": {"detect": "yolox_x"},
    "rich": {"detect": "yolox_s", "segment": "rvm_mobilenetv3"},
    "sailvos": {"detect": "yolox_s"},
    "humbi": {"detect": "yolox_s", "segment": "rvm_mobilenetv3"},
    "spec": {"detect": "yolox_x"},
    "ssp3d": {},
    "surreal": {},
    "synthego": {},
    "tdhp": {"detect": "yolox_s", "segment": "rvm_mobilenetv3"},
    "tdpw": {},
    "totalcapture": {},
    "tdoh": {},
    "fit3d": {"detect": "yolox_s", "segment": "rvm_mobilenetv3"},
    "humansc3d": {"detect": "yolox_s", "segment": "rvm_mobilenetv3"},
    "chi3d": {"detect": "yolox_s", "segment": "rvm_mobilenetv3"},
    "ikea": {"detect": "yolox_s", "segment": "rvm_mobilenetv3"},
    "bml_movi": {"detect": "yolox_s", "segment": "rvm_mobilenetv3"},
    "human4d": {"detect": "yolox_s", "segment": "rvm_mobilenetv3"},
    "tdpeople": {},
    "muco": {"detect": "yolox_s"},
    "tdhp_full": {"detect": "yolox_s", "segment": "rvm_mobilenetv3"},
    "umpm": {"detect": "yolox_s", "segment": "rvm_mobilenetv3"},
    "ntu": {"segment": "rvm_mobilenetv3"},
    "smarthome": {"segment": "rvm_mobilenetv3"},
}
THRESHOLDS = {
    "ikea": {"compare": "joints", "expand": 1.2, "iou": 0.3, "unmatched": "drop"},
    "mads": {"compare": "joints", "expand": 1.2, "iou": 0.1, "unmatched": "joints"},
    "behave": {"compare": "joints", "expand": 1.05, "iou": 0.5, "unmatched": "joints"},
    "humbi": {"compare": "joints", "expand": 1.05, "iou": 0.5, "unmatched": "joints"},
    "spec": {"compare": "joints", "expand": 1.15, "iou": 0.3, "unmatched": "drop"},
    "agora": {"compare": "annotation", "expand": 1, "iou": 0.5, "max_hidden": 0.5}
    | {"min_joints_inside": 0, "unmatched": "annotation"},
    "egoexo4d": {"compare": "annotation", "expand": 1, "iou": 0.2, "min_joints_inside": 6}
    | {"unmatched": "drop", "short_side": 448},
    "panoptic": {"score": 0.2, "nms": 0.7, "compare": "joints", "expand": 1.25, "iou": 0.1}
    | {"max_area": 2, "min_joints_inside": 0, "unmatched": "drop"},
    "jta": {"compare": "annotation", "expand": 1, "iou": 0.1, "max_area": 2, "unmatched": "drop"},
    "gpa": {"compare": "joints", "expand": 1.15, "iou": 0.3, "unmatched": "drop"},
    "mupots": {"compare": "joints", "expand": 1.1, "iou": 0.1, "unmatched": "joints"},
    "rich": {"compare": "joints", "expand": 1.05, "iou": 0.5, "unmatched": "joints"},
    "sailvos": {"compare": "annotation", "expand": 1, "iou": 0.1, "max_area": 2}
    | {"min_joints_inside": 0, "unmatched": "drop"},
    "tdhp": {"compare": "joints", "expand": 1.05, "iou": 0.5, "unmatched": "joints"},
    "tdhp_full": {"score": 0.2, "nms": 0.7, "compare": "joints", "expand": 1.05, "iou": 0.5}
    | {"min_joints_inside": 0, "unmatched": "joints"},
    "bml_movi": {"compare": "joints", "expand": 1.05, "iou": 0.1, "unmatched": "joints"},
    "human4d": {"compare": "joints", "expand": 1.2, "iou": 0.5, "unmatched": "joints"},
    "muco": {"score": 0.1, "compare": "annotation", "expand": 1, "iou": 0.1, "max_area": 2}
    | {"min_joints_inside": 0, "unmatched": "drop"},
    "umpm": {"compare": "joints", "expand": 1.15, "iou": 0.5, "unmatched": "drop"},
}
OF_LAB = {"score": 0.2, "nms": 0.7, "compare": "joints", "expand": 1.2, "iou": 0.5}
THRESHOLDS |= dict.fromkeys(("fit3d", "humansc3d", "chi3d"), OF_LAB | {"unmatched": "drop"})


def default_config(name, *overrides):
    recipe = load_recipe(name)
    return load_config(name, recipe.Options, overrides, spec=recipe.SPEC)


def test_every_dataset_has_defaults():
    assert set(DEFAULTS) == set(dataset_names())


@pytest.mark.parametrize("name", DEFAULTS)
def test_default_networks_are_those_of_the_cards_recipe(name):
    config = default_config(name)
    used = {needed.section: needed.spec.name for needed in networks.needed_networks(config)}
    assert used == DEFAULTS[name]
    found = config.detect.model_dump()
    assert THRESHOLDS.get(name, {}).items() <= found.items()
    splits = ("train",) if name in ("h36m", "tdhp") else ("train", "val", "test")
    assert config.segment.splits == splits


@pytest.fixture(autouse=True)
def room(monkeypatch):
    """A disk on which every dataset has room, whatever machine this is."""
    monkeypatch.setattr("posepile.acquire.estimates.free_bytes", lambda path: 10**15)


@pytest.mark.parametrize("name", [name for name, used in DEFAULTS.items() if used])
def test_the_plan_lists_weights_with_size_licence_and_place(name, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    monkeypatch.setenv("POSEPILE_MODELS", str(tmp_path / "nets"))
    code = cli._main(["plan", name])  # 1 where a person must do something first
    text = capsys.readouterr().out
    assert cli._main(["plan", name, "--json"]) == code
    plan = json.loads(capsys.readouterr().out)
    entries = plan["weights"]
    assert code == bool(plan["people"])
    assert {(e["setting"].partition(".")[0], e["network"]) for e in entries} == set(
        DEFAULTS[name].items()
    )
    for entry in entries:
        licence = {"rvm_mobilenetv3": "GPL-3.0"}.get(entry["network"], "Apache-2.0")
        assert (entry["licence"], entry["action"]) == (licence, "fetch")
        assert entry["path"].startswith(f"{tmp_path}/nets/")
        assert entry["bytes"] == entry["remaining"] > 10**6 and len(entry["sha256"]) == 64
        assert entry["url"].startswith("https://")
        for part in (entry["url"], entry["path"], entry["sha256"], f"licence: {licence}"):
            assert part in text
        assert f"{entry['setting']} = {entry['network']}; without: {entry['without']}" in text
        # what the plan says of doing without is a right request that needs no network there
        settings = entry["without"].split("--set ")[1:]
        without = default_config(name, *(s.strip() for s in settings))
        left = [needed.section for needed in networks.needed_networks(without)]
        assert entry["setting"].partition(".")[0] not in left


@pytest.mark.parametrize("name", [name for name, used in DEFAULTS.items() if not used])
def test_the_plan_of_others_lists_none(name, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    cli._main(["plan", name, "--json"])
    assert json.loads(capsys.readouterr().out)["weights"] == []


def test_grabcut_is_no_default():
    models = {default_config(name).segment.model for name in dataset_names()}
    assert models <= {"none", "raw", "rvm_mobilenetv3"}


# ---------------------------------------------------------------- the download step


@pytest.fixture
def register(tmp_path, monkeypatch, server: Server):
    """A register of networks that the server has; returns a function that adds to it."""
    entries = {"detectors": {}, "segmenters": {}}
    path = tmp_path / "models.yaml"
    monkeypatch.setattr(weights, "registry_path", lambda: path)
    monkeypatch.setenv("POSEPILE_MODELS", str(tmp_path / "nets"))

    def add(kind, name, make, **more):
        data = make(tmp_path / f"made_{name}.onnx").read_bytes()
        server.files[f"/{name}.onnx"] = data
        entry = {
            "url": f"{server.url}/{name}.onnx",
            "sha256": hashlib.sha256(data).hexdigest(),
            "bytes": len(data),
            "licence": "MIT",
            "source": "https://example.org/net",
            "decoder": "yolox",
            "input_size": [64, 64],
            "layout": "nchw",
            "channels": "rgb",
            "scale": 1.0,
            "mean": [0.0, 0.0, 0.0],
            "std": [1.0, 1.0, 1.0],
            "good_for": "tests",
            "cost": "nothing",
        }
        entries[kind][name] = entry | more
        path.write_text(yaml.safe_dump(entries))
        return entries[kind][name]

    return add


def segmented(fake, *more):  # noqa: F811
    return a_run(fake, "segment.model=tiny_matting", "segment.min_area=0", *more)


def add_matting(register, **more):
    settings = {"decoder": "matting", "scale": 1 / 255} | more
    return register("segmenters", "tiny_matting", tiny_networks.matting, **settings)


def test_weights_are_fetched_once_by_the_download_step(fake, register, server, capsys):  # noqa: F811
    entry = add_matting(register)
    run = segmented(fake)
    with pytest.raises(WorkError) as e:  # and not by workers, nor before they begin
        commands.process(run, ("crop", "segment"))
    nets = fake.parent / "nets"
    for part in (
        "fake: segment.model = tiny_matting",
        str(nets / "tiny_matting.onnx"),
        entry["url"],
    ):
        assert part in str(e.value)
    assert "posepile model fetch tiny_matting" in str(e.value) and "\n" not in str(e.value)
    assert server.requests == [] and not (run.work / "parts").is_dir()
    raw.download(run, miniature=False)
    raw.download(run, miniature=False)
    assert [path for path, *_ in server.requests] == ["/tiny_matting.onnx"]
    commands.process(run, ("crop", "segment"))
    pack.pack(run)
    (told,) = read_manifest(run.archive)["models"]["weights"]
    assert (told["network"], told["licence"]) == ("tiny_matting", "MIT")
    assert told["files"][0]["sha256"] == entry["sha256"]
    from posepile.report import write_report

    write_report("fake", fake / "report.html")
    page = (fake / "report.html").read_text()
    assert entry["sha256"] in page and "tiny_matting" in page


def test_a_known_copy_is_named_by_its_own_checksum(fake, register):  # noqa: F811
    """What lay there is what the manifest says, not what the release has."""
    copy = {"sha256": "c" * 64, "bytes": 5, "note": "saved again"}
    add_matting(register, copies=[copy])
    folder = fake.parent / "nets"
    folder.mkdir(exist_ok=True)
    (folder / "tiny_matting.onnx").write_bytes(b"other")
    (told,) = networks.described_networks(segmented(fake).config)
    assert told["files"][0]["sha256"] == "c" * 64


def test_a_file_of_ones_own_is_in_plan_doctor_and_manifest(tmp_path):
    path = tmp_path / "mine.onnx"
    config = default_config("coco", "box.source=detect", f"detect.model={{path: {path}}}")
    assert networks.doctor_lines(config, False) == [f"  detect.model: {path}: no such file"]
    assert f"{path}: no such file" in networks.plan_lines(config)[0][-1]
    path.write_bytes(b"net")
    assert networks.doctor_lines(config, False) == []
    (told,) = networks.described_networks(config)
    assert (told["setting"], told["network"]) == ("detect.model", "mine.onnx")
    assert told["files"][0]["sha256"] == hashlib.sha256(b"net").hexdigest()


def test_networks_are_fetched_by_name(register, server, capsys):
    entry = add_matting(register)
    assert cli._main(["model", "fetch", "tiny_matting"]) == 0
    place = os.path.join(os.environ["POSEPILE_MODELS"], "tiny_matting.onnx")
    assert capsys.readouterr().out.splitlines()[-1] == place
    os.unlink(place)
    server.files.clear()
    assert cli._main(["model", "fetch", "tiny_matting"]) == 1
    (line,) = capsys.readouterr().err.splitlines()[-1:]
    assert entry["sha256"] in line and f"put it at {place}" in line
    assert cli._main(["model", "fetch", "tiny"]) == 2
    assert "tiny: no such network" in capsys.readouterr().err


def test_offline_one_line_says_which_file_from_where_to_where(fake, register, server):  # noqa: F811
    entry = add_matting(register)
    server.files.clear()
    run = segmented(fake)
    with pytest.raises(WorkError) as e:
        raw.download(run, miniature=False)
    line = str(e.value)
    place = fake.parent / "nets" / "tiny_matting.onnx"
    for part in (entry["url"], str(place), entry["sha256"], f"{entry['bytes']} bytes"):
        assert part in line
    assert "or do without: --set segment.model=raw" in line and "\n" not in line
    # A person does what the line says: then nothing is asked for.
    asked = len(server.requests)
    shutil.copyfile(fake.parent / "made_tiny_matting.onnx", place)
    raw.download(run, miniature=False)
    commands.process(run, ("crop", "segment"))
    assert len(server.requests) == asked


def test_what_a_person_has_put_there_is_compared(fake, register, server):  # noqa: F811
    entry = add_matting(register)
    run = segmented(fake)
    place = fake.parent / "nets" / "tiny_matting.onnx"
    place.parent.mkdir()
    place.write_bytes(b"\0" * entry["bytes"])
    with pytest.raises(WorkError, match=f"SHA-256 is .* instead of {entry['sha256']}"):
        raw.download(run, miniature=False)
    assert place.read_bytes() == b"\0" * entry["bytes"] and server.requests == []
    problems = raw_state.examine(run, checksums=True).problems
    assert any("tiny_matting.onnx: sha256 is" in line for line in problems)


def test_a_shared_folder_need_not_be_writable(fake, register, server, monkeypatch):  # noqa: F811
    add_matting(register)
    run, place = segmented(fake), fake.parent / "nets" / "tiny_matting.onnx"
    place.parent.mkdir()
    allowed = os.access
    monkeypatch.setattr(os, "access", lambda p, mode: Path(p) != place.parent and allowed(p, mode))
    with pytest.raises(UsageError, match=r"tiny_matting\.onnx is missing.*set POSEPILE_MODELS to"):
        raw.download(run, miniature=False)
    shutil.copyfile(fake.parent / "made_tiny_matting.onnx", place)
    raw.download(run, miniature=False)
    commands.process(run, ("crop", "segment"))
    assert os.listdir(place.parent) == [place.name] and server.requests == []
    place.write_bytes(b"another")
    with pytest.raises(CorruptInput, match="sha256 is .* expected"):
        raw.download(run, miniature=False)


def test_doctor_looks_for_weights(fake, register):  # noqa: F811
    add_matting(register)
    run = segmented(fake)
    report = raw_state.examine(run)
    assert not report.ok and report.lines[-1] == "  not ok"
    assert any("weights of tiny_matting (segment.model)" in line for line in report.problems)
    assert report.mends[0].command.startswith("posepile step fake download --set ")
    raw.download(run, miniature=False)
    assert not networks.doctor_lines(run.config, checksums=True)
    (fake.parent / "nets" / "tiny_matting.onnx").write_bytes(b"short")
    (line,) = networks.doctor_lines(run.config, checksums=False)
    assert "5 bytes instead of" in line
    assert raw_state.examine(a_run(fake)).ok


def test_unpublished_checksum_is_told_and_goes_into_the_manifest(fake, register, capsys):  # noqa: F811
    entry = add_matting(register, sha256=None, bytes=None)
    run = segmented(fake)
    raw.download(run, miniature=False)
    place = fake.parent / "nets" / "tiny_matting.onnx"
    digest = hashlib.sha256(place.read_bytes()).hexdigest()
    assert f"{place}: sha256 {digest}, trusted on first use" in capsys.readouterr().out
    raw.download(run, miniature=False)
    assert "first use" not in capsys.readouterr().out
    (told,) = networks.described_networks(run.config)
    assert (told["files"][0]["sha256"], entry["sha256"]) == (digest, None)


def test_a_users_own_file_is_no_source(fake, register):  # noqa: F811
    path = tiny_networks.matting(fake.parent / "mine.onnx")
    run = a_run(fake, f"segment.model={{path: '{path}', decoder: matting}}")
    assert networks.needed_networks(run.config) == []
    (line,), _ = networks.plan_lines(run.config)
    assert "a file of your own" in line


def test_files_of_networks_are_told_from_those_of_the_raw_data(tmp_path):
    config = default_config("panoptic", f"detect.cache_dir={tmp_path / 'nets'}")
    for file in ("yolox_s.onnx", "rtmdet_m_person/end2end.onnx"):
        assert networks.is_of_network(config, str(tmp_path / "nets" / file))
    assert not networks.is_of_network(config, str(tmp_path / "panoptic" / "a.json"))


# ---------------------------------------------------------------- on drawn figures


def test_a_miniature_does_without_networks_and_nothing_else_changes():
    for name in dataset_names():
        config = default_config(name)
        made, line = networks.without_networks(config, set())
        assert networks.needed_networks(made) == []
        assert all(network in line for network in DEFAULTS[name].values())
        before, after = config.model_dump(), made.model_dump()
        for section in ("dataset", "select", "check", "crop", "run", "detect"):
            assert before[section] == after[section] or section in DEFAULTS[name], section
        assert bool(line) == bool(DEFAULTS[name]) == (before != after)


def test_boxes_of_a_miniature_are_those_that_detections_are_compared_with():
    made, _ = networks.without_networks(default_config("panoptic"), set())
    assert (made.box.source, made.box.expand) == ("joints", 1.25)
    for name in ("agora", "egoexo4d"):
        made, _ = networks.without_networks(default_config(name), set())
        assert (made.box.source, made.box.expand) == ("annotation", 1.0)


def test_a_network_that_was_asked_for_wins():
    config = default_config("panoptic", "detect.model=yolox_nano", "segment.model=pphumanseg")
    same, line = networks.without_networks(config, {"detect.model", "segment.model"})
    assert (same, line) == (config, "")
    same, line = networks.without_networks(config, {"detect.model.path", "segment.model.path"})
    assert (same, line) == (config, "")
    config = default_config("panoptic", "box.source=detect")
    made, line = networks.without_networks(config, {"box.source"})
    assert (made.box.source, made.detect.model) == ("detect", "joints")
    assert "detect.model = joints instead of boxes by yolox_s" in line


def test_the_switch_is_said_once_and_holds_for_later_commands(fake, register, capsys):  # noqa: F811
    add_matting(register)
    (fake.parent / "fake.yaml").write_text("segment: {model: tiny_matting}\n")
    assert a_run(fake).config.segment.model == "tiny_matting"
    run = a_run(fake, miniature=True)
    assert run.config.segment.model == "raw"
    assert run.stand_in == (
        "drawn figures are no people to a network: segment.model = raw instead of masks by "
        "tiny_matting"
    )
    (fake / "fake" / TRUTH).write_text("{}")  # status, verify, ... do not say --miniature
    assert a_run(fake).config == run.config
    asked = a_run(fake, "segment.model=tiny_matting").config
    assert asked.segment.model == "tiny_matting"


def test_main_says_what_a_miniature_does_without(miniature):
    miniature("panoptic")
    said = "drawn figures are no people to a network"
    lines = [line for line in miniature.output("panoptic").splitlines() if said in line]
    assert lines == [
        f"panoptic: {said}: box.source = joints instead of boxes by yolox_s, "
        "segment.model = raw instead of masks by rvm_mobilenetv3"
    ]


def test_only_the_splits_asked_for_are_segmented(fake, register):  # noqa: F811
    add_matting(register)
    run = segmented(fake, "segment.splits=[train]")
    raw.download(run, miniature=False)
    commands.process(run, ("crop", "segment"))
    manifest, _ = pack.pack(run)
    notes = {split: manifest["splits"][split]["notes"] for split in ("train", "val")}
    assert any("tiny_matting@" in note for note in notes["train"])
    assert not any("tiny_matting@" in note for note in notes["val"])
