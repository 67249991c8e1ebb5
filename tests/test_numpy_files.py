import base64
import collections
import os
import pickle
import struct
import subprocess
import zlib

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from posepile.errors import CorruptInput
from posepile.formats import numpy_files, pickles


def assert_same(a, b):
    assert type(a) is type(b)
    if isinstance(a, dict):
        assert list(a) == list(b)
        for k in a:
            assert_same(a[k], b[k])
    elif isinstance(a, list | tuple):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_same(x, y)
    elif isinstance(a, np.ndarray):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    else:
        np.testing.assert_array_equal(a, b)


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | st.binary(max_size=5)
    | st.complex_numbers(allow_nan=False)
    | hnp.arrays(
        hnp.floating_dtypes(endianness="<") | hnp.integer_dtypes(endianness="<"),
        hnp.array_shapes(min_dims=0, max_side=3),
    ).map(np.nan_to_num)
    | st.sampled_from([np.float32(2.5), np.int64(-3), np.bool_(True), np.str_("ab")]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=4), inner, max_size=3)
        | st.dictionaries(st.text(max_size=4), inner, max_size=3).map(collections.OrderedDict)
    ),
    max_leaves=6,
)


@given(plain, st.integers(0, 5))
def test_plain_data_comes_back(value, protocol):
    assert_same(pickles.loads(pickle.dumps(value, protocol)), value)


@given(hnp.arrays(hnp.scalar_dtypes(), hnp.array_shapes(min_dims=0, max_side=4)))
def test_npy_without_objects_equals_numpy(tmp_path_factory, array):
    path = tmp_path_factory.mktemp("npy") / "a.npy"
    np.save(path, array)
    loaded = numpy_files.load_npy(path)
    assert loaded.dtype == array.dtype and loaded.shape == array.shape
    assert loaded.tobytes() == np.load(path).tobytes()


def test_order_and_records(tmp_path):
    for array in (
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.zeros(3, [("x", "<f4"), ("y", "<i8", (2,))]),
        np.zeros((0, 4)),
    ):
        np.save(tmp_path / "a.npy", array)
        np.testing.assert_array_equal(numpy_files.load_npy(tmp_path / "a.npy"), array)


def test_saved_dict_comes_back_as_dict(tmp_path):
    value = {"cams": {"00": {"K": np.eye(3), "D": np.zeros((1, 5), np.float32)}}, "n": 3}
    np.save(tmp_path / "annots.npy", value, allow_pickle=True)
    assert_same(numpy_files.load_npy(tmp_path / "annots.npy"), value)
    ragged = np.array([np.zeros(2), np.zeros(3)], object)
    np.save(tmp_path / "ragged.npy", ragged, allow_pickle=True)
    assert numpy_files.load_npy(tmp_path / "ragged.npy").shape == (2,)
    np.savez(tmp_path / "a.npz", x=np.arange(3), meta=np.array(value, object))
    loaded = numpy_files.load_npz(tmp_path / "a.npz")
    assert_same(loaded, {"x": np.arange(3), "meta": value})


def test_names_of_both_numpy_generations():
    new = pickle.dumps({"a": np.arange(4.0), "s": np.float32(1.5)}, 2)
    old = new.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    assert (old != new) == (b"numpy._core" in new)
    assert_same(pickles.loads(old), pickles.loads(new))


def test_pickle_written_by_python_2():
    # {'a': numpy.array([1., 2.])}, protocol 0 strings: 8-bit data inside a text opcode.
    raw = np.array([1.0, 2.0]).tobytes()
    state = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
        b"(I1\n(I2\ntcnumpy\ndtype\n(S'f8'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\nS'"
    )
    data = b"(dS'a'\n" + state + raw.decode("latin1").encode("unicode_escape") + b"'\ntbs."
    np.testing.assert_array_equal(pickles.loads(data)["a"], [1.0, 2.0])


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("kind", ["csc_matrix", "csr_matrix", "coo_matrix"])
def test_sparse_matrices(kind, protocol):
    matrix = getattr(scipy.sparse, kind)(np.diag([1.0, 0, 3]))
    data = pickle.dumps(matrix, protocol)
    if protocol < 3:  # the module's name in the years of the body models
        data = data.replace(f"scipy.sparse._{kind[:3]}\n".encode(), b"scipy.sparse.csc\n")
    loaded = pickles.loads(data)
    assert type(loaded) is type(matrix)
    np.testing.assert_array_equal(loaded.toarray(), matrix.toarray())


