"""Lists of examples behave like lists: every operation is compared with a real one."""

import contextlib
import copy
import gc
import operator
import pickle
import random
import weakref

import archive_kit as kit
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posepile import datasets2d, datasets3d
from posepile.datasets3d import TRAIN, VALID, Pose3DExample, compute_mean_bones
from posepile.merging.merge import MappedSource
from posepile.store.example_list import ExampleList, as_example_list


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
        st.tuples(st.just("set loaded"), index),
        st.tuples(st.just("set slice"), slices),
        st.tuples(st.just("extend"), st.integers(0, 2)),
        st.tuples(st.just("extend by itself"), index),
        st.tuples(st.just("add"), st.integers(0, 2)),
        st.tuples(st.just("radd"), st.integers(0, 2)),
        st.tuples(st.just("add made"), index),
        st.tuples(st.just("multiply"), st.integers(-1, 3)),
        st.tuples(st.just("multiply in place"), st.integers(-1, 2)),
        st.tuples(st.just("shuffle"), index),
        st.tuples(st.just("reverse"), index),
        st.tuples(st.just("sort"), st.booleans()),
        st.tuples(st.just("slice"), slices),
        st.tuples(st.just("filtered"), index),
        st.tuples(st.just("pop"), index),
        st.tuples(st.just("remove"), index),
        st.tuples(st.just("clear"), index),
        st.tuples(st.just("copy"), st.sampled_from(["copy", "copy.copy", "[:]"])),
        st.tuples(st.just("search"), index),
        st.tuples(st.just("pickle"), index),
        st.tuples(st.just("deepcopy"), index),
    ),
    max_size=15,
)


def apply(step, examples, sources):
    """Does one step; returns the list and, where the step has one, an answer."""
    what, arg = step
    if what == "del":
        del examples[arg]
    elif what == "insert":
        examples.insert(arg, MADE[arg])
    elif what == "append":
        examples.append(sources[2][arg % len(sources[2])])
    elif what == "set":
        examples[arg] = MADE[arg]
    elif what == "set from other":
        examples[arg] = sources[2][1]
    elif what == "set loaded":
        examples[arg] = examples[arg].load(load_image=False)
    elif what == "set slice":
        examples[arg] = [MADE[1], sources[1][0]]
    elif what == "extend":
        examples.extend(sources[arg])
    elif what == "extend by itself":
        examples.extend(examples)
    elif what == "add":
        examples = examples + sources[arg]
    elif what == "add made":
        more = sources[2][:2]
        more.insert(1, MADE[arg])
        examples = examples + more
    elif what == "radd":
        examples = list(sources[arg][:2]) + examples
    elif what == "multiply":
        examples = 2 * (examples * arg)
    elif what == "multiply in place":
        examples *= arg
    elif what == "shuffle":
        random.Random(arg).shuffle(examples)
    elif what == "reverse":
        examples.reverse()
    elif what == "sort":
        examples.sort(key=lambda ex: ex.image_path[::-1], reverse=arg)
    elif what == "slice":
        examples = examples[arg]
    elif what == "filtered":
        examples[:] = [ex for ex in examples if ex.frame is None or ex.frame != arg]
    elif what == "pop":
        return examples, examples.pop(arg).image_path
    elif what == "remove":
        example = examples[arg]
        assert example.bbox is not None  # read before
        examples.remove(example)
    elif what == "clear":
        examples.clear()
    elif what == "copy":
        before = names(examples)
        copied = {"copy": lambda e: e.copy(), "copy.copy": copy.copy, "[:]": lambda e: e[:]}[arg](
            examples
        )
        copied.append(sources[2][0])
        copied[:1] = [sources[1][1], MADE[0]]
        assert names(examples) == before  # the copy has its own places
        examples = copied
    elif what == "search":
        # The last has a place in no list of either.
        wanted = [examples[arg], MADE[arg], sources[2][3], object(), None]
        return examples, [
            (x in examples, examples.count(x), _index(examples, x, arg)) for x in wanted
        ]
    elif what == "pickle" and isinstance(examples, ExampleList):
        loaded = pickle.loads(pickle.dumps(examples))
        assert names(loaded) == names(examples)
    elif what == "deepcopy":
        copied = copy.deepcopy(examples)
        for ex in copied:
            if type(ex) is Pose3DExample:
                ex.image_path = "changed"
        assert "changed" not in names(examples)
    return examples, None


def _index(examples, value, start):
    try:
        return examples.index(value), examples.index(value, start), examples.index(value, 1, -1)
    except ValueError:
        return None


