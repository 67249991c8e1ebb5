"""Forged files are refused in one line, within a limit of memory, and alter nothing."""

import pickle
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from forging import (
    BASE,
    NDARRAY,
    RECONSTRUCT,
    array,
    blob,
    bomb,
    build,
    call,
    dictionary,
    dtype,
    end,
    frame_1_0,
    in_legacy,
    in_zip,
    index_of,
    legacy,
    name,
    new,
    npy,
    range_index,
    slice_of,
    tensor,
    torch_zip,
    tuple_of,
    value,
    zip_of,
)

READER = Path(__file__).with_name("forged_reader.py")
ADDRESS = struct.pack("<Q", 0x4141414141)
BUILTINS = "builtins"
DOUBLES = array((2,), dtype("f8"), bytes(16))


def state(*parts):
    return [value(p) for p in parts]


def laughs(n, pair=b"\x86"):
    """Tuples of twice the one before: as many values as 2 to the n."""
    text = value("ha")
    for i in range(n):
        text += b"q" + bytes([i]) + b"h" + bytes([i]) + pair
    return text


def fields(*triples):
    """State of a record dtype; triples: name, opcodes of a dtype, offset."""
    names = tuple_of(*(value(n) for n, _, _ in triples))
    parts = dictionary(**{n: tuple_of(d, value(o)) for n, d, o in triples})
    return names, parts


def record(code, size, *triples, flags=0):
    names, parts = fields(*triples)
    return dtype(code, *state(3, "|", None), names, parts, *state(size, 1, flags))


def sparse(kind="csc", shape=(2, 2), indices=(0, 1), starts=(0, 1, 2), data=(1.0, 2.0)):
    def vector(numbers, code):
        return array((len(numbers),), dtype(code), np.array(numbers, code).tobytes())

    parts = dictionary(
        _shape=value(shape),
        indices=vector(indices, "i4"),
        indptr=vector(starts, "i4"),
        data=vector(data, "f8"),
    )
    return new(f"scipy.sparse.{kind}", f"{kind}_matrix", parts)


TWO_BY_TWO = array((2, 2), dtype("f8"), bytes(32))
NO_COLUMNS = array((1000, 0), dtype("f8"), b"")
OBJECTS_WITHOUT_LIST = dtype("O", *state(3, "|", None, None, None, -1, -1, 0))

