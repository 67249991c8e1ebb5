"""Pickles written opcode by opcode, as a forger would."""

import io
import pickle
import pickletools
import struct
import zipfile
import zlib

import numpy as np


def name(module, attribute):
    return f"c{module}\n{attribute}\n".encode()


def value(plain):
    """Opcodes of a plain value, without any that remember it."""
    return pickletools.optimize(pickle.dumps(plain, 2))[2:-1]


def tuple_of(*parts):
    return b"(" + b"".join(parts) + b"t"


def call(function, *args):
    return function + tuple_of(*args) + b"R"


def build(made, *state):
    return made + tuple_of(*state) + b"b"


def dictionary(**items):
    return b"(" + b"".join(value(k) + v for k, v in items.items()) + b"d"


def blob(data):
    return b"B" + struct.pack("<I", len(data)) + data


def end(made):
    return b"\x80\x03" + made + b"."


def new(module, attribute, state=None):
    made = name(module, attribute) + b")\x81"
    return made if state is None else made + state + b"b"


NDARRAY = name("numpy", "ndarray")
DTYPE = name("numpy", "dtype")
RECONSTRUCT = name("numpy.core.multiarray", "_reconstruct")


def dtype(code, *state):
    made = call(DTYPE, value(code), value(0), value(1))
    if not state:
        order = "|" if code in ("b1", "i1", "u1", "O") or code[0] in "SV" else "<"
        state = tuple(value(s) for s in (3, order, None, None, None, -1, -1, 0))
    return build(made, *state)


def array(shape, of, data):
    """An array with any state; shape a tuple, of the opcodes of a dtype, data bytes or opcodes."""
    empty = call(RECONSTRUCT, NDARRAY, value((0,)), value("b"))
    data = blob(data) if isinstance(data, bytes) else b"".join(data)
    return build(empty, value(1), value(shape), of, value(False), data)


def npy(descr, shape, data=b""):
    header = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


def zip_of(members):
    f = io.BytesIO()
    with zipfile.ZipFile(f, "w") as archive:
        for member, data in members.items():
            archive.writestr(member, data)
    return f.getvalue()


def bomb(n_megabytes):
    """An npz file whose member inflates to many megabytes of zeros, from little more than none."""
    head = npy("<f8", (n_megabytes * 2**17,))
    first = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = first.compress(head) + first.flush(zlib.Z_FULL_FLUSH)
    block = zlib.compressobj(9, zlib.DEFLATED, -15)
    data += (block.compress(bytes(2**20)) + block.flush(zlib.Z_FULL_FLUSH)) * n_megabytes
    data += zlib.compressobj(9, zlib.DEFLATED, -15).flush()
    size = len(head) + n_megabytes * 2**20
    local = struct.pack("<HHHHHIIIHH", 20, 0, 8, 0, 33, 0, len(data), size, 5, 0)
    central = struct.pack(
        "<HHHHHHIIIHHHHHII", 20, 20, 0, 8, 0, 33, 0, len(data), size, 5, 0, 0, 0, 0, 0, 0
    )
    body = b"PK\x03\x04" + local + b"a.npy" + data
    directory = b"PK\x01\x02" + central + b"a.npy"
    last = struct.pack("<HHHHIIH", 0, 0, 1, 1, len(directory), len(body), 0)
    return body + directory + b"PK\x05\x06" + last


# ---------------------------------------------------------------- tensors


def storage_reference(n, key="0", kind="FloatStorage"):
    parts = [value("storage"), name("torch", kind), value(key), value("cpu"), value(n)]
    return parts


def tensor(storage, offset=0, size=(2,), stride=(1,)):
    return call(
        name("torch._utils", "_rebuild_tensor_v2"),
        storage,
        *(value(x) for x in (offset, size, stride, False)),
        call(name("collections", "OrderedDict")),
    )


def in_zip(n, key="0", kind="FloatStorage"):
    return tuple_of(*storage_reference(n, key, kind)) + b"Q"


def legacy(content, storages, machine=None, version=1001):
    """A file of torch.save before 1.6; storages: key to array."""
    machine = {"little_endian": True} if machine is None else machine
    head = [pickle.dumps(p, 2) for p in (0x1950A86A20F9469CFC6C, version, machine)]
    tail = [struct.pack("<q", a.size) + a.tobytes() for a in storages.values()]
    return b"".join([*head, end(content), pickle.dumps(list(storages), 2), *tail])


def in_legacy(n, key="0", kind="FloatStorage"):
    return tuple_of(*storage_reference(n, key, kind), value(None)) + b"Q"


def torch_zip(content, storages, **more):
    members = {"archive/data.pkl": end(content), "archive/version": b"3\n"}
    members |= {f"archive/data/{k}": np.asarray(a).tobytes() for k, a in storages.items()}
    return zip_of(members | {f"archive/{k}": v for k, v in more.items()})


# ---------------------------------------------------------------- tables

BASE = "pandas.core.indexes.base"


def index_of(labels):
    data = array((len(labels),), dtype("O"), [b"(" + b"".join(map(value, labels)) + b"l"])
    parts = dictionary(data=data, name=value(None))
    return call(name(BASE, "_new_Index"), name(BASE, "Index"), parts)


def range_index(n):
    parts = {k: value(v) for k, v in {"name": None, "start": 0, "stop": n, "step": 1}.items()}
    kind = name("pandas.core.indexes.range", "RangeIndex")
    return call(name(BASE, "_new_Index"), kind, dictionary(**parts))


def slice_of(*numbers):
    return call(name("builtins", "slice"), *map(value, numbers))


def frame_1_0(columns, rows, blocks):
    """A DataFrame as pandas 1.0.3 pickles it; blocks: opcodes of values and of places."""
    axes = b"(" + columns + rows + b"l"
    parts = b"(" + b"".join(dictionary(values=v, mgr_locs=p) for v, p in blocks) + b"l"
    newest = b"(" + value("0.14.1") + dictionary(axes=axes, blocks=parts) + b"d"
    manager = name("pandas.core.internals.managers", "BlockManager") + b")\x81"
    manager = build(manager, axes, b"]", b"]", newest)
    state = dictionary(_data=manager, _typ=value("dataframe"), _metadata=b"]", attrs=b"}")
    return new("pandas.core.frame", "DataFrame", state)
