"""Mixes: what they say, what is there of them, what is made, and that it is still the same."""

import hashlib
import json
import pickle
from collections import Counter

import archive_kit as kit
import numpy as np
import pytest
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st

from posepile import cli, datasets2d, datasets3d
from posepile.datasets3d import TEST, TRAIN, VALID
from posepile.errors import UsageError, WorkError
from posepile.joint_info import JointInfo
from posepile.merging import merge, mixes
from posepile.recipe import DatasetSpec
from posepile.store import packing, parts
from posepile.store.reading import open_archive


def run(*args):
    with pytest.raises(SystemExit) as e:
        cli.main(["merge", *map(str, args)])
    return e.value.code


@pytest.fixture
def root(tmp_path, monkeypatch):
    """DATA_ROOT with two 3D archives (12 and 8 training examples) and a 2D one."""
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    kit.make_archive(tmp_path, "one")
    kit.make_archive(tmp_path, "two", n=4)
    return tmp_path


def write(root, text, name="mine"):
    path = root / f"{name}.yaml"
    path.write_text(text)
    return path


# What is made


def test_a_mix_is_made_opened_and_says_what_it_was_made_of(root, capsys):
    path = write(
        root,
        """
        about: Mine
        datasets:
          one: {share: 1, splits: {train: [train, val]}}
          two: {share: 3, joints: ["?hip", pelv]}
        """,
    )
    assert run(path) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(root / "cache" / "mine.pkl")
    merged = datasets3d.get_dataset("mine")
    assert merged.joint_info.names == [
        *("pelv_one", "lhip_one", "rhip_one", "lkne_one", "rkne_one"),
        *("pelv_two", "lhip_two", "rhip_two"),
    ]
    one, two = (datasets3d.get_dataset(name) for name in ("one", "two"))
    expected = [*one.examples[TRAIN], *one.examples[VALID], *two.examples[TRAIN]]
    assert [ex.image_path for ex in merged.examples[TRAIN]] == [ex.image_path for ex in expected]
    assert [ex.image_path for ex in merged.examples[VALID]] == [
        ex.image_path for ex in two.examples[VALID]
    ]
    assert [ex.dataset for ex in merged.examples[TRAIN]] == ["one"] * 18 + ["two"] * 8
    for ex, own in zip(merged.examples[TRAIN], expected, strict=True):
        shift, n = (0, 5) if ex.dataset == "one" else (5, 3)
        placed = np.full((8, 3), np.nan, np.float32)
        placed[shift : shift + n] = own.get_world_coords()[:n]
        np.testing.assert_array_equal(ex.get_world_coords(), placed)
    assert merged.parts["one"]["weight"] == 0.25 and merged.parts["two"]["weight"] == 0.75
    manifest = json.loads((root / "cache" / "mine.merge.json").read_text())
    assert manifest["counts"] == {"train": 26, "val": 4, "test": 0}
    assert {n: d["weight"] for n, d in manifest["datasets"].items()} == {"one": 0.25, "two": 0.75}
    assert manifest["datasets"]["one"]["joints"] == kit.JOINTS.names
    assert manifest["datasets"]["two"]["joints"] == ["pelv", "lhip", "rhip"]
    assert manifest["command"] == f"posepile merge {path}"
    # No picture and no row was written.
    assert {p.name for p in (root / "cache").iterdir()} == {"mine.pkl", "mine.merge.json"}
    assert sum(p.stat().st_size for p in (root / "cache").iterdir()) < 8000


def test_the_same_mix_gives_the_same_bytes(root):
    path = write(root, "datasets: {two: , one: {every: 2}}")
    made = []
    for _ in range(2):
        assert run(path) == 0
        made.append([(root / "cache" / f).read_bytes() for f in ("mine.pkl", "mine.merge.json")])
    assert made[0] == made[1]


def test_bones_are_those_of_the_examples_that_are_left(root):
    assert (
        run(write(root, "datasets: {one: {splits: {train: [train, val]}}, two: {every: 3}}")) == 0
    )
    merged = datasets3d.get_dataset("mine")
    found = merged.train_bones
    assert merged.parts["two"]["weight"] is None
    merged.update_bones()
    np.testing.assert_allclose(found, merged.train_bones, rtol=1e-5)


