"""Pickles of earlier versions, written here with stand-ins for the modules of their time."""

import io
import pickle
import sys
import types

import addict
import deltacamera
import numpy as np
import pytest

import posepile
from posepile import util
from posepile.datasets2d import Pose2DDataset
from posepile.datasets3d import TRAIN, Pose3DDataset, SparseCoords
from posepile.errors import UsageError, WorkError
from posepile.joint_info import JointInfo
from posepile.store import restricted_pickle


class OldObject:
    """Keeps all state in __dict__, as the classes of earlier versions did."""

    def __init__(self, **fields):
        self.__dict__.update(fields)


def old_module(monkeypatch, name, *class_names):
    module = types.ModuleType(name)
    for class_name in class_names:
        cls = type(class_name, (OldObject,), {"__module__": name, "__qualname__": class_name})
        setattr(module, class_name, cls)
    monkeypatch.setitem(sys.modules, name, module)
    return module


@pytest.fixture
def write_old(monkeypatch):
    """Returns a function that pickles a dataset of two examples as earlier versions did."""

    def write(prefix="posepile", camera_module="cameralib.cameralib", protocol=4, sparse=False):
        with monkeypatch.context() as patch:
            for package in ("data", "cameralib"):
                patch.setitem(sys.modules, package, types.ModuleType(package))
            ds3d = old_module(
                patch, f"{prefix}.datasets3d", "Pose3DDataset", "Pose3DExample", "SparseCoords"
            )
            ji = old_module(patch, f"{prefix}.joint_info", "JointInfo")
            cam = old_module(patch, camera_module, "Camera")
            camera = cam.Camera(
                R=np.eye(3, dtype=np.float32),
                t=np.float32([1, 2, 3]),
                intrinsic_matrix=np.float32([[500, 0, 10], [0, 500, 20], [0, 0, 1]]),
                distortion_coeffs=np.float32([0.1, 0, 0, 0, 0]),
                world_up=np.float32([0, 0, 1]),
            )
            coords = np.float32([[1, 2, 3], [np.nan] * 3])
            stored = coords
            if sparse:
                stored = ds3d.SparseCoords(
                    shape=coords.shape,
                    i_valid_joints=np.uint16([0]),
                    valid_coords=np.float16(coords[:1]),
                )
            examples = [
                ds3d.Pose3DExample(
                    image_path=f"x_downscaled/{i}.jpg",
                    world_coords=stored,
                    univ_coords=None,
                    bbox=np.float32([1, 2, 3, 4]),
                    camera=camera,
                    activity_name="walking",
                    scene_name="unknown",
                    mask=None,
                    instance_mask=None,
                    custom=None,
                )
                for i in range(2)
            ]
            names = ["pelv", "neck"]
            dataset = ds3d.Pose3DDataset(
                joint_info=ji.JointInfo(
                    ids=addict.Dict(pelv=0, neck=1),
                    names=names,
                    mirror_mapping=[0, 1],
                    stick_figure_edges=[(0, 1)],
                ),
                examples={0: examples, 1: [], 2: []},
            )
            data = pickle.dumps(dataset, protocol=protocol)
        return data

    return write


def check(dataset):
    assert type(dataset) is Pose3DDataset
    assert type(dataset.joint_info) is JointInfo
    assert dataset.joint_info.ids.neck == 1 and dataset.joint_info.n_joints == 2
    assert dataset.train_bones is None  # was never computed: there, and None
    ex = dataset.examples[TRAIN][1]
    assert ex.image_path == "x_downscaled/1.jpg" and ex.activity_name == "walking"
    assert ex.image is None and ex.parameters is None  # fields their writer did not know
    assert ex.load() is ex
    assert isinstance(ex.camera, deltacamera.Camera)
    assert isinstance(ex.camera.distortion_model, deltacamera.BrownConradyEx)
    assert ex.camera.t.tolist() == [1, 2, 3]
    np.testing.assert_array_equal(ex.get_world_coords(), [[1, 2, 3], [np.nan] * 3])


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("prefix", ["posepile", "data"])
@pytest.mark.parametrize("camera_module", ["cameralib.cameralib", "deltacamera"])
def test_old_dataset(write_old, prefix, camera_module, protocol):
    check(posepile.load(io.BytesIO(write_old(prefix, camera_module, protocol))))


def test_sparse_coordinates(write_old):
    dataset = restricted_pickle.loads(write_old(sparse=True))
    assert isinstance(dataset.examples[TRAIN][0].world_coords, SparseCoords)
    check(dataset)


def test_numpy_1_module_names(write_old):
    data = write_old(protocol=2).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    assert b"numpy.core.multiarray" in data
    check(restricted_pickle.loads(data))


def test_plain_pickle_load_after_installing_aliases(write_old):
    data = write_old("data")
    before = dict(sys.modules)
    try:
        with pytest.raises(ModuleNotFoundError):
            pickle.loads(data)
        util.install_aliases()
        check(pickle.loads(data))
    finally:
        for name in set(sys.modules) - set(before):
            if name.partition(".")[0] in ("data", "cameralib", "cameravision"):
                del sys.modules[name]


class Evil:
    def __reduce__(self):
        return eval, ("1 + 1",)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (pickle.dumps(Evil()), "builtins.eval"),
        (b"cos\nsystem\n(S'true'\ntR.", "os.system"),
        (b"cposepile.paths\ndata_root\n(tR.", "posepile.paths.data_root"),
        (b"cnumpy\nload\n(S'x'\ntR.", "numpy.load"),
        (b"\x80\x04\x8c\x08builtins\x8c\x07getattr\x93.", "builtins.getattr"),
        # attributes of allowed names must not open a way around
        (
            b"\x80\x04\x8c\x13posepile.datasets3d\x8c\x1ePose3DExample.load.__globals__\x93.",
            "Pose3D",
        ),
    ],
)
def test_anything_else_is_refused_by_name(data, name):
    with pytest.raises(WorkError, match=name):
        restricted_pickle.loads(data)


@pytest.mark.parametrize("data", [b"", b"garbage", b"\x80\x04N"])
def test_broken_pickle(data):
    with pytest.raises(WorkError, match="not a readable"):
        restricted_pickle.loads(data)


def test_new_datasets_pass_the_allow_list(tmp_path, monkeypatch):
    import archive_kit as kit

    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    kit.make_archive(tmp_path)
    from posepile.store import opening

    opening.write_pickle(tmp_path / "toy.barecat", tmp_path / "toy.pkl")
    dataset = posepile.load("toy.pkl")
    examples = dataset.examples[TRAIN]
    examples.shuffle(0)
    examples[0] = examples[1].load()
    back = restricted_pickle.loads(pickle.dumps(dataset))
    assert [ex.image_path for ex in back.iter_examples()] == [
        ex.image_path for ex in dataset.iter_examples()
    ]
    assert isinstance(posepile.load("toy.pkl"), Pose3DDataset)
    assert isinstance(
        restricted_pickle.loads(pickle.dumps(Pose2DDataset(kit.JOINTS))), Pose2DDataset
    )
    with pytest.raises(UsageError, match="not found"):
        posepile.load("missing.pkl")
