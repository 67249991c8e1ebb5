"""What a user can ask for: variants, part of a dataset, other folders, settings with effect."""

import json
import os
import shutil
import typing

import fake_dataset
import pydantic
import pytest
from fake_dataset import a_run, packed_bytes, process_and_pack, states

from posepile import config, datasets3d, paths
from posepile.errors import UsageError, WorkError
from posepile.run import commands, job, pack, raw_state, status

fake = fake_dataset.fake  # the fixture


# ---------------------------------------------------------------- variants


def said_of(run):
    return status.status_lines(run, status.status_data(run))


def test_a_variant_stands_beside_the_main_build(fake):
    process_and_pack(fake)
    main = packed_bytes(fake)
    manifest, _ = process_and_pack(fake, "dataset.stride=2", variant="sparse")
    assert (manifest["dataset"], manifest["variant"]) == ("fake", "sparse")
    assert manifest["counts"] == {"train": 4, "val": 2, "test": 0}
    assert packed_bytes(fake) == main
    assert states(a_run(fake)) == {"seq0": {}, "seq1": {}, "seq2": {}}
    assert len(datasets3d.get_dataset("fake").examples[datasets3d.TRAIN]) == 8
    sparse = datasets3d.get_dataset("fake@sparse")
    assert len(sparse.examples[datasets3d.TRAIN]) == 4
    assert sparse.examples[datasets3d.TRAIN][0].load().image_path.startswith("fake_downscaled/")


def test_an_archive_of_other_settings_is_not_replaced_silently(fake, capsys):
    process_and_pack(fake)
    capsys.readouterr()
    process_and_pack(fake)
    assert "replaced" not in capsys.readouterr().out
    process_and_pack(fake, "crop.jpeg_quality=80")
    out = capsys.readouterr().out
    assert "other settings (crop.jpeg_quality) and is replaced; --variant" in out


def test_a_repair_wants_the_settings_of_the_archive(fake):
    process_and_pack(fake, "crop.jpeg_quality=80")
    before = packed_bytes(fake)
    with pytest.raises(UsageError, match=r"other settings \(crop.jpeg_quality\); give the same"):
        commands.verify(a_run(fake), repair=True)
    # One copy of the manifest may be damaged itself.
    copy = fake / "fake.barecat.manifest.json"
    copy.write_text(copy.read_text().replace('"jpeg_quality": 80', '"jpeg_quality": 70'))
    assert commands.verify(a_run(fake, "crop.jpeg_quality=80"), repair=True)[0]
    assert packed_bytes(fake) == before


def test_a_variant_remembers_its_settings(fake):
    own = fake.parent / "own.yaml"
    own.write_text("select: {method: none}\n")
    run = job.make_run("fake", ("crop.jpeg_quality=80", "dataset.stride=2"), own, variant="v")
    job.remember_settings(run)
    again = job.make_run("fake@v")
    assert again.config == run.config
    # What is given anew wins, and the rest stays.
    other = job.make_run("fake", ("crop.jpeg_quality=70",), variant="v")
    assert other.config.crop.jpeg_quality == 70
    assert (other.config.dataset.stride, other.config.select.method) == (2, "none")
    assert job.make_run("fake@v").config.crop.jpeg_quality == 80  # looking changes nothing
    assert job.make_run("fake", config_path=fake.parent / "fake.yaml").variant is None


@pytest.mark.parametrize(
    ("name", "variant", "expected"),
    [
        ("fake", "a/b", "expected letters"),
        ("fake", "", "expected letters"),
        ("fake@", None, "expected letters"),
        ("fake@a", "b", "name one variant"),
    ],
)
def test_names_of_variants_are_those_of_files(fake, name, variant, expected):
    with pytest.raises(UsageError, match=expected):
        job.make_run(name, config_path=fake.parent / "fake.yaml", variant=variant)


# ---------------------------------------------------------------- part of a dataset


def test_what_was_asked_for_is_packed_and_the_manifest_says_it_is_partial(fake, capsys):
    manifest, _ = process_and_pack(fake, only="seq[12]")
    assert manifest["partial"] == {"only": "seq[12]", "units": 2, "of": 3}
    assert manifest["counts"] == {"train": 4, "val": 4, "test": 0}
    assert not commands.pack(a_run(fake, only="seq[12]"))
    assert "2 of 3 units, --only seq[12]" in capsys.readouterr().out
    with pytest.raises(WorkError, match=r"1 of 3 units are not finished"):
        pack.pack(a_run(fake))
    manifest, changed = process_and_pack(fake)
    assert changed and manifest["partial"] is None


def test_the_report_says_that_an_archive_is_partial(fake):
    from posepile.report import write_report

    process_and_pack(fake, only="seq0")
    write_report("fake", fake / "report.html")
    assert "1 of 3 units, --only seq0" in (fake / "report.html").read_text()


