"""The entry format: what we write is read back, by us and by a reader that shares no code."""

import struct
import zlib

import cv2
import deltacamera
import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posepile.errors import WorkError
from posepile.store import cameras, codec, table
from posepile.store.columns import write_columns
from posepile.store.coords import FLOAT32_TOLERANCE_MM


def make_record(rng, n_joints=7, **overrides):
    fields = {
        "image_path": "toy_downscaled/séq_1/000_01.jpg",
        "split": "val",
        "bbox": rng.normal(size=4).astype(np.float32) * 100,
        "imshape": (240, 320),
        "frame": 17,
        "person": 3,
        "sequence": "séq_1",
        "world_coords": (rng.normal(size=(n_joints, 3)) * 1000).astype(np.float32),
        "activity": "walking",
        "scene": "outdoor",
    }
    return codec.Record(**{**fields, **overrides})


def make_camera(rng, model=None, mirrored=False, shape=None, far=1.0):
    rot = cv2.Rodrigues(rng.normal(size=3))[0]
    if mirrored:
        rot[0] *= -1
    return deltacamera.Camera(
        rot_world_to_cam=rot,
        optical_center=rng.normal(size=3) * 3000 * far,
        intrinsic_matrix=[[900, 0.5, 120], [0, 910, 160], [0, 0, 1]],
        distortion_model=model,
        world_up=(0, -1, 0),
        image_shape=shape,
    )


def assert_same(a, b, coord_tolerance=0.0, camera_tolerance=2e-6):
    for name in ("image_path", "split", "frame", "person", "sequence", "activity", "scene"):
        assert getattr(a, name) == getattr(b, name), name
    assert tuple(a.imshape) == tuple(b.imshape)
    assert b.bbox.dtype == np.float32
    np.testing.assert_array_equal(np.float32(a.bbox), b.bbox)
    for name in ("world_coords", "coords2d", "valid_poly"):
        x, y = getattr(a, name), getattr(b, name)
        if x is None or (name == "valid_poly" and not len(x)):
            assert y is None, name
            continue
        assert y.shape == np.shape(x) and y.flags.writeable, name
        np.testing.assert_allclose(y, x, rtol=0, atol=coord_tolerance, err_msg=name)
    if a.camera is None:
        assert b.camera is None
    else:
        for name in ("R", "t", "intrinsic_matrix", "world_up"):
            np.testing.assert_allclose(
                getattr(b.camera, name), getattr(a.camera, name), rtol=1e-6, atol=camera_tolerance
            )
        assert a.camera.distortion_model == b.camera.distortion_model
        assert a.camera.image_shape == b.camera.image_shape
    if a.mask is None:
        assert b.mask is None
    else:
        assert list(a.mask["size"]) == list(b.mask["size"])
        assert a.mask["counts"] == b.mask["counts"]


MODELS = {
    "none": None,
    "fisheye": deltacamera.FisheyeKannalaBrandt([0.1, -0.02, 0.003, 0.0004]),
    "fisheye with zeros": deltacamera.FisheyeKannalaBrandt([0.1, 0, 0, 0]),
    "brown-conrady 5": deltacamera.BrownConradyEx([0.1, -0.02, 0.001, 0.002, 0]),
    "brown-conrady 14": deltacamera.BrownConradyEx(np.linspace(-0.1, 0.1, 14)),
}


