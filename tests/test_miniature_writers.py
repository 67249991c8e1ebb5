"""The writers of raw formats, read by libraries that are not ours."""

import json
import pickle
import pickletools
import xml.etree.ElementTree as ET

import cdflib
import cv2
import ezc3d
import h5py
import numpy as np
import pytest
import scipy.io

from posepile.errors import CorruptInput
from posepile.formats.aria_files import read_aria_lens, read_static_calibs
from posepile.formats.pickles import read_pickle
from posepile.geometry.rotations import quaternion_matrix
from posepile.miniature import pickled, rig, writers


def test_cdf(tmp_path):
    poses = np.random.default_rng(0).normal(size=(1, 5, 96)).astype(np.float32)
    writers.write_cdf(tmp_path / "new" / "a b.cdf", {"Pose": poses})
    writers.write_cdf(tmp_path / "new" / "a b.cdf", {"Pose": poses})  # again, over the old one
    np.testing.assert_array_equal(cdflib.CDF(str(tmp_path / "new" / "a b.cdf"))["Pose"], poses)


def test_c3d(tmp_path):
    joints = np.random.default_rng(0).normal(size=(4, 3, 3)) * 1000
    joints[1, 2] = np.nan
    writers.write_c3d(tmp_path / "a.c3d", joints, ["a", "b", "c"], 60, more={"SKEL": ["x"]})
    c3d = ezc3d.c3d(str(tmp_path / "a.c3d"))
    np.testing.assert_allclose(c3d["data"]["points"][:3].transpose(2, 1, 0), joints, atol=1e-3)
    point = c3d["parameters"]["POINT"]
    assert point["LABELS"]["value"] == ["a", "b", "c"] and point["SKEL"]["value"] == ["x"]
    assert point["RATE"]["value"] == [60] and point["UNITS"]["value"] == ["mm"]


CELLS = np.empty((1, 2), object)
CELLS[0, 0], CELLS[0, 1] = np.arange(6, dtype=np.uint8).reshape(2, 3), np.eye(4) > 0


def test_mat(tmp_path):
    writers.write_mat(tmp_path / "a.mat", {"x": np.eye(2, 3), "c": CELLS, "s": {"t": "text"}})
    mat = scipy.io.loadmat(tmp_path / "a.mat")
    np.testing.assert_array_equal(mat["x"], np.eye(2, 3))
    assert mat["c"].shape == (1, 2) and mat["c"][0, 0].dtype == np.uint8
    assert mat["s"]["t"][0, 0] == ["text"]


@pytest.mark.parametrize("write", [writers.write_cdf, writers.write_mat])
def test_no_file_holds_the_time(tmp_path, monkeypatch, write):
    array = {"x": np.zeros((1, 50, 3), np.float32)}
    write(tmp_path / "a.mat", array)
    monkeypatch.setattr("time.asctime", lambda: "some other day")
    monkeypatch.setattr("time.time", lambda: 1.7e9)
    write(tmp_path / "b.mat", array)
    names = [p.name.partition(".")[0] for p in tmp_path.iterdir()]
    a, b = (next(tmp_path.glob(f"{n}.*")).read_bytes() for n in sorted(names))
    assert a == b


def test_mat_of_version_7_3_holds_everything_transposed(tmp_path):
    path = tmp_path / "b.mat"
    writers.write_mat73(path, {"Masks": CELLS, "x": np.arange(6.0).reshape(2, 3), "t": "text"})
    assert path.read_bytes()[:19] == b"MATLAB 7.3 MAT-file"
    with h5py.File(path) as file:
        assert file["Masks"].shape == (2, 1) and file["Masks"].dtype == h5py.ref_dtype
        targets = [file[ref][()] for ref in file["Masks"][:, 0]]
        np.testing.assert_array_equal(targets[0].T, CELLS[0, 0])
        np.testing.assert_array_equal(targets[1].T, CELLS[0, 1])
        assert file["x"].shape == (3, 2) and file["x"].attrs["MATLAB_class"] == b"double"
        assert "".join(map(chr, file["t"][:, 0])) == "text"


def test_pictures(tmp_path):
    rgb = np.zeros((20, 30, 3), np.uint8)
    rgb[:, :15] = 200, 30, 60
    writers.write_jpeg(tmp_path / "a.jpg", rgb)
    writers.write_png(tmp_path / "a.png", rgb)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "a.png"))[..., ::-1], rgb)
    assert (
        np.abs(cv2.imread(str(tmp_path / "a.jpg"))[5, 5, ::-1].astype(int) - rgb[5, 5]).max() < 6
    )
    deep = np.arange(600, dtype=np.uint16).reshape(20, 30) * 100
    writers.write_png(tmp_path / "d.png", deep)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "d.png"), cv2.IMREAD_UNCHANGED), deep)
    palette = np.array([[55, 181, 57], [1, 2, 3], [9, 8, 7]], np.uint8)
    indices = np.arange(15).reshape(3, 5) % 3
    writers.write_png(tmp_path / "p.png", indices, palette)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "p.png"))[..., ::-1], palette[indices])