FORGED = {
    # a dtype that makes numbers in the file addresses of objects
    "object_dtype_without_its_flags.pkl": array((1,), OBJECTS_WITHOUT_LIST, ADDRESS),
    "field_of_objects.pkl": array((1,), record("V8", 8, ("a", dtype("O"), 0)), ADDRESS),
    "objects_in_subarray.pkl": array(
        (1,),
        dtype(
            "V8", *state(3, "|"), tuple_of(dtype("O"), value((1,))), *state(None, None, 8, 1, 0)
        ),
        ADDRESS,
    ),
    "double_turned_object.pkl": array(
        (1,),
        dtype("f8", *state(3, "|", None), *fields(("a", dtype("O"), 0)), *state(8, 8, 0)),
        ADDRESS,
    ),
    "scalar_of_objects.pkl": call(
        name("numpy.core.multiarray", "scalar"), OBJECTS_WITHOUT_LIST, blob(ADDRESS)
    ),
    "buffer_of_objects.pkl": call(
        name("numpy.core.numeric", "_frombuffer"),
        blob(ADDRESS),
        OBJECTS_WITHOUT_LIST,
        value((1,)),
        value("C"),
    ),
    "objects_in_npy.npy": npy([("a", "|O")], (1,), ADDRESS),
    "objects_of_raw_bytes.npy": npy("|O", (1,), end(array((1,), OBJECTS_WITHOUT_LIST, ADDRESS))),
    # sizes that are not what they seem
    "field_beyond_record.pkl": array((1,), record("V8", 8, ("a", dtype("f8"), 4)), bytes(8)),
    "field_before_record.pkl": array((1,), record("V8", 8, ("a", dtype("f8"), -8)), bytes(8)),
    "size_of_double.pkl": array(
        (1,), dtype("f8", *state(3, "<", None, None, None, 4096, 8, 0)), bytes(8)
    ),
    "size_of_text.pkl": array(
        (1,), dtype("U1", *state(3, "<", None, None, None, 4000, 4, 8)), bytes(4)
    ),
    "too_few_bytes.pkl": array((1000,), dtype("f8"), bytes(8)),
    "negative_shape.pkl": array((-1,), dtype("f8"), bytes(8)),
    "shape_overflows.pkl": array((2**33, 2**31), dtype("f8"), b""),
    "characters_that_are_none.pkl": array((1,), dtype("U1"), b"\xff\xff\xff\x7f"),
    "characters_that_are_none.npy": npy("<U1", (1,), b"\xff\xff\xff\x7f"),
    "dates_without_unit.npy": npy("<M8", (1,), bytes(7) + b"\x01"),
    # altering the process
    "singleton_dtype.pkl": build(
        call(name("numpy.dtypes", "Float64DType")),
        *state(3, ">", None, None, None, -1, -1, 0),
    ),
    "reconstruct_altered.pkl": RECONSTRUCT
    + tuple_of(value(None), value({"__name__": "x"}))
    + b"b",
    "type_altered.pkl": NDARRAY + tuple_of(value(None), value({"sum": 1})) + b"b",
    "list_altered.pkl": b"]" + value({"append": 1}) + b"b",
    "state_twice.pkl": DOUBLES + value({}) + b"b",
    "function_of_ours.pkl": name("posepile.formats.pickles", "loads") + value({"x": 1}) + b"b",
    # inflating
    "array_without_state.pkl": call(RECONSTRUCT, NDARRAY, value((10**11,)), value("b")),
    "many_bytes.pkl": call(name(BUILTINS, "bytes"), value(10**11)),
    "many_bytes_in_array.pkl": call(name(BUILTINS, "bytearray"), value(10**11)),
    "long_list.pkl": call(name(BUILTINS, "list"), call(name(BUILTINS, "range"), value(10**11))),
    "list_of_a_list.pkl": b"]q\x00("
    + b"N" * 10**5
    + b"e0]("
    + call(name(BUILTINS, "list"), b"h\x00") * 10**4
    + b"e",
    "laughs.pkl": laughs(60),
    "laughs_in_lists.pkl": b"(" + laughs(60) + b"l",
    "laughs_as_key.pkl": b"(" + laughs(60) + b"Nd",
    "laughs_in_set.pkl": b"\x8f(" + laughs(60) + b"\x90",
    "laughs_of_dtypes.pkl": array(
        (0,), record("V0", 0, ("x", laughs(60).replace(value("ha"), dtype("V0")), 0)), b""
    ),
    "same_buffer_often.pkl": b"("
    + blob(bytes(10**6))
    + b"q\x00"
    + dtype("u1")
    + b"q\x01"
    + call(
        name("numpy.core.numeric", "_frombuffer"), b"h\x00", b"h\x01", value((10**6,)), value("C")
    )
    * 5000
    + b"l",
    "empty_things.pkl": array((10**15,), dtype("S0"), b""),
    "empty_things.npy": npy("|S0", (10**15,)),
    "empty_records.npy": npy([], (10**15,)),
    "objects_that_are_not_there.npy": npy(
        "|O", (10**12,), end(array((10**12,), dtype("O"), [b"]"]))
    ),
    "bomb.npz": bomb(4000),
    "number_of_many_digits.pkl": b"\x8b" + struct.pack("<i", 10**6) + b"\x7f" * 10**6,
    "number_as_long_text.pkl": b"L" + b"9" * 10**6 + b"L\n",
    "bytes_that_are_not_there.pkl": b"\x8e" + struct.pack("<Q", 2**62),
    "text_that_is_not_there.pkl": b"X" + struct.pack("<I", 2**32 - 1),
    "keys_of_one_hash.pkl": b"("
    + b"".join(value(i * (2**61 - 1)) + b"N" for i in range(1, 30000))
    + b"d",
    # nesting
    "deep_lists.pkl": b"]" * 10**6 + b"a" * (10**6 - 1),
    "deep_tuples.pkl": b")" + b"\x85" * 10**6,
    "list_in_itself.pkl": b"]q\x00h\x00a",
    "array_in_itself.pkl": call(RECONSTRUCT, NDARRAY, value((0,)), value("b"))
    + b"q\x00"
    + tuple_of(value(1), value((1,)), dtype("O"), value(False), b"]h\x00a")
    + b"b",
    # references, and other opcodes that name things
    "persistent_text.pkl": b"P1\n",
    "persistent_value.pkl": value("storage") + b"Q",
    "extension.pkl": b"\x82\x01",
    "instance.pkl": b"(S'true'\nios\nsystem\n",
    "object.pkl": b"(" + name("os", "system") + value("true") + b"o",
    "named_arguments.pkl": name("collections", "OrderedDict")
    + value(())
    + value({"x": 1})
    + b"\x92",
    "attribute_of_name.pkl": value("builtins") + value("dict.__class__") + b"\x93",
    # tensors
    "tensor_of_one_element.pt": torch_zip(
        tensor(in_zip(1), 0, (10**6, 10**6), (0, 0)), {"0": np.zeros(1, "f4")}
    ),
    "tensor_beyond_storage.pt": torch_zip(tensor(in_zip(2), 0, (3,)), {"0": np.zeros(2, "f4")}),
    "tensor_backwards.pt": torch_zip(tensor(in_zip(2), 1, (2,), (-1,)), {"0": np.zeros(2, "f4")}),
    "storage_of_other_size.pt": torch_zip(tensor(in_zip(4)), {"0": np.zeros(2, "f4")}),
    "storage_elsewhere.pt": torch_zip(tensor(in_zip(2, "../data.pkl")), {"0": np.zeros(2, "f4")}),
    "storage_of_two_types.pt": torch_zip(
        tuple_of(tensor(in_zip(2)), tensor(in_zip(1, kind="DoubleStorage"), 0, (1,))),
        {"0": np.zeros(2, "f4")},
    ),
    "big_endian.pt": torch_zip(tensor(in_zip(2)), {"0": np.zeros(2, "f4")}, byteorder=b"big"),
    "zip_of_other_things.pt": zip_of({"readme": b"hello"}),
    "hostile_zip.pt": torch_zip(call(name("os", "system"), value("true")), {}),
    "legacy_cut.pt": legacy(tensor(in_legacy(2)), {"0": np.zeros(2, "f4")})[:-3],
    "legacy_of_other_size.pt": legacy(tensor(in_legacy(9)), {"0": np.zeros(2, "f4")}),
    "legacy_big_endian.pt": legacy(tensor(in_legacy(2)), {}, {"little_endian": False}),
    "legacy_version.pt": legacy(tensor(in_legacy(2)), {"0": np.zeros(2, "f4")}, version=7),
    "legacy_negative.pt": legacy(tensor(in_legacy(-1)), {"0": np.zeros(2, "f4")}),
    # sparse matrices
    "index_outside.pkl": sparse(indices=(0, 7)),
    "index_negative.pkl": sparse(indices=(0, -1)),
    "starts_decrease.pkl": sparse(starts=(0, 2, 1)),
    "starts_beyond.pkl": sparse(starts=(0, 1, 9)),
    "starts_missing.pkl": sparse(starts=(0, 2)),
    "sparse_but_huge.pkl": sparse("csr", (2, 2**31 - 1)),
    "sparse_of_text.pkl": sparse().replace(dtype("f8"), dtype("S8")),
    # tables
    "block_outside.pkl": frame_1_0(
        index_of("ab"),
        range_index(2),
        [(TWO_BY_TWO, array((2,), dtype("i8"), bytes(8) + b"\x09" + bytes(7)))],
    ),
    "column_twice.pkl": frame_1_0(
        index_of("ab"), range_index(2), [(TWO_BY_TWO, array((2,), dtype("i8"), bytes(16)))]
    ),
    "column_missing.pkl": frame_1_0(
        index_of("abc"), range_index(2), [(TWO_BY_TWO, slice_of(0, 2, 1))]
    ),
    "rows_differ.pkl": frame_1_0(
        index_of("ab"), range_index(3), [(TWO_BY_TWO, slice_of(0, 2, 1))]
    ),
    "many_columns.pkl": frame_1_0(range_index(10**14), range_index(0), []),
    "many_columns_in_block.pkl": frame_1_0(
        range_index(10**14), range_index(0), [(NO_COLUMNS, slice_of(0, 10**14, 1))]
    ),
    "same_name_twice.pkl": frame_1_0(
        index_of("aa"), range_index(2), [(TWO_BY_TWO, slice_of(0, 2, 1))]
    ),
    "frame_without_blocks.pkl": new("pandas.core.frame", "DataFrame", value({"_data": 1})),
    "other_index.pkl": frame_1_0(
        index_of("ab"),
        call(name(BASE, "_new_Index"), name("pandas.core.indexes.multi", "MultiIndex"), value({})),
        [],
    ),
}


