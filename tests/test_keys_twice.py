"""What is there twice under one name is refused, with both places; nothing overwrites silently."""

import json
import zipfile

import numpy as np
import pytest

from posepile.ds.agora import main as agora
from posepile.ds.aspset.main import data_dir, load_split
from posepile.ds.egoexo4d import annotations, takes
from posepile.ds.genebody import subjects
from posepile.ds.h36m.main import Options, find, list_units
from posepile.ds.panoptic.main import body_files
from posepile.errors import CorruptInput
from posepile.formats.aria_files import read_aria_lens
from posepile.formats.derived import derived_rows
from posepile.formats.folders import files_by_number, numbered_files
from posepile.formats.keys import by_name, by_number
from posepile.formats.numpy_files import load_npz
from posepile.formats.text_files import iter_json, read_json
from posepile.geometry.cameras import poses_by_frame


def test_a_key_twice_in_json_is_refused(tmp_path):
    file = tmp_path / "take.json"
    file.write_text('{"0": {"x": 1}, "7": [], "0": {"x": 2}}')
    with pytest.raises(CorruptInput, match=r"key '0' twice in one object, as .*1.* and as .*2"):
        read_json(file)
    file.write_text('{"frames": [{"a": 1}, {"a": 1, "b": {"c": 5, "c": 6}}, {"a": 2}]}')
    with pytest.raises(CorruptInput, match=r"frames\.1: found key 'c' twice.* as 5 and as 6"):
        list(iter_json(file, "frames.item"))
    with pytest.raises(CorruptInput, match="found key 'c' twice"):
        read_json(file)


@pytest.mark.parametrize("size", [10, 200_000])
def test_nan_in_a_list_of_json_is_none_and_texts_stay(tmp_path, size):
    texts = ["NaN, NaN,", 'a"NaN', "\\", '\\"NaN,', "-Infinity", "x" * size]
    numbers = [float("nan"), float("inf"), -float("inf"), 1.5]
    entries = [{"text": text, "numbers": numbers} for text in texts * 2]
    (tmp_path / "a.json").write_text(json.dumps({"entries": entries}))
    found = list(iter_json(tmp_path / "a.json", "entries.item"))
    assert [entry["text"] for entry in found] == texts * 2
    assert all(entry["numbers"] == [None, None, None, 1.5] for entry in found)


def test_two_files_of_one_number_are_refused(tmp_path):
    for name in ("mask46.png", "mask0046.png"):
        (tmp_path / name).touch()
    message = r"number 46: found at mask0046\.png and at mask46\.png"
    with pytest.raises(CorruptInput, match=message):
        files_by_number(tmp_path, r"mask(\d+)\.png")
    with pytest.raises(CorruptInput, match=message):
        numbered_files(tmp_path)


def test_two_names_of_one_thing_are_refused(tmp_path):
    for name in ("b.cdf", "B.cdf"):
        (tmp_path / name).touch()
    with pytest.raises(CorruptInput, match=r"file of b\.cdf: found at B\.cdf and at b\.cdf"):
        by_name(tmp_path, str.lower)
    with pytest.raises(CorruptInput, match=r"frame 0: found at '0' and at '000'"):
        by_number({"0": 1, "7": 2, "000": 3}, "poses.json", "frame")


def test_frames_of_one_number_in_labels_and_poses_are_refused(tmp_path):
    joint = {"x": 1.0, "y": 2.0, "z": 3.0, "num_views_for_3d": 3}
    pose = [{"annotation3D": {"nose": joint}, "annotation2D": {}}]
    file = tmp_path / "labels.json"
    file.write_text(json.dumps({"0": pose, "000": pose}))
    with pytest.raises(CorruptInput, match=r"labels\.json: frame 0: found at '0' and at '000'"):
        annotations.read_labels(file)
    poses = {"7": np.eye(4).tolist(), "07": np.eye(4).tolist()}
    with pytest.raises(CorruptInput, match=r"aria01: frame 7: found at '7' and at '07'"):
        poses_by_frame("aria01", poses)


@pytest.mark.parametrize("key", ["take_uid", "take_name"])
def test_two_takes_of_one_name_are_refused(tmp_path, key):
    entries = [
        {"take_uid": f"u{i}", "take_name": f"n{i}", "root_dir": f"takes/n{i}"} for i in range(3)
    ]
    entries[2][key] = entries[0][key]
    (tmp_path / "takes.json").write_text(json.dumps(entries))
    with pytest.raises(CorruptInput, match=rf"{key} .0: found at \[0\] and at \[2\]"):
        takes.read_takes(tmp_path)


