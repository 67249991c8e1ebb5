"""Lists as a whole: what columns say of all examples is what each example says when asked."""

import dataclasses
import pickle
import re

import archive_kit as kit
import numpy as np
import pytest
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st

from posepile import datasets2d, datasets3d
from posepile.datasets3d import TRAIN, VALID
from posepile.errors import UsageError
from posepile.export.upstream import export_upstream
from posepile.merging.merge import merge_datasets
from posepile.store import bulk, packing
from posepile.store.example_list import ExampleList
from posepile.store.joint_chunks import joint_chunks

FIELDS = [
    *(n for n in bulk.NUMBERS if n not in ("world_coords", "coords", "coords2d")),
    *bulk.TEXTS,
    *bulk.PRESENCES,
]

LISTS = ("one", "flat", "merged", "mixed", "made", "few", "none", "none of one", "none of merged")

_NOT_ASKED = {False: ("has_coords",), True: ("has_coords2d", "activity_name", "scene_name")}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("DATA_ROOT", raising=False)  # references are absolute then
        for name, kind in (("toy", "3d"), ("tuy", "3d"), ("flat", "2d")):
            paths, _ = kit.make_parts(root, name, kind=kind)
            spec = kit.spec(name, kind)
            if name != "tuy":
                facts = {"sequence_names": r"(?P<subject>s\d)", "licence": f"licence of {name}"}
                spec = dataclasses.replace(spec, **facts)
            packing.pack(paths, root / f"{name}.barecat", spec, {})
        yield root


@pytest.fixture(scope="module")
def datasets(root):
    a, b = (datasets3d.get_dataset(str(root / f"{n}.barecat")) for n in ("toy", "tuy"))
    return {"toy": a, "tuy": b, "flat": datasets2d.get_dataset(str(root / "flat.barecat"))}


@pytest.fixture(scope="module")
def lists(datasets):
    merged = merge_datasets(datasets)
    made = merged.examples[TRAIN][5:9]
    made.extend([ex.load(load_image=False) for ex in merged.examples[TRAIN][::5]])
    made.shuffle(1)
    mixed = merged.examples[TRAIN] + made
    return {
        "one": datasets["toy"].examples[TRAIN],
        "flat": datasets["flat"].examples[TRAIN],
        "merged": merged.examples[TRAIN],
        "mixed": mixed,
        "made": ExampleList() + [ex.load(load_image=False) for ex in mixed[::4]],
        "few": merged.examples[TRAIN].where(sequence="s1", frame=[2, 4]),
        "none": ExampleList(),
        "none of one": datasets["toy"].examples[TRAIN][:0],
        "none of merged": merged.examples[TRAIN][:0],
    }


def asked(ex, name):
    if name.startswith("has_"):
        return getattr(ex, name.removeprefix("has_"), None) is not None
    return getattr(ex, name, "unknown")


@pytest.mark.parametrize("which", LISTS)
def test_a_column_is_what_each_example_says(lists, which):
    examples = lists[which][:]
    examples.shuffle(3)
    for name in FIELDS:
        found = examples.column(name)
        assert len(found) == len(examples)
        if name in _NOT_ASKED[which == "flat"]:
            continue  # what examples of this kind do not have, but their archive does
        expected = [asked(ex, name) for ex in examples]
        expected = np.array(expected, found.dtype).reshape(found.shape)
        np.testing.assert_array_equal(found, expected, err_msg=name)


@pytest.mark.parametrize("name", bulk.TEXTS)
def test_codes_are_of_texts_that_are_used_and_differ(lists, name):
    for examples in lists.values():
        numbers, texts = examples.codes(name)
        assert numbers.dtype == np.int32
        assert sorted(set(texts)) == sorted(texts)
        assert sorted(set(numbers.tolist())) == list(range(len(texts)))


def test_entries_without_a_table_are_asked_one_by_one(root, datasets):
    export_upstream(root / "toy.barecat", root / "up.barecat")
    old = datasets3d.get_dataset(str(root / "up.barecat")).examples[TRAIN]
    new = datasets["toy"].examples[TRAIN]
    for name in ("sequence", "image_path", "frame", "bbox", "has_mask"):
        key = lambda examples: np.argsort(examples.column("image_path"), kind="stable")
        np.testing.assert_array_equal(
            old.column(name)[key(old)], new.column(name)[key(new)], err_msg=name
        )


