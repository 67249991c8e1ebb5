"""Every evaluation says in one line what is wrong with a file that holds no predictions of it."""

import json
import pickle
import zipfile

import numpy as np
import pytest
from evaluation_kit import score

from posepile.ds import dataset_names, has_evaluation, load_evaluation
from posepile.errors import PosePileError

BENCHMARKS = [name for name in dataset_names() if has_evaluation(name)]
TEXTS = {
    "cut.json": '{"a": [1, 2',
    "null.json": "null",
    "list.json": "[1, 2]",
    "deep.json": json.dumps({"a": {"body": {"1": {"x": 1}}, "0": {"left_hand_3d": 3}}}),
    "cut.npz": "PK\x03\x04",
    "text.npz": "garbage" * 50,
    "text.pkl": "garbage",
    "cut.zip": "PK\x03\x04",
    "cut.mat": "MATLAB 5.0 MAT-file" + " " * 200,
    "nothing": "",
}
# Keys of the forms that there are, with what does not belong there.
NAMES = ("image_path", "image_id", "fnames")
ARRAYS = ("coords3d_pred_world", "coords3d_pred_cam", "vertices", "joints", "pose", "betas")
ARRAYS += ("trans", "contact", "vertex_uncertainties", "joint_uncertainties", "silhouettes")
NPZ = {
    "other": {"a": 1},
    "scalar": dict.fromkeys(NAMES, "a") | dict.fromkeys(ARRAYS, 1.0),
    "text": dict.fromkeys(NAMES, ("a",)) | dict.fromkeys(ARRAYS, ("x",)),
    "objects": dict.fromkeys((*NAMES, *ARRAYS), np.array([None, {}], object)),
    "flat": dict.fromkeys(NAMES, ("a", "b")) | dict.fromkeys(ARRAYS, np.zeros((2, 3))),
}
PICKLES = {"none": None, "list": [1, "a", None], "text": {"a": 1}, "dict": {"a": {"pose": "x"}}}


@pytest.fixture(scope="session")
def bad_files(tmp_path_factory):
    """Files, and a folder with all of them at every depth that a form has."""
    folder = tmp_path_factory.mktemp("bad")
    for name, text in TEXTS.items():
        (folder / name).write_text(text)
    for name, arrays in NPZ.items():
        np.savez(folder / f"{name}.npz", **arrays)
    for name, value in PICKLES.items():
        (folder / f"{name}.pkl").write_bytes(pickle.dumps(value))
    with zipfile.ZipFile(folder / "members.zip", "w") as archive:
        archive.writestr("predictions/a_personId_0.pkl", b"no")
    files = sorted(folder.iterdir())
    empty = tmp_path_factory.mktemp("empty")
    return [*files, empty, folder]


@pytest.mark.parametrize("name", BENCHMARKS)
def test_files_without_predictions(name, bad_files, raw_miniature):
    benchmark, root = load_evaluation(name).BENCHMARK, raw_miniature(name)
    for protocol in benchmark.protocols:
        for path in bad_files:
            with pytest.raises(PosePileError) as error:
                score(benchmark, root, path, "--protocol", protocol.name)
            said = str(error.value)
            told = f"{protocol.name} {path.name}: {said}"
            # People who were not found are part of AGORA's protocols, so that its own files may be
            # what is lacking where a zip is of other pictures.
            assert "\n" not in said and (str(path) in said or "body_verts" in said), told
            assert not any(word in said for word in ("download", "fetch", "main.sh")), told