def test_bones_are_those_of_the_lists_where_validation_is_left_out(root):
    assert run(write(root, "datasets: {one: {splits: {train: [train]}}}")) == 0
    merged = datasets3d.get_dataset("mine")
    found, whole = merged.trainval_bones, datasets3d.get_dataset("one").trainval_bones
    merged.update_bones()
    np.testing.assert_allclose(found, merged.trainval_bones, rtol=1e-5)
    assert not np.allclose(found, whole, rtol=1e-5)


def weights(root, out):
    """What is printed, written beside, and in the dataset."""
    manifest = json.loads((root / "cache" / "mine.merge.json").read_text())
    places = json.loads(out), manifest, {"datasets": datasets3d.get_dataset("mine").parts}
    return [{name: part["weight"] for name, part in p["datasets"].items()} for p in places]


def test_shares_are_those_of_what_is_left(root, capsys, monkeypatch):
    text = "datasets: {one: {share: 1}, two: {share: 3, filters: {min_joints: 99}}}"
    assert run(write(root, text), "--json") == 0
    assert weights(root, capsys.readouterr().out) == [{"one": 1, "two": None}] * 3
    masks = {"one": np.zeros(12, bool), "two": np.ones(8, bool)}
    monkeypatch.setattr(merge, "_held_out", lambda given, pictures: masks)
    text = "{leave_out_held_out: true, datasets: {one: {share: 1}, two: {share: 3}}}"
    assert run(write(root, text), "--json") == 0
    assert weights(root, capsys.readouterr().out) == [{"one": 1, "two": None}] * 3
    masks["two"][1:] = False
    parts = "groups: {a: {share: 1}}, datasets: {one: {group: a}, two: {group: a}}"
    assert run(write(root, f"{{leave_out_held_out: true, {parts}}}"), "--json") == 0
    expected = {"one": pytest.approx(12 / 19), "two": pytest.approx(7 / 19)}
    assert weights(root, capsys.readouterr().out) == [expected] * 3


def test_thinning_keeps_every_nth_and_at_most_so_many(root, capsys):
    assert run(write(root, "datasets: {one: {every: 2, most: 4}, two: {most: 100}}")) == 0
    names = [ex.image_path for ex in datasets3d.get_dataset("mine").examples[TRAIN]]
    one = [ex.image_path for ex in datasets3d.get_dataset("one").examples[TRAIN]]
    assert names[:4] == [one[i] for i in (0, 2, 6, 8)]
    assert len(names) == 4 + 8
    assert "left out of one: thinned out: 8" in capsys.readouterr().out
    assert len(datasets3d.get_dataset("mine").examples[VALID]) == 10  # as they were


def test_filters_of_a_dataset_replace_those_of_the_mix(root, capsys):
    text = """
        filters: {min_joints: 5}
        datasets:
          one:
          two: {filters: {}}
        """
    assert run(write(root, text)) == 0
    # Each example of these archives lacks one joint of five.
    assert [len(datasets3d.get_dataset("mine").examples[s]) for s in (TRAIN, VALID)] == [8, 10]
    out = capsys.readouterr().out
    assert "left out of one: " in out and ": 12" in out and "left out of two" not in out


def test_filters_that_leave_nothing_are_said(root, capsys):
    assert run(write(root, "filters: {min_joints: 6}\ndatasets: {one: , two: }")) == 1
    err = capsys.readouterr().err
    assert "no training example is left of 20" in err and "change the filters" in err
    assert not (root / "cache").exists()


def test_what_is_not_there_is_named_and_left_out_on_request(root, capsys):
    path = write(root, "datasets: {coco: {share: 2}, one: {share: 1}, nosuch: {share: 1}}")
    assert run(path) == 1
    out, err = capsys.readouterr()
    assert err == (
        "posepile: mix mine: 2 of 3 datasets are not there: not packed: coco (posepile run NAME); "
        "no recipe: nosuch; make them, or do without: --skip-missing\n"
    )
    assert "coco" in out and not (root / "cache").exists()
    assert run(path, "--skip-missing") == 0
    merged = datasets3d.get_dataset("mine")
    assert list(merged.parts) == ["one"] and merged.parts["one"]["weight"] == 1
    manifest = json.loads((root / "cache" / "mine.merge.json").read_text())
    assert manifest["skipped"] == {"coco": "not packed", "nosuch": "no recipe"}
    assert manifest["command"].endswith("--skip-missing")
    only = write(root, "datasets: {coco: }", "only")
    capsys.readouterr()
    assert run(only, "--skip-missing") == 1
    assert "1 of 1 datasets are not there" in capsys.readouterr().err


