"""What a raw file must hold is one literal; what is not so is refused in one line."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from posepile.errors import CorruptInput
from posepile.formats.schema import Array, OneOf, check, lookup


def refused(schema, value, match):
    with pytest.raises(CorruptInput, match=match) as e:
        check(value, schema, "file.json")
    assert "\n" not in str(e.value) and str(e.value).startswith("file.json: ")


def test_what_is_declared_comes_back_and_nothing_else():
    value = {"K": [[1, 2], [3, 4]], "name": "a", "rate": 30, "extra": 1, "t": None}
    schema = {"K": Array(2, 2), "name": str, "rate": float, "t?": Array(3), "u?": int}
    got = check(value, schema, "f")
    assert sorted(got) == ["K", "name", "rate"]
    assert got["K"].dtype == np.float64 and isinstance(got["rate"], float)
    views = check({"0": {"k": 1}, "n": 2}, {"n": int, "*": {"k": int}}, "f")
    assert views == {"n": 2, "0": {"k": 1}}
    assert check([1, 2], [int], "f") == [1, 2]
    assert check("val", OneOf("train", "val"), "f") == "val"
    assert check(np.zeros((5, 2, 3)), Array(..., 3), "f").shape == (5, 2, 3)
    assert check([[7.0]], Array(), "f").shape == ()
    np.testing.assert_array_equal(check([1, None], Array(2, finite=False), "f"), [1, np.nan])
    assert check([], Array("n", 4), "f").shape == (0, 4)


@pytest.mark.parametrize(
    ("schema", "value", "message"),
    [
        ({"a": int}, {"b": 1}, r"found no a \(there: b\); expected the key a"),
        ({"a": {"b": int}}, {"a": {"b": "x"}}, r"a\.b: found 'x'; expected int"),
        ({"a": int}, [1], r"found \[1\]; expected a mapping with a"),
        ({"*": int}, [1], r"found \[1\]; expected a mapping$"),
        ({"a": bool}, {"a": 1}, "expected bool"),
        ({"a": int}, {"a": True}, "found True; expected int"),
        ([{"a": int}], [{"a": 1}, {}], r"\[1\]: found no a"),
        (Array(3), [1, 2], r"found shape \(2,\); expected shape \(3,\)"),
        (Array(2), [[1], [1, 2]], "lists of different lengths"),
        (Array(2), ["1", "2"], "found text.*expected numbers"),
        (Array(2), [1, None], "found objects"),
        (Array(2), [1, np.nan], r"found nan at \[1\]; expected finite numbers"),
        (Array(2, dtype=int), [1, 2.5], "expected integers of shape"),
        (Array(2, dtype=int), [1, np.nan], "expected integers of shape"),
        (Array(2, dtype=int), [1, np.inf], "found numbers of 1 to inf; expected those of int64"),
        (Array(2, dtype=int), [1, 1e300], r"to 1e\+300; expected those of int64"),
        (Array(2, dtype=np.uint8), [-1, 256], "found numbers of -1 to 256; .* of uint8"),
        (Array(2, dtype=np.float32), [1, 1e300], r"found inf at \[1\]; expected finite"),
        (Array(1), [1j], "found complex numbers"),
        (float, float("nan"), "found nan; expected a finite number"),
        (Array(2, finite=False), ["1", None], "found objects"),
        (Array(2, finite=False), [10**400, None], "found objects"),
        (float, np.array([np.inf]), "found inf; expected a finite number"),
        (int, 7.0, r"found 7\.0; expected int"),
        (str, list(range(10**6)), r"found \[0, 1, 2, 3, 4, 5, \.\.\.\]; expected str"),
        (Array(), [1, 2], "expected one number"),
        (OneOf("train", "val"), "test", "found 'test'; expected 'train' or 'val'"),
        (
            {"poses": Array("T", 3), "trans": Array("T", 3)},
            {"poses": np.zeros((4, 3)), "trans": np.zeros((5, 3))},
            r"trans: found shape \(5, 3\).*T is 4 as in poses",
        ),
    ],
)
def test_what_is_not_as_declared_is_refused(schema, value, message):
    refused(schema, value, message)


def test_names_with_line_breaks_stay_in_one_line():
    refused({"a": int}, {"x\ny": 1}, r"found no a \(there: x y\)")
    refused({"*": int}, {"x\ny": "z"}, "x y: found 'z'")
    with pytest.raises(CorruptInput, match="there: x y$"):
        lookup({"x\ny": 1}, "a", "f")


def test_numbers_of_many_digits_are_refused():
    refused(float, 10**400, r"found int 1000.*\.\.\.; expected float")
    refused(Array(1), [10**400], r"found objects, list \[1000.*\.\.\.; expected numbers")
    refused(str, [10**5000], "found list too long to print; expected str")


def test_numbers_of_numpy_count_as_plain_ones():
    """What npz and MAT files give: 0-dimensional arrays, whole numbers stored as fractions."""
    schema = {"fps": int, "gender": OneOf("male", "female"), "n": OneOf(0, 1), "ok": bool}
    value = {"fps": np.array([[30.0]]), "gender": np.array("male"), "n": np.int64(1)}
    got = check(value | {"ok": np.True_}, schema, "f")
    assert got == {"fps": 30, "gender": "male", "n": 1, "ok": True}
    assert type(got["fps"]) is int and type(got["n"]) is int and got["ok"] is True
    refused(int, np.array(7.5), r"found 7\.5; expected int")


def test_an_empty_list_leaves_the_other_axes_open():
    schema = {"a": Array("P", "J", 3), "b": Array("T", "J", 3), "c": Array("P", "J")}
    got = check({"a": [], "b": np.zeros((2, 24, 3)), "c": []}, schema, "f")
    assert got["a"].shape[0] == 0 and got["b"].shape == (2, 24, 3) and got["c"].shape == (0, 24)
    refused(schema, {"a": [], "b": np.zeros((2, 24, 3)), "c": np.zeros((1, 24))}, "P is 0 as in a")
    refused(Array(2, 3), [], "expected shape")


plain_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=12,
)
schemas = st.recursive(
    st.sampled_from([None, int, float, str, bool, (int, str), OneOf(1, "a"), Array(), Array("n")])
    | st.builds(
        Array,
        st.sampled_from([2, "n", ...]),
        st.sampled_from([2, "n", "m"]),
        dtype=st.sampled_from([np.float64, np.int64, np.uint8, np.float32, bool]),
        finite=st.booleans(),
        squeezed=st.booleans(),
    ),
    lambda inner: (
        st.lists(inner, min_size=1, max_size=1)
        | st.dictionaries(st.sampled_from(["a", "b?", "*"]), inner)
    ),
    max_leaves=5,
)


@given(plain_values, schemas)
def test_any_value_is_taken_or_refused_in_one_line(value, schema):
    try:
        got = check(value, schema, "f")
    except CorruptInput as e:
        assert "\n" not in str(e) and len(str(e)) < 400
        return
    if "[]" not in repr(value):  # an empty list leaves axes open, an empty array does not
        again = check(got, schema, "f")
        assert repr(again) == repr(got), "what was checked is as declared"


@given(st.data())
def test_what_fits_a_schema_is_taken(data):
    t, joints = data.draw(st.integers(0, 4)), data.draw(st.integers(1, 3))
    numbers = st.floats(-1e6, 1e6) | st.integers(-9, 9)

    def lists(*shape):
        inner = numbers if len(shape) == 1 else lists(*shape[1:])
        return st.lists(inner, min_size=shape[0], max_size=shape[0])

    value = data.draw(
        st.fixed_dictionaries(
            {"pose": lists(t, joints, 3), "trans": lists(t, 3), "id": st.integers()},
            optional={"name": st.none() | st.text(), "other": plain_values},
        )
    )
    schema = {"pose": Array("T", "J", 3), "trans": Array("T", 3), "id": int, "name?": str}
    got = check(value, schema, "f")
    assert np.array_equal(got["trans"], np.reshape(value["trans"], (t, 3)))
    assert got["pose"].shape[0] == t and set(got) <= {"pose", "trans", "id", "name"}
    key = data.draw(st.sampled_from(["pose", "trans", "id"]))
    refused(schema, {k: v for k, v in value.items() if k != key}, f"expected the key {key}")
    refused(schema, value | {"trans": [*value["trans"], [0, 0, 0]]}, "trans: .*T is")
    if t:
        refused(
            schema, value | {"trans": np.full((t, 3), np.nan)}, r"trans: found nan at \[0, 0\]"
        )


@given(hnp.arrays(np.float64, hnp.array_shapes(max_dims=4), elements=st.floats(-9, 9)))
def test_any_array_fits_its_own_shape_and_no_other(array):
    assert np.array_equal(check(array.tolist(), Array(*array.shape), "f"), array)
    names = Array(*(f"n{i}" for i in range(array.ndim)))
    assert np.array_equal(check(array, names, "f"), array)
    refused(Array(*array.shape[:-1], array.shape[-1] + 1), array, "shape")
    refused(Array(*array.shape, 1), array, "shape")


def test_lookup_names_what_is_missing():
    data = {"a": [{"b": 1}]}
    assert lookup(data, "a.0.b", "f") == 1
    for key in ("x", "a.1.b", "a.0.c", "a.b", "a.0.b.c"):
        with pytest.raises(CorruptInput, match="there: "):
            lookup(data, key, "f")


@pytest.mark.parametrize(
    ("shape", "stored", "expected"),
    [
        ((2, 24, "T"), (2, 24), (2, 24, 1)),
        ((72, "T"), (72,), (72, 1)),
        (("T", 1), (5,), (5, 1)),
        (("T", 24, 3), (24, 3), (1, 24, 3)),
        ((3, 1), (3,), (3, 1)),
        ((2, 24, "T"), (2, 24, 7), (2, 24, 7)),
    ],
)
def test_axes_that_matlab_has_lost_come_back(shape, stored, expected):
    got = check(np.zeros(stored), Array(*shape, squeezed=True), "f.mat")
    assert got.shape == expected


def test_a_lost_axis_does_not_hide_a_wrong_shape():
    refused(Array(2, 24, "T", squeezed=True), np.zeros((3, 24)), "shape")
    refused(Array("T", 24, 3, squeezed=True), np.zeros((24, 2)), "shape")
