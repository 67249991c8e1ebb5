"""Raw files are read and checked in one call; what is wrong is one line."""

import json

import cdflib.cdfwrite
import ezc3d
import h5py
import numpy as np
import pytest
import scipy.io
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from posepile.errors import CorruptInput
from posepile.formats.arrays import read_array, read_npy, read_npz
from posepile.formats.matlab_files import MatCells, read_mat
from posepile.formats.mocap_files import read_c3d, read_cdf
from posepile.formats.schema import Array, OneOf, check, lookup
from posepile.formats.text_files import iter_json, read_csv, read_json, read_xml


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
    assert check([], Array("n", 4), "f").shape == (0, 4)


@pytest.mark.parametrize(
    ("schema", "value", "message"),
    [
        ({"a": int}, {"b": 1}, r"found no a \(there: b\); expected the key a"),
        ({"a": {"b": int}}, {"a": {"b": "x"}}, r"a\.b: found 'x'; expected int"),
        ({"a": int}, [1], r"found \[1\]; expected a mapping with a"),
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


# ---------------------------------------------------------------- files of every format


def write_c3d(path):
    c3d = ezc3d.c3d()
    c3d["parameters"]["POINT"]["RATE"]["value"] = [50.0]
    c3d["parameters"]["POINT"]["UNITS"]["value"] = ["mm"]
    c3d["parameters"]["POINT"]["LABELS"]["value"] = ["a", "b"]
    c3d["data"]["points"] = np.arange(4 * 2 * 7, dtype=float).reshape(4, 2, 7)
    c3d.write(str(path))


def write_cdf(path):
    spec = {"Variable": "Pose", "Data_Type": 45, "Num_Elements": 1, "Rec_Vary": True}
    spec |= {"Var_Type": "zVariable", "Dim_Sizes": [5, 96]}
    cdf = cdflib.cdfwrite.CDF(path, delete=True)
    cdf.write_var(spec, var_data=np.arange(480, dtype=float).reshape(1, 5, 96))
    cdf.close()


def write_mat73(path):
    with h5py.File(path, "w", userblock_size=512) as f:
        refs = f.create_group("#refs#")
        cells = f.create_dataset("Masks", (3, 1), h5py.ref_dtype)
        for i in range(3):
            refs[f"m{i}"] = np.full((2, 4), i, np.uint8)  # a 4x2 matrix, stored transposed
            cells[i, 0] = refs[f"m{i}"].ref
        f["name"] = np.array([[97], [98]], np.uint16)
        f["name"].attrs["MATLAB_class"] = np.bytes_("char")
    with open(path, "r+b") as f:
        f.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")


FILES = {
    "a.json": (lambda p: p.write_text('{"x": [1, 2]}'), read_json),
    "big.json": (
        lambda p: p.write_text('{"images": [{"id": 1}, {"id": 2}]}'),
        lambda p: list(iter_json(p, "images.item", {"id": int})),
    ),
    "a.csv": (lambda p: p.write_text("x,y\n1,2.5\n"), lambda p: read_csv(p, {"x": int})),
    "a.npy": (lambda p: np.save(p, np.eye(3)), lambda p: read_npy(p, Array(3, 3))),
    "a.npz": (lambda p: np.savez(p, x=np.eye(3)), lambda p: read_npz(p, {"x": Array(3, 3)})),
    "v5.mat": (
        lambda p: scipy.io.savemat(p, {"x": np.eye(3), "name": "ab"}),
        lambda p: read_mat(p, {"x": Array(3, 3), "name": str}),
    ),
    "v73.mat": (write_mat73, lambda p: list(MatCells(p, "Masks"))),
    "a.cdf": (write_cdf, lambda p: read_cdf(p, {"Pose": Array(1, "T", 96)})),
    "a.c3d": (write_c3d, read_c3d),
    "a.xml": (lambda p: p.write_text("<a><b>1</b></a>"), read_xml),
}


@pytest.mark.parametrize("name", FILES)
def test_damaged_files_of_every_format_are_one_line(tmp_path, name):
    write, read = FILES[name]
    path = tmp_path / name
    with pytest.raises(CorruptInput, match=r"file is missing; fetch"):
        read(path)
    write(path)
    read(path)
    whole = path.read_bytes()
    for n in {0, 1, len(whole) // 3, len(whole) // 2, len(whole) - 3}:
        path.write_bytes(whole[:n])
        try:
            read(path)
        except CorruptInput as e:
            assert str(path) in str(e) and "\n" not in str(e)
        else:
            assert n > len(whole) // 2 or name == "a.csv", f"{n} of {len(whole)} bytes are taken"


def test_values_come_as_they_are_stored(tmp_path):
    for name, (write, _) in FILES.items():
        write(tmp_path / name)
    assert read_json(tmp_path / "a.json", {"x": Array(2)})["x"].tolist() == [1, 2]
    assert read_csv(tmp_path / "a.csv", {"y": float, "z?": int}) == [{"y": 2.5, "z": None}]
    cells = list(MatCells(tmp_path / "v73.mat", "Masks"))
    assert [c.shape for c in cells] == [(4, 2)] * 3 and cells[2][3, 1] == 2
    mat = read_mat(tmp_path / "v73.mat", {"name": str, "Masks": None})
    assert mat["name"] == "ab" and mat["Masks"].shape == (1, 3)
    pose = read_cdf(tmp_path / "a.cdf", {"Pose": Array(1, "T", 96)})["Pose"]
    assert pose.shape == (1, 5, 96) and pose[0, 4, 95] == 479
    mocap = read_c3d(tmp_path / "a.c3d")
    assert (mocap.rate, mocap.units, mocap.labels) == (50, "mm", ["a", "b"])
    np.testing.assert_array_equal(
        mocap.points, np.arange(56.0).reshape(4, 2, 7)[:3].transpose(2, 1, 0)
    )
    assert read_xml(tmp_path / "a.xml").find("b").text == "1"


SCHEMAS = {
    "a.json": read_json,
    "a.npz": read_npz,
    "v5.mat": read_mat,
    "v73.mat": read_mat,
    "a.cdf": read_cdf,
}


def write_x(path, x):
    """A file of any format with the variable x (and one that nobody wants)."""
    if path.suffix == ".json":
        path.write_text(json.dumps({"x": np.asarray(x).tolist(), "y": 1}))
    elif path.suffix == ".npz":
        np.savez(path, x=x, y=1)
    elif path.name == "v5.mat":
        scipy.io.savemat(path, {"x": x, "y": 1})
    elif path.suffix == ".mat":
        with h5py.File(path, "w") as f:
            f["x"], f["y"] = np.transpose(x), 1
    else:
        spec = {"Variable": "x", "Data_Type": 45, "Num_Elements": 1, "Rec_Vary": True}
        if np.asarray(x).dtype.kind == "U":
            spec |= {"Data_Type": 51}
        spec |= {"Var_Type": "zVariable", "Dim_Sizes": [3]}
        cdf = cdflib.cdfwrite.CDF(path, delete=True)
        cdf.write_var(spec, var_data=np.asarray(x))
        cdf.close()


@pytest.mark.parametrize("name", SCHEMAS)
def test_what_a_file_holds_is_compared_with_the_schema(tmp_path, name):
    path, read, good = tmp_path / name, SCHEMAS[name], np.arange(6.0).reshape(2, 3)
    write_x(path, good)
    np.testing.assert_array_equal(read(path, {"x": Array("n", 3)})["x"], good)
    assert set(read(path, {"x": None})) == {"x"}
    with_nan = good.copy()
    with_nan[1, 2] = np.nan
    for x, schema, message in (
        (good, {"z": None}, r"found no z \(there: .*\); expected the key z"),
        (good, {"x": Array("n", 4)}, r"x: found shape \(2, 3\); expected shape \(n, 4\)"),
        (good + 0.5, {"x": Array("n", 3, dtype=int)}, "x: found numbers.*expected integers"),
        (good, {"x": str}, "x: found .*; expected str"),
        (with_nan, {"x": Array("n", 3)}, r"x: found nan at \[1, 2\]; expected finite numbers"),
    ):
        write_x(path, x)
        with pytest.raises(CorruptInput, match=message) as e:
            read(path, schema)
        assert str(e.value).startswith(f"{path}: ") and "\n" not in str(e.value)


def test_a_list_that_is_not_there_is_no_empty_list(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"items": [], "image": 3, "a": {"items": [{"id": "x"}]}}')
    assert list(iter_json(path, "items.item")) == []
    for prefix, name in (
        ("annotations.item", "annotations"),
        ("image.item", "image"),
        ("item", ""),
    ):
        with pytest.raises(CorruptInput, match=f"found no list '{name}'; expected one"):
            list(iter_json(path, prefix))
    with pytest.raises(CorruptInput, match=r"json: a\.items\.0\.id: found 'x'; expected int"):
        list(iter_json(path, "a.items.item", {"id": int}))
    path.write_text('[{"id": 1}, {}]')
    with pytest.raises(CorruptInput, match=r"json: 1: found no id"):
        list(iter_json(path, "item", {"id": int}))


@pytest.mark.parametrize("name", FILES)
def test_what_cannot_be_opened_is_one_line(tmp_path, name):
    path = tmp_path / name
    path.mkdir()
    with pytest.raises(CorruptInput, match=r"cannot be read: Is a directory"):
        FILES[name][1](path)


def test_damage_within_hdf5_is_one_line(tmp_path):
    """In the tables of names, which the library looks at when it is asked for one."""
    path = tmp_path / "v73.mat"
    write_mat73(path)
    whole = path.read_bytes()
    assert b"HEAP" in whole
    path.write_bytes(whole.replace(b"HEAP", b"HEAT"))
    for read in (read_mat, lambda p: MatCells(p, "Masks")):
        with pytest.raises(CorruptInput, match="not a readable MAT file") as e:
            read(path)
        assert "\n" not in str(e.value)


def test_csv_lines_are_named(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes("\ufeffid,x\n007,1\n008,one\n".encode())
    with pytest.raises(CorruptInput, match="line 3, column x: found 'one'; expected a number"):
        read_csv(path, {"id": str, "x": float})
    assert read_csv(path, {"id": str})[0] == {"id": "007"}
    with pytest.raises(CorruptInput, match="line 1: found the columns id, x; expected also y"):
        read_csv(path, {"y": float})
    path.write_text("1,2\n3\n\n\n")
    with pytest.raises(CorruptInput, match="line 2: found '3'; expected a,b"):
        read_csv(path, {"a": int, "b": int}, header=False)
    path.write_text("x,y,x\n1,2,3\n")
    with pytest.raises(CorruptInput, match="line 1: found two columns x; expected one"):
        read_csv(path, {"x": int})
    assert read_csv(path, {"y": int}) == [{"y": 2}]


def test_csv_with_a_header_of_unknown_names(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("who knows,\n1,2.5\n")
    columns = {"a": int, "b": float}
    assert read_csv(path, columns, header="unnamed") == [{"a": 1, "b": 2.5}]
    path.write_text("1,2.5\n3,4\n")
    with pytest.raises(CorruptInput, match="line 1: found '1,2.5'; expected a header row"):
        read_csv(path, columns, header="unnamed")
    path.write_text("")
    with pytest.raises(CorruptInput, match="line 1: found nothing; expected a header row"):
        read_csv(path, columns, header="unnamed")
    path.write_text("a,b\n1,2.5\n3\n")
    with pytest.raises(CorruptInput, match="line 3: found '3'; expected a,b"):
        read_csv(path, columns, header="unnamed")


def test_xml_of_an_unknown_encoding_is_refused(tmp_path):
    path = tmp_path / "a.xml"
    for encoding in ("klingon", "base64", "utf-7"):
        path.write_text(f'<?xml version="1.0" encoding="{encoding}"?><a/>')
        with pytest.raises(CorruptInput, match="not valid XML"):
            read_xml(path)


def test_xml_that_expands_or_refers_outside_is_refused(tmp_path):
    path = tmp_path / "a.xml"
    for text in (
        '<!DOCTYPE a [<!ENTITY x "xxxx"><!ENTITY y "&x;&x;">]><a>&y;</a>',
        '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>',
    ):
        path.write_text(text)
        with pytest.raises(CorruptInput, match="not valid XML"):
            read_xml(path)


def test_arrays_below_keys(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"K": {"0": [[1, 2]]}}))
    assert read_array(tmp_path / "a.json", "K.0", (1, 2)).tolist() == [[1, 2]]
    np.savez(tmp_path / "a.npz", start=np.array(8))
    assert float(read_array(tmp_path / "a.npz", "start", ())) == 8
    with pytest.raises(CorruptInput, match="has no 'stop' of key 'stop'; there: start"):
        read_array(tmp_path / "a.npz", "stop", ())
    with pytest.raises(CorruptInput, match=r"is a \.txt file; expected \.json, \.npz, \.npy"):
        read_array(tmp_path / "a.txt", "x", ())


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
