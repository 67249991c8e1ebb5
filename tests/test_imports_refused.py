"""What files of others leave open is asked for, and what contradicts is refused by name."""

import dataclasses
import json
import pickle

import archive_kit
import imports_kit as kit
import numpy as np
import pytest
import rlemasklib

from posepile import datasets2d, datasets3d
from posepile.datasets3d import TRAIN
from posepile.errors import CorruptInput, UsageError
from posepile.export.coco import export_coco
from posepile.export.humandata import export_humandata
from posepile.export.webdataset import export_webdataset
from posepile.formats.pickles import loads
from posepile.imports.coco import OTHER_CATEGORY
from posepile.imports.facts import Facts
from posepile.imports.forms import import_dataset
from posepile.imports.human_data import UP_MADE
from posepile.imports.tar_samples import samples
from posepile.merging.merge import merge_datasets
from posepile.store import packing, parts
from posepile.store.opening import get_dataset

JOINTS = ["pelv", "lhip", "rhip", "lkne", "rkne"]
HD = {"licence": "x", "units": "m", "axes": "camera", "world_up": "-y", "split": "train"}


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("DATA_ROOT", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    monkeypatch.delenv("CACHE_DIR", raising=False)
    return tmp_path


def of_17(path, **more):
    """A file with 17 key points of each kind."""
    points, joints = np.ones((8, 17, 3), np.float32), np.ones((8, 17, 4), np.float32)
    points[..., :2] = np.random.default_rng(0).uniform(5, 40, (8, 17, 2))
    joints[..., :3] = np.random.default_rng(0).uniform(-0.5, 0.5, (8, 17, 3))
    mask = np.ones(17, np.uint8)
    arrays = {
        "keypoints2d": points, "keypoints2d_mask": mask, "keypoints2d_convention": "coco17",
        "keypoints3d": joints, "keypoints3d_mask": mask, "keypoints3d_convention": "coco17",
    }  # fmt: skip
    arrays |= more
    kit.human_data(path, **{k: np.array(v, object) if v is None else v for k, v in arrays.items()})
    return path


# ---------------------------------------------------------------- HumanData


@pytest.mark.parametrize("joints", [None, kit.OWN])
def test_key_points_of_two_conventions(root, joints):
    facts = Facts(**HD, joints=joints)
    path = of_17(root / "a.npz", keypoints3d_convention="h36m17")
    with pytest.raises(UsageError, match="keypoints2d are of 'coco17', keypoints3d of 'h36m17'"):
        import_dataset([path], "humandata", "hd", facts, images=root / "images")
    # In two files: the second has no names of its own, so it would get those of the first.
    one = of_17(root / "one.npz")
    names = ("keypoints2d_convention", "keypoints3d_convention")
    two = of_17(root / "two.npz", **dict.fromkeys(names, "h36m17"))
    with pytest.raises(UsageError, match="two.npz: key points are of 'h36m17'.*'coco17'"):
        import_dataset([one, two], "humandata", "hd", facts, images=root / "images")


def test_key_points_of_an_untold_convention(root):
    one = of_17(root / "one.npz")
    two = of_17(root / "two.npz", keypoints3d_convention=None)
    for files in ([two], [one, two]):
        with pytest.raises(UsageError, match="two.npz, keypoints3d: does not tell joints"):
            import_dataset(files, "humandata", "hd", Facts(**HD), images=root / "images")


def test_units_of_cameras_are_asked_for(root):
    cams = [kit.camera(i) for i in range(8)]
    cameras = {
        "R": np.stack([c.R for c in cams]),
        "K": np.stack([c.intrinsic_matrix for c in cams]),
        "T": np.stack([-c.R @ c.t for c in cams]) / 1000,
    }
    plain, path = root / "plain.npz", root / "cams.npz"
    kit.human_data(plain, keypoints3d=np.zeros(0))
    kit.human_data(path, keypoints3d=np.zeros(0), cam_param=cameras)
    facts = {"licence": "x", "split": "train", "joints": JOINTS}
    for files in ([path], [plain, path]):
        with pytest.raises(UsageError, match="does not tell units"):
            import_dataset(files, "humandata", "hd", Facts(**facts), images=root / "images")
    facts = Facts(**facts, units="m")
    result = import_dataset([path], "humandata", "hd", facts, images=root / "images")
    for cam, ex in zip(cams, datasets2d.get_dataset("hd").examples[TRAIN], strict=True):
        np.testing.assert_allclose(ex.camera.t, cam.t, atol=0.01)
    assert result.notes[UP_MADE] == 8


def test_what_3d_points_need_is_asked_for_wherever_they_are(root):
    one, two = root / "one.npz", root / "two.npz"
    kit.human_data(one, keypoints3d=np.zeros(0))
    kit.human_data(two)
    facts = Facts(licence="x", split="train", joints=JOINTS)
    with pytest.raises(UsageError, match="units, axes, world_up"):
        import_dataset([one, two], "humandata", "hd", facts, images=root / "images")


def packed(root, name, up=(0.0, 0.0, 1.0)):
    """An archive of three examples without masks."""
    path = root / f"data/{name}.part"
    with parts.PartWriter(path) as writer:
        for i in range(3):
            record = archive_kit.record(name, "train", 0, i, mask=None)
            record.camera.world_up = np.float32(up)
            writer.add(record, archive_kit.jpeg(i))
    spec = dataclasses.replace(archive_kit.spec(name), world_up=up)
    packing.pack([path], root / f"data/{name}.barecat", spec, {"sources": []})


def test_up_of_each_part_of_a_mix_comes_back(root):
    ups = {"a": (0.0, -1.0, 0.0), "b": (0.0, 0.0, 1.0)}
    for name, up in ups.items():
        packed(root, name, up)
    both = merge_datasets({name: get_dataset(f"{name}.barecat", None) for name in ups})
    export_humandata(both, root / "data/mix")
    files = sorted((root / "data/mix").glob("*.npz"))
    result = import_dataset(files, "humandata", "back", Facts(licence="x"))
    assert UP_MADE not in result.notes
    found = {
        ex.image_path[0]: tuple(ex.camera.world_up.tolist())
        for ex in datasets3d.get_dataset("back").examples[TRAIN]
    }
    assert found == ups


# ---------------------------------------------------------------- COCO


def two_categories(root):
    """A file in which every other person is a rider, with the same key points."""
    path, _ = kit.coco(root)
    content = json.loads(path.read_text())
    content["categories"].append({**content["categories"][0], "id": 3, "name": "rider"})
    for annotation in content["annotations"][1:12:2]:
        annotation["category_id"] = 3
    path.write_text(json.dumps(content))
    return path


def test_people_of_all_categories_with_these_key_points(root):
    path, facts = two_categories(root), {"licence": "x"}
    result = import_dataset([path], "coco", "both", Facts(**facts), images=root / "images")
    assert result.splits["train"] == 12 and OTHER_CATEGORY not in result.left_out
    facts = Facts(**facts, category="rider")
    result = import_dataset([path], "coco", "riders", facts, images=root / "images")
    assert result.splits["train"] == 6
    assert result.left_out[OTHER_CATEGORY] == 8  # a crowd and somebody unlabelled among them


@pytest.mark.parametrize("second", ["more_train.json", "more_val.json"])
def test_a_picture_in_two_files(root, second):
    path, _ = kit.coco(root)
    (root / second).write_text(path.read_text())
    with pytest.raises(UsageError, match=f"{second}: has people of.*{path.name} has"):
        files = [path, root / second]
        import_dataset(files, "coco", "mine", Facts(licence="x"), images=root / "images")


@pytest.mark.parametrize("info", [None, "text", []])
def test_coco_without_info(root, info):
    path, _ = kit.coco(root)
    content = json.loads(path.read_text())
    del content["info"]
    path.write_text(json.dumps(content if info is None else {"info": info, **content}))
    result = import_dataset([path], "coco", "mine", Facts(licence="x"), images=root / "images")
    assert result.splits["train"] == 12
    path.write_text(path.read_text()[:-40])
    with pytest.raises(CorruptInput, match=path.name):
        import_dataset([path], "coco", "mine", Facts(licence="x"), images=root / "images")


# ---------------------------------------------------------------- people in two splits


def test_people_of_a_picture_in_two_splits(root):
    packed(root, "toy")
    dataset = get_dataset("toy.barecat", None)
    export_coco(dataset, root / "data/as_coco")
    path = next((root / "data/as_coco").rglob("annotations/*train*.json"))
    content = json.loads(path.read_text())
    second = json.loads(json.dumps(content["annotations"][0]))
    second["posepile"] |= {"split": "val", "person": 1}
    path.write_text(json.dumps({**content, "annotations": [*content["annotations"], second]}))
    with pytest.raises(UsageError, match="found people of train in .* and val in"):
        import_dataset([path], "coco", "back", Facts(licence="x"))

    export_webdataset(dataset, root / "data/as_wds")
    path = next((root / "data/as_wds").rglob("*train*.tar"))
    members = [(key, found) for key, found in samples(path)]
    key, found = members[0]
    example = json.loads(found["json"]) | {"split": "val", "person": 1}
    members.append((f"{key}x", {**found, "json": json.dumps(example).encode()}))
    kit.tar(path, [(f"{k}.{end}", data) for k, m in members for end, data in m.items()])
    with pytest.raises(UsageError, match="found people of train in .* and val in"):
        import_dataset([path], "webdataset", "back", Facts(licence="x"))

    for split in ("train", "val"):
        kit.human_data(root / f"toy_{split}.npz")
    files = [root / "toy_train.npz", root / "toy_val.npz"]
    facts = Facts(**HD, joints=JOINTS).model_copy(update={"split": None})
    with pytest.raises(UsageError, match="found people of train in .* and val in"):
        import_dataset(files, "humandata", "back", facts, images=root / "images")


# ---------------------------------------------------------------- masks of SAM 3D Body


def test_masks_that_are_not_of_the_picture_are_left_out(root):
    width, height = kit.SIZE
    full = rlemasklib.compress({"size": [height, width], "ucounts": np.uint32([9, 3063])})
    half = rlemasklib.compress({"size": [height // 2, width], "ucounts": np.uint32([9, 1527])})
    masks = {
        "right": full,
        "as_lists": {"size": np.array([[height], [width]]), "counts": [9, 3063]},
        "too_short": {**half, "size": [height, width]},
        "of_another": half,
        "no_text": {"size": [height, width], "counts": b"\xff\xfe"},
    }
    path = root / "000.tar"
    kit.sam3d(path, n=1, people=1)
    ((_, members),) = samples(path)
    (person,) = loads(members["annotation.pyd"], path)
    shard = []
    for name, mask in masks.items():
        shard.append((f"{name}.jpg", members["jpg"]))
        shard.append((f"{name}.annotation.pyd", pickle.dumps([{**person, "mask": mask}])))
    kit.tar(path, shard)
    facts = Facts(licence="x", split="train")
    result = import_dataset([path], "webdataset", "sam", facts)
    kept = {
        ex.image_path.removeprefix("sam/").removesuffix(".jpg"): ex.mask
        for ex in datasets3d.get_dataset("sam").examples[TRAIN]
    }
    assert {name for name, mask in kept.items() if mask is not None} == {"right", "as_lists"}
    assert all(np.sum(rlemasklib.decode(kept[n])) == 3063 for n in ("right", "as_lists"))
    assert sum(n for note, n in result.notes.items() if note.startswith("not kept: mask")) == 3
