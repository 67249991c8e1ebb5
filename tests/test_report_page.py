"""The report page in a browser, of every packed dataset and of others; what it says."""

import json
import pickle
import re
import shutil
from types import SimpleNamespace

import archive_kit as kit
import numpy as np
import pytest
from browser_kit import DESKTOP, PHONE, faults
from hypothesis import given, settings
from hypothesis import strategies as st

from posepile.checking.sample import data_root
from posepile.cli import main
from posepile.datasets3d import TRAIN, Pose3DExample
from posepile.ds import dataset_names, load_recipe
from posepile.joint_info import JointInfo
from posepile.merging.merge import merge_datasets
from posepile.report import checks, counts, distributions, measure, poses, sheets, timings
from posepile.report.build import open_build, viewer_link
from posepile.report.page import write_report
from posepile.store.opening import get_dataset

WITH_EXAMPLES = [n for n in dataset_names() if load_recipe(n).SPEC.kind != "helper"]


def looked_at(browser, path):
    """Opens a page and returns it with its faults at both widths."""
    page = browser.open(path, DESKTOP)
    found = faults(page)
    page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    return page, found + faults(page)


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_reports_of_miniatures_are_whole_at_both_widths(name, miniature, browser):
    path = miniature(name) / f"{name}_work" / "report.html"
    page, found = looked_at(browser, path)
    assert found == []
    assert page.locator(".banner").inner_text() == "Made-up miniature, not the real data."
    tiles = page.locator("#sheets figure")
    dataset = load_recipe(name).SPEC
    assert tiles.count() == page.locator("#sheets img").count() > 0
    caption = tiles.first.locator("figcaption").inner_text()
    assert f"{dataset.image_dir}/" in caption and "frame " in caption
    for anchor in page.locator("ul.short a").all():
        assert page.locator(anchor.get_attribute("href")).count() == 1


