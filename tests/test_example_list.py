"""Lists of examples behave like lists: every operation is compared with a real one."""

import copy
import pickle
import random

import archive_kit as kit
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posepile import datasets3d
from posepile.datasets3d import TRAIN, VALID, Pose3DExample, compute_mean_bones
from posepile.store.example_list import ExampleList


@pytest.fixture(scope="module")
def lists(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("DATA_ROOT", raising=False)  # references are absolute then
        kit.make_archive(root)
        kit.make_archive(root, "tuy", n=5)
        a, b = (datasets3d.get_dataset(str(root / f"{n}.barecat")) for n in ("toy", "tuy"))
    return a.examples[TRAIN], a.examples[VALID], b.examples[TRAIN]


def names(examples):
    return [ex.image_path for ex in examples]


def made(i):
    return Pose3DExample(f"made/{i}.jpg", np.full((5, 3), i, np.float32), [0, 0, 1, 1], None)


index = st.integers(-14, 14)
slices = st.builds(
    slice, st.none() | index, st.none() | index, st.sampled_from([None, 1, 2, -1, -3])
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("del"), index | slices),
        st.tuples(st.just("insert"), index),
        st.tuples(st.just("append"), index),
        st.tuples(st.just("set"), index),
        st.tuples(st.just("set from other"), index),
        st.tuples(st.just("set slice"), slices),
        st.tuples(st.just("extend"), st.integers(0, 2)),
        st.tuples(st.just("add"), st.integers(0, 2)),
        st.tuples(st.just("radd"), st.integers(0, 2)),
        st.tuples(st.just("add changed"), index),
        st.tuples(st.just("shuffle"), index),
        st.tuples(st.just("reverse"), index),
        st.tuples(st.just("sort"), st.booleans()),
        st.tuples(st.just("slice"), slices),
        st.tuples(st.just("pickle"), index),
    ),
    max_size=12,
)


def apply(step, examples, sources):
    what, arg = step
    if what == "del":
        del examples[arg]
    elif what == "insert":
        examples.insert(arg, made(arg))
    elif what == "append":
        examples.append(sources[2][arg % len(sources[2])])
    elif what == "set":
        examples[arg] = made(arg)
    elif what == "set from other":
        examples[arg] = sources[2][1]
    elif what == "set slice":
        examples[arg] = [made(1), sources[1][0]]
    elif what == "extend":
        examples.extend(sources[arg])
    elif what == "add":
        examples = examples + sources[arg]
    elif what == "add changed":
        more = sources[2][:2]
        more.insert(1, made(arg))
        examples = examples + more
    elif what == "radd":
        examples = list(sources[arg][:2]) + examples
    elif what == "shuffle":
        random.Random(arg).shuffle(examples)
    elif what == "reverse":
        examples.reverse()
    elif what == "sort":
        examples.sort(key=lambda ex: ex.image_path[::-1], reverse=arg)
    elif what == "slice":
        examples = examples[arg]
    elif what == "pickle" and isinstance(examples, ExampleList):
        examples = pickle.loads(pickle.dumps(examples))
    return examples


@settings(max_examples=200, deadline=None)
@given(steps)
def test_same_as_a_list(lists, steps):
    ours, plain = lists[0][:], list(lists[0])
    plain_sources = [list(x) for x in lists]
    for step in steps:
        outcomes = []
        for examples, sources in ((ours, lists), (plain, plain_sources)):
            try:
                outcomes.append(apply(step, examples, sources))
            except (IndexError, ValueError) as e:
                outcomes.append(type(e))
        if isinstance(outcomes[0], type) or isinstance(outcomes[1], type):
            assert outcomes[0] is outcomes[1]
            continue
        ours, plain = outcomes
        assert isinstance(ours, ExampleList)
        assert names(ours) == names(plain)
        assert len(ours) == len(plain)
    assert names(lists[0]) == names(plain_sources[0])


def test_comparisons_and_search(lists):
    train, valid, other = lists
    assert train == list(train) and train == train[:] and train != valid
    assert train[3] in train and train.index(train[3]) == 3 and other[0] not in train
    assert train[-1] == train[len(train) - 1] and train[0] != train[1]
    assert len({train[0], train[0], train[1]}) == 2
    for bad in (len(train), -len(train) - 1):
        with pytest.raises(IndexError):
            train[bad]
    assert names(copy.deepcopy(train)) == names(train)


def test_shuffle_is_reproducible_and_in_place(lists):
    a, b = lists[0][:], lists[0][:]
    a.shuffle(3)
    b.shuffle(3)
    assert names(a) == names(b) != names(lists[0])
    assert sorted(names(a)) == names(lists[0])


def test_take(lists):
    train = lists[0]
    assert names(train.take([4, 1])) == [train[4].image_path, train[1].image_path]
    mask = np.arange(len(train)) % 2 == 0
    assert names(train.take(mask)) == names(train)[::2]


def test_a_changed_example_is_kept_when_put_back(lists):
    train = lists[0][:]
    ex = train[2]
    ex.mask = {"size": [1, 1], "counts": b"mine"}
    assert train[2].mask is None or train[2].mask["counts"] != b"mine"
    train[2] = ex
    assert train[2].mask["counts"] == b"mine"
    assert pickle.loads(pickle.dumps(train))[2].mask["counts"] == b"mine"


def test_costs_nothing_before_and_an_index_after_a_change(lists):
    train = lists[0][:]
    assert isinstance(train._codes, range)
    train.shuffle(0)
    assert train._codes.dtype == np.int32 and len(train._codes) == len(train)


def test_mean_bones_of_a_mixed_list_equal_those_of_a_plain_one(lists):
    mixed = lists[0] + lists[2]
    mixed[1] = made(7)
    del mixed[4]
    mixed.shuffle(1)
    expected = compute_mean_bones(list(mixed), kit.JOINTS)
    np.testing.assert_allclose(compute_mean_bones(mixed, kit.JOINTS), expected, rtol=1e-5)