MADE = {i: made(i) for i in range(-14, 15)}


@settings(max_examples=300, deadline=None)
@given(steps)
def test_same_as_a_list(lists, steps):
    ours, plain = lists[0][:], list(lists[0])
    plain_sources = [list(x) for x in lists]
    for step in steps:
        if len(plain) > 500 and step[0] in ("multiply", "extend by itself"):
            continue
        outcomes = []
        for examples, sources in ((ours, lists), (plain, plain_sources)):
            try:
                outcomes.append(apply(step, examples, sources))
            except (IndexError, ValueError) as e:
                outcomes.append(type(e))
        if isinstance(outcomes[0], type) or isinstance(outcomes[1], type):
            assert outcomes[0] is outcomes[1]
            continue
        (ours, answer), (plain, expected) = outcomes
        assert answer == expected
        assert isinstance(ours, ExampleList)
        assert names(ours) == names(plain)
        assert len(ours) == len(plain)
        assert all(type(a) is type(b) for a, b in zip(ours, plain, strict=True))
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
    ex = train[2].load()
    ex.mask = {"size": [1, 1], "counts": b"mine"}
    assert train[2].mask is None or train[2].mask["counts"] != b"mine"
    train[2] = ex
    assert train[2].mask["counts"] == b"mine" and train[2] is ex
    assert pickle.loads(pickle.dumps(train))[2].mask["counts"] == b"mine"


@given(st.lists(st.booleans(), min_size=12, max_size=12), st.lists(st.integers(-12, 11)))
@settings(deadline=None)
def test_masks_and_positions_are_indices(lists, mask, positions):
    train = lists[0]
    plain = list(train)
    chosen = [ex for ex, wanted in zip(plain, mask, strict=True) if wanted]
    rest = [ex for ex, wanted in zip(plain, mask, strict=True) if not wanted]
    for index, expected in (
        (mask, chosen),
        (np.array(mask), chosen),
        (positions, [plain[i] for i in positions]),
        (np.array(positions, np.int32), [plain[i] for i in positions]),
    ):
        assert isinstance(train[index], ExampleList)
        assert list(train[index]) == list(train.take(index)) == expected
    ours = train[:]
    del ours[mask]
    assert list(ours) == rest
    ours = train[:]
    ours[mask] = [MADE[0]] * len(chosen)
    assert ours.count(MADE[0]) == len(chosen)
    assert [ex for ex in ours if ex is not MADE[0]] == rest


def test_numbers_of_numpy_are_numbers(lists):
    train = lists[0]
    assert train[np.int64(3)] == train[3] and train[np.array(2)] == train[2]
    assert train[True] == train[1]
    assert names(np.int64(2) * train) == names(train * np.int32(2)) == names(train) * 2
    assert [ex.image_path for ex in np.asarray(train[:2])] == names(train[:2])


def test_wrong_indices_are_refused_as_by_a_list(lists):
    train = lists[0]
    for index, error in (
        ([True, False], IndexError),
        ([0, 12], IndexError),
        (np.zeros((2, 2), int), TypeError),
        ([0.5], TypeError),
        (0.5, TypeError),
        ("a", TypeError),
        ((0, 1), TypeError),
    ):
        with pytest.raises(error):
            train[index]
    with pytest.raises(ValueError, match="1 examples assigned to 2"):
        train[:][[0, 1]] = [train[0]]
    with pytest.raises(TypeError):
        train * 1.5
    with pytest.raises(TypeError):
        train + 5


not_examples = st.sampled_from([None, "abc", 5, 0.5, {}, object(), np.zeros(3), Pose3DExample])
operations = st.sampled_from(
    [
        lambda examples, x: examples.append(x),
        lambda examples, x: examples.insert(1, x),
        lambda examples, x: examples.__setitem__(0, x),
        lambda examples, x: examples.__setitem__(slice(1, 3), [x, examples[0]]),
        lambda examples, x: examples.__setitem__(slice(None, None, 6), [examples[0], x]),
        lambda examples, x: examples.__setitem__([0, 1], [examples[0], x]),
        lambda examples, x: examples.__setitem__(np.arange(12) < 2, [MADE[0], x]),
        lambda examples, x: examples.extend([MADE[1], x]),
        lambda examples, x: examples.extend(e for e in (examples[0], x)),
        lambda examples, x: examples.__iadd__([x]),
        lambda examples, x: operator.add(examples, [x]),
        lambda examples, x: operator.add([x], examples),
        lambda examples, x: as_example_list([MADE[0], x]),
    ]
)


