"""The contract test finds what is wrong; each test here plants one fault in what it looks at."""

import ast
import copy
import subprocess
import sys
import types

import numpy as np
import pytest
import rlemasklib

from posepile import checking
from posepile.checking import check, mutants, pictures, reference_reader, whole, world
from posepile.checking.faults import FAULTS
from posepile.checking.findings import Finding, not_asked
from posepile.checking.mutants import Base, Fate
from posepile.checking.sample import Sample, Shown, open_sample
from posepile.miniature import marks


def plain(example):
    """A copy that does not fetch anything."""
    fields = ("image_path", "world_coords", "camera", "bbox", "mask")
    return types.SimpleNamespace(**{name: copy.copy(getattr(example, name)) for name in fields})


@pytest.fixture(scope="module")
def good(miniature):
    """Some examples in which nothing is wrong, as a function of a change to each of them."""
    original = open_sample("aspset", miniature("aspset"), per_split=2)
    examples = original.shown

    def get(change=lambda shown: None, only=None):
        sample = Sample(original.name, original.root, original.truth, original.manifest, 2)
        sample.__dict__["paths"] = list(original.paths)
        sample.__dict__["shown"] = shown = [
            Shown(plain(s.example), s.split, s.key, s.truth, s.image.copy()) for s in examples
        ]
        for i, s in enumerate(shown):
            if only is None or i == only:
                change(s)
        return sample

    return get


def findings(answer, *texts):
    """The findings of an answer, of which the first holds these texts."""
    assert answer.findings
    first = str(answer.findings[0])
    assert all(text in first for text in texts), first
    return answer.findings


@pytest.mark.parametrize("question", [q for q in check.OF_SAMPLE if q != "reader"])
def test_nothing_is_found_where_nothing_is_wrong(good, question):
    answer = check.OF_SAMPLE[question](good())
    assert not answer.findings, answer.lines(question)


# ---------------------------------------------------------------- joints


def test_a_shifted_joint_is_named_with_its_signed_offset(good):
    def shift(shown):
        shown.points[5] += (3, 0)

    found = findings(pictures.joints_are_on_the_discs(good(shift)), "aspset, rsho", "(-3")
    assert found[0].joint == "rsho"
    assert found[0].offset == pytest.approx((-3, 0), abs=0.5)


def test_one_example_with_shifted_joints_is_named(good):
    def shift(shown):
        shown.points[:] += (0, 4)

    found = pictures.joints_are_on_the_discs(good(shift, only=1)).findings
    (of_example,) = (f for f in found if f.example)
    assert of_example.example == good().shown[1].path
    assert of_example.offset == pytest.approx((0, -4), abs=0.6)


def test_swapped_sides_are_found_far_away(good):
    def swap(shown):
        shown.points[[3, 9]] = shown.points[[9, 3]]

    found = findings(pictures.joints_are_on_the_discs(good(swap)), "wri: (")
    assert {f.joint for f in found if f.joint} == {"rwri", "lwri"}
    assert max(np.abs(f.offset).max() for f in found if f.offset) > 40


def test_pictures_without_discs_are_found(good):
    def blank(shown):
        shown.image[:] = 120

    findings(pictures.joints_are_on_the_discs(good(blank)), "0 of", "expected 30%")


# ---------------------------------------------------------------- boxes


def test_a_tiny_box_is_found_by_the_joints_outside(good):
    def shrink(shown):
        box = shown.example.bbox
        middle = box[:2] + box[2:] / 2
        shown.example.bbox = np.append(middle - 0.5, [1, 1]).astype(np.float32)

    found = findings(pictures.boxes_fit_the_person(good(shrink, only=2)), "outside its box")
    assert {f.example for f in found} == {good().shown[2].path}
    assert {f.joint for f in found} > {"rank", "lwri", "htop"}


@pytest.mark.parametrize("factor", [1.6, 2.0])
def test_one_box_that_is_too_large_is_found(good, factor):
    def grow(shown):
        box = shown.example.bbox.astype(float)
        size = box[2:] * factor
        start = box[:2] + (box[2:] - size) / 2
        shown.example.bbox = np.append(start, size).astype(np.float32)

    findings(pictures.boxes_fit_the_person(good(grow, only=0)), good().shown[0].path, "at most")


def test_a_box_beside_the_person_is_found(good):
    def move(shown):
        shown.example.bbox = shown.example.bbox + np.float32([shown.example.bbox[2], 0, 0, 0])

    found = findings(pictures.boxes_fit_the_person(good(move, only=0)), good().shown[0].path)
    assert any("% of the person" in f.text for f in found)


def test_a_box_of_doubles_is_found(good):
    def widen(shown):
        shown.example.bbox = shown.example.bbox.astype(float)

    findings(pictures.boxes_fit_the_person(good(widen)), "float64")


