"""Weights and strides: every dataset's share of an epoch, pass after pass, nothing skipped."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_lists import FakeList

from posepile.errors import UsageError
from posepile.torch import ShardShuffleSampler
from posepile.torch.shares import Stream, examples_per_epoch


def epochs(sampler, n):
    for epoch in range(n):
        sampler.set_epoch(epoch)
        yield list(sampler)


@given(
    sizes=st.lists(st.integers(1, 60), min_size=1, max_size=5),
    weights=st.lists(st.floats(0.2, 1), min_size=5, max_size=5),
    strides=st.lists(st.integers(1, 7), min_size=5, max_size=5),
    length=st.one_of(st.none(), st.integers(60, 200)),
    block=st.integers(1, 20),
    shuffled=st.booleans(),
)
@settings(deadline=None, max_examples=40)
def test_no_example_comes_twice_before_all_of_its_dataset_came(
    sizes, weights, strides, length, block, shuffled
):
    names = [f"d{i}" for i in range(len(sizes))]
    counts = dict(zip(names, sizes, strict=True))
    n = sum(sizes)
    stored = np.random.default_rng(0).permutation(n) if shuffled else None
    sampler = ShardShuffleSampler(
        FakeList(n, stored, counts),
        block=block,
        weights=dict(zip(names, weights, strict=False)),
        strides=dict(zip(names, strides, strict=False)),
        length=200 if length is None else length,
    )
    first = np.cumsum([0, *sizes])
    seen = {name: [] for name in names}
    for order in epochs(sampler, 5):
        assert len(order) == len(sampler) == sum(sampler.counts.values())
        keys = Counter((int(pick), pick.nth) for pick in order)
        assert max(keys.values()) == 1  # no draw twice
        of = np.searchsorted(first, np.array(order), "right") - 1
        for i, name in enumerate(names):
            own = [int(pick) for pick, k in zip(order, of, strict=True) if k == i]
            assert len(own) == sampler.counts[name]
            seen[name] += own
    for name, size in counts.items():
        for start in range(0, len(seen[name]) - size + 1, size):
            assert len(set(seen[name][start : start + size])) == size


@given(
    n=st.integers(1, 5000),
    stride=st.integers(1, 9),
    cuts=st.lists(st.integers(0, 3000), min_size=1, max_size=4),
)
@settings(deadline=None, max_examples=40)
def test_a_stream_is_the_same_in_whatever_pieces_it_is_taken(n, stride, cuts):
    stream = Stream("a", np.arange(n), stride, 8, 4)
    whole, _ = stream.take(3, 0, sum(cuts))
    start = 0
    for count in cuts:
        part, nth = stream.take(3, start, count)
        assert np.array_equal(part, whole[start : start + count])
        assert count == 0 or nth[0] == 0
        assert len({*zip(part.tolist(), nth.tolist(), strict=True)}) == count
        start += count


def test_a_stride_takes_every_kth_in_the_order_of_storage_and_others_next_time():
    sampler = ShardShuffleSampler(FakeList(100), strides={"one": 5}, block=1)
    phases = []
    for order in epochs(sampler, 5):
        assert len(order) == 20
        phases += {i % 5 for i in order}
    assert sorted(phases) == [0, 1, 2, 3, 4]


def test_shares_are_met_to_one_example_and_well_mixed():
    datasets = {"big": 9000, "small": 100, "mid": 900}
    sampler = ShardShuffleSampler(
        FakeList(10_000, datasets=datasets), weights={"small": 0.25, "mid": 0.25}
    )
    assert sampler.counts == {"big": 5000, "small": 2500, "mid": 2500}
    order = np.array(list(sampler))
    small = (order >= 9000) & (order < 9100)
    for part in np.split(small, 10):
        assert 200 < part.sum() < 300
    assert set(Counter(order[small].tolist()).values()) == {25}


def test_reads_of_a_weighted_list_stay_within_windows():
    datasets = {"a": 50_000, "b": 50_000}
    sampler = ShardShuffleSampler(
        FakeList(100_000, datasets=datasets), block=50, window=8, weights={"a": 1, "b": 1}
    )
    assert len({i // 50 for i in list(sampler)[:400]}) <= 24


@pytest.mark.parametrize(
    ("weights", "problem"),
    [
        ({"a": -1, "b": 1}, "found -1 for a"),
        ({"a": float("nan"), "b": 1}, "found nan for a"),
        ({"a": 1, "c": 1}, "found 'c', of which the list has no example"),
        ({"a": 1}, "leave nothing for b"),
        ({"a": 0, "b": 0}, "all are 0"),
        ({"a": 1e-9}, "a would get 1e-06 examples"),
    ],
)
def test_weights_that_cannot_be_met_are_refused(weights, problem):
    with pytest.raises(UsageError, match=problem):
        examples_per_epoch({"a": 500, "b": 500}, weights)


def test_weights_of_nothing_and_none_are_taken():
    sizes = {"a": 500, "b": 500}
    assert examples_per_epoch(sizes, {"a": None, "b": None, "c": None, "d": 0}) == sizes
    assert examples_per_epoch(sizes, {"a": 0, "b": 2}) == {"b": 1000}
    assert examples_per_epoch(sizes, {"a": 0}) == {"b": 1000}
    assert examples_per_epoch({}, {}) == {}


@given(
    st.dictionaries(st.text(min_size=1), st.integers(1, 10**6), min_size=1, max_size=9),
    st.data(),
)
def test_counts_sum_up_and_are_within_one_of_the_share(sizes, data):
    weights = {name: data.draw(st.floats(0.5, 2)) for name in sizes}
    counts = examples_per_epoch(sizes, weights, length=10_000)
    assert sum(counts.values()) == 10_000
    for name, count in counts.items():
        assert abs(count - 10_000 * weights[name] / sum(weights.values())) < 1.001


def test_datasets_without_example_here_are_left_out_and_unknown_names_refused():
    listed = FakeList(300, datasets={"a": 100, "b": 200})
    listed.source_names = lambda: ["a", "b", "c"]
    for weights, expected in (
        ({"a": 1, "b": 1, "c": 2}, {"a": 150, "b": 150}),
        ({"a": 0.2, "c": 0.5}, {"a": 60, "b": 240}),
        ({"c": 1}, {"a": 100, "b": 200}),
    ):
        sampler = ShardShuffleSampler(listed, weights=weights, strides={"c": 4})
        assert sampler.counts == expected
    with pytest.raises(UsageError, match="found 'd', of which the list has no example"):
        ShardShuffleSampler(listed, weights={"a": 1, "b": 1, "d": 1})
    with pytest.raises(UsageError, match="found 'd', of which the list has no example"):
        ShardShuffleSampler(listed, strides={"d": 2})


def test_strides_that_are_none_are_refused():
    for strides, problem in (
        ({"one": 0}, "one: found 0"),
        ({"one": 2.0}, "one: found 2.0, expected a whole number from 1"),
        ({"one": "2"}, "one: found '2'"),
        ({"two": 2}, "found 'two'"),
    ):
        with pytest.raises(UsageError, match=problem):
            ShardShuffleSampler(FakeList(9), strides=strides)
