"""Every export, of a set merged of all kinds, as the library it is for reads it."""

import json
import tarfile

import archive_kit as kit
import export_kit
import numpy as np
import pytest

from posepile.export.coco import export_coco
from posepile.export.humandata import export_humandata
from posepile.export.labels import export_labels
from posepile.export.parquet import export_parquet
from posepile.export.webdataset import export_webdataset
from posepile.recipe import TRAIN
from posepile.store import packing, parts
from posepile.store.opening import open_dataset


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Folder, merged dataset, records by image path and person."""
    root = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATA_ROOT", str(root))
        patch.delenv("CACHE_DIR", raising=False)
        yield (root, *export_kit.make_mix(root))


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    monkeypatch.delenv("CACHE_DIR", raising=False)
    return tmp_path


def test_coco_is_read_by_pycocotools(made, tmp_path, capsys):
    coco = pytest.importorskip("pycocotools.coco")
    _, dataset, records = made
    done = export_coco(dataset, tmp_path / "mix")
    assert (done.examples, done.images) == (19, 17)
    n = 0
    for split in ("train", "val"):
        read = coco.COCO(tmp_path / "mix" / "annotations" / f"mix_{split}.json")
        for annotation in read.loadAnns(read.getAnnIds()):
            n += 1
            (image,) = read.loadImgs(annotation["image_id"])
            example = annotation["posepile"]
            record = records[image["file_name"], example["person"]]
            export_kit.check_plain(example, record, dataset)
            assert (tmp_path / "mix" / image["file_name"]).read_bytes() == export_kit.image_of(
                record
            )
            assert (image["height"], image["width"]) == (16, 24)
            if record.mask is not None:
                assert np.array_equal(read.annToMask(annotation), export_kit.MASKED_PIXELS)
                assert annotation["area"] == export_kit.MASKED_PIXELS.sum()
            category = read.cats[annotation["category_id"]]
            assert category["name"] == export_kit.name_of(record)
            assert category["keypoints"] == [
                f"{j}_{export_kit.name_of(record)}" for j in kit.JOINTS.names
            ]
            assert category["skeleton"] == [
                [i + 1, j + 1] for i, j in kit.JOINTS.stick_figure_edges
            ]
            points = np.array(annotation["keypoints"]).reshape(-1, 3)
            if export_kit.name_of(record) == "flat":
                expected = record.coords2d
            elif export_kit.name_of(record) == "toy":
                expected = export_kit.in_picture(record)
            else:
                expected = np.full((5, 2), np.nan)
            if expected is None:
                assert annotation["num_keypoints"] > 0
                continue
            there = np.isfinite(expected).all(axis=1)
            np.testing.assert_allclose(points[there, :2], expected[there], rtol=1e-3, atol=0.01)
            assert (points[~there] == 0).all() and (points[there, 2] > 0).all()
            inside = (np.abs(expected - [11.5, 7.5]) < [12, 8]).all(axis=1)
            assert ((points[:, 2] == 2) == inside).all()
            assert annotation["num_keypoints"] == there.sum()
    assert n == 19
    assert sorted(len(read.imgs) for read in [read]) == [6]


def test_webdataset_reads_its_shards(made, tmp_path):
    webdataset = pytest.importorskip("webdataset")
    _, dataset, records = made
    done = export_webdataset(dataset, tmp_path / "mix", examples_per_shard=5)
    names = sorted(p.name for p in (tmp_path / "mix").glob("*.tar"))
    assert names == [
        f"mix-{s}-{i:06d}.tar" for s, n in (("train", 3), ("val", 2)) for i in range(n)
    ]
    assert done.notes == {"people who share a picture with another, which is there for each": 2}
    urls = [str(tmp_path / "mix" / name) for name in names]
    samples = list(webdataset.WebDataset(urls, shardshuffle=False).decode())
    expected = [*dataset.iter_examples()]
    for sample, example in zip(samples, expected, strict=True):
        record = records[example.image_path, example.person]
        assert sample["json"]["image_path"] == example.image_path  # in the order of the lists
        export_kit.check_plain(sample["json"], record, dataset)
    with tarfile.open(urls[0]) as tar:
        members = tar.getmembers()
        assert [m.name for m in members[:2]] == [
            "mix_train_000000000.jpg",
            "mix_train_000000000.json",
        ]
        assert {(m.mtime, m.uid, m.gid) for m in members} == {(0, 0, 0)}
        record = records[expected[0].image_path, 0]
        assert tar.extractfile(members[0]).read() == export_kit.image_of(record)


def test_a_key_of_a_shard_ends_at_the_first_dot(made, tmp_path):
    _, dataset, _ = made
    export_webdataset(dataset, tmp_path / "mix.v1.0")
    keys = set()
    for path in (tmp_path / "mix.v1.0").glob("*.tar"):
        with tarfile.open(path) as tar:
            keys.update(member.name.split(".")[0] for member in tar)
    assert len(keys) == 19


def test_parquet_is_read_by_datasets_and_pyarrow(made, tmp_path, monkeypatch):
    pq = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    _, dataset, records = made
    export_parquet(dataset, tmp_path / "mix", bytes_per_file=3000)
    files = sorted(p.name for p in (tmp_path / "mix" / "data").iterdir())
    assert files[0].startswith("train-00000-of-0000") and files[-1].startswith("validation-")
    assert len(files) > 2
    table = pq.read_table(tmp_path / "mix" / "data" / files[0])
    assert table.column("image_path")[0].as_py() == dataset.examples[TRAIN][0].image_path
    datasets = pytest.importorskip("datasets")
    read = datasets.load_dataset(str(tmp_path / "mix"), cache_dir=str(tmp_path / "cache"))
    assert {name: len(rows) for name, rows in read.items()} == {"train": 13, "validation": 6}
    got = [*read["train"], *read["validation"]]
    for row, example in zip(got, dataset.iter_examples(), strict=True):
        record = records[example.image_path, example.person]
        assert row["image_path"] == example.image_path and row["dataset"] == export_kit.name_of(
            record
        )
        assert row["image"].size == (24, 16)
        ids = export_kit.own_joints(dataset, export_kit.name_of(record))
        for key, coords in (("joints3d", record.world_coords), ("joints2d", record.coords2d)):
            if coords is None:
                assert row[key] is None
            else:
                assert np.array_equal(np.float32(row[key])[ids], coords, equal_nan=True)
                assert np.isnan(np.delete(np.float32(row[key]), ids, axis=0)).all()
        if record.camera is not None:
            K = np.float32(row["camera"]["K"]).reshape(3, 3)
            assert np.array_equal(K, record.camera.intrinsic_matrix)
            assert (row["camera"]["distortion"] is None) != record.camera.has_distortion()
        assert (row["mask"] is None) == (record.mask is None)
        if record.parameters is not None:
            pose = np.float32(json.loads(row["parameters"])["pose"])
            assert np.array_equal(pose, record.parameters["pose"])
    raw = read["train"].cast_column("image", datasets.Image(decode=False))[0]["image"]
    assert raw["bytes"] == export_kit.image_of(records[raw["path"], 0])


def test_labels_are_read_without_pickle(made, tmp_path):
    _, dataset, records = made
    export_labels(dataset, tmp_path / "mix.npz")
    with np.load(tmp_path / "mix.npz", allow_pickle=False) as file:
        got = {name: file[name] for name in file}
    described = json.loads(str(got["description"]))
    assert described["joint_names"] == dataset.joint_info.names
    assert described["counts"] == {"train": 13, "val": 6, "test": 0}

    def slice_of(name, i, column=None):
        ptr = got[f"{name}_ptr"]
        return got[column or name][ptr[i] : ptr[i + 1]]

    for i, example in enumerate(dataset.iter_examples()):
        record = records[example.image_path, example.person]
        assert got["image_path"][i] == example.image_path
        assert ["train", "val", "test"][got["split"][i]] == record.split
        assert got["dataset_names"][got["dataset"][i]] == export_kit.name_of(record)
        assert got["sequence_names"][got["sequence"][i]] == record.sequence
        assert got["activity_names"][got["activity"][i]] == example.activity_name
        assert np.array_equal(got["bbox"][i], record.bbox)
        assert (got["frame"][i], got["person"][i]) == (record.frame, record.person)
        ids = np.array(export_kit.own_joints(dataset, export_kit.name_of(record)))
        for key, coords in (("joints3d", record.world_coords), ("joints2d", record.coords2d)):
            coords = np.zeros((0, 2)) if coords is None else coords
            there = np.isfinite(coords).all(axis=1)
            assert np.array_equal(slice_of(key, i, f"{key}_ids"), ids[: len(coords)][there])
            found = slice_of(key, i)
            assert np.array_equal(found.reshape(-1, coords.shape[1]), coords[there])
        assert got["has_camera"][i] == (record.camera is not None)
        if record.camera is not None:
            assert np.array_equal(got["camera_R"][i], np.asarray(record.camera.R))
            assert np.array_equal(got["camera_K"][i], record.camera.intrinsic_matrix)
            assert np.array_equal(got["camera_centre"][i], record.camera.t)
            lens = slice_of("distortion", i)
            assert bool(len(lens)) == record.camera.has_distortion()
            if len(lens):
                assert lens[0] == 0
                assert np.array_equal(lens[1:], record.camera.distortion_model.coeffs)
        counts = b"" if record.mask is None else record.mask["counts"]
        assert slice_of("mask", i).tobytes() == counts
        poly = np.zeros((0, 2)) if record.valid_poly is None else record.valid_poly
        assert np.array_equal(slice_of("valid_poly", i), poly)
        extras = slice_of("extras", i).tobytes()
        assert bool(extras) == bool(record.parameters or record.densepose)
        if record.parameters:
            pose = np.float32(json.loads(extras)["parameters"]["pose"])
            assert np.array_equal(pose, record.parameters["pose"])


def test_humandata_is_what_mmhuman3d_asks_for(root, tmp_path):
    """Keys, types and shapes of its documentation; joints in its order, metres, camera axes."""
    from posepile.ds import load_recipe
    from posepile.skeletons.data import load_convention

    info = load_recipe("aspset").SPEC.joint_info
    spec = load_recipe("aspset").SPEC
    records = []
    with parts.PartWriter(root / "aspset_work" / "parts" / "000.part") as writer:
        for i in range(3):
            record = kit.record("aspset", "train", 0, i, mask=None)
            rng = np.random.default_rng(i)
            world = np.float32(rng.normal(size=(info.n_joints, 3)) * 300)
            world[i] = np.nan
            record.world_coords = world + np.asarray(record.camera.t) + 4000 * record.camera.R[2]
            writer.add(record, kit.jpeg(i))
            records.append(record)
    packing.pack([writer.path], root / "aspset.barecat", spec, {"sources": []})
    done = export_humandata(open_dataset("aspset.barecat"), root / "hd")
    assert done.examples == 3 and not +done.notes
    with np.load(root / "hd" / "hd_train_00.npz", allow_pickle=True) as file:
        got = {k: file[k].item() if file[k].ndim == 0 else file[k] for k in file}
    assert list(got["image_path"]) == [r.image_path for r in records]
    assert got["bbox_xywh"].shape == (3, 5) and (got["bbox_xywh"][:, 4] == 1).all()
    assert got["keypoints2d"].shape == (3, 190, 3) and got["keypoints3d"].shape == (3, 190, 4)
    assert got["keypoints3d_mask"].shape == (190,) == got["keypoints2d_mask"].shape
    assert got["keypoints3d_convention"] == "human_data"
    assert not got["__key_strict__"] and got["__temporal_len__"] == 3
    assert not got["__keypoints_compressed__"]
    official = list(load_convention("humandata190").official)
    place, own = official.index("left_wrist"), info.ids["lwri"]
    for i, record in enumerate(records):
        seen = (record.world_coords[own] - record.camera.t) @ np.asarray(record.camera.R).T
        np.testing.assert_allclose(got["keypoints3d"][i, place, :3] * 1000, seen, atol=0.01)
        np.testing.assert_allclose(
            got["keypoints2d"][i, place, :2], export_kit.in_picture(record)[own], atol=0.05
        )
        assert got["keypoints3d"][i, place, 3] == got["keypoints2d"][i, place, 2] == 1
        cam = got["cam_param"]
        own_seen = cam["R"][i] @ (record.world_coords[own] / 1000) + cam["T"][i]
        np.testing.assert_allclose(own_seen, got["keypoints3d"][i, place, :3], atol=1e-5)
        assert np.array_equal(got["posepile_keypoints3d"][i], record.world_coords, equal_nan=True)
        assert (root / "hd" / record.image_path).read_bytes() == kit.jpeg(i)
    missing = official.index(_first_official(info, 0))
    assert got["keypoints3d"][0, missing, 3] == 0 and got["keypoints3d"][1, missing, 3] == 1
    assert got["keypoints3d_mask"][place] == 1 == got["keypoints3d_mask"][missing]
    assert got["keypoints3d_mask"][official.index("left_index_1")] == 0


def _first_official(info, joint):
    from posepile.skeletons.data import load_convention
    from posepile.skeletons.mapping import to_convention

    mapping = to_convention(info, "humandata190", dataset="aspset")
    official = load_convention("humandata190").official
    return next(o for o, i in zip(official, mapping.indices, strict=True) if i == joint)


def test_humandata_has_body_parameters(made, tmp_path):
    _, dataset, records = made
    done = export_humandata(dataset, tmp_path / "mix", images=False)
    assert done.notes["mask: has no place in HumanData"] == 6
    assert not any(p.suffix == ".jpg" for p in (tmp_path / "mix").rglob("*"))
    with np.load(tmp_path / "mix" / "mix_train_00.npz", allow_pickle=True) as file:
        smplx, smpl = file["smplx"].item(), file["smpl"].item()
        paths, meta = file["image_path"].tolist(), file["meta"].item()
    assert smplx["body_pose"].shape == (13, 21, 3) and smpl["body_pose"].shape == (13, 23, 3)
    assert smplx["left_hand_pose"].shape == (13, 15, 3) and smplx["jaw_pose"].shape == (13, 3)
    for i, path in enumerate(paths):
        parameters = records[path, 0].parameters if path.startswith("body") else None
        if parameters is None:
            assert np.isnan(smplx["betas"][i]).all() and meta["gender"][i] == "unknown"
            continue
        body = smplx if parameters["type"] == "smplx" else smpl
        pose = [body["global_orient"][i], body["body_pose"][i].ravel()]
        if body is smplx:
            pose += [body[k][i] for k in ("jaw_pose", "leye_pose", "reye_pose")]
            pose += [body[k][i].ravel() for k in ("left_hand_pose", "right_hand_pose")]
        assert np.array_equal(np.concatenate(pose), parameters["pose"])
        assert np.array_equal(body["transl"][i], parameters["trans"])
        assert meta["gender"][i] == "female"
