"""What every dataset folder must do; a new folder is tested by being there.

The questions are those of ``posepile check``, asked of one run of each dataset's main.sh.
"""

import pytest

from posepile.checking import whole
from posepile.checking.check import OF_SAMPLE, QUESTIONS
from posepile.checking.sample import open_sample
from posepile.ds import dataset_names, load_recipe

NAMES = dataset_names()
PACKED = [name for name in NAMES if load_recipe(name).SPEC.kind != "helper"]
OF_FOLDER = (whole.folder_is_complete, whole.spec_says_what_consumers_need)


@pytest.fixture(scope="module")
def sample(miniature):
    """The processed miniature of a dataset, opened once."""
    opened = {}

    def get(name):
        if name not in opened:
            opened[name] = open_sample(name, miniature(name))
        return opened[name]

    return get


def expect_nothing_wrong(answer):
    print("\n".join(answer.lines()))
    assert not answer.findings, "\n".join(answer.lines())
    assert answer.question in QUESTIONS
    if not answer.asked:
        pytest.skip(answer.note)


@pytest.mark.parametrize("question", OF_FOLDER, ids=lambda q: q.__name__)
@pytest.mark.parametrize("name", NAMES)
def test_folder(name, question):
    expect_nothing_wrong(question(name))


@pytest.mark.parametrize("question", OF_SAMPLE, ids=lambda q: q.__name__)
@pytest.mark.parametrize("name", PACKED)
def test_sample(name, question, sample):
    expect_nothing_wrong(question(sample(name)))


@pytest.mark.parametrize("name", sorted(set(NAMES) - set(PACKED)) or [None])
def test_helper(name, miniature):
    if name is None:
        pytest.skip("there is no helper")
    expect_nothing_wrong(whole.helper_leaves_its_files(name, miniature(name)))


@pytest.mark.parametrize("name", PACKED)
def test_second_run(name, sample, run_main):
    s = sample(name)
    again = lambda: run_main(name, s.root, "--miniature").stdout
    expect_nothing_wrong(whole.second_run_does_nothing(s, again))