def run_reader(*args):
    done = subprocess.run(
        [sys.executable, str(READER), *map(str, args)],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={"PYTHONDONTWRITEBYTECODE": "1", "OPENBLAS_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, (done.returncode, done.stdout, done.stderr[-2000:])
    return done.stdout


def written(folder, file, content):
    path = folder / file
    whole = file.endswith((".npy", ".npz", ".pt"))
    path.write_bytes(content if whole else end(content))
    return path


@pytest.mark.parametrize("file", FORGED)
def test_refused_in_one_line(tmp_path, file):
    path = written(tmp_path, file, FORGED[file])
    said = run_reader("read", path)
    assert said.startswith(f"refused: {path}"), said
    assert said.count("\n") == 1 and len(said) < 600 and said[:-1].isprintable()


GOOD = {
    "array.pkl": DOUBLES,
    "record.pkl": array((1,), record("V8", 8, ("a", dtype("f4"), 4)), bytes(8)),
    "sparse.pkl": sparse(),
    "zip.pt": torch_zip(tensor(in_zip(2)), {"0": np.zeros(2, "f4")}, byteorder=b"little"),
    "legacy.pt": legacy(tensor(in_legacy(2)), {"0": np.zeros(2, "f4")}),
    "frame.pkl": frame_1_0(index_of("ab"), range_index(2), [(TWO_BY_TWO, slice_of(0, 2, 1))]),
    "a.npy": npy("<f8", (2,), bytes(16)),
    "plain.npz": zip_of({"a.npy": npy("<f8", (2,), bytes(16))}),
    # Python's own unpickler would make room for four thousand million places.
    "memo.pkl": b"Nr" + struct.pack("<I", 2**32 - 1),
}


@pytest.mark.parametrize("file", GOOD)
def test_the_forger_can_write_good_files(tmp_path, file):
    assert run_reader("read", written(tmp_path, file, GOOD[file])) == "accepted\n"


JOINTS = name("posepile.joint_info", "_rebuild")
EXAMPLE = name("posepile.datasets3d", "Pose3DExample")
FORGED_DATASETS = {
    "function": JOINTS + value({"x": 1}) + b"b",
    "defaults": JOINTS + tuple_of(value(None), value({"__defaults__": (1, 2, 3)})) + b"b",
    "class": EXAMPLE + tuple_of(value(None), value({"load": 1})) + b"b",
    "numpy": name("numpy.core.numeric", "_frombuffer") + value({"x": 1}) + b"b",
    "camera": name("deltacamera", "Camera") + tuple_of(value(None), value({"copy": 1})) + b"b",
    "dtype": FORGED["object_dtype_without_its_flags.pkl"],
    "field": FORGED["field_of_objects.pkl"],
    "inflating": FORGED["many_bytes.pkl"],
    "array": FORGED["array_without_state.pkl"],
    "laughs": FORGED["laughs_as_key.pkl"],
    "deep": FORGED["deep_lists.pkl"],
    "result": call(JOINTS, value("a"), b"]", b"(K\x00l") + tuple_of(value(1), value(2)) + b"b",
    "persistent": b"P1\n",
    "cut": b"X" + struct.pack("<I", 2**32 - 1),
    "wrong_arguments": call(JOINTS, value(1)),
    "array_of_camera": call(
        name("deltacamera.decorators", "_reconstruct_array"),
        blob(ADDRESS),
        value("O"),
        value((1,)),
    ),
    "table": call(
        name("posepile.datasets3d", "table_source"), *state("x", "3d", 10**12, None), value(1)
    ),
}


@pytest.mark.parametrize("kind", FORGED_DATASETS)
def test_forged_dataset(tmp_path, kind):
    path = tmp_path / "set.pkl"
    path.write_bytes(end(FORGED_DATASETS[kind]))
    said = run_reader("dataset", path)
    assert said.startswith(f"refused: {path}") and said.count("\n") == 1, said


def test_limit_can_be_raised(tmp_path):
    from posepile.errors import CorruptInput
    from posepile.formats import numpy_files, pickles

    data = pickle.dumps(np.zeros(1000))
    with pytest.raises(CorruptInput, match="limit of 0 MiB; .* larger max_bytes"):
        pickles.loads(data, max_bytes=4000)
    assert len(pickles.loads(data, max_bytes=80000)) == 1000
    np.savez_compressed(tmp_path / "a.npz", a=np.zeros(10**6))
    with pytest.raises(CorruptInput, match="larger max_bytes"):
        numpy_files.load_npz(tmp_path / "a.npz", max_bytes=10**6)
    assert numpy_files.load_npz(tmp_path / "a.npz")["a"].shape == (10**6,)


def test_fuzzed(tmp_path):
    seeds = tmp_path / "seeds"
    seeds.mkdir()
    for file, content in GOOD.items():
        written(seeds, file, content)
    plain = {"a": [1, 2.5, "x", b"y", None, (True, 10**20)], "s": {1, 2}, "f": np.float32(1)}
    plain["o"] = np.array([np.zeros(2), "text", {}], object)
    plain["u"] = np.array(["a", "bcd"])
    for protocol in range(6):
        (seeds / f"plain{protocol}.pkl").write_bytes(pickle.dumps(plain, protocol))
    np.save(seeds / "object.npy", plain, allow_pickle=True)
    accepted, refused = map(int, run_reader("fuzz", seeds, 3000, 1).split())
    assert accepted > 150 and refused > 1500
