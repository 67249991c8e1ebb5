"""What every dataset folder must do; a new folder is tested by being there.

The questions are those of ``posepile check``, asked of one run of each dataset's main.sh.
"""

import pickle

import numpy as np
import pytest
import stand_ins

from posepile.acquire.doctor import run_doctor
from posepile.checking import whole
from posepile.checking.check import OF_FOLDER, OF_SAMPLE
from posepile.checking.sample import data_root, open_sample
from posepile.ds import dataset_dir, dataset_names, load_recipe
from posepile.export.upstream import export_upstream
from posepile.merging.merge import merge_datasets
from posepile.recipe import SPLIT_NAMES
from posepile.store import restricted_pickle
from posepile.store.opening import open_dataset

NAMES = dataset_names()
WITH_EXAMPLES = [name for name in NAMES if load_recipe(name).SPEC.kind != "helper"]
HELPERS = [name for name in NAMES if name not in WITH_EXAMPLES]


@pytest.fixture(scope="module")
def sample(miniature):
    """The processed miniature of a dataset, opened once."""
    opened = {}

    def get(name):
        if name not in opened:
            opened[name] = open_sample(name, miniature(name))
        return opened[name]

    return get


def expect_nothing_wrong(question, answer):
    lines = "\n".join(answer.lines(question))
    print(lines)
    assert not answer.findings, lines
    if not answer.asked:
        pytest.skip(answer.note)


@pytest.mark.parametrize("question", OF_FOLDER)
@pytest.mark.parametrize("name", NAMES)
def test_folder(name, question):
    expect_nothing_wrong(question, OF_FOLDER[question](name))


@pytest.mark.parametrize("name", NAMES)
def test_every_raw_file_is_known(name, miniature):
    report = run_doctor(name, dataset_dir(name) / "sources.yaml", miniature(name) / name)
    assert report.ok and not report.unexpected, "\n".join(report.lines)


@pytest.mark.parametrize("question", OF_SAMPLE)
@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_sample(name, question, sample):
    expect_nothing_wrong(question, OF_SAMPLE[question](sample(name)))


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_training_code_of_the_original(name, sample):
    """Turned, mirrored, cut out and hidden by others, joints are still on the drawn person."""
    s = sample(name)
    with data_root(s.root):
        counts, away = stand_ins.check_loaders(s)
    print(f"discs looked for and found: {counts}, mean distance {away:.2f} px")
    assert all(found >= stand_ins.LEAST_FOUND * n for n, found in counts)
    assert away <= s.truth.joint_error_px + stand_ins.MARGIN_PX


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_exports_for_the_original(name, sample, tmp_path):
    s = sample(name)
    with data_root(s.root):
        done = export_upstream(s.dataset, tmp_path / "a.barecat")
        n = 0
        for file in done.files[:-1]:
            archives = stand_ins.Archives(file, done.files[-1])
            n += stand_ins.compare_entries(s.dataset, archives)
            archives.close()
    assert n and not done.left_out


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_second_run(name, sample, run_main):
    s = sample(name)
    again = lambda: run_main(name, s.root, "--miniature").stdout
    expect_nothing_wrong("second run", whole.second_run_does_nothing(s, again))


@pytest.mark.parametrize("name", HELPERS)
def test_artefacts(name, miniature):
    expect_nothing_wrong("artefacts", whole.artefacts_are_there(name, miniature(name)))


@pytest.mark.parametrize("name", HELPERS)
def test_second_run_of_a_helper(name, miniature, run_main):
    again = lambda: run_main(name, miniature(name), "--miniature")
    answer = whole.second_run_leaves_artefacts(name, miniature(name), again)
    expect_nothing_wrong("second run", answer)


def test_all_datasets_merge_into_one(miniature):
    """3D, 2D and parametric ones: everybody is there, with their joints under the right names."""
    opened = {n: open_dataset(miniature(n) / f"{n}.barecat") for n in WITH_EXAMPLES}
    skeletons = {name: name.replace("_", "") for name in opened}
    merged = merge_datasets(opened, skeletons)
    again = restricted_pickle.loads(pickle.dumps(merge_datasets(opened, skeletons)))
    assert again.joint_info == merged.joint_info and list(merged.parts) == WITH_EXAMPLES
    kinds = set()
    for split in SPLIT_NAMES:
        own = ((name, ex) for name in opened for ex in opened[name].examples[split])
        lists = own, merged.examples[split], again.examples[split]
        for (name, original), example, same in zip(*lists, strict=True):
            assert same == example and example.dataset == name
            loaded = example.load()
            assert loaded.image.shape[:2] == tuple(loaded.imshape), example
            facts = ("image_path", "licence", "subject", "view", "recording", "motion", "frame")
            for fact in (*facts, "sequence", "track"):
                assert getattr(loaded, fact) == getattr(original, fact), (example, fact)
            info = opened[name].joint_info
            names = [f"{joint}_{skeletons[name]}" for joint in info.names]
            ids = [merged.joint_info.ids[joint] for joint in names]
            assert loaded.parameters is not None or original.parameters is None
            for field, n_dims in (("world_coords", 3), ("coords2d", 2)):
                flat = original.KIND == "2d"
                before = getattr(original, "coords" if flat and n_dims == 2 else field, None)
                after = getattr(loaded, field)
                assert (before is None) == (after is None), (example, field)
                if before is not None:
                    kinds.add(field)
                    dense = after.to_array() if n_dims == 3 else after
                    before = before.to_array() if hasattr(before, "to_array") else before
                    # A joint with a part of its coordinates is a missing one.
                    known = np.isfinite(before).all(axis=1)
                    np.testing.assert_array_equal(dense[ids][known], before[known])
                    dense[np.array(ids)[known]] = np.nan
                    assert np.isnan(dense).all() or not known.all()
    assert kinds == {"world_coords", "coords2d"}
