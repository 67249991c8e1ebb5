"""Python that is printed runs: examples of what people import, and the blocks of the documents."""

import doctest
import importlib
import re
import sys

import numpy as np
import pytest
from conftest import ROOT
from printed_python_kit import make_sets
from usage_kit import posepile

sys.path.insert(0, str(ROOT / "docs"))
from interface import USED

NAMES = [(module, name) for module, names in USED.items() for name in names]
NEEDS = {"CropLoader": "torch", "export_parquet": "pyarrow"}

OPEN = """
from posepile.datasets3d import TRAIN, get_dataset
dataset = get_dataset("aspset")
ex = dataset.examples[TRAIN][0]
"""
MERGED = """
from posepile import datasets2d
from posepile.merging.merge import merge_datasets
names = {"h36m": "h36m", "coco": "cocowb"}
merged = merge_datasets(
    {"h36m": get_dataset("h36m"), "coco": datasets2d.get_dataset("coco")}, skeletons=names
)
mapping = to_convention(merged, "coco17")
coords, part = np.zeros((2, merged.joint_info.n_joints, 3)), np.array([0, 1])
"""
# Page -> number of a block -> what stands before it: names that it takes for granted.
PAGES = {
    "TRAINING.md": {
        0: "larger = lambda box: box * np.float32(1.1)",
        10: "batch = dict.fromkeys(('joint_mask2d', 'joint_mask3d'), np.zeros(3, bool))",
        12: "datasets = {name: datasets2d.get_dataset(name) for name in ('mpii', 'aic')}",
        13: OPEN,
    },
    "MIXES.md": {},
    "REPORT.md": {},
    "SKELETONS.md": {0: OPEN, 1: MERGED},
    "SOURCES.md": None,
    "SUSPECTS.md": {},
    "VIEWER.md": {},
    "BODIES.md": None,
    "CONSUMERS.md": {},
    "ADDING.md": None,
    "OWN_DATA.md": None,
    "EVALUATION.md": None,
    "howto/object-storage.md": None,
    "index.md": {},
    "howto/exclude.md": {},
    "howto/merge.md": {},
    "reference/conventions.md": {},
    "tutorials/first.md": {},
    "tutorials/train.md": {},
}
# Why the blocks of a page do not run here.
ELSEWHERE = {
    "SOURCES.md": "fetches; tests/test_download.py calls the same functions",
    "BODIES.md": "needs licensed models; tests/test_posing.py has made-up ones",
    "OWN_DATA.md": "tests/test_own_data_document.py follows it",
    "ADDING.md": "tests/test_adding_document.py follows it",
    "EVALUATION.md": "tests/test_evaluation_document.py follows it",
    "howto/object-storage.md": "needs a bucket; tests/test_remote.py opens archives of its own",
}


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """DATA_ROOT with small packed sets."""
    root = tmp_path_factory.mktemp("printed")
    make_sets(root)
    text = (ROOT / "docs" / "howto" / "merge.md").read_text()
    (mix,) = re.findall(r"```yaml\n(# mine.yaml\n.*?)```", text, re.DOTALL)
    (root / "mine.yaml").write_text(mix)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATA_ROOT", str(root))
        said = posepile("merge", str(root / "mine.yaml"))
    assert not said.code, said.err
    return root


@pytest.fixture
def sets(packed, monkeypatch, tmp_path):
    monkeypatch.setenv("DATA_ROOT", str(packed))
    monkeypatch.chdir(tmp_path)
    return packed


def blocks(page):
    text = (ROOT / "docs" / page).read_text()
    return re.findall(r"^ *```python\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize(("module", "name"), NAMES, ids=[f"{m}.{n}" for m, n in NAMES])
def test_what_people_import_has_an_example_that_is_right(module, name, sets, tmp_path):
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    thing = getattr(importlib.import_module(module), name)
    home = sys.modules[thing.__module__]
    finder = doctest.DocTestFinder(recurse=False)
    (test,) = finder.find(thing, name, globs=vars(home) | {"folder": tmp_path, "np": np})
    assert test.examples, f"{module}.{name} has no example"
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    runner = doctest.DocTestRunner(optionflags=flags)
    runner.run(test)
    assert not runner.summarize(verbose=False).failed


def test_every_page_with_python_is_known():
    found = {
        str(path.relative_to(ROOT / "docs"))
        for path in (ROOT / "docs").rglob("*.md")
        if "```python" in path.read_text()
    }
    assert found - set(PAGES) == set(), "say in PAGES what stands before its blocks"
    assert {page for page, before in PAGES.items() if before is None} == set(ELSEWHERE)


@pytest.mark.parametrize("page", [page for page, before in PAGES.items() if before is not None])
def test_blocks_run_as_they_stand(page, sets):
    names = {"np": np, "__name__": page}
    for number, block in enumerate(blocks(page)):
        if "import torch" in block:
            continue  # tests/test_torch_training.py runs it
        exec(PAGES[page].get(number, ""), names)
        try:
            exec(compile(block, f"{page}, block {number}", "exec"), names)
        except Exception as e:
            raise AssertionError(
                f"{page}, block {number}: {type(e).__name__}: {e}\n{block}"
            ) from e