def test_a_mix_of_which_all_is_2d_is_2d(root):
    kit.make_archive(root, "flat", kind="2d")
    assert run(write(root, "datasets: {flat: }", "f")) == 0
    assert len(datasets2d.get_dataset("f").examples[TRAIN]) == 12
    with pytest.raises(UsageError, match="datasets2d"):
        datasets3d.get_dataset("f")


def test_2d_and_3d_together(root):
    kit.make_archive(root, "flat", kind="2d")
    assert run(write(root, "datasets: {flat: {share: 1}, one: {share: 1}}")) == 0
    merged = datasets3d.get_dataset("mine")
    assert [ex.dataset for ex in merged.examples[TRAIN]] == ["flat"] * 12 + ["one"] * 12
    ex = merged.examples[TRAIN][0].load()
    assert ex.world_coords is None and np.isfinite(ex.coords2d[:5]).all()
    assert np.isnan(ex.coords2d[5:]).all()


def test_a_dataset_that_is_validated_on_needs_no_share(root):
    path = write(root, "datasets: {one: {share: 1}, two: {splits: {val: [train]}}}")
    assert run(path) == 0
    merged = datasets3d.get_dataset("mine")
    assert [len(merged.examples[s]) for s in (TRAIN, VALID, TEST)] == [12, 14, 0]


def test_a_copy_stands_alone(root, capsys):
    path = write(
        root, "datasets: {one: {every: 3, splits: {train: [train, val]}}, two: {most: 2}}"
    )
    assert run(path) == 0
    before = [ex.load() for ex in datasets3d.get_dataset("mine").iter_examples()]
    capsys.readouterr()
    assert run(path, "--copy", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found["archives"]) == {"one", "two"}
    for name in ("one", "two"):
        kit.make_archive(root, name, n=2)
    merged = datasets3d.get_dataset("mine")
    after = [ex.load() for ex in merged.iter_examples()]
    assert len(merged.examples[TRAIN]) == 8 and merged.parts["two"]["counts"]["train"] == 2
    for a, b in zip(after, before, strict=True):
        assert a.image_path == b.image_path and (a.image == b.image).all()
        np.testing.assert_array_equal(a.get_world_coords(), b.get_world_coords())
    manifest = json.loads((root / "cache" / "mine.merge.json").read_text())
    assert manifest["command"].endswith("--copy")
    assert {d["archive"] for d in manifest["datasets"].values()} == {
        str((root / f"mine_{name}.barecat").relative_to(root)) for name in ("one", "two")
    }


# What is still the same


def test_a_part_that_was_packed_anew_is_refused_by_name(root):
    assert run(write(root, "datasets: {one: , two: }")) == 0
    datasets3d.get_dataset("mine")
    kit.make_archive(root, "two", n=5)
    for name in ("mine", str(root / "cache" / "mine.pkl")):
        with pytest.raises(WorkError, match="mix mine: two: .* was packed again.*posepile merge"):
            datasets3d.get_dataset(name)
    assert run(root / "mine.yaml") == 0
    assert len(datasets3d.get_dataset("mine").examples[TRAIN]) == 22


def test_a_part_that_is_gone_is_named(root):
    assert run(write(root, "datasets: {one: , two: }")) == 0
    for path in root.glob("two.barecat*"):
        path.unlink()
    with pytest.raises(WorkError, match="mix mine: two: archive .*two.barecat: not found"):
        datasets3d.get_dataset("mine")