# ---------------------------------------------------------------- masks, frames, people


def with_masks(sample, change=lambda mask: mask):
    object.__setattr__(sample.truth, "raw_masks", True)
    for shown in sample.shown:
        mask = change(shown.figure).astype(np.uint8)
        shown.example.mask = rlemasklib.encode(np.ascontiguousarray(mask))
    return sample


@pytest.fixture
def copied(good):
    """As ``good``, with a truth of its own."""

    def get():
        sample = good()
        sample.truth = copy.copy(sample.truth)
        return sample

    return get


def test_masks_are_compared_with_the_body(copied):
    assert not pictures.masks_are_the_drawn_person(with_masks(copied())).findings
    moved = with_masks(copied(), lambda mask: np.roll(mask, 12, axis=1))
    found = findings(pictures.masks_are_the_drawn_person(moved), "mean IoU")
    assert found[1].example == moved.shown[0].path
    none = with_masks(copied())
    none.shown[0].example.mask = None
    findings(pictures.masks_are_the_drawn_person(none), "has no mask", none.shown[0].path)


def test_a_wrong_frame_number_is_found(good):
    def rename(shown):
        shown.key = type(shown.key)(
            shown.key.sequence, shown.key.frame + 1, shown.key.person, shown.key.number + 1
        )

    found = findings(pictures.frames_are_those_recorded(good(rename, only=3)), "(-1)")
    assert [f.example for f in found] == [good().shown[3].path]


def test_frame_numbers_that_cannot_be_read_are_found(good):
    def blur(shown):
        shown.image[:] = shown.image.mean(axis=(0, 1)).astype(np.uint8)

    findings(pictures.frames_are_those_recorded(good(blur)), "0 of", "could be read")


def test_another_person_is_found(good):
    def repaint(shown):
        body = marks.find_person(shown.image, 0)
        shown.image[body] = marks.person_color(2)

    findings(pictures.persons_are_those_recorded(good(repaint)), "shows person 2; expected 0")


# ---------------------------------------------------------------- world and cameras


def change_world(function):
    def change(shown):
        shown.example.world_coords = function(np.array(shown.example.world_coords, float))

    return change


def test_metres_are_found(good):
    found = findings(world.world_is_in_millimetres(good(change_world(lambda w: w / 1000))), "mm")
    assert {"lelb", "rank"} <= {f.joint for f in found}


def test_a_lying_person_is_found(good):
    answer = world.world_is_in_millimetres(good(change_world(lambda w: w[:, [1, 0, 2]])))
    findings(answer, "expected world_up (0.0, -1.0, 0.0)")


def test_a_mirrored_world_is_found(good):
    answer = world.nothing_is_mirrored(good(change_world(lambda w: w * [-1, 1, 1])))
    findings(answer, "left and right are exchanged")


def test_wrong_cameras_are_found(good):
    def change(**how):
        def apply(shown):
            camera = shown.example.camera
            shown.example.camera = camera.copy(**{k: f(camera) for k, f in how.items()})

        return apply

    away = change(optical_center=lambda c: np.asarray(c.t) + 40000 * np.asarray(c.R)[2])
    findings(world.cameras_see_the_person(good(away)), "behind the camera")
    tilted = change(world_up=lambda c: (0.6, 0.8, 0))
    findings(world.cameras_see_the_person(good(tilted)), "world_up is [0.6, 0.8, 0.0]")
    rolled = change(rot_world_to_cam=lambda c: np.asarray(c.R)[[1, 0, 2]] * [[1], [-1], [1]])
    findings(world.cameras_see_the_person(good(rolled)), "expected (0, -1, 0)")
    mirrored = change(rot_world_to_cam=lambda c: np.asarray(c.R) * [[-1], [1], [1]])
    findings(world.nothing_is_mirrored(good(mirrored)), "reflection")


# ---------------------------------------------------------------- the whole


def test_examples_are_compared_one_by_one(good):
    sample = good()
    split, path = sample.paths[0]
    sample.paths[0] = "val", path
    findings(whole.examples_are_those_of_the_card(sample), path, "is in val; expected in train")
    sample.paths[0] = split, path.replace("000000", "000001")
    found = findings(whole.examples_are_those_of_the_card(sample), "frame 0, person 0 is missing")
    assert "too many" in found[-1].text
    sample.paths[0] = sample.paths[1]
    findings(whole.examples_are_those_of_the_card(sample), "occurs 2 times")


def test_a_second_run_that_works_is_found(good):
    def again():
        (sample.root / "cache" / "aspset.pkl").touch()
        return "crop: 7 units: 1 done now, 6 kept; packed"

    sample = good()
    texts = [f.text for f in whole.second_run_does_nothing(sample, again).findings]
    assert len(texts) == 3
    assert "aspset.pkl was written again" in texts[2]


