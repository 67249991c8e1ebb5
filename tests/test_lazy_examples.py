"""One rule for examples of a dataset: read-only, and what is read or loaded leaves no trace."""

import copy
import gc
import hashlib
import pickle
import tracemalloc

import archive_kit as kit
import deltacamera
import numpy as np
import pytest
import rlemasklib
from pycocotools import mask as coco_mask

from posepile import datasets2d, datasets3d
from posepile.datasets2d import Pose2DDataset
from posepile.datasets3d import TRAIN, VALID, Pose3DDataset, Pose3DExample, compute_mean_bones
from posepile.errors import UsageError
from posepile.export.upstream import export_upstream
from posepile.merging.merge import merge_datasets
from posepile.store import restricted_pickle
from posepile.store.example_list import ExampleList
from posepile.store.read_only import read_only
from posepile.torch import CropDataset, ShardShuffleSampler

KINDS = ("table", "entries", "2d", "merged")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """DATA_ROOT with an archive, the same as entries, and a 2D archive."""
    root = tmp_path_factory.mktemp("root")
    parameters = {"type": "smpl", "pose": np.ones(72, np.float32), "more": [[1, {"a": [2]}], 3]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATA_ROOT", str(root))
        patch.setattr(kit, "record", _with(kit.record, parameters=parameters))
        kit.make_archive(root)
        kit.make_archive(root, "flat", kind="2d")
        export_upstream("toy.barecat", "entries.barecat")
        export_upstream("flat.barecat", "flat_entries.barecat")
    return root


def _with(make, **overrides):
    return lambda *args, **kwargs: make(*args, **{**overrides, **kwargs})


@pytest.fixture(autouse=True)
def _data_root(root, monkeypatch):
    monkeypatch.setenv("DATA_ROOT", str(root))
    monkeypatch.delenv("CACHE_DIR", raising=False)


def dataset_of(kind):
    if kind == "2d":
        return datasets2d.get_dataset("flat.barecat")
    if kind == "entries":
        return datasets3d.get_dataset("entries.barecat", image_barecat_path="toy.barecat")
    dataset = datasets3d.get_dataset("toy.barecat")
    return merge_datasets({"toy": dataset, "again": dataset}) if kind == "merged" else dataset


@pytest.fixture(params=KINDS)
def dataset(request):
    return dataset_of(request.param)


def coords_of(ex):
    """The array that holds the coordinates."""
    coords = ex.coords if isinstance(ex, datasets2d.Pose2DExample) else ex.world_coords
    return getattr(coords, "valid_coords", coords)


def values_of(ex):
    """All that an example says."""
    names = [name for name in type(ex).DEFAULTS if name != "image"]
    return repr([plain(getattr(ex, name)) for name in names])


def plain(value):
    """A value as lists, numbers and texts."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.tolist()
    if isinstance(value, (tuple, list)):
        return [plain(v) for v in value]
    if isinstance(value, dict):
        return [(k, plain(v)) for k, v in value.items()]
    attributes = getattr(value, "__dict__", None)
    return plain(attributes) if attributes is not None else value


def test_an_assignment_is_refused_and_says_what_to_do(dataset):
    for ex in dataset.examples[TRAIN]:
        for name in (*type(ex).DEFAULTS, "note"):
            with pytest.raises(UsageError, match=r"ex = ex\.load\(\).*examples\[i\] = ex") as e:
                setattr(ex, name, None)
            assert name in str(e.value) and "barecat" in str(e.value) and "\n" not in str(e.value)
        with pytest.raises(UsageError, match="'bbox' was not changed"):
            ex.bbox = ex.bbox * 2
        with pytest.raises(UsageError, match="'bbox' was not changed"):
            del ex.bbox


def test_what_the_advice_says_takes_effect(dataset):
    examples = dataset.examples[TRAIN]
    ex = examples[2].load()
    ex.bbox = np.float32([1, 2, 3, 4])
    examples[2] = ex
    assert examples[2].bbox.tolist() == [1, 2, 3, 4]
    examples[2].bbox = np.float32([4, 3, 2, 1])  # it is in memory now
    again = pickle.loads(pickle.dumps(dataset))
    assert again.examples[TRAIN][2].bbox.tolist() == [4, 3, 2, 1]
    assert dataset_of("table").examples[TRAIN][2].bbox.tolist() == [2, 1, 2, 3.5]


def test_no_value_can_be_changed_in_place(dataset):
    for ex in dataset.examples[TRAIN][:4]:
        before = values_of(ex)
        arrays = [ex.bbox, coords_of(ex), ex.parameters["pose"]]
        if ex.camera is not None:
            arrays += [ex.camera.t, ex.camera.R, ex.camera.intrinsic_matrix]
        for array in arrays:
            with pytest.raises(ValueError, match="read-only"):
                array[:] = 0
        for dictionary in filter(None, [ex.parameters, ex.mask]):
            for change in (
                lambda d: d.update(a=1),
                lambda d: d.pop("size", None),
                lambda d: d.__setitem__("size", None),
                lambda d: d.clear(),
                lambda d: d.setdefault("a", 1),
            ):
                with pytest.raises(UsageError, match=r"ex\.load\(\)"):
                    change(dictionary)
        if hasattr(ex, "world_coords") and hasattr(ex.world_coords, "invalidate_coords"):
            with pytest.raises(UsageError, match=r"ex\.load\(\)"):
                ex.world_coords.invalidate_coords([1])
            ex.load().world_coords.invalidate_coords([1])
        assert values_of(ex) == before


@pytest.mark.filterwarnings("ignore:Direct mutation:DeprecationWarning")
def test_nothing_that_an_example_leads_to_can_be_changed(dataset):
    for ex in dataset.examples[TRAIN][:4]:
        before = values_of(ex)
        for name in type(ex).DEFAULTS:
            for value in held_by(getattr(ex, name)):
                for change in changes_of(value):
                    with pytest.raises((UsageError, ValueError, TypeError)) as caught:
                        change()
                    assert "\n" not in str(caught.value)
        assert values_of(ex) == before


def held_by(value):
    """A value and what it holds, down to numbers and texts."""
    yield value
    inner = getattr(value, "__dict__", {}).values()
    if isinstance(value, np.ndarray):
        inner = ()
    elif isinstance(value, (dict, list, tuple)):
        inner = value.values() if isinstance(value, dict) else value
    for item in inner:
        yield from held_by(item)


def changes_of(value):
    """All ways to change a value in place."""
    if isinstance(value, np.ndarray):
        yield lambda: value.__setitem__(..., 0)
        yield lambda: value.__iadd__(1)
    elif isinstance(value, dict):
        for name in ("clear", "popitem"):
            yield getattr(value, name)
        for name in ("pop", "__delitem__"):
            yield lambda name=name: getattr(value, name)(next(iter(value)))
        for name in ("__setitem__", "setdefault"):
            yield lambda name=name: getattr(value, name)("type", 5)
        for name in ("update", "__ior__"):
            yield lambda name=name: getattr(value, name)({"type": 5})
    elif isinstance(value, list):
        for name in ("clear", "pop", "reverse", "sort"):
            yield getattr(value, name)
        for name in ("append", "remove", "__delitem__", "__imul__"):
            yield lambda name=name: getattr(value, name)(0)
        for name in ("insert", "__setitem__"):
            yield lambda name=name: getattr(value, name)(0, 5)
        for name in ("extend", "__iadd__"):
            yield lambda name=name: getattr(value, name)([5])
    elif hasattr(value, "__dict__"):
        for name in (*value.__dict__, "anything"):
            yield lambda name=name: setattr(value, name, None)
            yield lambda name=name: delattr(value, name)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "2d"])
def test_a_camera_says_what_to_do(kind):
    ex = dataset_of(kind).examples[TRAIN][0]
    before = values_of(ex)
    for change in (
        lambda camera: setattr(camera, "t", np.zeros(3, np.float32)),
        lambda camera: setattr(camera, "extrinsic_matrix", np.eye(4)),
        lambda camera: setattr(camera, "distortion_coeffs", np.ones(5)),
        lambda camera: camera.rotate(yaw=1),
        lambda camera: camera.turn_towards(target_image_point=np.float32([3, 4])),
    ):
        with pytest.raises(UsageError, match=r"\.copy\(\).*ex\.load\(\)"):
            change(ex.camera)
        for camera in (ex.camera.copy(), copy.deepcopy(ex.camera), ex.load().camera):
            assert camera == ex.camera and type(camera) is deltacamera.Camera
            change(camera)
            assert camera != ex.camera
        change(copy.copy(ex.camera))
        change(pickle.loads(pickle.dumps(ex.camera)))
    assert ex.camera.zoomed(2) != ex.camera and hash(ex.camera) == hash(ex.camera.copy())
    assert pickle.dumps(ex.camera) == pickle.dumps(ex.load().camera)
    assert values_of(ex) == before


def test_the_lens_of_a_camera_is_read_only_also_where_the_camera_is_a_copy():
    lens = deltacamera.BrownConradyEx(np.float32([0.1, 0.01, 0, 0, 0]))
    camera = deltacamera.Camera(intrinsic_matrix=np.eye(3), distortion_model=lens)
    camera = read_only(copy.deepcopy(camera))  # in numpy, a copy can be changed
    with pytest.raises(ValueError, match="read-only"):
        camera.distortion_model.coeffs[0] = 9
    assert camera == camera.copy()


def test_masks_for_functions_that_take_plain_dicts_only():
    mask = read_only(dict(rlemasklib.encode(np.eye(5, dtype=np.uint8))))
    with pytest.raises(TypeError):
        rlemasklib.RLEMask.from_dict(mask)
    assert rlemasklib.RLEMask.from_dict(dict(mask)).area() == 5
    assert coco_mask.iou([dict(mask)], [dict(mask)], [0]) == 1


def test_the_skeleton_of_a_dataset_is_its_own(dataset):
    """An assignment to it takes effect there, also in a pickle, and nowhere else."""
    names = [f"n{i}" for i in range(dataset.joint_info.n_joints)]
    dataset.joint_info.update_names(names)
    assert pickle.loads(pickle.dumps(dataset)).joint_info.names == names
    assert dataset_of("2d" if "Pose2D" in repr(dataset) else "table").joint_info == kit.JOINTS


def test_the_image_is_a_field_as_any_other(dataset):
    for ex in dataset.examples[VALID]:
        np.testing.assert_array_equal(ex.image, ex.load().image)
        with pytest.raises(ValueError, match="read-only"):
            ex.image[:] = 0
        ex.get_image()[:] = 0  # that is one of your own
        assert hasattr(ex, "image") and ex.image.any()
        assert ex.load(load_image=False).image is None


def test_values_are_plain_once_copied(dataset):
    ex = dataset.examples[TRAIN][0]
    for copied in (dict(ex.mask), copy.copy(ex.mask), copy.deepcopy(ex.mask), ex.mask.copy()):
        copied["size"] = [1, 1]
        assert type(copied) is dict
    for copied in (copy.copy(ex.mask["size"]), copy.deepcopy(ex.mask)["size"], ex.mask["size"][:]):
        copied[0] = 1
        assert type(copied) is list
    assert type(pickle.loads(pickle.dumps(ex.parameters))) is dict
    assert type(pickle.loads(pickle.dumps(ex.mask))["size"]) is list
    pose = copy.deepcopy(ex.parameters)["pose"]
    pose += 1
    made = Pose3DExample("a.jpg", None, ex.bbox, ex.camera, mask=ex.mask)
    loaded = restricted_pickle.loads(pickle.dumps(Pose3DDataset(kit.JOINTS, [made])))
    assert loaded.examples[TRAIN][0].mask == ex.mask
    assert loaded.examples[TRAIN][0].camera == ex.camera


def test_load_returns_a_new_complete_example_each_time(dataset):
    for ex in dataset.examples[VALID]:
        before, state = values_of(ex), pickle.dumps(ex)
        first, second = ex.load(), ex.load()
        assert first is not second and type(first) is type(second) is type(ex).COMPLETE
        assert values_of(first) == before and first.image.shape == (16, 24, 3)
        first.bbox += 5
        first.parameters["pose"] += 1
        first.image[:] = 0
        if first.camera is not None:
            first.camera.t += 5
        coords = coords_of(first)
        coords += 5
        first.mask = None
        assert values_of(ex) == values_of(second) == values_of(ex.load()) == before
        assert second.image.any() and ex.image.any() and pickle.dumps(ex) == state
        assert ex.load(load_image=False).image is None


def test_reading_changes_neither_equality_nor_hash_nor_membership(dataset):
    examples = dataset.examples[TRAIN]
    fresh = examples[:]
    for i, ex in enumerate(examples):
        key, place = hash(ex), {ex: i}
        for name in (*type(ex).DEFAULTS, "image_path", "path", "n_joints"):
            getattr(ex, name)
        ex.load()
        ex.get_image()
        assert hash(ex) == key and place[ex] == i
        assert ex == fresh[i] and ex in examples and examples.index(ex) == i
        back = pickle.loads(pickle.dumps(ex))
        assert back == ex and hash(back) == key and back in examples
        assert copy.copy(ex) == copy.deepcopy(ex) == ex and ex != examples[i - 1]
        plain = [*examples]
        plain.remove(ex)
        assert len(plain) == len(examples) - 1
    assert len(set(examples)) == len(examples) == len({*examples, *examples})


def transform(ex):
    """Edits in place, as training code does."""
    coords = coords_of(ex)
    coords += 7
    ex.bbox *= 1.1
    ex.parameters["pose"] += 1
    if ex.camera is not None:
        ex.camera.t += 100
    ex.image[:] = 255 - ex.image
    return coords, ex.bbox, ex.parameters["pose"], ex.image


def with_some_in_memory(examples):
    examples = list(examples)
    examples[1] = examples[1].load(load_image=False)
    examples[2] = examples[2].load()
    return examples


def epochs(chosen, through_loader, n=20):
    """Digests of what the transform gives in each epoch."""
    crops = CropDataset(chosen, transform)
    for _ in range(n):
        digest = hashlib.sha256()
        for i, ex in enumerate(chosen):
            for array in crops[i] if through_loader else transform(ex.load()):
                digest.update(array.tobytes())
        yield digest.digest()


@pytest.mark.filterwarnings("ignore:Direct mutation:DeprecationWarning")
@pytest.mark.parametrize("through_loader", [False, True])
def test_twenty_epochs_of_a_transform_that_edits_in_place(dataset, through_loader):
    chosen = [ex for ex in dataset.examples[TRAIN] if ex.bbox[0] < 4 and ex.frame is not None]
    if through_loader:  # as the user's own objects are, copied by the loader
        chosen[1:3] = [chosen[1].load(load_image=False), chosen[2].load()]
    assert len(set(epochs(chosen, through_loader))) == 1
    dataset.examples[TRAIN] = chosen
    chosen = pickle.loads(pickle.dumps(dataset)).examples[TRAIN]
    assert len(set(epochs(chosen, through_loader))) == 1


@pytest.mark.filterwarnings("ignore:Direct mutation:DeprecationWarning")
@pytest.mark.parametrize("through_loader", [False, True])
def test_memory_is_flat_over_epochs(dataset, through_loader):
    chosen = [ex for ex in dataset.examples[TRAIN] * 6 if ex.bbox[0] < 4]
    if through_loader:
        chosen[10:20] = [ex.load(load_image=False) for ex in chosen[10:20]]
    list(epochs(dataset.examples[VALID], False, 1))  # all is open now
    tracemalloc.start()
    list(epochs(chosen, through_loader))
    gc.collect()
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert held < 1000 * len(chosen)  # a picture has 1152 bytes, the arrays about as many


def test_images_of_examples_in_memory_do_not_stay(dataset):
    lazy = dataset.examples[TRAIN][1]
    ex = pickle.loads(pickle.dumps(lazy.load(load_image=False)))
    assert ex.load() is ex and ex.image is None
    with_image = ex.load(load_image=True)
    assert with_image is not ex and ex.image is None
    for image in (with_image.image, ex.get_image()):  # still that of the archive
        np.testing.assert_array_equal(image, lazy.load().image)
    ex.image_path = "another.jpg"
    with pytest.raises(FileNotFoundError, match=r"another\.jpg"):
        ex.get_image()
    data = pickle.dumps(Pose3DDataset(kit.JOINTS, [ex, with_image], compute_bone_lengths=False))
    assert restricted_pickle.loads(data).examples[TRAIN][1].image.shape == (16, 24, 3)


def test_a_filtered_list_is_saved_as_rows(dataset):
    filtered = [ex for ex in dataset.examples[TRAIN] if ex.bbox[0] != 3 and ex.load().image.any()]
    dataset.examples[TRAIN] = filtered * 1000
    data = pickle.dumps(dataset)
    assert len(data) < 6 * len(filtered) * 1000 + 3000  # 4 bytes a row
    for loads in (pickle.loads, restricted_pickle.loads):
        again = loads(data).examples[TRAIN]
        assert isinstance(again, ExampleList) and not again._objects
        assert len(again) == len(filtered) * 1000 and again[: len(filtered)] == filtered
    assert dataset.examples[TRAIN][0] is filtered[0]  # what the user assigned stays what it is
    in_place = dataset_of("table").examples[TRAIN]
    in_place[:] = [ex for ex in in_place if ex.bbox[0] != 3]
    assert not in_place._objects


def test_plain_lists_are_taken_where_lists_of_examples_are(dataset):
    examples = dataset.examples[TRAIN]
    examples.shuffle(0)
    plain = list(examples)
    ours, theirs = (ShardShuffleSampler(e, block=3) for e in (examples, plain))
    assert sorted(ours) == sorted(theirs)
    if len(examples._sources) == 1:
        assert list(ours) == list(theirs)
    ours, theirs = (CropDataset(e, transform=lambda ex: ex.image_path) for e in (examples, plain))
    assert [ours[i] for i in range(len(ours))] == [theirs[i] for i in range(len(theirs))]
    if hasattr(plain[0], "world_coords"):
        info = dataset.joint_info
        np.testing.assert_allclose(
            compute_mean_bones(plain, info), compute_mean_bones(examples, info), rtol=1e-5
        )
        merged = merge_datasets({"all": Pose3DDataset(info, plain)}, {"all": "x"})
        assert [e.image_path for e in merged.examples[TRAIN]] == [e.image_path for e in plain]
        assert not merged.examples[TRAIN]._objects


def test_a_plain_list_travels_to_loader_workers_as_rows():
    torch = pytest.importorskip("torch")
    plain = list(dataset_of("table").examples[TRAIN]) * 100
    data = torch.utils.data.DataLoader(
        CropDataset(plain, transform=_path), num_workers=1, collate_fn=list, batch_size=4
    )
    assert [p for batch in data for p in batch] == [ex.image_path for ex in plain]
    assert len(pickle.dumps(CropDataset(plain)._examples)) < 6 * len(plain) + 500


def _path(ex):
    return ex.image_path


def test_merging_tells_2d_examples_from_3d_ones():
    flat, toy = dataset_of("2d"), dataset_of("table")
    of_2d = [
        Pose3DDataset(kit.JOINTS, [ex], compute_bone_lengths=False)
        for ex in (flat.examples[TRAIN][0], flat.examples[TRAIN][0].load())
    ]
    for dataset in (flat, *of_2d):  # whatever the dataset calls itself
        merged = merge_datasets({"toy": toy, "coco": dataset}).examples[TRAIN]
        ex = merged[len(toy.examples[TRAIN])].load()
        assert isinstance(ex, Pose3DExample) and ex.world_coords is None
        np.testing.assert_array_equal(ex.coords2d[5:], flat.examples[TRAIN][0].coords)
    first = toy.examples[TRAIN][0]
    of_3d = [Pose2DDataset(kit.JOINTS, some) for some in (toy.examples[TRAIN], [first.load()])]
    for dataset in of_3d:
        with pytest.raises(UsageError, match="^toy: a 2D dataset with examples of a 3D one$"):
            merge_datasets({"coco": flat, "toy": dataset})