def test_a_mix_moves_with_the_data(root, tmp_path_factory, monkeypatch):
    assert run(write(root, "datasets: {one: , two: }")) == 0
    new = tmp_path_factory.mktemp("moved") / "data"
    root.rename(new)
    monkeypatch.setenv("DATA_ROOT", str(new))
    assert datasets3d.get_dataset("mine").examples[TRAIN][0].get_image().shape == (16, 24, 3)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is damaged"),
        ("[]", "expected what a mix was made of"),
        ('{"version": 1, "datasets": {"one": 3}}', "expected what a mix was made of"),
        ('{"version": 2, "datasets": {}}', "version 2, expected 1"),
        ('{"version": 1, SHA, "datasets": {"one": {"archive": 5}}}', "datasets.one.archive"),
    ],
)
def test_a_damaged_manifest_is_said(root, text, said):
    assert run(write(root, "datasets: {one: }")) == 0
    digest = hashlib.sha256((root / "cache" / "mine.pkl").read_bytes()).hexdigest()
    text = text.replace("SHA", f'"pickle_sha256": "{digest}"')
    (root / "cache" / "mine.merge.json").write_text(text)
    with pytest.raises(WorkError, match="posepile merge mine") as e:
        datasets3d.get_dataset("mine")
    assert said in str(e.value)


def test_pickles_without_a_manifest_are_opened_as_before(root):
    (root / "cache").mkdir()
    (root / "cache" / "old.pkl").write_bytes(pickle.dumps(datasets3d.get_dataset("one")))
    assert len(datasets3d.get_dataset("old").examples[TRAIN]) == 12


def test_another_pickle_of_that_name_is_opened_whatever_the_mix_was_of(root):
    assert run(write(root, "datasets: {one: }")) == 0
    kit.make_archive(root, "one", n=2)
    (root / "cache" / "mine.pkl").write_bytes(pickle.dumps(datasets3d.get_dataset("two")))
    assert len(datasets3d.get_dataset("mine").examples[TRAIN]) == 8


def test_a_mix_that_nobody_has_made_says_what_makes_it(root):
    with pytest.raises(WorkError, match="no pickle of the mix dozens; posepile merge dozens"):
        datasets3d.get_dataset("dozens")


# What is refused


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("datasets: {}", "datasets: dictionary should have at least 1 item"),
        ("datasets: [one]", "valid dictionary"),
        ("one", "expected a mapping of keys, found str"),
        ("datasets: {one: {shar: 1}}", "unknown key datasets.one.shar (did you mean share?)"),
        ("datasets: {one: {share: 0}}", "datasets.one.share = 0 is not allowed"),
        ("datasets: {one: {share: .inf}}", "datasets.one.share = inf is not allowed"),
        ("datasets: {one: {every: 0}}", "datasets.one.every = 0 is not allowed"),
        ("datasets: {one: {skeleton: a_b}}", "datasets.one.skeleton = 'a_b' is not allowed"),
        ("datasets: {one: {splits: {trian: [train]}}}", "trian"),
        ("datasets: {one: {splits: {train: [val], val: [val]}}}", "val goes to several places"),
        ("datasets: {one: {share: 1}, two: }", "two has no share and others have"),
        ("datasets: {one: {group: g}}", "datasets.one.group = 'g': expected one of groups: none"),
        ("groups: {g: {}}\ndatasets: {one: }", "datasets.one.group is missing"),
        ("datasets: {one: {joints: [nose]}}", "'nose' is no joint of one; it has pelv, lhip"),
        ("datasets: {one: {filters: {nosuch: 1}}}", "nosuch"),
        ("datasets: {one: , one: }", "stands twice"),
        ("datasets: {'one@a/b': }", "--variant a/b"),
    ],
)
def test_what_a_mix_may_not_say(root, capsys, text, said):
    assert run(write(root, text), "--dry-run") == 2
    err = capsys.readouterr().err
    assert said in err and len(err.splitlines()) == 1, err


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["dozen"], "unknown mix 'dozen' (did you mean dozens?)"),
        (["nothing.yaml"], "nothing.yaml: no such mix"),
        (["dozens", "--out", "coco"], "--out coco: is that of a dataset"),
        (["dozens", "--out", "../x"], "--out ../x: expected letters"),
        (["dozens", "--set", "datasets.h36m.share=x"], "datasets.h36m.share = 'x' is not allowed"),
        (["dozens", "--set", "datasets.h36m"], "expected section.key=value"),
    ],
)
def test_wrong_requests(root, capsys, args, said):
    assert run(*args, "--dry-run") == 2
    err = capsys.readouterr().err
    assert said in err and len(err.splitlines()) == 1, err