class Call:
    """Pickles to a call of a function: the classical attack."""

    def __init__(self, function, *args):
        self.function, self.args = function, args

    def __reduce__(self):
        return self.function, self.args


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "make",
    [
        lambda victim: Call(os.system, f"touch {victim}"),
        lambda victim: Call(eval, f"open({str(victim)!r}, 'w')"),
        lambda victim: Call(exec, f"open({str(victim)!r}, 'w')"),
        lambda victim: Call(open, str(victim), "w"),
        lambda victim: Call(subprocess.Popen, ["touch", str(victim)]),
        lambda victim: Call(getattr, "", "format"),
        lambda victim: Call(np.load, str(victim)),
        lambda victim: Call(np.memmap, str(victim), "u1", "w+", 0, (4,)),
        lambda victim: [{"a": Call(os.mkdir, str(victim))}],
    ],
)
def test_hostile_pickles_are_refused_and_not_run(tmp_path, make, protocol):
    victim, file = tmp_path / "victim", tmp_path / "x.npy"
    payload = pickle.dumps(make(victim), protocol) if protocol else None
    if payload is None:
        np.save(file, np.array(make(victim), object), allow_pickle=True)
        load = numpy_files.load_npy
    else:
        file.write_bytes(payload)
        load = pickles.read_pickle
    with pytest.raises(CorruptInput, match=r"x\.npy: refused: the pickle wants to use \w+\."):
        load(file)
    assert not victim.exists()


def test_the_attack_is_real(tmp_path):
    # So that the test above would notice if its payloads were duds.
    victim = tmp_path / "victim"
    pickle.loads(pickle.dumps(Call(open, str(victim), "w"))).close()
    assert victim.exists()


def global_(module, name):
    return b"c" + module.encode() + b"\n" + name.encode() + b"\n"


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x04" + b"\x8c\x05numpy" + b"\x8c\x0eload.__class__" + b"\x93.",
        global_("numpy", "core.multiarray.os") + b".",
        global_("torch.storage", "_load_from_bytes") + b"(C\x04abcdtR.",
        global_("torch", "load") + b".",
        # altering a permitted function or type by BUILD
        global_("numpy.core.multiarray", "_reconstruct") + b"(dS'x'\nI1\nsb.",
        global_("numpy.core.multiarray", "_reconstruct") + b"(N(dS'_call'\nI1\nstb.",
        global_("collections", "OrderedDict") + b"(N(dS'get'\nI1\nstb.",
        global_("numpy", "ndarray") + b"(N(dS'sum'\nI1\nstb.",
        global_("numpy", "ndarray") + b"(I-1\ntR.",
        global_("copy_reg", "_reconstructor")
        + b"("
        + global_("numpy", "dtype")
        + global_("builtins", "object")
        + b"NtR.",
        b"P1\n.",
        b"\x82\x01.",
    ],
)
def test_crooked_pickles_are_refused(data):
    with pytest.raises(CorruptInput, match=r"x\.pkl"):
        pickles.loads(data, "x.pkl")
    assert collections.OrderedDict(a=1).get("a") == 1


def test_altering_a_class_does_not_reach_the_process():
    before = scipy.sparse.csc_matrix.toarray
    data = global_("scipy.sparse.csc", "csc_matrix") + b"(N(dS'toarray'\nI1\nstb."
    try:
        pickles.loads(data)
    except CorruptInput:
        pass
    assert scipy.sparse.csc_matrix.toarray is before


def test_arrays_of_chumpy():
    array = pickle.dumps(np.arange(6.0), 2)[2:-1]
    places = pickle.dumps(np.array([1, 3]), 2)[2:-1]
    new = (
        global_("copy_reg", "_reconstructor") + b"(%s" + global_("__builtin__", "object") + b"NtR"
    )
    wrapped = new % global_("chumpy.ch", "Ch") + b"(dS'x'\n" + array + b"sb"
    np.testing.assert_array_equal(pickles.loads(wrapped + b"."), np.arange(6.0))
    chosen = new % global_("chumpy.reordering", "Select") + b"(dS'a'\n" + wrapped
    chosen += b"sS'idxs'\n" + places + b"sS'preferred_shape'\n(I2\nI1\ntsb."
    np.testing.assert_array_equal(pickles.loads(chosen), [[1], [3]])
    with pytest.raises(CorruptInput, match="index 9"):
        pickles.loads(chosen.replace(np.int64(3).tobytes(), np.int64(9).tobytes()))


@given(st.data())
def test_truncated_npy_is_reported(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("npy") / "a.npy"
    value = data.draw(st.sampled_from([np.arange(12.0), {"a": np.arange(3)}]))
    np.save(path, value, allow_pickle=True)
    whole = path.read_bytes()
    cut = data.draw(st.integers(0, len(whole) - 1))
    path.write_bytes(whole[:cut])
    with pytest.raises(CorruptInput, match=r"a\.npy: "):
        numpy_files.load_npy(path)


@given(st.binary(max_size=60))
def test_garbage_never_raises_anything_else(data):
    try:
        pickles.loads(data, "x")
    except CorruptInput:
        pass


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f8', 'fortran_order': False, 'shape': (9999999999999,), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }",
        "{'descr': 'nonsense', 'fortran_order': False, 'shape': (1,), }",
        "{'shape': (1,), }",
        "__import__('os').getcwd()",
    ],
)
def test_damaged_headers(tmp_path, header):
    path = tmp_path / "a.npy"
    text = header.encode()
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + bytes(8))
    with pytest.raises(CorruptInput):
        numpy_files.load_npy(path)