@given(steps, st.lists(st.tuples(operations, not_examples), min_size=1, max_size=5))
@settings(max_examples=100, deadline=None)
def test_what_is_no_example_is_refused_and_changes_nothing(lists, before, wrong):
    examples = lists[0][:]
    for step in before:
        with contextlib.suppress(IndexError, ValueError):
            examples, _ = apply(step, examples[:100], lists)
    examples[:] = (examples + lists[0])[:12]
    for operation, x in wrong:
        now, objects = list(examples), len(examples._objects)
        with pytest.raises(TypeError, match=r"expected an example of a 3D dataset") as caught:
            operation(examples, x)
        assert "\n" not in str(caught.value) and type(x).__name__ in str(caught.value)
        assert all(a is b or a == b for a, b in zip(examples, now, strict=True))
        assert len(examples._objects) == objects


def test_examples_of_2d_and_3d_do_not_mix(tmp_path, lists, monkeypatch):
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    kit.make_archive(tmp_path, "flat", kind="2d")
    flat = datasets2d.get_dataset("flat.barecat").examples[TRAIN]
    for examples, others, kind in (
        (lists[0], flat, "3D"),
        (as_example_list([MADE[0]]), flat, "3D"),
        (flat, lists[0], "2D"),
        (flat, as_example_list([MADE[0]]), "2D"),
    ):
        for other in (others, [*others], [others[0].load()]):
            for operation in (lambda e, o: e.extend(o), lambda e, o: e + o):
                with pytest.raises(TypeError, match=f"expected an example of a {kind} dataset"):
                    operation(examples[:], other)
        assert examples[:] + others[:0] == examples
    empty = ExampleList()
    empty.append(flat[0])
    assert empty[0] == flat[0] == as_example_list(flat[:1])[0]


def test_wrong_arguments_are_named_in_one_line(lists):
    for change, error, message in (
        (lambda e: e.shuffle("x"), TypeError, "seed 'x', expected a whole number"),
        (lambda e: e.shuffle(-1), ValueError, "seed -1, expected a whole number"),
        (lambda e: e.shuffle(random.Random(1)), TypeError, "expected a whole number"),
        (lambda e: e.extend(5), TypeError, "found int, expected examples"),
        (lambda e: e.__setitem__(slice(0, 2), 5), TypeError, "found int, expected examples"),
        (lambda e: as_example_list(None), TypeError, "found NoneType, expected examples"),
        (lambda e: ExampleList([e[0]]), TypeError, "found list .*as_example_list"),
        (lambda e: e + 5, TypeError, "unsupported operand"),
        (lambda e: e.take("x"), TypeError, "expected positions or a mask"),
    ):
        examples = lists[0][:]
        with pytest.raises(error, match=message) as caught:
            change(examples)
        assert "\n" not in str(caught.value) and examples == lists[0]


def test_objects_that_left_the_list_leave_the_memory_and_the_pickle(lists):
    train = lists[0][:]
    references = []
    for _ in range(300):
        train[3] = example = made(1)
        references.append(weakref.ref(example))
    del example
    gc.collect()
    assert sum(r() is not None for r in references) <= 64
    assert len(pickle.dumps(train)) < 2500  # one of them
    assert len(pickle.dumps(train[:3])) < len(pickle.dumps(train[:4])) - 500
    del train[3]
    assert len(pickle.dumps(train)) < 1000


def test_a_copy_takes_examples_of_other_archives_of_its_own(lists):
    first = lists[0][:]
    second = copy.copy(first)
    second.append(lists[2][0])
    first.append(made(3))
    mapped = MappedSource(lists[0]._sources[0], 0, 10)
    first.append(mapped.example(2))
    assert names(second)[12:] == [lists[2][0].image_path]
    assert names(first)[12:] == ["made/3.jpg", lists[0][2].image_path]
    assert first[13].world_coords.shape == (10, 3)


def test_searching_finds_without_building(lists, monkeypatch):
    train = lists[0][:]
    train.shuffle(0)
    train[4] = made(2)
    wanted, mine = train[7], train[4]
    monkeypatch.setattr(ExampleList, "_build", None)
    assert train.index(wanted) == 7 and wanted in train and train.count(wanted) == 1
    assert train.index(mine) == 4 and made(2) not in train
    train.remove(wanted)
    assert wanted not in train and len(train) == 11


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