def test_joints_of_one_skeleton_are_columns_and_of_merged_ones_are_not(lists):
    one = lists["one"][::-1]
    dense = one.column("world_coords")
    np.testing.assert_array_equal(dense, [ex.world_coords for ex in one])
    assert lists["flat"].column("coords").shape == (12, 5, 2)
    with pytest.raises(UsageError, match="iter_joint_chunks"):
        lists["merged"].column("world_coords")
    with pytest.raises(UsageError, match="expected one of dataset"):
        one.column("colour")
    with pytest.raises(UsageError, match="expected one of dataset"):
        one.codes("bbox")


@pytest.mark.parametrize("which", LISTS)
def test_joint_chunks_have_every_joint_under_its_number(lists, which):
    examples = lists[which][:]
    examples.shuffle(2)
    seen = np.zeros(len(examples), int)
    for chunk in joint_chunks(examples, pixels=True):
        for k, i in enumerate(chunk.positions):
            ex = examples[int(i)]
            seen[i] += 1
            world = ex.get_world_coords() if ex.KIND == "3d" else None
            places = ex.coords if ex.KIND == "2d" else ex.coords2d
            for own, joint in enumerate(chunk.joint_ids):
                if world is not None:
                    np.testing.assert_array_equal(chunk.world[k, own], world[joint])
                else:
                    assert np.isnan(chunk.world[k]).all()
                    np.testing.assert_array_equal(chunk.pixels[k, own], places[joint])
    assert (seen == 1).all()


@given(st.data())
@settings(max_examples=30, deadline=None)
def test_where_takes_what_meets_all_conditions(lists, data):
    examples = lists[data.draw(st.sampled_from(["one", "merged", "mixed", "made"]))]
    conditions, checks = {}, []
    if data.draw(st.booleans()):
        wanted = data.draw(st.sets(st.sampled_from(["s0", "s1", "s7"])))
        conditions["sequence"] = wanted
        checks.append(lambda ex: ex.sequence in wanted)
    if data.draw(st.booleans()):
        conditions["activity_name"] = lambda text: text.startswith("w")
        checks.append(lambda ex: ex.activity_name.startswith("w"))
    if data.draw(st.booleans()):
        frames = data.draw(st.lists(st.integers(0, 7), max_size=4))
        several = (list, set, iter, dict.fromkeys, lambda x: dict.fromkeys(x).keys(), np.array)
        conditions["frame"] = data.draw(st.sampled_from(several))(frames)
        checks.append(lambda ex: ex.frame in frames)
    if data.draw(st.booleans()):
        conditions["has_mask"] = data.draw(st.booleans())
        checks.append(lambda ex: (ex.mask is not None) == conditions["has_mask"])
    if data.draw(st.booleans()):
        conditions["bbox"] = lambda boxes: boxes[:, 0] > 2
        checks.append(lambda ex: ex.bbox[0] > 2)
    expected = [ex for ex in examples if all(check(ex) for check in checks)]
    found = examples.where(**conditions)
    assert list(found) == expected
    assert list(examples.filter(lambda ex: all(check(ex) for check in checks))) == expected


def test_wrong_conditions_are_refused(lists):
    with pytest.raises(UsageError, match="expected a bool for each of 12 rows"):
        lists["one"].where(frame=lambda frames: frames[:3] > 1)
    with pytest.raises(UsageError, match="function of the whole column"):
        lists["one"].where(bbox=3)
    with pytest.raises(UsageError, match="expected one of"):
        lists["one"].where(colour="red")
    for wrong in ("3", b"3", None, ["3"], [1, [2, 3]], {"3": 1}.keys(), (t for t in "ab")):
        with pytest.raises(UsageError, match=r"condition for 'frame': found .*expected a number"):
            lists["one"].where(frame=wrong)
    for wrong in (3, None, b"s1", [1, 2], {"s1", None}):
        with pytest.raises(UsageError, match=r"for 'sequence': found .*expected a text"):
            lists["merged"].where(sequence=wrong)
    assert len(lists["one"].where(frame=[])) == len(lists["one"].where(sequence=iter(()))) == 0
    one = lists["one"]
    assert one.where(frame=np.array(2)) == one.where(frame=2) == one.where(frame=iter([2])) != []


def frame_of(ex):
    return ex.frame


