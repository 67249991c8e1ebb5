"""What other people's programs write into pickles is read as plain values and arrays."""

import pickle

import numpy as np
import pytest
from forging import (
    array,
    call,
    dtype,
    end,
    frame_1_0,
    in_legacy,
    in_zip,
    index_of,
    legacy,
    name,
    range_index,
    slice_of,
    tensor,
    torch_zip,
    tuple_of,
    value,
)
from test_numpy_files import assert_same

from posepile.errors import CorruptInput
from posepile.formats import pickles
from posepile.formats.schema import Array
from posepile.miniature import pickled

COLUMNS = {
    "imgPath": ["a.png", "b.png"],
    "camX": [1.5, 2.5],
    "X": [[1.0, 2.0], [3.0]],
    "n": [3, 4],
    "isValid": [[True, False], [True]],
    "flag": [True, False],
    "gt_joints_3d": [[np.ones((2, 3))], [np.zeros((2, 3), np.float32)]],
    "y": [0.5, -1.0],
}


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("index", [None, ["u", "v"], [7, 9], [0.5, 1.5]])
def test_table_of_the_installed_pandas(protocol, index):
    pandas = pytest.importorskip("pandas")
    data = pickle.dumps(pandas.DataFrame(COLUMNS, index=index), protocol)
    assert_same(pickles.loads(data), COLUMNS)
    by_number = pandas.DataFrame({3: [1, 2], 5: [3, 4]})
    assert_same(pickles.loads(pickle.dumps(by_number, protocol)), {3: [1, 2], 5: [3, 4]})


def test_table_of_pandas_1_0(tmp_path):
    pickled.write_pickle(tmp_path / "a.pkl", pickled.frame(COLUMNS))
    assert_same(pickles.read_pickle(tmp_path / "a.pkl"), COLUMNS)


def block(shape, code, content):
    return array(shape, dtype(code), np.asarray(content, code).tobytes())


def objects(rows):
    values = [v for row in rows for v in row]
    return array(
        (len(rows), len(rows[0])), dtype("O"), [b"(" + b"".join(map(value, values)) + b"l"]
    )


def test_blocks_of_tables_by_hand():
    blocks = [
        (block((2, 3), "<f8", [[1, 2, 3], [4, 5, 6]]), slice_of(0, 4, 3)),
        (objects([["x", "y", "z"], [[1], [], [2, 3]]]), block((2,), "<i8", [2, 1])),
    ]
    expected = {"a": [1.0, 2.0, 3.0], "b": [[1], [], [2, 3]], "c": ["x", "y", "z"]}
    expected["d"] = [4.0, 5.0, 6.0]
    data = end(frame_1_0(index_of("abcd"), range_index(3), blocks))
    assert_same(pickles.loads(data), expected)
    # From pandas 1.3 on, blocks and the manager are made by calls.
    maker = name("pandas.core.internals.blocks", "new_block")
    new_blocks = tuple_of(*(call(maker, v, p, value(2)) for v, p in blocks))
    axes = b"(" + index_of("abcd") + range_index(3) + b"l"
    manager = call(name("pandas.core.internals.managers", "BlockManager"), new_blocks, axes)
    frame = name("pandas.core.frame", "DataFrame") + b")\x81(" + value("_mgr") + manager + b"db"
    assert_same(pickles.loads(end(frame)), expected)


FLOATS = np.arange(6, dtype=np.float32)


def both(make):
    """The two forms of torch.save."""
    return [
        torch_zip(make(in_zip), {"0": FLOATS}),
        legacy(make(in_legacy), {"0": FLOATS}),
    ]


@pytest.mark.parametrize("form", [0, 1])
def test_files_of_torch_save(form):
    def make(reference):
        first = tensor(reference(6), 1, (2, 2), (1, 2))
        parameter = call(
            name("torch._utils", "_rebuild_parameter"),
            tensor(reference(6), 0, (6,)),
            value(False),
            call(name("collections", "OrderedDict")),
        )
        size = call(name("torch", "Size"), value((2, 3)))
        return (
            b"(" + value("a") + first + value("p") + parameter + value("s") + size
            + value("e") + tensor(reference(6), 0, (0, 3), (3, 1)) + b"d"
        )  # fmt: skip

    expected = {
        "a": np.float32([[1, 3], [2, 4]]),
        "p": FLOATS,
        "s": (2, 3),
        "e": np.zeros((0, 3), np.float32),
    }
    assert_same(pickles.loads(both(make)[form]), expected)