def test_a_partial_archive_is_repaired_as_what_it_is(fake):
    process_and_pack(fake, only="seq[12]")
    whole = packed_bytes(fake)
    table = fake / "fake.barecat-shard-00002"
    data = bytearray(table.read_bytes())
    data[len(data) // 2] ^= 1
    table.write_bytes(data)
    assert not commands.verify(a_run(fake), repair=False)[0]
    assert commands.verify(a_run(fake), repair=True)[0]
    assert packed_bytes(fake) == whole


def test_raw_data_may_lie_elsewhere(fake):
    process_and_pack(fake)
    whole = packed_bytes(fake)
    shutil.move(fake / "fake", fake.parent / "elsewhere")
    there = f"dataset.root={fake.parent / 'elsewhere'}"
    assert process_and_pack(fake, there)[1] is False  # no result depends on the place
    assert packed_bytes(fake) == whole
    shutil.move(fake.parent / "elsewhere", fake / "below")
    assert a_run(fake, "dataset.root=below").root == fake / "below"
    assert states(a_run(fake, "dataset.root=below")) == {"seq0": {}, "seq1": {}, "seq2": {}}
    with pytest.raises(UsageError, match=r"dataset.root = \[1\]: expected a folder"):
        a_run(fake, "dataset.root=[1]")


def test_doctor_and_plan_look_where_the_raw_data_lie(fake, monkeypatch):
    seen = []
    recipe = a_run(fake).recipe
    monkeypatch.setattr(
        recipe, "plan", lambda root, options: seen.append(root) or [], raising=False
    )
    monkeypatch.setattr(
        recipe, "doctor", lambda root, options: seen.append(root) or [], raising=False
    )
    monkeypatch.setattr(raw_state, "dataset_dir", lambda name: fake)
    run = a_run(fake, f"dataset.root={fake / 'x'}")
    raw_state.make_plan(run)
    raw_state.examine(run)
    assert seen == [fake / "x"] * 2


def test_a_relative_data_root_is_the_same_for_everyone(fake, monkeypatch):
    monkeypatch.chdir(fake.parent)
    monkeypatch.setenv("DATA_ROOT", "data")
    assert paths.data_root() == fake
    process_and_pack(fake)
    monkeypatch.setenv("DATA_ROOT", str(fake))
    monkeypatch.chdir("/")
    assert states(a_run(fake)) == {"seq0": {}, "seq1": {}, "seq2": {}}


# ---------------------------------------------------------------- settings


class Choices(pydantic.BaseModel):
    video: typing.Literal["full", "448"] = "full"
    views: list[typing.Literal["1", "2"]] = ["1"]
    release: str = "v2"
    number: typing.Literal[1, 2] = 1


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("dataset.video=448", {"video": "448"}),
        ("dataset.video='448'", {"video": "448"}),
        ("dataset.views=[1, 2]", {"views": ["1", "2"]}),
        ("dataset.release=3", {"release": "3"}),
        ("dataset.number=2", {"number": 2}),
    ],
)
def test_numbers_are_names_where_names_are_expected(tmp_path, override, expected):
    (tmp_path / "x.yaml").write_text("")
    made = config.load_config("aspset", Choices, (override,), tmp_path / "x.yaml")
    assert made.dataset.model_dump(exclude_unset=True) == expected


@pytest.mark.parametrize(
    "override", ["dataset.video=449", "dataset.views=[3]", "dataset.number=3"]
)
def test_other_numbers_are_not(tmp_path, override):
    (tmp_path / "x.yaml").write_text("")
    with pytest.raises(UsageError, match="is not allowed"):
        config.load_config("aspset", Choices, (override,), tmp_path / "x.yaml")


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["box.source=detect"], "box.source = detect, but detect.model = none"),
        (["detect.model=yolox_nano"], "--set detect.model has no effect: boxes come from"),
        (["detect.score=0.3"], "--set detect.score has no effect"),
        (["segment.threshold=0.4"], "threshold"),
        (["segment.min_area=0.1"], "--set segment.min_area has no effect: nothing is segmented"),
        (["segment.model=none", "segment.min_area=0.1"], "no effect"),
        (["segment.model=grabcut", "segment.device=cpu"], "device has no effect: .* no network"),
        (["select.method=none", "select.threshold_mm=9"], "every frame is kept"),
        (["select.method=last", "select.buffer=9"], "add --set select.method=ring"),
    ],
)
def test_settings_without_effect_or_at_odds_are_refused(fake, overrides, expected):
    with pytest.raises(UsageError, match=expected):
        a_run(fake, *overrides)