def test_a_view_applies_its_function_when_asked(lists):
    examples = lists["merged"][:]
    frames = examples.map(frame_of)
    expected = [ex.frame for ex in examples]
    assert list(frames) == expected
    assert len(frames) == len(expected)
    assert frames[3] == expected[3] == frames[np.int64(3)]
    assert frames[-1] == expected[-1]
    assert list(frames[2:5]) == expected[2:5]
    assert list(frames[[4, 1]]) == [expected[4], expected[1]]
    assert list(pickle.loads(pickle.dumps(frames))) == expected
    assert list(frames.map(str)) == list(map(str, expected))
    assert "frame_of" in repr(frames)
    del examples[0]
    assert len(frames) == len(expected) - 1
    copies = examples.map(lambda ex: ex.load(load_image=False))
    examples[:] = copies
    examples[0].frame = 77
    assert examples[0].frame == 77


def test_a_table_of_pandas_has_a_row_for_each_example(lists):
    pytest.importorskip("pandas")
    for examples in lists.values():
        frame = examples.to_pandas()
        assert len(frame) == len(examples)
        assert frame.sequence.tolist() == [ex.sequence for ex in examples]
        np.testing.assert_array_equal(
            frame.filter(like="bbox_"), np.array([ex.bbox for ex in examples]).reshape(-1, 4)
        )
    some = lists["mixed"].to_pandas(["dataset", "image_path", "frame", "imshape"])
    assert list(some) == ["dataset", "image_path", "frame", "imshape_height", "imshape_width"]
    found = some.query("dataset == 'flat' and frame > 2").index
    assert {(ex.dataset, ex.frame > 2) for ex in lists["mixed"][found]} == {("flat", True)}
    assert list(lists["one"].to_pandas("frame")) == ["frame"]


def test_what_is_printed_tells_something(lists, datasets, root):
    assert repr(lists["one"]) == "<ExampleList of 12 examples of toy>"
    assert repr(lists["merged"]) == "<ExampleList of 36 examples of toy, tuy, flat>"
    assert repr(lists["none"]) == "<ExampleList of 0 examples>"
    assert "<td>s0</td>" in lists["merged"]._repr_html_()
    toy = datasets["toy"]
    counts = "train: 12, val: 6, test: 0"
    assert repr(toy) == f"<Pose3DDataset toy (licence of toy), 5 joints, {counts}>"
    merged = merge_datasets(datasets)
    assert repr(merged).startswith("<Pose3DDataset of 3 datasets (toy, tuy, flat), 15 joints, ")
    assert "<td>licence of flat</td>" in merged._repr_html_()
    assert len(merged) == 3 * len(toy) == 54
    assert len(merged.examples[VALID]) == 18
    assert datasets3d.Pose3DDataset(toy.joint_info)
    assert "5 joints, train: 0" in repr(datasets3d.Pose3DDataset(toy.joint_info))


def test_a_dataset_whose_archive_is_gone_can_be_printed(root, datasets, tmp_path):
    for path in root.glob("toy.barecat*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    gone = pickle.dumps(datasets3d.get_dataset(str(tmp_path / "toy.barecat")))
    for path in tmp_path.iterdir():
        path.unlink()
    found = pickle.loads(gone)
    assert "5 joints, train: 12" in repr(found)
    assert repr(found.examples[TRAIN]) == "<ExampleList of 12 examples of toy>"


def test_the_document_runs_as_printed(tmp_path, monkeypatch, capsys):
    pytest.importorskip("pandas")
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    kit.make_archive(tmp_path, "aspset")
    text = (ROOT / "docs" / "TRAINING.md").read_text()
    start, end = text.index("## Whole lists"), text.index("## Several datasets in one")
    blocks = re.findall(r"```python\n(.*?)```", text[start:end], re.DOTALL)
    names = {}
    for block in blocks:
        exec(block, names)
    assert capsys.readouterr().out.startswith("<Pose3DDataset aspset (")
    assert names["per_sequence"] == {"s0": 6, "s1": 6}
    assert len(names["some"]) == 2
    assert len(names["early"]) == 12
    assert names["first"] == [3.5] * 3
    assert sum(names["reasons"].values()) >= 0
    assert 0 < len(names["tiny"]) <= 6
    assert (tmp_path / "tiny.barecat").exists()
