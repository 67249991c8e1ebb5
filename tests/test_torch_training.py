"""Training on miniatures: what is printed runs, and a network learns from pictures."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT

torch = pytest.importorskip("torch")

DATASETS = ("h36m", "genebody", "fit3d", "panoptic")
LOOPS = [
    (page, block)
    for page in ("README.md", "docs/TRAINING.md", "docs/tutorials/train.md")
    for block in re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    if "CropLoader(CropDataset" in block
]


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("page", "block"), LOOPS, ids=[page for page, _ in LOOPS])
def test_the_loop_runs_as_printed(page, block, miniature, tmp_path):
    env = {**os.environ, "DATA_ROOT": str(miniature("aspset")), "PYTHONPATH": str(ROOT)}
    env["OMP_NUM_THREADS"] = "1"
    done = subprocess.run(
        [sys.executable, "-c", block],
        env=env,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    saved = torch.load(tmp_path / "checkpoint.pt")
    errors = [
        int(text) for text in re.findall(r"^epoch \d+: (\d+) mm$", done.stdout, re.MULTILINE)
    ]
    assert (saved["data"]["epoch"], saved["data"]["taken"]) == (len(errors), 0)
    assert errors[-1] < 0.7 * errors[0]
    assert "Warning" not in done.stderr


def test_a_state_goes_through_json_and_on(miniature, monkeypatch):
    from posepile.datasets3d import TRAIN, get_dataset
    from posepile.torch import CropDataset, CropLoader

    monkeypatch.setenv("DATA_ROOT", str(miniature("aspset")))
    dataset = CropDataset(get_dataset("aspset").examples[TRAIN], path_and_noise)
    first, second = (CropLoader(dataset, 4, block=2) for _ in range(2))
    whole = [row for batch in CropLoader(dataset, 4, block=2) for row in rows(batch)]
    had = rows(next(iter(first)))
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    assert had + [row for batch in second for row in rows(batch)] == whole
    assert len({path for path, _ in whole}) == len(dataset)


def test_a_state_of_another_packing_or_order_is_refused(miniature, monkeypatch):
    from posepile.datasets3d import TRAIN, VALID, get_dataset
    from posepile.errors import UsageError
    from posepile.torch import ShardShuffleSampler

    monkeypatch.setenv("DATA_ROOT", str(miniature("aspset")))
    examples = get_dataset("aspset").examples
    listed = examples[TRAIN][:9]
    state = ShardShuffleSampler(listed).state_dict(2)
    ShardShuffleSampler(examples[TRAIN][:9].copy()).load_state_dict(state)
    for other in (listed[::-1], examples[VALID][:9], examples[TRAIN][1:10]):
        with pytest.raises(UsageError, match="mark of the list"):
            ShardShuffleSampler(other).load_state_dict(state)


def path_and_noise(example, draw):
    return {"path": example.image_path, "noise": draw.rng.random(), "image": example.image}


def rows(batch):
    return list(zip(batch["path"], np.asarray(batch["noise"]).tolist(), strict=True))


def test_weights_find_the_datasets_of_a_merged_list(miniature, monkeypatch, tmp_path):
    monkeypatch.setenv("DATA_ROOT", str(together(miniature, tmp_path, ("aspset", "h36m"))))
    from posepile.datasets3d import TRAIN, get_dataset
    from posepile.merging.merge import merge_datasets
    from posepile.torch import ShardShuffleSampler

    merged = merge_datasets({name: get_dataset(name) for name in ("aspset", "h36m")})
    examples = merged.examples[TRAIN]
    unweighted = {name: part["weight"] for name, part in merged.parts.items()}
    assert ShardShuffleSampler(examples, weights=unweighted).counts == {
        name: int(examples.mask(dataset=name).sum()) for name in merged.parts
    }
    examples.shuffle(0)
    sampler = ShardShuffleSampler(examples, weights={"h36m": 3, "aspset": 1}, length=80)
    assert sampler.counts == {"aspset": 20, "h36m": 60}
    found = [examples[i].dataset for i in sampler]
    assert (found.count("h36m"), found.count("aspset")) == (60, 20)


def together(miniature, folder, names):
    """One folder with the archives of several miniatures."""
    for name in names:
        for file in miniature(name).glob(f"{name}.barecat*"):
            (folder / file.name).symlink_to(file)
    return folder


def test_a_network_learns_from_pictures_what_an_unseen_actor_does(
    miniature, monkeypatch, tmp_path, capsys
):
    monkeypatch.setenv("DATA_ROOT", str(together(miniature, tmp_path, DATASETS)))
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    import train_pose

    with pytest.raises(SystemExit):
        train_pose.main(["h36m", "--test", "h36m", "--batch", "6400"])
    assert "expected --batch 6400 or more" in capsys.readouterr().err
    options = ["--test", "h36m", "--mirror", "0", "--epochs", "20"]
    errors = train_pose.main([*DATASETS, *options])
    assert "12 in the test" in capsys.readouterr().out
    assert errors["network"] < 0.7 * errors["mean pose"]
    assert errors["other people's pictures"] > 0.95 * errors["mean pose"]
