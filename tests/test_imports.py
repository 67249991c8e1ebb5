"""Datasets in the formats of others become packed ones, with what they hold."""

import json
import pickle
import shlex
import zipfile
from pathlib import Path

import archive_kit
import imports_kit as kit
import numpy as np
import pytest

from posepile import datasets2d, datasets3d
from posepile.cli import main, make_parser
from posepile.datasets3d import TEST, TRAIN, VALID
from posepile.errors import CorruptInput, UsageError, WorkError
from posepile.export.upstream import export_upstream
from posepile.imports import names, source
from posepile.imports.facts import Facts
from posepile.imports.forms import import_dataset
from posepile.store import parts, reading, verifying


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("DATA_ROOT", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    monkeypatch.delenv("CACHE_DIR", raising=False)
    return tmp_path


def run(*words):
    with pytest.raises(SystemExit) as e:
        main([str(w) for w in ("import", *words)])
    return e.value.code


# ---------------------------------------------------------------- COCO


def test_coco(root, capsys):
    path, known = kit.coco(root)
    assert run(path, "--from", "coco", "--name", "mine", "--images", root / "images",
               "--licence", "CC BY 4.0") == 0  # fmt: skip
    text = capsys.readouterr().out
    assert "12 train of 6 pictures" in text
    assert "left out: 1 crowd region" in text and "left out: 1 no key point labelled" in text
    ds = datasets2d.get_dataset("mine")
    assert ds.joint_info.names == kit.OWN
    ids = ds.joint_info.ids
    assert ds.joint_info.stick_figure_edges == [(ids.lsho, ids.lelb), (ids.lelb, ids.lwri)]
    assert len(ds.examples[TRAIN]) == 12 and not len(ds.examples[VALID])
    by_file = {}
    for name, points in known.values():
        by_file.setdefault(name, []).append(points)
    for ex in ds.examples[TRAIN]:
        name = ex.image_path.removeprefix("mine/")
        np.testing.assert_allclose(ex.coords, by_file[name][ex.person], atol=1e-5)
        assert bytes(ex._source.image_bytes(ex._row)) == (root / "images" / name).read_bytes()
        assert ex.bbox.tolist()[:2] == [4, 5] and ex.imshape == (48, 64)
        assert ex.mask["size"] == [48, 64]
    assert verifying.verify("mine.barecat") == []
    manifest = reading.read_manifest("mine.barecat")
    assert manifest["imported"]["form"] == "coco" and manifest["counts"]["train"] == 12
    assert reading.open_archive("mine.barecat").metadata["licence"] == "CC BY 4.0"


def test_again_and_on(root, capsys):
    path, _ = kit.coco(root)
    words = [path, "--from", "coco", "--name", "mine", "--images", root / "images"]
    words += ["--licence", "unknown", "--json"]
    assert run(*words) == 0
    first = json.loads(capsys.readouterr().out)
    assert first["changed"] and first["splits"]["train"] == 12
    part = next((root / "data/mine_work/imported").glob("*.part"))
    before = part.stat().st_mtime_ns
    assert run(*words) == 0
    assert not json.loads(capsys.readouterr().out)["changed"]
    assert part.stat().st_mtime_ns == before
    # Another picture: made again.
    (root / "images/train/000.jpg").write_bytes(kit.picture(9))
    assert run(*words) == 0
    assert json.loads(capsys.readouterr().out)["changed"]
    ex = datasets2d.get_dataset("mine").examples[TRAIN][0]
    assert bytes(ex._source.image_bytes(ex._row)) == kit.picture(9)


def test_what_was_finished_is_not_done_again(root, monkeypatch):
    monkeypatch.setattr(source, "EXAMPLES_PER_UNIT", 4)
    records = many(root)
    done = []
    close = parts.PartWriter.close

    def fail_at_third(self, *args, **kwargs):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(self.path.name)
        return close(self, *args, **kwargs)

    monkeypatch.setattr(parts.PartWriter, "close", fail_at_third)
    words = (["ann.barecat"], "upstream", "copy", Facts(licence="x", world_up="z"))
    words[0][0] = root / "data/ann.barecat"
    with pytest.raises(KeyboardInterrupt):
        import_dataset(*words, images=root / "data/toy.barecat", tell=lambda _: None)
    assert not (root / "data/copy.barecat").exists()
    monkeypatch.setattr(parts.PartWriter, "close", close)
    made = []
    monkeypatch.setattr(
        parts.PartWriter, "close",
        lambda self, *a, **k: made.append(self.path.name) or close(self, *a, **k),
    )  # fmt: skip
    result = import_dataset(*words, images=root / "data/toy.barecat", tell=lambda _: None)
    assert not set(made) & set(done) and sum(result.splits.values()) == len(records)


def many(root):
    records = archive_kit.make_archive(root / "data", n=9)
    export_upstream("toy.barecat", "ann.barecat", images=False)
    return records


@pytest.mark.parametrize(
    ("change", "words", "message"),
    [
        ({}, ["--licence", "x"], "--images"),
        ({}, ["--images", "images"], "licence"),
        ({}, ["--images", "nowhere", "--licence", "x"], "no such folder"),
        ({"name": "coco"}, ["--images", "images", "--licence", "x"], "with a recipe"),
        ({"name": "a/b"}, ["--images", "images", "--licence", "x"], "expected a name"),
    ],
)
def test_wrong_requests(root, change, words, message, capsys, monkeypatch):
    path, _ = kit.coco(root)
    monkeypatch.chdir(root)
    assert run(path, "--from", "coco", "--name", change.get("name", "mine"), *words) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (root / "data/mine.barecat").exists()


def test_an_archive_that_is_there_is_not_replaced(root):
    archive_kit.make_archive(root / "data", "mine")
    path, _ = kit.coco(root)
    with pytest.raises(UsageError, match="no import"):
        import_dataset([path], "coco", "mine", Facts(licence="x"), images=root / "images")


def test_pictures_that_are_missing_or_others(root):
    path, _ = kit.coco(root)
    (root / "images/train/001.jpg").unlink()
    words = ([path], "coco", "mine", Facts(licence="x"))
    with pytest.raises(WorkError, match="001.jpg: picture not found"):
        import_dataset(*words, images=root / "images")
    result = import_dataset(*words, images=root / "images", skip_missing=True)
    assert result.left_out["picture not found"] == 2 and result.splits["train"] == 10
    (root / "images/train/001.jpg").write_bytes(kit.picture(1, (32, 48)))
    with pytest.raises(WorkError, match="height and width"):
        import_dataset(*words, images=root / "images")
    (root / "images/train/001.jpg").write_bytes(b"no picture at all")
    result = import_dataset(*words, images=root / "images")
    assert result.left_out["picture that cannot be read"] == 2


def test_names_that_lead_out_of_the_folder(root):
    path, _ = kit.coco(root)
    content = json.loads(path.read_text())
    content["images"][0]["file_name"] = "../person_keypoints_train2020.json"
    path.write_text(json.dumps(content))
    with pytest.raises(WorkError, match="expected a path below"):
        import_dataset([path], "coco", "mine", Facts(licence="x"), images=root / "images")


def test_names_of_others():
    assert names.own_names(kit.NAMES) == kit.OWN
    for convention in ("mhr70", "spin44"):
        info = names.convention(convention)
        mirrored = [info.names[i] for i in info.mirror_mapping]
        odd = [n for n, m in zip(info.names, mirrored, strict=True) if n == m]
        assert not [n for n in odd if n[0] in "lr"] and len(info.stick_figure_edges) >= 10
    assert names.convention("mhr70").n_joints == 70
    assert names.convention("mhr70").names[41] == "rwri"


# ---------------------------------------------------------------- HumanData

JOINTS = ["pelv", "lhip", "rhip", "lkne", "rkne"]
HD = {"licence": "x", "units": "m", "axes": "camera", "world_up": "-y", "split": "train"}


@pytest.mark.parametrize("compressed", [False, True])
def test_human_data(root, compressed):
    path = root / "toy.npz"
    data = kit.human_data(path, compressed=compressed)
    all_names = ["a", *JOINTS, "b"] if compressed else JOINTS
    if compressed:
        all_names = ["pelv", "x", "lhip", "rhip", "y", "lkne", "rkne"]
    facts = Facts(**HD, joints=all_names, edges="pelv-lhip-lkne")
    import_dataset([path], "humandata", "hd", facts, images=root / "images")
    ds = datasets3d.get_dataset("hd")
    assert ds.joint_info.names == all_names
    keep = [all_names.index(n) for n in JOINTS]
    examples = list(ds.examples[TRAIN])
    assert len(examples) == 8
    for i, ex in enumerate(examples):
        assert ex.image_path == f"hd/seq/{i // 2:03d}.jpg" and ex.person == i % 2
        np.testing.assert_allclose(
            ex.world_coords[keep], data["keypoints3d"][i, :, :3] * 1000, rtol=1e-5
        )
        expected = data["keypoints2d"][i, :, :2].copy()
        expected[data["keypoints2d"][i, :, 2] == 0] = np.nan
        np.testing.assert_allclose(ex.coords2d[keep], expected)
        assert np.isnan(np.delete(ex.coords2d, keep, axis=0)).all()
        pose = np.concatenate(
            [data["smpl"]["global_orient"][i], data["smpl"]["body_pose"][i].ravel()]
        )
        np.testing.assert_array_equal(ex.parameters["pose"], pose)
        assert ex.parameters["gender"] == ("male", "female")[i % 2]
        assert ex.camera is None and ex.parameters["type"] == "smpl"
    assert verifying.verify("hd.barecat") == []
    assert ds.train_bones is not None


@pytest.mark.parametrize("moved", [True, False])
def test_human_data_with_cameras(root, moved):
    path = root / "toy_val.npz"
    cams = [kit.camera(i, moved) for i in range(8)]
    R, K = np.stack([c.R for c in cams]), np.stack([c.intrinsic_matrix for c in cams])
    T = np.stack([-c.R @ c.t for c in cams]) / 1000
    data = kit.human_data(path, cam_param={"R": R, "T": T, "K": K, "H": [48] * 8, "W": [64] * 8})
    seen = np.stack([
        (j[:, :3] @ k.T)[:, :2] / j[:, 2:3] for j, k in zip(data["keypoints3d"], K, strict=True)
    ])  # fmt: skip
    data["keypoints2d"][..., :2] = seen
    kit.human_data(path, cam_param={"R": R, "T": T, "K": K}, keypoints2d=data["keypoints2d"])
    facts = Facts(**{**HD, "split": None, "joints": JOINTS})
    result = import_dataset([path], "humandata", "hd", facts, images=root / "images")
    assert result.splits["val"] == 8 and "0.00%" in " ".join(result.lines)
    for i, ex in enumerate(datasets3d.get_dataset("hd").examples[VALID]):
        np.testing.assert_allclose(ex.camera.t, cams[i].t, atol=0.01)
        np.testing.assert_allclose(ex.camera.world_to_image(ex.world_coords), seen[i], atol=0.01)


def test_bodies_of_human_data_that_are_not_kept_are_counted(root):
    orient = np.zeros((8, 3), np.float32)
    orient[:4] = np.nan
    more = {
        "smplx": {"global_orient": np.zeros((8, 3)), "body_pose": np.zeros((8, 63))},
        "smplh": {"global_orient": orient, "betas": np.zeros((8, 16)), "v_template": orient},
        "mano": {"global_orient": orient},
    }
    kit.human_data(root / "toy.npz", **more)
    facts = Facts(**HD, joints=JOINTS)
    result = import_dataset([root / "toy.npz"], "humandata", "hd", facts, images=root / "images")
    assert result.notes == {
        "smplx parameters without betas not kept": 8,
        "smplh v_template: not kept": 4,
        "smpl parameters beside smplh not kept": 4,
        "mano parameters not kept": 8,
    }
    types = [ex.parameters["type"] for ex in datasets3d.get_dataset("hd").examples[TRAIN]]
    assert types == ["smpl"] * 4 + ["smplh"] * 4


@pytest.mark.parametrize(
    ("facts", "message"),
    [({"units": "cm"}, "correct --units"), ({"units": "mm"}, "correct --units")],
)
def test_units_that_cannot_be(root, facts, message):
    path = root / "toy.npz"
    kit.human_data(path)
    words = ([path], "humandata", "hd", Facts(**{**HD, "joints": JOINTS, **facts}))
    for _ in range(2):  # also when it is tried again
        with pytest.raises(WorkError, match=message):
            import_dataset(*words, images=root / "images")


def test_facts_that_are_asked_for(root):
    path = root / "toy.npz"
    kit.human_data(path)
    with pytest.raises(UsageError) as e:
        import_dataset([path], "humandata", "hd", images=root / "images")
    for name in ("licence", "split", "units", "axes", "world_up"):
        assert name in str(e.value)
    with pytest.raises(UsageError, match="joints"):
        import_dataset([path], "humandata", "hd", Facts(**HD), images=root / "images")
    with pytest.raises(UsageError, match="5 key points"):
        facts = Facts(**HD, joints=JOINTS[:3])
        import_dataset([path], "humandata", "hd", facts, images=root / "images")


def test_code_in_human_data_is_not_run(root):
    class Evil:
        def __reduce__(self):
            return (print, ("run",))

    path = root / "toy.npz"
    kit.human_data(path, misc={"x": Evil()})
    with pytest.raises(CorruptInput, match="print"):
        import_dataset([path], "humandata", "hd", Facts(**HD), images=root / "images")
    with zipfile.ZipFile(root / "none.npz", "w"):
        pass
    with pytest.raises(CorruptInput, match="HumanData"):
        import_dataset([root / "none.npz"], "humandata", "hd", images=root)


# ---------------------------------------------------------------- the original


def test_upstream(root):
    records = many(root)
    facts = Facts(licence="x", world_up="z")
    result = import_dataset(
        [root / "data/ann.barecat"], "upstream", "copy", facts, images=root / "data/toy.barecat"
    )
    assert result.splits == {"train": 18, "val": 9, "test": 0}
    first, second = datasets3d.get_dataset("toy"), datasets3d.get_dataset("copy")
    assert second.joint_info == first.joint_info
    for a, b in zip(first.iter_examples(), second.iter_examples(), strict=True):
        assert (a.image_path, a.person, a.frame, a.activity_name) == (
            b.image_path, b.person, b.frame, b.activity_name,
        )  # fmt: skip
        np.testing.assert_array_equal(a.world_coords, b.world_coords)
        np.testing.assert_allclose(a.camera.R, b.camera.R, atol=1e-6)
        assert a.mask == b.mask and (a.image == b.image).all()
    assert len(records) == 27 and verifying.verify("copy.barecat") == []
    with pytest.raises(UsageError, match="packed archive"):
        import_dataset([root / "data/toy.barecat"], "upstream", "x", facts)


def test_pictures_as_files_for_an_archive_of_annotations(root):
    records = many(root)
    for record in records:
        path = root / "data" / record.image_path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(archive_kit.jpeg(3))
    facts = Facts(licence="x", world_up="z")
    import_dataset([root / "data/ann.barecat"], "upstream", "copy", facts)
    ex = datasets3d.get_dataset("copy").examples[VALID][0]
    assert bytes(ex._source.image_bytes(ex._row)) == archive_kit.jpeg(3)


def test_pickle(root):
    names_ = [f"gym_down/{i // 2:02d}.jpg" for i in range(8)]
    kit.write_pictures(root / "data", sorted(set(names_)))
    examples = [
        datasets3d.Pose3DExample(
            name, kit.pose(i), [1, 2, 30, 40], kit.camera(i), activity_name="run",
            mask={"size": [48, 64], "counts": b"0a1"},
        )
        for i, name in enumerate(names_)
    ]  # fmt: skip
    examples[3].univ_coords = kit.pose(3)
    info = datasets3d.JointInfo(kit.OWN, "lsho-lelb-lwri")
    ds = datasets3d.Pose3DDataset(info, examples[:6], None, examples[6:])
    (root / "ds.pkl").write_bytes(pickle.dumps(ds))
    result = import_dataset(
        [root / "ds.pkl"], "pickle", "gym", Facts(licence="x", world_up="-y", image_dir="gym_down")
    )
    assert result.splits == {"train": 6, "val": 0, "test": 2}
    assert result.notes == {"univ_coords not kept": 1}
    packed = datasets3d.get_dataset("gym")
    assert packed.joint_info == info
    for i, ex in enumerate(packed.iter_examples()):
        assert ex.image_path == names_[i] and ex.person == i % 2 and ex.activity_name == "run"
        np.testing.assert_array_equal(ex.world_coords, kit.pose(i))
        assert ex.camera == kit.camera(i) and ex.imshape == (48, 64)
        assert ex.mask["counts"] == b"0a1" and ex.image.shape == (48, 64, 3)
    assert len(packed.examples[TEST]) == 2 and verifying.verify("gym.barecat") == []


def test_pickles_that_are_none(root):
    (root / "a.pkl").write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(WorkError, match="expected a dataset"):
        import_dataset([root / "a.pkl"], "pickle", "x", Facts(licence="x"))
    (root / "b.pkl").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(WorkError, match="system"):
        import_dataset([root / "b.pkl"], "pickle", "x", Facts(licence="x"))


def test_facts_of_a_file(root, capsys, monkeypatch):
    path, _ = kit.coco(root)
    (root / "facts.yaml").write_text(
        "licence: CC0\nsingle_person: true\nimage_dir: gym_down\njoints: ["
        + ", ".join(f"j{i}" for i in range(17)) + "]\n"
    )  # fmt: skip
    monkeypatch.chdir(root)
    assert run(path, "--from", "coco", "--name", "mine", "--images", "images",
               "--facts", "facts.yaml") == 0  # fmt: skip
    ds = datasets2d.get_dataset("mine")
    assert ds.examples[TRAIN][0].image_path.startswith("gym_down/")
    assert ds.joint_info.names[16] == "j16"
    metadata = reading.open_archive("mine.barecat").metadata
    assert metadata["single_person"] is True and metadata["licence"] == "CC0"
    (root / "facts.yaml").write_text("licens: CC0\n")
    capsys.readouterr()
    assert run(path, "--from", "coco", "--name", "mine", "--facts", "facts.yaml") == 2
    assert "licens" in capsys.readouterr().err


def test_damaged_parts_are_made_again(root):
    path, _ = kit.coco(root)
    words = ([path], "coco", "mine", Facts(licence="x"))
    import_dataset(*words, images=root / "images")
    shard = next((root / "data/mine_work/imported").glob("*.shard"))
    shard.unlink()
    shard.write_bytes(b"x")
    for file in (root / "data").glob("mine.barecat*"):
        file.unlink()
    result = import_dataset(*words, images=root / "images", tell=lambda _: None)
    assert result.again and verifying.verify("mine.barecat") == []


def command(*words):
    with pytest.raises(SystemExit) as e:
        main([str(w) for w in words])
    return e.value.code


def test_commands_of_the_document_are_understood():
    text = (Path(__file__).parents[1] / "docs/IMPORT.md").read_text()
    lines = [line for line in text.splitlines() if line.startswith("posepile import ")]
    read = [make_parser().parse_args(shlex.split(line)[1:]) for line in lines]
    assert len(read) == 5 and [a.world_up for a in read].count("-y") == 1


def test_imported_sets_are_looked_at_by_name(root, capsys):
    path, _ = kit.coco(root)
    import_dataset([path], "coco", "mine", Facts(licence="x"), images=root / "images")
    assert command("verify", "mine") == 0 and "is right" in capsys.readouterr().out
    assert command("verify", "mine", "--repair") == 2
    assert "needs a recipe" in capsys.readouterr().err
    assert command("view", "mine", "--out", root / "view.png") == 0
    assert (root / "view.png").stat().st_size > 1000
    assert command("export", "mine", "--to", "labels") == 0
    data = bytearray((root / "data/mine.barecat-shard-00000").read_bytes())
    data[100] ^= 1
    (root / "data/mine.barecat-shard-00000").unlink()
    (root / "data/mine.barecat-shard-00000").write_bytes(data)
    capsys.readouterr()
    assert command("verify", "mine") == 1
    assert command("verify", "nobody") == 2