@pytest.mark.parametrize(
    "overrides",
    [
        ["detect.model=none"],
        ["box.source=detect", "detect.model=joints", "detect.iou=0.3"],
        ["select.method=ring", "select.buffer=9", "select.threshold_mm=9"],
        ["box.source=detect", "detect.model=yolox_nano"],
        ["segment.model=grabcut", "segment.min_area=0.1"],
        ["segment.model=none"],
    ],
)
def test_settings_with_effect_are_taken(fake, overrides):
    a_run(fake, *overrides)


@pytest.mark.parametrize(
    ("name", "overrides", "expected"),
    [
        ("coco", ["check.statures=[1,2]"], "no joints in the world, its kind is 2d"),
        ("coco", ["check.max_speed=9"], "check.max_speed has no effect: coco has no joints in"),
        ("coco", ["check.max_off_center=0.3"], "check.max_off_center .*: coco has no cameras"),
        ("coco", ["check.enabled=false", "check.max_share=0.3"], "nothing is checked with"),
        ("h36m", ["check.enabled=false", "check.statures=[1,2]"], "check.statures has no effect"),
        ("coco", ["check.enabled=false"], None),
        ("coco", ["check.max_share=0.3", "check.usual_box_fit=0.3"], None),
        ("h36m", ["check.statures=[1,2]", "check.max_off_center=0.3"], None),
    ],
)
def test_limits_by_which_nothing_is_judged_are_refused(name, overrides, expected):
    from posepile.ds import load_recipe

    recipe = load_recipe(name)

    def load():
        return config.load_config(name, recipe.Options, overrides, spec=recipe.SPEC)

    if expected is None:
        load()
        return
    with pytest.raises(UsageError, match=expected):
        load()


def test_a_run_knows_what_is_not_judged():
    from posepile.run.job import make_run

    with pytest.raises(UsageError, match=r"check\.statures has no effect: coco has no joints"):
        make_run("coco", ("check.statures=[1,2]",))


def test_defaults_of_every_dataset_pass_these_checks():
    from posepile.ds import dataset_names, load_recipe

    for name in dataset_names():
        config.load_config(name, load_recipe(name).Options)


def test_status_counts_what_is_current_under_the_settings(fake):
    states(a_run(fake))
    states(a_run(fake, "crop.jpeg_quality=80", only="seq1"))
    assert (
        "  crop     2 of 3 units current, 8 examples, 1 to be made again (--dry-run says why)"
        in (said_of(a_run(fake)))
    )
    assert (
        "  crop     1 of 3 units current, 4 examples, 2 to be made again (--dry-run says why)"
        in (said_of(a_run(fake, "crop.jpeg_quality=80")))
    )


def test_status_names_what_is_quarantined(fake):
    (fake / "fake" / "seq0" / "world.json").write_text("{garbage")
    states(a_run(fake))
    (line,) = [line for line in said_of(a_run(fake)) if "quarantined" in line]
    assert "world.json: not JSON" in line


def test_limits_of_workers_change_no_result(fake):
    manifest, _ = process_and_pack(fake)
    run = a_run(fake, "run.max_memory=3", "run.max_idle_minutes=1")
    assert pack.pack(run) == (manifest, False)
    assert "max_memory" not in json.dumps(manifest["config"])
    assert os.path.isabs(run.work)


# ---------------------------------------------------------------- what is said of a build


def test_status_says_what_the_archive_is(fake):
    process_and_pack(fake)
    said = lambda *settings: "\n".join(said_of(a_run(fake, *settings)))
    assert "fake.barecat\n" in said()
    assert "with other settings: crop.jpeg_quality)" in said("crop.jpeg_quality=50")
    assert "3 to be made again (--dry-run says why)" in said("crop.jpeg_quality=50")
    assert "other settings" not in said("run.max_quarantined=0.5")
    os.utime(fake / "fake" / "seq0" / "0.jpg", (1, 1))
    assert "2 of 3 units current, 8 examples, 1 with input files of another size" in said()
    (fake / "fake.barecat-shard-00001").unlink()
    assert "(fake.barecat-shard-00001 is missing; posepile verify fake --repair)" in said()


def test_a_lost_shard_is_one_problem(fake):
    process_and_pack(fake)
    before = packed_bytes(fake)
    (fake / "fake.barecat-shard-00001").unlink()
    ok, lines = commands.verify(a_run(fake), repair=False)
    assert not ok and len(lines) <= 3 and "shard-00001: not found" in lines[-2]
    assert commands.verify(a_run(fake), repair=True)[0]
    assert packed_bytes(fake) == before


def test_a_dry_run_of_a_stage_without_work_says_so(fake, capsys):
    commands.dry_run(a_run(fake), ("detect",))
    assert "nothing is to be detected" in capsys.readouterr().out