def test_texts(tmp_path):
    writers.write_json(tmp_path / "a.json", {"x": np.eye(2), "n": np.int64(3)})
    assert json.loads((tmp_path / "a.json").read_text()) == {"x": [[1, 0], [0, 1]], "n": 3}
    writers.write_xml(
        tmp_path / "a.xml", ("a", [("w0", "[1 2]"), ("tr", [("td", "x")], {"k": "v"})])
    )
    root = ET.parse(tmp_path / "a.xml").getroot()
    assert (root.tag, root[0].text, root[1].get("k"), root[1][0].text) == ("a", "[1 2]", "v", "x")
    writers.write_csv(tmp_path / "a.csv", [["t", "x"], [0, 1.5]])
    assert (tmp_path / "a.csv").read_text() == "t,x\n0,1.5\n"


COLUMNS = {
    "imgPath": ["a.png", "b.png"],
    "X": [[1.0, 2.0], [3.0]],
    "camX": [1.5, 2.5],
    "joints": [[np.zeros((3, 2))], [np.ones((3, 2)), np.ones((3, 2))]],
    "n": [1, 2],
    "camY": [3.0, 4.0],
}


def test_a_frame_is_what_pandas_reads(tmp_path):
    pandas = pytest.importorskip("pandas")
    pickled.write_pickle(tmp_path / "a.pkl", pickled.frame(COLUMNS))
    frame = pandas.read_pickle(tmp_path / "a.pkl")
    assert list(frame.columns) == list(COLUMNS) and list(frame.index) == [0, 1]
    for name, values in COLUMNS.items():
        assert str(frame[name].tolist()) == str(values)


def test_a_frame_names_what_pandas_1_0_3_names(tmp_path):
    pickled.write_pickle(tmp_path / "a.pkl", pickled.frame(COLUMNS))
    texts = [a for _, a, _ in pickletools.genops((tmp_path / "a.pkl").read_bytes())]
    for text in ("pandas.core.frame", "DataFrame", "pandas.core.internals.managers",
                 "BlockManager", "_new_Index", "0.14.1", "mgr_locs", "_data"):  # fmt: skip
        assert text in texts


def test_a_tensor_is_what_torch_reads(tmp_path):
    pytest.importorskip("torch")
    array = np.arange(12, dtype=np.float32).reshape(1, 3, 4)
    pickled.write_pickle(tmp_path / "a.pkl", {"pose": pickled.tensor(array)})
    tensor = pickle.loads((tmp_path / "a.pkl").read_bytes())["pose"]
    np.testing.assert_array_equal(tensor.numpy(), array)


def test_objects_in_npy(tmp_path):
    content = {"cams": {"00": np.eye(3)}}
    pickled.write_object_npy(tmp_path / "a.npy", content)
    read = np.load(tmp_path / "a.npy", allow_pickle=True)
    assert read.shape == () and read.dtype == object
    np.testing.assert_array_equal(read.item()["cams"]["00"], np.eye(3))


def test_static_cameras_of_aria(tmp_path):
    lens = {"distortion": (0.1, -0.02, 0.003, 0.0004), "fisheye": True}
    camera = rig.make_camera((640, 480), (900, -4000, 500), (0, 0, 0), 500, **lens)
    writers.write_static_calibs(tmp_path / "a.csv", {"a": camera, "b": camera}, bad=["b"])
    ((name, (found,)),) = read_static_calibs(tmp_path / "a.csv").items()
    assert name == "a" and found["size"] == (640, 480)
    np.testing.assert_allclose(found["intrinsics"], camera.intrinsics)
    np.testing.assert_allclose(found["distortion"], camera.distortion)
    np.testing.assert_allclose(found["center"], camera.center / 1000)
    np.testing.assert_allclose(quaternion_matrix(found["rotation"]), camera.rotation.T, atol=1e-9)


@pytest.mark.parametrize("name", ["a.json", "a.vrs"])
def test_lens_of_aria(tmp_path, name):
    of_sensor = [1216.7, 1462.3, 1446.1, *np.linspace(-0.5, 0.5, 12)]
    of_image = [608.35, 714.9, 706.8, *of_sensor[3:]]
    for params in (of_sensor, of_image):
        writers.write_aria_lens(tmp_path / name, params)
        np.testing.assert_allclose(read_aria_lens(tmp_path / name), of_image)
    writers.write_aria_lens(tmp_path / name, [600, 320, 240, *of_sensor[3:]])
    with pytest.raises(CorruptInput, match=r"principal point \(320, 240\) .* neither"):
        read_aria_lens(tmp_path / name)
    (tmp_path / "b.vrs").write_bytes(bytes(5000))
    with pytest.raises(CorruptInput, match="no calib_json tag"):
        read_aria_lens(tmp_path / "b.vrs")


def test_pickle_of_python_2(tmp_path):
    content = {"sequence": "walk", "genders": ["m"], "poses": [np.arange(300.0).reshape(100, 3)]}
    pickled.write_pickle(tmp_path / "a.pkl", content, python2=True)
    data = (tmp_path / "a.pkl").read_bytes()
    assert b"U\x04walk" in data and data.startswith(b"\x80\x02")  # an 8-bit string
    with pytest.raises(UnicodeDecodeError):  # without the encoding, as with the official files
        pickle.loads(data)
    for found in (pickle.loads(data, encoding="latin1"), read_pickle(tmp_path / "a.pkl")):
        assert found["sequence"] == "walk" and found["genders"] == ["m"]
        np.testing.assert_array_equal(found["poses"][0], content["poses"][0])
