"""Draws: what a transform gets beside the example, the same in any process."""

import copy
import functools
import pickle
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch_lists import made

from posepile.errors import Shortage, UsageError, WorkError
from posepile.store.example_list import as_example_list
from posepile.torch import CropDataset, Draw, Pick, make_draw
from posepile.torch.draw import takes_draw
from posepile.torch.shares import order_seed

numbers = st.integers(0, 2**40)


def stream(draw):
    return draw.rng.integers(2**62, size=4).tolist()


@given(st.tuples(numbers, numbers, numbers, numbers), st.integers(0, 3))
def test_random_numbers_depend_on_each_of_the_four_and_nothing_else(key, changed):
    other = list(key)
    other[changed] += 1
    assert stream(make_draw(*key)) == stream(make_draw(*key)) != stream(make_draw(*other))


@given(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9))
def test_no_draw_has_the_random_numbers_of_an_order(seed, epoch, number):
    orders = [order_seed(seed, epoch), order_seed(seed, epoch, number)]
    orders = [np.random.default_rng(key).integers(2**62, size=4).tolist() for key in orders]
    draws = [stream(make_draw(0, epoch, 0, seed)), stream(make_draw(number, epoch, 0, seed))]
    assert len({*map(tuple, orders + draws)}) == (3 if number == 0 else 4)


def test_a_negative_number_is_refused():
    with pytest.raises(UsageError, match="epoch: found -1, expected a whole number from 0"):
        make_draw(0, -1)


def test_a_pick_is_its_number_and_survives_the_way_to_a_worker():
    pick = Pick(7, epoch=3, nth=2)
    for same in (pickle.loads(pickle.dumps(pick)), copy.copy(pick), copy.deepcopy(pick)):
        assert (same, same.epoch, same.nth, type(same)) == (7, 3, 2, Pick)
    assert pick == 7
    assert "abcdefgh"[pick] == "h"


def wrapped(*args, **kwargs):
    return both(*args, **kwargs)


class Module:
    """Called as modules of PyTorch's are."""

    def __call__(self, *args, **kwargs):
        return self.forward(*args, **kwargs)

    def forward(self, example, draw):
        """Two arguments."""


class OfOne(Module):
    def forward(self, example):
        """One argument."""


class Called:
    def __call__(self, example, draw):
        """Two arguments."""


@pytest.mark.parametrize(
    ("transform", "expected"),
    [
        (lambda example: 0, False),
        (lambda example, draw: 0, True),
        (lambda example, rng: 0, True),
        (lambda example, draw=None: 0, True),
        (lambda example, size=8: 0, False),
        (lambda *both: 0, True),
        (lambda example, *more: 0, True),
        (wrapped, True),
        (Module(), True),
        (OfOne(), False),
        (lambda example, **more: 0, False),
        (functools.partial(lambda size, example, draw: 0, 8), True),
        (functools.partial(lambda example, size: 0, size=8), False),
        (Called(), True),
        (copy.copy, False),
        (dict, False),
    ],
)
def test_who_takes_a_draw(transform, expected):
    assert takes_draw(transform) is expected


def both(example, draw):
    return example.image_path, draw


def test_a_dataset_gives_draws_to_a_transform_of_two_arguments():
    dataset = CropDataset(made(5), both, load_image=False, seed=4)
    path, draw = dataset[Pick(2, epoch=6, nth=1)]
    assert (path, type(draw), draw.index, draw.epoch) == ("2.jpg", Draw, 2, 6)
    assert stream(draw) == stream(make_draw(2, 6, 1, seed=4))
    assert stream(dataset[2, 6][1]) == stream(make_draw(2, 6, 0, seed=4))
    assert dataset[-1, 6][1].index == 4


def of_number_two(example):
    if example.image_path == "2.jpg":
        raise KeyError("left arm")
    return example.image_path


def no_room(example):
    raise Shortage("no room")


def test_errors_name_the_example(monkeypatch, tmp_path):
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    dataset = CropDataset(made(5), of_number_two, load_image=False)
    assert dataset[1] == "1.jpg"
    for index in (2, -3):
        with pytest.raises(
            WorkError, match=rf"example {index}, 2\.jpg: KeyError: .*left arm"
        ) as e:
            dataset[index]
        assert isinstance(e.value.__cause__, KeyError)
    with pytest.raises(UsageError, match="example 1, 1.jpg: draw: epoch: found -1"):
        CropDataset(made(5), both, load_image=False)[1, -1]
    with pytest.raises(WorkError, match=r"example 3, 3\.jpg: "):  # there is no such file
        CropDataset(made(5))[3]
    with pytest.raises(Shortage, match=r"example 0, 0\.jpg: no room"):
        CropDataset(made(5), no_room, load_image=False)[0]
    with pytest.raises(IndexError):
        dataset[5]


def test_errors_name_the_example_out_of_a_worker():
    torch = pytest.importorskip("torch")
    dataset = CropDataset(made(5), of_number_two, load_image=False)
    loader = torch.utils.data.DataLoader(dataset, num_workers=1, collate_fn=list)
    with pytest.raises(WorkError, match=r"example 2, 2\.jpg: KeyError"):
        list(loader)


def test_bare_numbers_draw_from_torch_and_differ_each_time():
    torch = pytest.importorskip("torch")
    dataset = CropDataset(made(5), both, load_image=False)
    torch.manual_seed(1)
    first, second = (stream(dataset[2][1]) for _ in range(2))
    torch.manual_seed(1)
    assert dataset[0][1].epoch == -1
    torch.manual_seed(1)
    assert stream(dataset[2][1]) == first != second


def test_a_crop_dataset_is_one_of_torch_and_its_examples_collate_to_lists():
    torch = pytest.importorskip("torch")
    dataset = CropDataset(made(5), load_image=False)
    assert isinstance(dataset, torch.utils.data.Dataset)
    batches = list(torch.utils.data.DataLoader(dataset, batch_size=2))
    assert [[ex.image_path for ex in batch] for batch in batches] == [
        ["0.jpg", "1.jpg"],
        ["2.jpg", "3.jpg"],
        ["4.jpg"],
    ]


def test_a_dataset_travels_where_there_is_no_torch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    examples = as_example_list(made(9))
    examples.shuffle(0)
    dataset = CropDataset(examples, load_image=False)
    copied = pickle.loads(pickle.dumps(dataset))
    paths = [copied[i].image_path for i in range(9)]
    assert paths == [ex.image_path for ex in examples] and paths != sorted(paths)
