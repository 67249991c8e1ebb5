"""Going on in the middle of an epoch: any number of ranks and workers, each example once."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_lists import FakeList, made, number_and_noise

from posepile.errors import UsageError
from posepile.store.example_list import ExampleList, as_example_list
from posepile.store.row_sources import EntrySource, StringColumn
from posepile.torch import CropDataset, ShardShuffleSampler

torch = pytest.importorskip("torch")
from posepile.torch import CropLoader  # noqa: E402

lists = st.sampled_from(
    [
        {},
        {"weights": {"a": 0.2, "b": 0.8}, "length": 61},
        {"weights": {"a": 0.5}, "strides": {"b": 3}, "length": 90},
    ]
)


@settings(deadline=None, max_examples=60)
@given(
    n=st.integers(4, 80),
    first=st.integers(1, 4),
    then=st.integers(1, 4),
    at=st.integers(0, 200),
    epoch=st.integers(0, 3),
    more=lists,
    uneven=st.booleans(),
)
def test_what_ranks_have_left_is_what_other_ranks_go_on_with(
    n, first, then, at, epoch, more, uneven
):
    listed = FakeList(n, datasets={"a": n // 2, "b": n - n // 2})

    def samplers(world):
        for rank in range(world):
            sampler = ShardShuffleSampler(listed, 5, rank, world, 4, 3, uneven=uneven, **more)
            sampler.set_epoch(epoch)
            yield sampler

    whole = [key(p) for s in samplers(1) for p in s]
    had, states = [], []
    for sampler in samplers(first):
        own = list(sampler)
        least = len(whole) // first
        taken = min(at, max(0, least - 1))
        had += own[:taken]
        states.append(sampler.state_dict(taken))
    assert all(state == states[0] for state in states)
    left = []
    for sampler in samplers(then):
        sampler.load_state_dict(states[0])
        own = list(sampler)
        assert len(own) == len(sampler)
        left += own
    both = [key(p) for p in had + left]
    assert len(set(both)) == len(both)
    assert set(both) <= set(whole)
    assert len(whole) - len(both) < (1 if uneven else then)
    # The same number of ranks has the very same indices as without a stop.
    if first == then:
        without = [list(s) for s in samplers(first)]
        taken = min(at, max(0, len(whole) // first - 1))
        assert left == [i for own in without for i in own[taken:]]


def key(pick):
    return int(pick), pick.epoch, pick.nth


def loader(n=41, world=1, rank=0, **options):
    dataset = CropDataset(made(n), number_and_noise, load_image=False, seed=2)
    settings = {"batch_size": 3, "seed": 7, "block": 4, "window": 3, **options}
    return CropLoader(dataset, rank=rank, world_size=world, **settings)


def items(batches):
    """What batches hold, example by example, random numbers of augmentation included."""
    return [
        (number, epoch, *noise)
        for batch in batches
        for number, epoch, noise in zip(
            batch["number"].tolist(), batch["epoch"].tolist(), batch["noise"].tolist(), strict=True
        )
    ]


@settings(deadline=None, max_examples=40)
@given(
    world=st.integers(1, 4),
    then=st.integers(1, 4),
    stop=st.integers(0, 13),
    drop_last=st.booleans(),
)
def test_a_loader_goes_on_at_any_batch(world, then, stop, drop_last):
    whole = items(loader(world=1))
    assert sorted(number for number, *_ in whole) == list(range(41))
    had, states = [], []
    for rank in range(world):
        own = loader(world=world, rank=rank, drop_last=drop_last)
        stop_here = min(stop, len(own) - 1)
        iteration = iter(own)
        had += items(next(iteration) for _ in range(stop_here))
        states.append(own.state_dict())
    assert all(state == states[0] for state in states)
    left = []
    for rank in range(then):
        own = loader(world=then, rank=rank)
        own.load_state_dict(states[0])
        left += items(own)
        assert own.epoch == 1
    assert len(set(had + left)) == len(had + left) > 41 - then
    assert set(had + left) <= set(whole)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_batches_are_the_same_with_any_number_of_workers(workers):
    alone, many = loader(), loader(num_workers=workers)
    for epoch in range(2):
        assert alone.epoch == many.epoch == epoch
        assert items(alone) == items(many)
    iteration = iter(many)
    had = items(next(iteration) for _ in range(4))
    state = many.state_dict()
    del iteration
    alone.load_state_dict(state)
    left = items(alone)
    assert {epoch for _, epoch, *_ in had + left} == {2}
    assert sorted(number for number, *_ in had + left) == list(range(41))
    # And back: workers that stayed go on where they are told to.
    many.load_state_dict(state)
    assert items(many) == left


def test_a_spawned_worker_draws_the_same():
    there = loader(n=9, num_workers=1, multiprocessing_context="spawn")
    assert items(there) == items(loader(n=9))


def test_an_iteration_that_was_left_is_gone_on_with():
    whole, broken = items(loader()), loader()
    had = []
    while broken.epoch == 0:
        for number, batch in enumerate(broken):
            had += items([batch])
            if number == 2:
                break
    assert had == whole + items(loader_at(1))[: len(had) - len(whole)]
    assert len(had) >= len(whole)


def test_an_epoch_is_over_with_its_last_whole_batch():
    own = loader(drop_last=True)
    iteration = iter(own)
    for _ in range(13):
        next(iteration)
    assert own.state_dict()["epoch"] == 1
    assert items([next(iter(own))]) == items([next(iter(loader_at(1)))])


def loader_at(epoch):
    result = loader()
    result.sampler.set_epoch(epoch)
    return result


def test_an_older_iteration_does_not_go_on_beside_a_newer():
    own = loader()
    old = iter(own)
    next(old)
    new = iter(own)
    next(new)
    with pytest.raises(RuntimeError, match="another iteration"):
        next(old)


def test_a_state_of_another_training_is_refused():
    state = loader().state_dict()
    for other, problem in (
        (loader(n=40), "number of listed examples: found 41 in the state, here it is 40"),
        (loader(block=5), "block: found 4"),
        (loader(weights={}), "examples per epoch of each dataset"),
    ):
        with pytest.raises(UsageError, match=problem):
            other.load_state_dict(state)
    for wrong in ({}, None, {"draws": 2}, {**state, "taken": 42}, {**state, "epoch": -1}):
        with pytest.raises(UsageError, match="load_state_dict"):
            loader().load_state_dict(wrong)


def test_lists_in_memory_are_told_apart_by_what_they_hold():
    def state(examples, **options):
        return CropLoader(CropDataset(examples, load_image=False), **options)

    two = made(5), made(5)
    two[1][3].image_path = "other.jpg"
    for options in ({}, {"block": 1}):
        first, other = (state(examples, **options) for examples in two)
        state(made(5), **options).load_state_dict(first.state_dict())
        for wrong in (other, state(made(5)[::-1], **options)):
            with pytest.raises(UsageError, match="mark of the list"):
                wrong.load_state_dict(first.state_dict())


def test_lists_of_entries_are_told_apart_by_their_keys():
    def sampler(*names):
        keys = StringColumn([f"{name}.jpg#0" for name in names])
        source = EntrySource("a.barecat", None, "3d", 3, keys)
        return ShardShuffleSampler(ExampleList(source), block=1)

    state = sampler("a", "b").state_dict()
    sampler("a", "b").load_state_dict(state)
    with pytest.raises(UsageError, match="mark of the list"):
        sampler("a", "c").load_state_dict(state)


def test_a_plain_list_is_of_the_same_list_as_an_example_list():
    sampler = ShardShuffleSampler(as_example_list(made(4)), block=1)
    ShardShuffleSampler(made(4), block=1).load_state_dict(sampler.state_dict())


def test_the_place_stays_where_the_epoch_is_named_again():
    sampler = ShardShuffleSampler(FakeList(20), block=1)
    first = list(sampler)
    sampler.load_state_dict(sampler.state_dict(5))
    sampler.set_epoch(0)
    assert list(sampler) == first[5:]
    sampler.set_epoch(1)
    assert len(list(sampler)) == 20


def test_ranks_come_from_torchrun(monkeypatch):
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "3")
    dataset = CropDataset(made(9), load_image=False)
    assert (CropLoader(dataset).sampler.rank, len(CropLoader(dataset).sampler)) == (2, 3)
    monkeypatch.setenv("WORLD_SIZE", "many")
    with pytest.raises(UsageError, match="expected whole numbers"):
        CropLoader(dataset)


@pytest.mark.parametrize(
    ("n", "world", "options", "problem"),
    [
        (9, 1, {"batch_size": 10, "drop_last": True}, "found 9 .* at least 10.* drop_last=False"),
        (9, 4, {"batch_size": 3, "drop_last": True}, "found 2 examples of an epoch for each of 4"),
        (3, 4, {}, "found 0 examples .* at least 1; take fewer processes"),
        (0, 1, {}, "found 0 examples"),
    ],
)
def test_an_epoch_without_a_batch_is_refused(n, world, options, problem):
    """Loops over epochs would do nothing, or never end."""
    with pytest.raises(UsageError, match=problem):
        loader(n, world, **options)
    if n:
        assert len(loader(n, 1, batch_size=n, drop_last=True)) == 1


def test_what_is_the_loaders_own_business_is_refused():
    dataset = CropDataset(made(9), load_image=False)
    with pytest.raises(UsageError, match="'shuffle'"):
        CropLoader(dataset, shuffle=True)
    with pytest.raises(UsageError, match="in_order=False"):
        CropLoader(dataset, in_order=False)
    for wrong in (None, 0, 2.0):
        with pytest.raises(UsageError, match=f"batch_size: found {wrong}, expected a whole"):
            CropLoader(dataset, wrong)
    with pytest.raises(UsageError, match="both of rank and world_size"):
        CropLoader(dataset, rank=0)


@pytest.mark.parametrize("left", [True, False])
def test_an_epoch_that_is_named_begins_with_its_first_example(left):
    own = loader()
    iteration = iter(own)
    next(iteration), next(iteration)
    if left:
        del iteration
    own.sampler.set_epoch(3)
    assert own.state_dict()["taken"] == 0
    for epoch in (3, 4):
        assert items(own) == items(loader_at(epoch))
    assert own.epoch == 5


def test_an_epoch_that_is_named_within_another_is_the_next():
    own = loader()
    for number, _ in enumerate(own):
        if number == 2:
            own.sampler.set_epoch(7)
    assert own.epoch == 7
    assert items(own) == items(loader_at(7))


def test_a_loader_whose_epochs_have_no_batch_is_refused():
    with pytest.raises(UsageError, match="found 0 examples .* make no batch"):
        loader(n=1, world=2)
