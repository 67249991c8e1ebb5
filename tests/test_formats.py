"""Raw files are read and checked in one call; what is wrong is one line."""

import json

import cdflib.cdfwrite
import ezc3d
import h5py
import numpy as np
import pytest
import scipy.io

from posepile.errors import CorruptInput
from posepile.formats import budget
from posepile.formats.arrays import read_array, read_npy, read_npz
from posepile.formats.cdf_records import check_records
from posepile.formats.matlab_files import MatCells, read_cell_rows, read_mat
from posepile.formats.matlab_v5 import whole_variables
from posepile.formats.mocap_files import read_c3d, read_cdf
from posepile.formats.numpy_files import load_npy
from posepile.formats.schema import Array
from posepile.formats.text_files import iter_json, read_csv, read_json, read_numbers, read_xml


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


@pytest.mark.parametrize(
    "nested",
    ["[" * 100_000, '{"a": [' * 50_000, "[[], 1, " * 10_000, '["]]]]", ' * 600, '["\\"]", ' * 600],
)
def test_json_nested_without_end_is_not_followed(tmp_path, nested):
    """The parser would keep the way to each level: gigabytes for a file of 100 kB."""
    path = tmp_path / "a.json"
    path.write_text(f'{{"items": [1, {nested}')
    with pytest.raises(CorruptInput, match="nested more than 500 deep"):
        list(iter_json(path, "items.item"))
    with pytest.raises(CorruptInput, match="not valid JSON"):
        read_json(path)


def test_brackets_in_texts_are_no_levels(tmp_path):
    path = tmp_path / "a.json"
    items = ["[" * 501, '\\"[{' * 501, *[f"[{i}" for i in range(70_000)]]
    path.write_text(json.dumps({"items": items, "deep": [[[]]]}))
    assert list(iter_json(path, "items.item")) == items


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
    ("text", "message"),
    [
        ("1 2 3\n4 five 6\n", "line 2: .*five.*; expected numbers"),
        ("1 2 3\n4 5\n", "found lists of different lengths"),
        ("1 2\n3 4\n", r"found shape \(2, 2\); expected shape \(n, 3\)"),
    ],
)
def test_numbers_in_lines_are_checked(tmp_path, text, message):
    path = tmp_path / "a.txt"
    path.write_text("[1, 2;3]\n\n4\t5 6\n")
    assert read_numbers(path, Array("n", 3)).tolist() == [[1, 2, 3], [4, 5, 6]]
    path.write_text(text)
    with pytest.raises(CorruptInput, match=message):
        read_numbers(path, Array("n", 3))


def test_walks_say_themselves_what_takes_too_much(tmp_path, monkeypatch):
    write_cdf(tmp_path / "a.cdf")
    scipy.io.savemat(tmp_path / "a.mat", {"x": np.eye(3)}, do_compression=True)
    monkeypatch.setattr(budget, "_SMALL", 8)
    monkeypatch.setattr(budget, "_MOST_INFLATED", 0)
    cdf, mat = (tmp_path / "a.cdf").read_bytes(), (tmp_path / "a.mat").read_bytes()
    with pytest.raises(CorruptInput, match="a.cdf: .*takes more memory than .* 0 MiB; fetch it"):
        check_records(cdf, "a.cdf", hint="fetch it")
    with pytest.raises(CorruptInput, match="a.mat: .*takes more memory than .* 0 MiB; fetch it"):
        whole_variables(mat, None, "a.mat", hint="fetch it")


def test_arrays_cut_off_in_the_length_of_their_head(tmp_path):
    np.save(tmp_path / "a.npy", np.eye(3))
    data = (tmp_path / "a.npy").read_bytes()
    for n in (8, 9):
        (tmp_path / "a.npy").write_bytes(data[:n])
        with pytest.raises(CorruptInput, match="header .cut off in its length"):
            load_npy(tmp_path / "a.npy")


def test_cells_of_structures_lose_no_axis_and_no_field(tmp_path):

    path = tmp_path / "annot.mat"
    for n, people in ((3, 2), (3, 1), (1, 3), (1, 1)):
        cells = np.empty((n, people), object)
        for k, p in np.ndindex(n, people):
            cells[k, p] = {"points": np.full((2, 17), 10 * k + p), "valid": float(p)}
        scipy.io.savemat(path, {"annotations": cells})
        schema = {"points": Array(2, 17), "valid": Array()}
        rows = read_cell_rows(path, "annotations", n, schema)
        assert [len(row) for row in rows] == [people] * n
        for k, p in np.ndindex(n, people):
            assert rows[k][p]["points"][1, 16] == 10 * k + p and rows[k][p]["valid"] == p
    cells = np.empty((4, 2), object)
    for at in np.ndindex(4, 2):
        cells[at] = {"points": np.zeros((2, 17)), "valid": np.nan}
    scipy.io.savemat(path, {"annotations": cells})
    for n, text in ((3, r"shape \(4, 2\); expected 3 rows"), (4, r"\(1,1\)\.valid: found nan")):
        with pytest.raises(CorruptInput, match=text):
            read_cell_rows(path, "annotations", n, schema)
    with pytest.raises(CorruptInput, match="no occlusion"):
        read_cell_rows(path, "occlusion", 4, None)