def test_two_calibrations_of_one_camera_are_refused(tmp_path):
    projection = {"Name": "FisheyeRadTanThinPrism", "Params": [611.0, 703, 705, *[0.0] * 12]}
    camera = {"Label": "camera-rgb", "Projection": projection}
    (tmp_path / "a.json").write_text(json.dumps({"CameraCalibrations": [camera, camera]}))
    with pytest.raises(CorruptInput, match="camera camera-rgb: found at CameraCalibrations"):
        read_aria_lens(tmp_path / "a.json")


def test_a_performer_in_both_splits_is_refused(tmp_path):
    (tmp_path / "GeneBody-Train40").mkdir()
    split = {"train": ["ahha", "fuzhizhi"], "test": ["fuzhizhi"]}
    np.save(tmp_path / "GeneBody-Train40" / subjects.SPLIT_FILE, split, allow_pickle=True)
    options = subjects.Options(test10=True)
    with pytest.raises(CorruptInput, match=r"fuzhizhi: found at train\[1\] and at test\[0\]"):
        subjects.list_performers(tmp_path, options)


def test_a_take_under_both_of_its_names_is_refused(tmp_path):
    folder = tmp_path / "S1" / "Videos"
    folder.mkdir(parents=True)
    for name in ("TakingPhoto 1.54138969.mp4", "Photo 1.54138969.mp4", "Photo.54138969.mp4"):
        (folder / name).touch()
    message = r"Photo 1.*: found at Photo 1\.54138969.* and at TakingPhoto 1\.54138969"
    with pytest.raises(CorruptInput, match=message):
        find(folder, "Photo 1.54138969.mp4")
    with pytest.raises(CorruptInput, match=message):
        list(list_units(tmp_path, Options()))


def test_a_clip_that_a_split_file_lists_twice_is_refused(tmp_path):
    (tmp_path / "splits.csv").write_text(
        "00aa,0001,train,all\n00bb,0001,val,all\n00aa,0001,test,mid\n"
    )
    with pytest.raises(CorruptInput, match="00aa 0001 mid: found at line 1 and at line 3"):
        load_split(tmp_path / "splits.csv")


def test_files_at_two_of_their_places_are_refused(tmp_path):
    bodies = tmp_path / "170221_a" / "hdPose3d_stage1_coco19"
    (bodies / "hd").mkdir(parents=True)
    for name in ("body3DScene_00000101.json", "hd/body3DScene_00000100.json"):
        (bodies / name).touch()
    names = [file.name[-8:] for file in body_files(tmp_path / "170221_a")]
    assert names == ["100.json", "101.json"], "one recording in two folders"
    (bodies / "hd/body3DScene_00000101.json").touch()
    with pytest.raises(CorruptInput, match=r"frame 101: found at .*19/body3D.* and at .*/hd/body"):
        body_files(tmp_path / "170221_a")

    (tmp_path / "SMPL").mkdir()
    for name in ("train_0_withjv.pkl", "train_0_SMPL_withjv.pkl"):
        (tmp_path / "SMPL" / name).write_text(name)
    with pytest.raises(CorruptInput, match=r"SMPL_withjv\.pkl: a frame of a part: found"):
        list(agora.list_units(tmp_path, agora.Options()))

    (tmp_path / "ASPset-510").mkdir()
    (tmp_path / "ASPset-510" / "splits.csv").touch()
    (tmp_path / "data").symlink_to(tmp_path / "ASPset-510")
    assert data_dir(tmp_path) == tmp_path / "data", "a link to the same is no second place"
    (tmp_path / "splits.csv").touch()
    assert data_dir(tmp_path) == tmp_path / "data", "nor is a copy"
    (tmp_path / "splits.csv").write_text("another")
    with pytest.raises(CorruptInput, match=r"splits\.csv: the dataset: found here and at .*data"):
        data_dir(tmp_path)


def test_rows_of_one_picture_are_refused(tmp_path):
    (tmp_path / "big.pkl").touch()
    rows = [{"image": "a.png"}, {"image": "b.png"}, {"image": "a.png"}]
    with pytest.raises(CorruptInput, match=r"big\.pkl: image a\.png: found at row 0 and at row 2"):
        derived_rows([tmp_path / "big.pkl"], tmp_path / "work", lambda: rows, "image", 2)


def test_two_arrays_of_one_name_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", x=1, y=2)
    with zipfile.ZipFile(tmp_path / "a.npz", "a") as z, np.errstate(all="ignore"):
        z.writestr("x", z.read("y.npy"))
    with pytest.raises(CorruptInput, match=r"array x: found at member 0 and at member 2"):
        load_npz(tmp_path / "a.npz")
