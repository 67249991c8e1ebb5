"""What every dataset folder must do; a new folder is tested by being there.

The questions are those of ``posepile check``, asked of one run of each dataset's main.sh.
"""

import pytest

from posepile.acquire.doctor import run_doctor
from posepile.checking import whole
from posepile.checking.check import OF_FOLDER, OF_SAMPLE
from posepile.checking.sample import open_sample
from posepile.ds import dataset_dir, dataset_names, load_recipe

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