def test_npz_that_is_not_one(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, a=np.arange(1000))
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(CorruptInput, match="not a complete npz"):
        numpy_files.load_npz(path)


# Made by PyTorch 1.13 from {'p': a view with strides, 'i': int64, 'bf': bfloat16}.
TORCH_PICKLE = (
    "c-qyH%Wl&^6o$uRhteS}0m`N2qArb)qBb}Xui8ea8*?=qZ_p^Qr?rvs<k;g%MMCn%73CRNu;elFC~SFzN?mXqI}(+e"
    "2dL$Ljy&`GoHO4{p??EndKw{Q0-CR6>W5vPt0>MGPsKQo;(#lWWHRMPJqFZlJQ;@3p<q0gqktcz@(UjyE0HnKhtDuw"
    "L4UCL{OA7J=I7t<*SiIM^H;}lR;^Q2OQn*&jQNpBvq&bOp}||hl{iu=7F;AjG)jPe_ZUv9<B8x|^i^bl9UG?C!pSU@"
    "se+b6JsrQIM8P%3@Qf;lOb%hmG4dR1n%+`nt{VnYZ-DJ%<LYCx3(&k(^w`#Odtmps2G+~|z=ArjKgmIN+HVyYA28b|"
    "AeVWyQMXP0e~KL(cJW0Os9&fl>JN(S5z;|zqPF(HD52$6y*t#QCsp57xPIy*pIG<`@nq~>8i-T`uOeSDSbpjPQ*gtD"
    "_U!B;SP7{a>cfqzfc`aFE+=no_bl7)T_A5PAV2pad81*jHIX(^Z{mC%R!g|)LdPLB>021I6S#dERzUA4Saad7SN%Oc"
    "fO|DjdKHKcXSaF##X_omt9S7})5TP0UZgswINjNu!u=8+xUgQ4D`CUYN_bdPd!*p83s3UyKmNTNLI"
)


def torch_pickle():
    return zlib.decompress(base64.b85decode(TORCH_PICKLE))


def test_torch_tensors_become_arrays_without_torch():
    loaded = pickles.loads(torch_pickle())
    expected = {
        "p": np.array([[4, 6], [8, 10]], np.float32),
        "i": np.array([[1, 2], [3, 4]]),
        "bf": np.array([1.5, -3], np.float32),
    }
    assert_same(loaded, expected)


def tensor(storage, offset=0, size=(2,), stride=(1,)):
    """A tensor's pickle by hand, with an arbitrary storage."""
    build = global_("torch._utils", "_rebuild_tensor_v2")
    load = global_("torch.storage", "_load_from_bytes")
    held = b"B" + struct.pack("<I", len(storage)) + storage
    numbers = b"".join(pickle.dumps(n, 2)[2:-1] for n in (offset, size, stride))
    return build + b"(" + load + b"(" + held + b"tR" + numbers + b"tR."


def storage(values, n=None, hostile=b""):
    values = np.asarray(values, np.float32)
    n = len(values) if n is None else n
    reference = (
        b"\x80\x02(X\x07\x00\x00\x00storage"
        + global_("torch", "FloatStorage")
        + b"X\x01\x00\x00\x00kX\x03\x00\x00\x00cpu"
        + pickle.dumps(n, 2)[2:-1]
        + b"NtQ."
    )
    parts = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}]
    head = b"".join(pickle.dumps(p, 2) for p in parts)
    keys = pickle.dumps(["k"], 2)
    return head + (hostile or reference) + keys + struct.pack("<q", n) + values.tobytes()


def test_torch_pickles_that_lie():
    np.testing.assert_array_equal(pickles.loads(tensor(storage([1, 2, 3]), 1)), [2, 3])
    for bad in (
        tensor(storage([1, 2, 3]), 2),
        tensor(storage([1, 2, 3]), 0, (2,), (3,)),
        tensor(storage([1, 2, 3]), -1),
        tensor(storage([1, 2, 3]), 0, (2, 2), (1,)),
        tensor(storage([1, 2, 3], n=4)),
        tensor(storage([1, 2, 3], n=-1)),
        tensor(storage([1, 2, 3])[:-1]),
        tensor(b"PK\x03\x04"),
    ):
        with pytest.raises(CorruptInput, match="damaged pickle"):
            pickles.loads(bad)


def test_hostile_code_inside_a_tensor_is_refused(tmp_path):
    victim = tmp_path / "victim"
    inner = storage([1.0], hostile=pickle.dumps(Call(open, str(victim), "w"), 2))
    with pytest.raises(CorruptInput, match="refused"):
        pickles.loads(tensor(inner, 0, (1,)))
    assert not victim.exists()