def test_keys_can_be_set_and_the_name_given(root):
    path = write(root, "datasets: {one: , two: }")
    assert run(path, "--out", "other", "--set", "datasets.one.every=6") == 0
    assert len(datasets3d.get_dataset("other").examples[TRAIN]) == 2 + 8
    manifest = json.loads((root / "cache" / "other.merge.json").read_text())
    assert manifest["command"] == (f"posepile merge {path} --set datasets.one.every=6 --out other")


def test_two_datasets_of_one_suffix_by_chance_are_refused(root, capsys):
    names = ("a_b", "ab")
    for name, joints in zip(names, ("pelv,neck", "pelv,head"), strict=True):
        unit = root / f"{name}_work" / "parts" / "0.part"
        with parts.PartWriter(unit) as writer:
            coords = np.zeros((2, 3), np.float32)
            writer.add(kit.record(name, "train", 0, 0, world_coords=coords), kit.jpeg())
        spec = DatasetSpec(name, JointInfo(joints), f"{name}_downscaled")
        packing.pack([unit], root / f"{name}.barecat", spec, {"sources": []})
    assert run(write(root, "datasets: {a_b: , ab: }")) == 2
    assert "a_b and ab would both have joints …_ab" in capsys.readouterr().err
    assert run(write(root, "datasets: {a_b: {skeleton: x}, ab: }")) == 0


# Shares


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(1, 20), st.integers(0, 100)),
        min_size=1,
        max_size=8,
    ),
    st.tuples(*[st.integers(1, 9)] * 3),
)
def test_shares_add_up_and_keep_their_proportions(drawn, groups):
    text = {
        "groups": {f"g{i}": {"share": share} for i, share in enumerate(groups)},
        "datasets": {
            f"d{k}": {"group": f"g{g}", "share": share} for k, (g, share, _) in enumerate(drawn)
        },
    }
    mix = mixes.Mix("m", mixes.MixFile.model_validate(text), ROOT)
    counts = {f"d{k}": n for k, (_, _, n) in enumerate(drawn)}
    weights = mix.weights(counts)
    there = [k for k, (_, _, n) in enumerate(drawn) if n]
    if not there:
        assert weights is None
        return
    assert list(weights) == [f"d{k}" for k in there]
    assert sum(weights.values()) == pytest.approx(1)
    of_group = Counter()
    for k in there:
        of_group[drawn[k][0]] += weights[f"d{k}"]
    for a in there:
        for b in there:
            (ga, sa, _), (gb, sb, _) = drawn[a], drawn[b]
            if ga == gb:
                assert weights[f"d{a}"] * sb == pytest.approx(weights[f"d{b}"] * sa)
            assert of_group[ga] * groups[gb] == pytest.approx(of_group[gb] * groups[ga])


def test_without_shares_every_example_counts_the_same():
    mix = mixes.Mix("m", mixes.MixFile.model_validate({"datasets": {"a": {}, "b": {}}}), ROOT)
    assert mix.weights({"a": 1, "b": 9}) is None
    grouped = {
        "groups": {"g": {}, "h": {}},
        "datasets": {
            "a": {"group": "g", "share": 1},
            "b": {"group": "g", "share": 3},
            "c": {"group": "h"},
        },
    }
    mix = mixes.Mix("m", mixes.MixFile.model_validate(grouped), ROOT)
    assert mix.weights({"a": 30, "b": 10, "c": 60}) == pytest.approx(
        {"a": 0.1, "b": 0.3, "c": 0.6}
    )


def test_pages_that_were_handed_back_are_read_again(root):
    examples = datasets3d.get_dataset("one").examples[TRAIN]
    before = [ex.get_world_coords().copy() for ex in examples]
    open_archive("one.barecat").let_go()
    np.testing.assert_array_equal([ex.get_world_coords() for ex in examples], before)