@st.composite
def records(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n_joints = draw(st.sampled_from([1, 7, 17, 300]))
    far = draw(st.sampled_from([1.0, 2000.0]))  # the second: kilometres from the origin
    coords = None
    if draw(st.booleans()):
        coords = rng.normal(size=(n_joints, 3)) * 1000 * far
        missing = draw(st.sampled_from(["none", "some", "all", "one component"]))
        if missing == "some":
            coords[rng.random(n_joints) < 0.5] = np.nan
        elif missing == "all":
            coords[:] = np.nan
        elif missing == "one component":
            coords[0, 1] = np.nan
        if draw(st.booleans()):
            coords = coords.astype(np.float32)
    coords2d = None
    if draw(st.booleans()):
        coords2d = rng.normal(size=(n_joints, 2)).astype(np.float32) * 200
        coords2d[rng.random(n_joints) < draw(st.sampled_from([0, 0.5, 1.0]))] = np.nan
    camera = None
    if draw(st.booleans()):
        camera = make_camera(
            rng,
            MODELS[draw(st.sampled_from(sorted(MODELS)))],
            draw(st.booleans()),
            draw(st.sampled_from([None, (240, 320), (1080, 1920)])),
            far,
        )
    return make_record(
        rng,
        world_coords=coords,
        coords2d=coords2d,
        camera=camera,
        bbox=np.array(
            draw(st.lists(st.floats(-1e5, 1e5, width=32), min_size=4, max_size=4)), np.float32
        ),
        mask=draw(
            st.one_of(
                st.none(),
                st.fixed_dictionaries(
                    {
                        "size": st.sampled_from([[240, 320], [7, 9]]),
                        "counts": st.binary(min_size=1, max_size=50),
                    }
                ),
            )
        ),
        valid_poly=draw(
            st.sampled_from([None, np.zeros((0, 2), np.float32), np.eye(4, 2, dtype=np.float32)])
        ),
        parameters=draw(
            st.sampled_from(
                [None, {"type": "smpl", "gender": "male", "pose": np.arange(72.0), "kid": 0.5}]
            )
        ),
        densepose=draw(
            st.sampled_from([None, (np.eye(2), np.array([3, 4], np.uint16), np.ones((2, 3)))])
        ),
        frame=draw(st.integers(-1, 2**40)),
        person=draw(st.integers(0, 150)),
    )


@settings(max_examples=150, deadline=None)
@given(records())
def test_entry_roundtrip(record):
    data = codec.encode_entry(record)
    assert data == codec.encode_entry(record)
    back = codec.decode_entry(data, codec.entry_key(record))
    assert_same(record, back, coord_tolerance=FLOAT32_TOLERANCE_MM)
    assert_extras(record, back)


@settings(max_examples=150, deadline=None)
@given(st.lists(records(), min_size=1, max_size=4))
def test_table_roundtrip(many):
    n_joints = {len(c) for r in many for c in (r.world_coords, r.coords2d) if c is not None}
    if len(n_joints) > 1:
        with pytest.raises(WorkError, match="joints, expected"):
            write_columns(many)
        return
    columns = write_columns(many)
    examples = table.ExampleTable(columns, max(n_joints, default=0))
    for row, record in enumerate(many):
        back = examples.record(row)
        assert examples.path(row) == codec.entry_key(record)
        assert_same(record, back, coord_tolerance=FLOAT32_TOLERANCE_MM)
        assert_extras(record, back)


def test_a_large_skeleton_without_any_joint():
    coords = np.full((300, 3), np.nan)
    columns = write_columns([make_record(np.random.default_rng(0), world_coords=coords)])
    assert "joint_rows" not in columns
    found = table.ExampleTable(columns, 300).readers["world_coords"](0).to_array()
    assert found.shape == (300, 3) and found.dtype == np.float32 and np.isnan(found).all()


def assert_extras(record, back):
    if record.parameters is None:
        assert back.parameters is None
    else:
        assert back.parameters.keys() == record.parameters.keys()
        np.testing.assert_array_equal(back.parameters["pose"], record.parameters["pose"])
    if record.densepose is None:
        assert back.densepose is None
    else:
        for x, y in zip(record.densepose, back.densepose, strict=True):
            np.testing.assert_array_equal(x, y)
            assert x.dtype == y.dtype


# -------------------------------------------------------------- a reader that shares no code


def mini_read(data):
    """Reads an entry from the documentation of the format alone."""

    def array(node):
        code, size = {"<f4": ("f", 4), "<f8": ("d", 8), "<u2": ("H", 2), "<f2": ("e", 2)}[
            node[b"type"]
        ]
        flat = struct.unpack(f"<{len(node[b'data']) // size}{code}", node[b"data"])
        shape = node[b"shape"]
        if len(shape) == 1:
            return list(flat)
        return [list(flat[i : i + shape[1]]) for i in range(0, len(flat), shape[1])]

    def walk(node):
        if isinstance(node, dict):
            return array(node) if b"nd" in node else {k: walk(v) for k, v in node.items()}
        return node

    return walk(msgpack.unpackb(data, strict_map_key=False))


def test_entry_is_readable_by_an_independent_reader(rng=None):
    rng = np.random.default_rng(0)
    coords = np.float32([[1, 2, 3], [np.nan] * 3, [4, 5, 6]])
    record = make_record(
        rng,
        world_coords=coords,
        coords2d=np.float32([[1, 2], [3, 4], [np.nan, np.nan]]),
        bbox=np.float32([-40000, 1.5, 70000, 2]),
        camera=make_camera(rng, MODELS["fisheye"]),
        mask={"size": [4, 5], "counts": b"04a"},
    )
    entry = mini_read(codec.encode_entry(record))
    assert entry["impath"] == record.image_path
    assert entry["bbox"] == [-40000, 1.5, 70000, 2]
    assert entry["joints3d"] == {"rows": [[1, 2, 3], [4, 5, 6]], "i_rows": [0, 2]}
    assert entry["joints2d"] == {"rows": [[1, 2], [3, 4]], "i_rows": [0, 1]}
    assert entry["mask"]["size"] == [4, 5]
    assert zlib.decompress(entry["mask"]["zcounts"]) == b"04a"
    cam = entry["cam"]
    assert len(cam["distcoef"]) == 4 and cam["distmodel"] == cameras.FISHEYE
    assert cam["intr"][0] == [900, 0.5, 120] and len(cam["intr"]) == 2
    rot = cv2.Rodrigues(np.array(cam["rotvec_w2c"]))[0]
    np.testing.assert_allclose(rot, record.camera.R, atol=1e-6)
    np.testing.assert_array_equal(np.float32(cam["loc"]), record.camera.t)


def test_no_valid_joint_is_not_all_valid():
    rng = np.random.default_rng(0)
    nothing = np.full((5, 3), np.nan, np.float32)
    entry = mini_read(
        codec.encode_entry(make_record(rng, world_coords=nothing, coords2d=nothing[:, :2]))
    )
    # Readers need the keys: a row that says NaN, rather than "no indices: all valid"
    for joints in (entry["joints3d"], entry["joints2d"]):
        assert joints["i_rows"] == [0] and np.isnan(joints["rows"]).all()


def test_all_valid_carries_indices_so_that_readers_make_their_own_array():
    entry = mini_read(codec.encode_entry(make_record(np.random.default_rng(0), n_joints=3)))
    assert entry["joints3d"]["i_rows"] == [0, 1, 2]


def upstream_entry(**overrides):
    entry = {
        "impath": "x_downscaled/a_b.jpg",
        "bbox": np.array([1, 2, 3, 4], np.int16),
        "joints3d": {
            "rows": np.float16([[1, 2, 3], [4, 5, 6]]),
            "i_rows": np.zeros(0, np.uint16),
        },
        "cam": {
            "rotvec_w2c": np.array([0.1, 0.2, 0.3]),
            "loc": np.array([1.0, 2, 3]),
            "intr": np.array([[500.0, 0, 10], [0, 500, 20]]),
            "up": np.array([0.0, 0, 1]),
        },
    }
    entry.update(overrides)
    import msgpack_numpy

    return msgpack_numpy.packb(entry)


def test_reads_what_earlier_producers_wrote():
    data = upstream_entry(mask={"size": [4, 5], "zcounts": zlib.compress(b"04a")})
    record = codec.decode_entry(data, "train/x_downscaled/a_b.jpg_123.msgpack", n_joints=2)
    assert (record.split, record.person, record.image_path) == (
        "train",
        123,
        "x_downscaled/a_b.jpg",
    )
    assert record.bbox.dtype == np.float32 and record.bbox.tolist() == [1, 2, 3, 4]
    record.world_coords -= 1  # all valid, float16 on disk: still ours to change
    assert record.world_coords.dtype == np.float32
    assert record.mask == {"size": [4, 5], "counts": b"04a"}
    assert record.camera.distortion_model is None


@pytest.mark.parametrize(
    ("coeffs", "kind"),
    [
        ([0.1, 0, 0, 0], deltacamera.FisheyeKannalaBrandt),
        ([0.1, 0, 0, 0, 0], deltacamera.BrownConradyEx),
        ([0.0] * 5, type(None)),
    ],
)
def test_untagged_distortion_is_told_by_length(coeffs, kind):
    cam = {
        "rotvec_w2c": np.zeros(3),
        "loc": np.zeros(3),
        "intr": np.eye(2, 3),
        "distcoef": np.array(coeffs),
    }
    record = codec.decode_entry(upstream_entry(cam=cam), n_joints=2)
    assert type(record.camera.distortion_model) is kind


def test_uncompressed_masks_are_read():
    import rlemasklib

    mask = np.zeros((6, 7), np.uint8)
    mask[2:4, 3:5] = 1
    rle = rlemasklib.encode(mask)
    ucounts = rlemasklib.decompress(rle)["ucounts"]
    stored = {"size": [6, 7], "ucounts": ucounts}
    record = codec.decode_entry(upstream_entry(mask=stored), n_joints=2)
    assert record.mask["counts"] == rle["counts"]


def test_pickled_arrays_are_refused():
    data = upstream_entry(bbox=np.array([{"a": 1}], dtype=object))
    with pytest.raises(WorkError, match="pickled"):
        codec.decode_entry(data)


@pytest.mark.parametrize("data", [b"", b"\xff\xff", b"\x81\xa1a", msgpack.packb([1, 2])])
def test_broken_entry_is_an_error(data):
    with pytest.raises(WorkError):
        codec.decode_entry(data)
