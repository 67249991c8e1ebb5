"""Batches: what has one shape is stacked, all else listed."""

import warnings
from collections import namedtuple

import numpy as np
import pytest
from torch_lists import made

from posepile.torch import collate

torch = pytest.importorskip("torch")
Pair = namedtuple("Pair", "image name")


def test_arrays_are_stacked_and_other_things_listed():
    examples = made(2)
    batch = collate(
        [
            {
                "image": np.full((4, 4, 3), k, np.uint8),
                "joints": np.full((3, 3), k, np.float32),
                "ragged": np.zeros(k + 1),
                "index": k,
                "share": 0.5 + k,
                "known": k == 1,
                "name": f"n{k}",
                "mask": None,
                "example": examples[k],
                "frame": np.int64(k),
                "tensor": torch.full((2,), k),
            }
            for k in range(2)
        ]
    )
    for key, dtype, shape in (
        ("image", torch.uint8, (2, 4, 4, 3)),
        ("joints", torch.float32, (2, 3, 3)),
        ("index", torch.int64, (2,)),
        ("share", torch.float64, (2,)),
        ("known", torch.bool, (2,)),
        ("frame", torch.int64, (2,)),
        ("tensor", torch.int64, (2, 2)),
    ):
        assert (batch[key].dtype, tuple(batch[key].shape)) == (dtype, shape), key
        assert batch[key][1].flatten()[0] == (1.5 if key == "share" else 1)
    assert [len(a) for a in batch["ragged"]] == [1, 2]
    assert batch["name"] == ["n0", "n1"]
    assert batch["mask"] == [None, None]
    assert batch["example"] == examples


def test_tuples_go_by_place_and_keep_their_names():
    batch = collate([Pair(np.zeros(2), "a"), Pair(np.ones(2), "b")])
    assert type(batch) is Pair
    assert batch.image.tolist() == [[0, 0], [1, 1]]
    images, names = collate([(np.zeros(2), "a"), (np.ones(2), "b")])
    assert (images.shape, names) == ((2, 2), ["a", "b"])
    assert collate([(1,), (1, 2)]) == [(1,), (1, 2)]


@pytest.mark.parametrize(
    "make",
    [
        lambda a: a[::-1],
        lambda a: a.astype(">f4"),
        lambda a: np.asfortranarray(np.stack([a, a])),
        lambda a: np.broadcast_to(a, (3, 4)),
        lambda a: np.frombuffer(a.tobytes(), np.float32),
    ],
)
def test_arrays_of_any_layout_keep_their_values(make):
    arrays = [make(np.arange(4, dtype=np.float32) + k) for k in range(2)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        batch = collate(arrays)
    assert np.array_equal(batch.numpy(), np.stack(arrays))


@pytest.mark.parametrize("other", [np.zeros(2, np.float64), np.zeros(3, np.float32), None, 1.0])
def test_arrays_of_different_kinds_are_listed(other):
    batch = collate([np.zeros(2, np.float32), other])
    assert isinstance(batch, list)


def test_different_keys_in_one_batch_are_named():
    with pytest.raises(ValueError, match=r"found \['b'\] and \['a'\] in one batch"):
        collate([{"a": 1}, {"b": 1}])