def test_every_section_is_there_and_says_what_it_should(miniature, tmp_path):
    with data_root(miniature("h36m")):
        facts = write_report("h36m", tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text()
    keys = set(re.findall("<section id='(.*?)'", text))
    assert {"counts", "suspects", "checks", "sheets", "distributions", "bones"} <= keys
    assert {"joints", "cameras", "timings"} <= keys
    assert facts["counts"]["train"]["selected"] == facts["examples"]["train"]
    lost = {e["what"]: e["n"] for e in facts["reasons"] if e["split"] == "train"}
    train = facts["counts"]["train"]
    assert lost["not selected"] == train["annotated"] - train["selected"] > 0
    (check,) = [e for e in facts["checks"] if e["limit"] and e["split"] == "train"]
    assert check["limit"] == 0.5 and check["used"] == check["max"] / 0.5
    assert facts["timings"]["stages"]["crop"]["units"] == sum(
        c["units"] for c in facts["counts"].values()
    )
    height = facts["figures"]["train"]["heights"]
    assert 1.2 < height["median"] < 2.1
    assert "<script" not in text and "url(" not in text
    addresses = set(re.findall(r"https?://[^/'<]+", text))
    assert addresses == {"http://127.0.0.1:8765"}


def test_the_same_archive_gives_the_same_page(miniature, tmp_path):
    pages = []
    for i in range(2):
        with data_root(miniature("h36m")):
            write_report("h36m", tmp_path / f"{i}.html")
        pages.append((tmp_path / f"{i}.html").read_bytes())
    assert pages[0] == pages[1]


def of_toys(root, monkeypatch):
    monkeypatch.setenv("DATA_ROOT", str(root))
    kit.make_archive(root, "toy")
    kit.make_archive(root, "toy2", units=("train", "val"))
    kit.make_archive(root, "flat", kind="2d")
    merged = merge_datasets({name: get_dataset(name, "3d") for name in ("toy", "toy2")})
    (root / "cache").mkdir()
    (root / "cache" / "both.pkl").write_bytes(pickle.dumps(merged))


def test_reports_of_what_has_no_recipe(tmp_path, monkeypatch, browser):
    """A merged dataset, an archive without manifest of a run, a file; 3D and 2D."""
    of_toys(tmp_path, monkeypatch)
    for name in ("both", "toy", "flat", str(tmp_path / "toy.barecat"), "cache/both.pkl"):
        facts = write_report(name, tmp_path / "r.html")
        page, found = looked_at(browser, tmp_path / "r.html")
        assert found == [], name
        assert sum(facts["examples"].values()) == {"both": 30, "cache/both.pkl": 30}.get(name, 18)
        assert page.locator("#sheets figure").count() > 4
        # Its masks have no runs for all of their pixels.
        assert page.locator("#sheets img").count() == page.locator("#sheets figure").count()
        assert "cannot be read, the mask" in page.locator("#sheets").inner_text()
    assert "toy2" in page.locator("#counts").inner_text()


def test_the_command_writes_the_page_of_a_mix_and_prints_json(tmp_path, monkeypatch, capsys):
    of_toys(tmp_path, monkeypatch)
    for name, page in (
        ("both", tmp_path / "both_work" / "report.html"),
        ("toy", tmp_path / "toy_work" / "report.html"),
        ("toy.barecat", tmp_path / "toy_report.html"),
    ):
        with pytest.raises(SystemExit) as stop:
            main(["report", name, "--json"])
        assert stop.value.code == 0
        said = json.loads(capsys.readouterr().out)
        assert said["report"] == str(page) and page.is_file()
        assert {"summary", "counts", "reasons", "suspects", "figures", "timings"} <= said.keys()
    with pytest.raises(SystemExit) as stop:
        main(["report", "none.pkl"])
    assert stop.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_names_from_files_are_no_markup_and_no_address(tmp_path, monkeypatch, browser):
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    bad = "<img src=x onerror=alert(1)>'\"&#/%41 ?\u202e"
    original = kit.record

    def hostile(name, split, unit, i, **more):
        path = f"{name}_downscaled/{bad.replace('/', '')}{unit}/{i}.jpg"
        return original(name, split, unit, i, image_path=path, sequence=bad, **more)

    monkeypatch.setattr(kit, "record", hostile)
    kit.make_archive(tmp_path, "toy")
    write_report("toy", tmp_path / "r.html")
    page, found = looked_at(browser, tmp_path / "r.html")
    assert found == []
    assert "\u202e" not in page.content()
    href = page.locator("#sheets a").first.get_attribute("href")
    assert re.fullmatch(r"http://127\.0\.0\.1:8765/#/toy/train/[\w/.%~-]+", href)


def test_an_address_keeps_what_is_special():
    link = viewer_link("a b", "val", "x#1/ü?.jpg")
    assert link == "http://127.0.0.1:8765/#/a%20b/val/x%231/%C3%BC%3F.jpg"


# Picks


def figures_of(n, sequences, people=None, **arrays):
    people = people or ["unknown"] * (max(sequences) + 1)
    blank = np.full(n, np.nan, np.float32)
    names = "box_side box_shape distance moved gap".split()
    return SimpleNamespace(
        total=n,
        positions=np.arange(n),
        sequences=np.array(sequences),
        sequence_facts=[SimpleNamespace(subject=p) for p in people],
        n_joints=np.full(n, 17),
        **{name: np.array(arrays.get(name, blank), np.float32) for name in names},
    )


def test_picks_cover_people_extremes_and_chance():
    n, sequences = 200, [i // 10 for i in range(200)]
    people = ["a"] * 17 + ["b", "c", "d"]
    box = np.linspace(100, 200, n)
    found = sheets.choose(figures_of(n, sequences, people, box_side=box))
    assert found == sheets.choose(figures_of(n, sequences, people, box_side=box))
    places = [pick.position for pick in found]
    assert len(set(places)) == len(places)
    seen = {people[sequences[p.position]] for p in found if p.why.startswith("sequence")}
    assert seen == {"a", "b", "c", "d"}
    whys = {pick.position: pick.why for pick in found}
    assert "largest box, 200 px" in whys[n - 1] and "smallest box, 100 px" in whys[0]
    assert sum("at random" in why for why in whys.values()) == sheets.RANDOM


def test_of_one_example_there_is_one_tile():
    (pick,) = sheets.choose(figures_of(1, [0]))
    assert pick.position == 0


def test_of_many_sequences_of_one_person_the_chosen_are_far_apart():
    n = 1000
    found = sheets.choose(figures_of(n, list(range(n))))
    chosen = sorted(p.position for p in found if p.why.startswith("sequence"))
    assert len(chosen) == sheets.SEQUENCES
    assert max(np.diff(chosen)) < 2 * n / sheets.SEQUENCES


# Measurements


@given(st.integers(0, 5000), st.integers(1, 3000), st.integers(1, 400))
def test_positions_are_blocks_that_reach_both_ends(n, most, block):
    found = measure.chosen_positions(n, most, block)
    assert len(np.unique(found)) == len(found) <= max(most, 0) or n <= most
    assert ((found >= 0) & (found < n)).all()
    if n <= most:
        assert len(found) == n
    elif most >= 2 * block:
        assert found[0] == 0 and found[-1] == n - 1


def measured(monkeypatch, tmp_path, name="toy", **kwargs):
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    records = kit.make_archive(tmp_path, name, **kwargs)
    build = open_build(name)
    return (
        records,
        build,
        measure.measure(build.examples("train"), build.dataset.joint_info, build.ups()),
    )


def test_figures_are_those_of_the_examples_themselves(tmp_path, monkeypatch):
    records, build, found = measured(monkeypatch, tmp_path)
    train = [r for r in records if r.split == "train"]
    for i, r in enumerate(train):
        middle = np.nanmean(r.world_coords, axis=0)
        distance = np.linalg.norm(middle - r.camera.t) / 1000
        assert found.distance[i] == pytest.approx(distance, rel=1e-4)
        assert found.n_joints[i] == 4 and found.box_side[i] == max(r.bbox[2:])
    assert found.with_joint.tolist() == [
        sum(np.isfinite(r.world_coords[j, 0]) for r in train) for j in range(5)
    ]
    (bones,) = found.bones
    edges = build.dataset.joint_info.stick_figure_edges
    for b, (i, j) in enumerate(edges):
        own = [
            np.linalg.norm(r.world_coords[i] - r.world_coords[j])
            for r in train
            if r.sequence == "s0"
        ]
        assert bones.means[0, b] == pytest.approx(np.nanmean(own), rel=1e-5)
        assert bones.spread[0, b] == pytest.approx(np.nanstd(own), rel=1e-3)
    assert np.isnan(found.moved).all(), "nothing says that the frames are in the order of time"


def test_motion_is_from_example_to_example_of_a_person(tmp_path, monkeypatch, miniature):
    with data_root(miniature("h36m")):
        build = open_build("h36m")
        examples = build.examples("train")
        found = measure.measure(examples, build.dataset.joint_info, build.ups())
        for i in range(len(examples)):
            before = [
                e
                for e in examples
                if e.sequence == examples[i].sequence and e.frame < examples[i].frame
            ]
            if not before:
                assert np.isnan(found.moved[i])
                continue
            last = max(before, key=lambda e: e.frame)
            apart = examples[i].world_coords - last.world_coords
            assert found.moved[i] == pytest.approx(np.linalg.norm(apart, axis=1).max(), rel=1e-3)
            assert found.gap[i] == examples[i].frame - last.frame


def test_of_many_examples_some_are_looked_at(tmp_path, monkeypatch):
    monkeypatch.setattr(measure, "MOST", 6)
    monkeypatch.setattr(measure, "BLOCK", 3)
    _, build, found = measured(monkeypatch, tmp_path)
    assert found.total == 12 and found.positions.tolist() == [0, 1, 2, 9, 10, 11]
    assert "6 of 12" in distributions.distributions_section({"train": found}).body
    assert {p.position for p in sheets.choose(found)} <= set(range(12))
    section, _ = distributions.bones_section(build, {"train": found})
    assert section.body


def test_a_bone_that_is_odd_is_named_and_the_size_of_a_person_is_not():
    rng = np.random.default_rng(0)
    means = np.array([450.0, 400, 250, 120]) * rng.normal(1, 0.02, (30, 4))
    means[7] *= 1.45  # somebody of another size
    means[3, 1] *= 1.5
    spread = np.full((30, 4), 2.0)
    spread[5, 0] = 90
    group = measure.BoneMeans(
        np.array([[0, 1], [1, 2], [2, 3], [3, 4]]),
        np.arange(30),
        np.zeros(30, int),
        means,
        spread,
    )
    facts = [SimpleNamespace(id=f"s{i}") for i in range(30)]
    own = SimpleNamespace(bones=[group], sequence_facts=facts, in_time=np.ones(30, bool))
    build = SimpleNamespace(dataset=SimpleNamespace(joint_info=JointInfo("a,b,c,d,e")))
    section, odd = distributions.bones_section(build, {"train": own})
    assert [(e["sequence"], e["bone"]) for e in odd] == [("s3", "b–c"), ("s5", "a–b")] or [
        (e["sequence"], e["bone"]) for e in odd
    ] == [("s5", "a–b"), ("s3", "b–c")]
    assert section.verdict == "doubt" and "2 sequences" in section.summary
    own.in_time = np.zeros(30, bool)
    _, odd = distributions.bones_section(build, {"train": own})
    assert [e["sequence"] for e in odd] == ["s3"], "several people share an unordered sequence"


# Poses from three sides

POSE = np.array([[0, 0, 900], [100, 0, 900], [-100, 0, 900], [100, 80, 450], [0, 0, 1700.0]])
NAMES = JointInfo("pelv,lhip,rhip,lkne,head", "pelv-lhip-lkne,pelv-head", strict=False)


def drawn(points, up=(0, 0, 1.0)):
    example = Pose3DExample("a/0.jpg", points.astype(np.float64), None, None)
    text = poses.three_sides(example, NAMES, np.array(up))
    return np.array([float(v) for v in re.findall(r"[ML]?(-?\d+\.\d) ?", text)])


@settings(deadline=None, max_examples=30)
@given(st.floats(-np.pi, np.pi), st.tuples(*[st.floats(-5000, 5000)] * 3))
def test_a_pose_looks_the_same_wherever_the_person_stands_and_faces(angle, place):
    turn = np.array(
        [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    )
    np.testing.assert_allclose(drawn(POSE @ turn.T + place), drawn(POSE), atol=0.11)


def test_the_sides_are_what_they_are_called():
    """The left hip is at +x, so the person faces -y, where the left knee is."""
    example = Pose3DExample("a/0.jpg", POSE * [1, -1, 1], None, None)
    text = poses.three_sides(example, NAMES, np.array([0, 0, 1.0]))
    assert re.findall(">(front|right|above|camera)<", text) == ["front", "right", "above"]
    thighs = [re.findall(r"M(\S+?) (\S+?)L(\S+?) ([\d.]+)", d)[-1] for d in lefts(text)]
    (hip_f, _, knee_f, low), (hip_r, _, knee_r, _), (_, hip_a, _, knee_a) = [
        tuple(map(float, thigh)) for thigh in thighs
    ]
    assert hip_f > 52, "from the front, their left is on our right"
    assert knee_f == hip_f and low > 52
    assert knee_r > hip_r, "from their right, they face to the right"
    assert knee_a < hip_a, "from above, they face up"


def lefts(text):
    """What is drawn in the colour of the left, in each panel."""
    return re.findall(r"d='([^']*)' stroke='var\(--left\)'", text)


def test_without_direction_nothing_is_drawn():
    lost = np.full((5, 3), np.nan)
    assert drawn(lost).size == 0
    hipless = Pose3DExample("a/0.jpg", POSE, None, None)
    assert poses.three_sides(hipless, JointInfo("a,b,c,d,e"), np.array([0, 0, 1.0])) == ""
    assert poses.three_sides(hipless, NAMES, None) == "", "no camera and no world"


# What the manifest and the journal tell


def test_a_check_above_its_limit_is_doubted():
    zero = {"checks": {}, "annotated": 0, "selected": 0}
    value = {"mean": 0.1, "max": 0.9, "n": 3}
    manifest = {
        "config": {"dataset": {"max_far_mm": 0.5, "max_flag": True}},
        "splits": {
            "train": {"checks": {"far_mm": value, "flag": value}},
            "val": zero,
            "test": zero,
        },
    }
    build = SimpleNamespace(manifest=manifest, has_counts=True)
    section = checks.checks_section(build)
    assert section.verdict == "doubt"
    assert section.summary == "1 with a limit, 1 above it, 1 without"
    manifest["config"]["dataset"]["max_far_mm"] = 1
    assert checks.checks_section(build).verdict == "good"
    del manifest["config"]["dataset"]["max_far_mm"]
    assert checks.checks_section(build).summary == "2, no limit stated"


def test_a_damaged_journal_is_read_as_far_as_it_goes(tmp_path):
    assert timings.read_timings(tmp_path) == {}
    line = {"time": "2026-01-01T00:00:00", "unit": "a", "stages": {"crop": "done"}}
    line |= {"examples": 2, "frames_read": 3, "seconds": 1.5, "error": None}
    later = {**line, "unit": "b", "time": "2026-01-01T01:00:00", "seconds": 4}
    other = [b"{", b"[]", b'{"seconds": "x", "stages": 3}', b"\xff", b'{"time": 3}']
    lines = [json.dumps(line).encode(), *other, json.dumps(later).encode()]
    (tmp_path / "journal.jsonl").write_bytes(b"\n".join(lines))
    found = timings.read_timings(tmp_path)
    assert found["stages"]["crop"]["seconds"] == 5.5
    assert [e["unit"] for e in found["slowest"]] == ["b", "a"]
    assert "60 min went by" in timings.timings_section(found).body


def test_every_reason_has_its_count():
    empty = {"annotated": 0, "selected": 0, "dropped": {}, "excluded": {}, "notes": {}}
    empty |= {"quarantined": []}
    train = {"annotated": 10, "selected": 6, "dropped": {"small": 2}, "excluded": {"bad": 1}}
    train |= {"notes": {"box from joints": 4}, "quarantined": [{"file": "a"}]}
    manifest = {
        "config": {"select": {"method": "last"}},
        "splits": {"train": train, "val": empty, "test": empty},
    }
    found = {e["what"]: e["n"] for e in counts.reasons(manifest)}
    assert found == {
        "not selected": 3,
        "excluded": 1,
        "dropped": 2,
        "quarantined": 1,
        "note": 4,
    }


def test_suspects_lead_to_the_example(tmp_path, monkeypatch, browser):
    """A shot with everybody's sides exchanged, seen among others of the same people."""
    import cv2
    import walkers

    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    made = walkers.made_up(60, views=2, recordings=4)
    wrong = next(r for r in made if r.name.endswith("cam1"))
    walkers.swapped(wrong)
    jpeg = cv2.imencode(".jpg", np.zeros((64, 64, 3), np.uint8))[1].tobytes()
    walkers.pack(made, tmp_path / "walkers.barecat", jpeg)
    facts = write_report("walkers", tmp_path / "r.html")
    (first, *_) = facts["suspects"]["train"]["worst"]
    assert first["kind"] == "swapped_sides" and "left and right" in first["reason"]
    example = get_dataset("walkers", None).examples[TRAIN][first["position"]]
    assert example.image_path == first["image_path"] and example.sequence == wrong.name
    page, found = looked_at(browser, tmp_path / "r.html")
    assert found == []
    figure = page.locator("#suspects figure").first
    assert figure.locator("a").get_attribute("href") == viewer_link(
        "walkers", "train", first["image_path"]
    )
    assert figure.locator("code").inner_text() == f"posepile view walkers {first['image_path']}"


def test_a_picture_that_is_gone_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    kit.make_archive(tmp_path, "toy")
    dataset = get_dataset("toy", None)
    examples = [ex.load(load_image=False) for ex in dataset.examples[TRAIN]]
    for i, example in enumerate(examples):
        example.image_path = f"gone/{i}.jpg"
    own = type(dataset)(dataset.joint_info, examples)
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "gone.pkl").write_bytes(pickle.dumps(own))
    shutil.rmtree(tmp_path / "toy_work")
    facts = write_report("gone", tmp_path / "r.html")
    (sheet,) = [s for s in facts["summary"] if s["section"] == "sheets"]
    assert sheet["verdict"] == "bad" and "of" in sheet["text"]
    assert "cannot be read, the picture" in (tmp_path / "r.html").read_text()