def test_findings_and_answers_read_well():
    finding = Finding("aspset", "lies there", "a/b.jpg", "lwri", (3.04, -0.5))
    assert str(finding) == "aspset, a/b.jpg, lwri: (+3.0, -0.5) px lies there"
    assert not_asked("no masks").lines("masks") == ["  not asked masks: no masks"]


def test_a_question_that_cannot_be_answered_is_a_finding(good):
    answer = check.ask(lambda sample: 1 / 0, good(), "aspset")
    findings(answer, "ZeroDivisionError", "test_checking.py, line")


def test_the_independent_reader_imports_nothing_of_ours():
    imported = set()
    with open(reference_reader.__file__) as f:
        for node in ast.walk(ast.parse(f.read())):
            if isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(node.module)
    assert imported == {"json", "math", "msgpack", "sqlite3", "struct", "sys"}
    assert checking.__doc__


# ---------------------------------------------------------------- the command


def posepile_check(*arguments, **environment):
    import os

    return subprocess.run(
        [sys.executable, "-m", "posepile", "check", *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_folder_with_nothing_in_it_fails_in_plain_words(tmp_path):
    folder = tmp_path / "mine" / "empty"
    folder.mkdir(parents=True)
    (folder / "main.py").write_text("SPEC = oops\n")
    (folder / "main.sh").write_text(
        "echo '  quarantined: 2 x cut off: a, b'\necho this way >&2\nexit 3\n"
    )
    done = posepile_check("empty", POSEPILE_DATASETS=str(tmp_path / "mine"))
    assert done.returncode == 1, done.stderr
    assert "lacks miniature.py" in done.stdout
    assert "NameError: name 'oops' is not defined" in done.stdout
    assert "exit 3: this way; quarantined: 2 x cut off: a, b" in done.stdout
    assert "--keep DIR leaves it" in done.stdout
    assert done.stdout.splitlines()[-1] == "empty: FAILED: folder, spec, run"
    assert "Traceback" not in done.stdout + done.stderr


def test_sources_that_are_not_valid_are_a_finding_beside_others(tmp_path, monkeypatch):
    folder = tmp_path / "odd"
    folder.mkdir()
    (folder / "main.py").write_text("")
    (folder / "sources.yaml").write_text("dataset: odd\nsauces: []\n")
    monkeypatch.setenv("POSEPILE_DATASETS", str(tmp_path))
    texts = [finding.text for finding in whole.folder_is_complete("odd").findings]
    assert any("sources.yaml" in text and "sauces" in text for text in texts), texts
    assert any("lacks main.sh" in text for text in texts), texts


def test_wrong_requests_are_refused(tmp_path):
    (tmp_path / "coco").mkdir()
    for arguments in (["nope"], ["coco", "--keep", str(tmp_path)], ["coco", "--seed", "-1"]):
        done = posepile_check(*arguments)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr


# ---------------------------------------------------------------- faults


def test_two_faults_are_seen_in_a_cheap_dataset(miniature, tmp_path):
    base = Base("coco", miniature("coco"), tmp_path / "faulty")
    two = [f for f in FAULTS if f.name in ("joints shifted by 3 px", "box twice too large")]
    none, shifted, large = mutants.try_faults(base, two)
    assert (none.state, none.by) == ("ok", "")
    assert (shifted.state, large.state) == ("killed", "killed")
    assert "joints" in shifted.by
    assert "boxes" in large.by


def test_a_fault_that_changes_nothing_cannot_be_seen(miniature, tmp_path):
    base = Base("coco", miniature("coco"), tmp_path / "faulty")
    metres = [f for f in FAULTS if f.name == "metres for millimetres"]
    _, fate = mutants.try_faults(base, metres)
    assert (fate.state, fate.by) == ("cannot be seen", "no world")


def test_a_blind_contract_test_is_found_out(miniature, tmp_path, monkeypatch):
    monkeypatch.setattr(mutants, "QUESTIONS", {"counts": mutants.QUESTIONS["counts"]})
    base = Base("coco", miniature("coco"), tmp_path / "faulty")
    _, fate = mutants.try_faults(base, FAULTS[:1])
    assert fate.state == "survived"


def test_the_verdict_wants_every_kind_killed_in_four_datasets():
    killed = {f"d{i}": [Fate(f.name, "killed", "joints") for f in FAULTS] for i in range(4)}
    assert mutants.verdict(killed, every_dataset=True) == []
    killed["d0"][0] = Fate(FAULTS[0].name, "cannot be seen", "no joints")
    assert mutants.verdict(killed, every_dataset=False) == []
    (problem,) = mutants.verdict(killed, every_dataset=True)
    assert "killed in 3 datasets" in problem
    killed["d4"] = [Fate("none", "seen", "boxes"), Fate(FAULTS[0].name, "survived", "")]
    assert len(mutants.verdict(killed, every_dataset=False)) == 2
