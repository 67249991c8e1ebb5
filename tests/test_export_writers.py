"""What exports are written with: pickles without their classes, arrays in pieces, JSON."""

import io
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from posepile.errors import WorkError
from posepile.export.npz_writer import NpzWriter
from posepile.export.pickle_writer import PickleWriter
from posepile.export.plain import to_plain

_numbers = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False),
    st.text(max_size=300), st.binary(max_size=300),
)  # fmt: skip
_values = st.recursive(
    _numbers,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.tuples(inner, inner),
        st.dictionaries(st.text(max_size=5), inner, max_size=4),
    ),
    max_leaves=20,
)


@given(_values)
@settings(max_examples=150, deadline=None)
def test_pickles_written_by_hand_give_the_values_back(value):
    f = io.BytesIO()
    writer = PickleWriter(f)
    writer.write([value, value])
    writer.close()
    got = pickle.loads(f.getvalue())
    assert got == [value, value] and repr(got) == repr([value, value])


@given(
    hnp.arrays(
        st.sampled_from(["<f4", ">f4", "<f8", "<u2", "u1", "?", "<i8"]),
        hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
    )
)
@settings(max_examples=60, deadline=None)
def test_pickled_arrays_come_back(array):
    f = io.BytesIO()
    writer = PickleWriter(f)
    writer.write({"a": array, "b": array.T})
    writer.close()
    got = pickle.loads(f.getvalue())
    for name, expected in (("a", array), ("b", array.T)):
        assert got[name].dtype == expected.dtype.newbyteorder("=")
        assert got[name].shape == expected.shape
        assert np.array_equal(got[name], expected, equal_nan=array.dtype.kind == "f")
    assert b"numpy.core.multiarray" in f.getvalue()  # which NumPy 1 has, too


def test_what_is_no_value_of_a_pickle_is_refused():
    writer = PickleWriter(io.BytesIO())
    for value in (object(), {1, 2}, np.array([object()])):
        with pytest.raises(WorkError, match="expected"):
            writer.write(value)


@given(hnp.arrays("<f4", hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)))
@settings(max_examples=100, deadline=None)
def test_single_precision_survives_json(array):
    array = np.where(np.isinf(array), 0, array)
    text = json.dumps(to_plain(array), allow_nan=False)
    got = np.array(json.loads(text), float).astype(np.float32)
    if array.size:
        assert np.array_equal(got, array, equal_nan=True) and got.shape == array.shape


@given(
    st.lists(
        st.lists(st.text("ab\u00e9\U0001f600", max_size=4), max_size=3), min_size=1, max_size=4
    )
)
@settings(max_examples=30, deadline=None)
def test_arrays_written_in_pieces_are_whole(tmp_path_factory, pieces):
    folder = tmp_path_factory.mktemp("npz")
    f = io.BytesIO()
    with NpzWriter(folder) as writer:
        for i, texts in enumerate(pieces):
            writer.add_texts("t", texts)
            dtype = "<f8" if i == 1 else "<f4"
            writer.add("x", np.full((len(texts), 2), i + 0.1, dtype))
            counts = np.array([len(t) for t in texts], np.int64)
            writer.add_ragged("r", counts, r=np.full(counts.sum(), i, np.uint8))
        writer.write(f)
    f.seek(0)
    got = np.load(f)
    flat = [text for texts in pieces for text in texts]
    assert got["t"].tolist() == flat
    rows_of = [
        np.full((len(t), 2), i + 0.1, "<f8" if i == 1 else "<f4") for i, t in enumerate(pieces)
    ]
    assert np.array_equal(got["x"], np.concatenate(rows_of))
    assert np.array_equal(np.diff(got["r_ptr"]), [len(t) for t in flat])
    assert len(got["r"]) == sum(map(len, flat))
    assert not list(Path(folder).iterdir())