@pytest.mark.parametrize(
    ("kind", "stored", "expected"),
    [
        ("DoubleStorage", np.float64([1.5, -2]), None),
        ("LongStorage", np.int64([1, -2]), None),
        ("ByteStorage", np.uint8([1, 200]), None),
        ("BoolStorage", np.array([True, False]), None),
        ("ComplexFloatStorage", np.complex64([1j, 2]), None),
        ("BFloat16Storage", np.uint16([0x3FC0, 0xC040]), np.float32([1.5, -3])),
    ],
)
def test_types_of_tensors(kind, stored, expected):
    expected = stored if expected is None else expected
    new = torch_zip(tensor(in_zip(2, kind=kind)), {"0": stored}, byteorder=b"little")
    old = legacy(tensor(in_legacy(2, kind=kind)), {"0": stored})
    assert_same(pickles.loads(new), expected)
    assert_same(pickles.loads(old), expected)


def test_tensor_in_a_plain_pickle(tmp_path):
    content = {"root_pose": pickled.tensor(np.float32([[1, 2, 3]])), "n": 1}
    pickled.write_pickle(tmp_path / "a.pkl", content, 2)
    expected = {"root_pose": np.float32([[1, 2, 3]]), "n": 1}
    assert_same(pickles.read_pickle(tmp_path / "a.pkl"), expected)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "array",
    [
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(24.0).reshape(2, 3, 4).transpose(2, 0, 1),
        np.arange(12)[::3],
        np.arange(4, dtype=">i4"),
        np.zeros(3, [("x", "<f4"), ("y", "<i8", (2,)), ("z", [("w", "?")])]),
        np.array(["2020-01-02", "NaT"], "M8[ns]"),
        np.array([1, 2], "m8[3s]"),
        np.array([["a", ""], ["bcd", "é"]]),
        np.array([b"x", b""]),
        np.array("male"),
        np.array([True, False]),
        np.zeros((0, 3), bool),
    ],
    ids=lambda a: str(a.dtype),
)
def test_arrays_of_all_kinds(array, protocol):
    loaded = pickles.loads(pickle.dumps(array, protocol))
    assert_same(loaded, array)
    assert loaded.flags.writeable
    assert_same(pickles.loads(pickle.dumps([array[...]], protocol))[0], array)


def test_objects_in_arrays_stay_what_they_are():
    values = [np.array(5.0), [1, 2], np.zeros(3), "x", None, {}]
    array = np.fromiter(values, object, 6)
    assert isinstance(array[0], np.ndarray)
    loaded = pickles.loads(pickle.dumps(array.reshape(3, 2, order="F")))
    assert loaded.shape == (3, 2)
    for found, given in zip(loaded.ravel("F"), array, strict=True):
        assert_same(found, given)


def test_numbers_of_numpy_as_keys_and_shared_values():
    shared = np.zeros(3)
    given = {np.int64(5): shared, np.str_("a"): [shared], (1, np.float32(2)): {1, "a"}}
    loaded = pickles.loads(pickle.dumps(given))
    assert_same(loaded, given)
    assert loaded[5] is loaded["a"][0]
    assert pickles.loads(pickle.dumps(np.float32)) == np.dtype("f4")


def test_array_class_of_trimesh():
    plain = array((2,), dtype("f8"), np.arange(2.0).tobytes())
    tracked = plain.replace(name("numpy", "ndarray"), name("trimesh.caching", "TrackedArray"))
    assert_same(pickles.loads(end(tracked)), np.arange(2.0))


def test_large_files_are_mapped(tmp_path, monkeypatch):
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps({"a": np.arange(5000), "b": bytes(10**5), "c": "x"}))
    monkeypatch.setattr(pickles, "_MAPPED_FROM", 10)
    expected = {"a": np.arange(5000), "b": bytes(10**5), "c": "x"}
    assert_same(pickles.read_pickle(path), expected)
    path.write_bytes(torch_zip(tensor(in_zip(6), 0, (6,)), {"0": FLOATS}))
    assert_same(pickles.read_pickle(path), FLOATS)


def test_schema(tmp_path):
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps({"pose": np.zeros((4, 72), np.float32)}))
    found = pickles.read_pickle(path, {"pose": Array("T", 72)})
    assert found["pose"].shape == (4, 72)
    with pytest.raises(CorruptInput, match=r"a\.pkl: pose.*\(4, 72\)"):
        pickles.read_pickle(path, {"pose": Array("T", 66)})
    with pytest.raises(CorruptInput, match=r"b\.pkl: No such file"):
        pickles.read_pickle(tmp_path / "b.pkl")
