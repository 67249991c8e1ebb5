"""The loader: order by seed and epoch, shares of ranks, nothing lost; with torch where it is."""

import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_lists import FakeList, made

from posepile.errors import UsageError
from posepile.torch import CropDataset, ShardShuffleSampler


@settings(deadline=None)
@given(
    n=st.integers(0, 300),
    world=st.integers(1, 5),
    block=st.integers(1, 40),
    window=st.integers(1, 6),
    seed=st.integers(0, 9),
    epoch=st.integers(0, 9),
    shuffled=st.booleans(),
)
def test_ranks_share_every_pass_without_overlap(n, world, block, window, seed, epoch, shuffled):
    stored = np.random.default_rng(1).permutation(n) if shuffled else None
    seen = []
    for rank in range(world):
        sampler = ShardShuffleSampler(FakeList(n, stored), seed, rank, world, block, window)
        sampler.set_epoch(epoch)
        order = list(sampler)
        assert len(order) == len(sampler) == n // world
        seen += order
    assert len(set(seen)) == len(seen)
    assert set(seen) <= set(range(n))


def test_order_is_a_function_of_seed_and_epoch():
    def order(seed, epoch):
        sampler = ShardShuffleSampler(FakeList(1000), seed=seed)
        sampler.set_epoch(epoch)
        return list(sampler)

    assert order(3, 5) == order(3, 5)
    assert order(3, 5) != order(3, 6) != order(4, 6)
    assert sorted(order(3, 5)) == list(range(1000))


def test_reads_stay_within_a_window_of_blocks():
    sampler = ShardShuffleSampler(FakeList(100_000), block=50, window=8)
    order = sampler.order()
    # Any 400 consecutive reads touch few stretches, unlike a full shuffle.
    blocks = len({int(i) // 50 for i in order[:400]})
    full = ShardShuffleSampler(FakeList(100_000), block=1).order()
    assert blocks <= 16 < len({int(i) // 50 for i in full[:400]})


def test_a_reordered_list_is_still_read_in_storage_order():
    n = 10_000
    stored = np.random.default_rng(0).permutation(n)  # position in the list of the k-th stored
    place = np.empty(n, int)
    place[stored] = np.arange(n)
    order = ShardShuffleSampler(FakeList(n, stored), block=50, window=4).order()
    assert len({int(place[i]) // 50 for i in order[:200]}) <= 8


def test_wrong_rank_is_refused():
    with pytest.raises(UsageError, match="rank 2 of 2"):
        ShardShuffleSampler(FakeList(5), rank=2, world_size=2)


def test_numbers_are_whole_ones_of_any_type():
    for name in ("seed", "rank", "world_size", "block", "window", "length"):
        for wrong in (-1, 1.0, "1", None if name != "length" else []):
            with pytest.raises(UsageError, match=rf"{name}.*: found {re.escape(repr(wrong))}"):
                ShardShuffleSampler(FakeList(5), **{name: wrong})
    for wrong in (-1, 1.5):
        with pytest.raises(UsageError, match="seed: found"):
            CropDataset(made(2), seed=wrong)
        with pytest.raises(UsageError, match="set_epoch: found"):
            ShardShuffleSampler(FakeList(5)).set_epoch(wrong)
    of_numpy = {name: np.int32(3) for name in ("seed", "block", "window", "length")}
    state = ShardShuffleSampler(FakeList(5), **of_numpy).state_dict()
    assert json.loads(json.dumps(state)) == state
    assert type(CropDataset(made(2), seed=np.int64(3)).seed) is int


def test_loader_gives_every_example_once(miniature, monkeypatch):
    torch = pytest.importorskip("torch")
    from posepile.datasets3d import TRAIN, get_dataset
    from posepile.torch import CropDataset

    monkeypatch.setenv("DATA_ROOT", str(miniature("aspset")))
    examples = get_dataset("aspset").examples[TRAIN]
    examples.shuffle(0)
    for context in ("fork", "spawn"):
        loader = torch.utils.data.DataLoader(
            CropDataset(examples, transform=describe),
            sampler=ShardShuffleSampler(examples, block=4),
            batch_size=4,
            num_workers=2,
            collate_fn=list,
            multiprocessing_context=context,
        )
        seen = [item for batch in loader for item in batch]
        assert sorted(p for p, _ in seen) == sorted(e.image_path for e in examples)
        assert all(len(shape) == 3 for _, shape in seen)


def describe(example):
    return example.image_path, example.image.shape
