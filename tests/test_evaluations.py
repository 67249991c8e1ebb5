"""Every eval.py: what it declares is complete, and its definitions are those of the document."""

import re
import sys

import pytest
from conftest import ROOT

from posepile.cli import main
from posepile.ds import dataset_dir, dataset_names, has_evaluation, load_evaluation
from posepile.evaluation.benchmark import unit_of

sys.path.insert(0, str(ROOT / "docs"))
import generate

BENCHMARKS = [name for name in dataset_names() if has_evaluation(name)]
MOST_LINES = 100


@pytest.fixture(params=BENCHMARKS)
def benchmark(request):
    return load_evaluation(request.param).BENCHMARK


@pytest.mark.parametrize("name", BENCHMARKS)
def test_an_evaluation_is_short(name):
    lines = (dataset_dir(name) / "eval.py").read_text().splitlines()
    assert len(lines) <= MOST_LINES


def test_protocols_say_what_decides_the_number(benchmark):
    names = [protocol.name for protocol in benchmark.protocols]
    assert len(set(names)) == len(names)
    for protocol in benchmark.protocols:
        assert re.fullmatch(rf"{benchmark.name}\.[a-z0-9-]+", protocol.name)
        for key in ("joints", "root", "alignment", "averaging", "source", "frames"):
            assert getattr(protocol, key).strip(), f"{protocol.name}: {key}"
        for figure in protocol.figures:
            assert unit_of(figure) or "_" not in figure, figure
        if protocol.name.endswith("-corrected"):
            assert not protocol.official and protocol.note, protocol.name


def test_explaining_prints_the_row_of_the_document(benchmark, capsys):
    page = generate.protocols_page()
    for protocol in benchmark.protocols:
        assert main_code(["eval", benchmark.name, "--protocol", protocol.name, "--explain"]) == 0
        (row,) = [line for line in page.splitlines() if line.startswith(f"| {protocol.name} |")]
        for line in capsys.readouterr().out.splitlines():
            _, colon, text = line.partition(": ")
            assert not colon or generate.cell(text) in row


def test_the_list_has_every_protocol(capsys):
    assert main_code(["eval"]) == 0
    listed = capsys.readouterr().out
    for name in BENCHMARKS:
        for protocol in load_evaluation(name).BENCHMARK.protocols:
            assert protocol.name in listed


def test_a_dataset_without_evaluation_is_a_wrong_request(capsys):
    assert main_code(["eval", "surreal", "--explain"]) == 2
    assert "surreal has no evaluation; benchmarks are: " in capsys.readouterr().err


def main_code(argv):
    with pytest.raises(SystemExit) as end:
        main(argv)
    return end.value.code
