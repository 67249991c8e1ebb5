"""Protocols give the figures of a reference written by another hand, or say what is wrong."""

import pytest
from protocols_bodies import ROWS as OF_BODIES
from protocols_kit import (
    EITHER,
    EQUAL,
    REFUSED,
    check_equal,
    check_refused,
    evaluate,
)
from protocols_pictures import ROWS as OF_PICTURES
from protocols_poses import ROWS as OF_POSES

from posepile.ds import dataset_names, has_evaluation, load_evaluation
from posepile.evaluation import command

EVALUATED = [name for name in dataset_names() if has_evaluation(name)]
ROWS = [row for row in (*OF_POSES, *OF_PICTURES, *OF_BODIES) if row.dataset in EVALUATED]
RANDOM = [(row, seed) for row in ROWS for seed in row.seeds]
ATTACKS = [(row, name) for row in ROWS for name in row.attacks]


@pytest.fixture(scope="session")
def truth_of(raw_miniature, tmp_path_factory):
    """Raw folder and truth of a row; read once, not to be changed."""
    roots, truths = {}, {}

    def get(row):
        where = row.dataset, row.root
        if where not in roots:
            roots[where] = (
                row.root(tmp_path_factory.mktemp("made") / row.dataset, raw_miniature)
                if row.root
                else raw_miniature(row.dataset)
            )
        key = row.protocol, row.root
        if key not in truths:
            truths[key] = row.reference.truth(roots[where], row.protocol)
            assert truths[key], f"{row.protocol}: the reference finds no truth"
        return roots[where], truths[key]

    return get


@pytest.fixture
def within(monkeypatch):
    """Evaluates in this process, which keeps body models and modules that were loaded before.

    A fork for each file, as a user has it, would load them again every time: so is each row
    evaluated on the predictions of its first seed.
    """

    def start():
        monkeypatch.setattr(command, "call_apart", lambda work, what: work())

    return start


def test_every_protocol_has_a_row():
    names = {
        protocol.name
        for dataset in EVALUATED
        for protocol in load_evaluation(dataset).BENCHMARK.protocols
    }
    assert names <= {row.protocol for row in ROWS}
    for row in ROWS:
        protocol = load_evaluation(row.dataset).BENCHMARK.protocol(row.protocol)
        assert protocol.name == row.protocol


@pytest.mark.parametrize(("row", "seed"), RANDOM, ids=str)
def test_random_predictions(row, seed, truth_of, within, tmp_path, capsys):
    if seed != row.seeds[0]:
        within()
    root, truth = truth_of(row)
    poses = row.predict(truth, row.random(seed))
    pred = tmp_path / row.file
    row.reference.write_predictions(pred, poses, row.protocol)
    expected = row.reference.scores(truth, poses, row.protocol)
    protocol = load_evaluation(row.dataset).BENCHMARK.protocol(row.protocol)
    assert set(protocol.figures) <= set(expected), "the reference lacks a figure"
    check_equal(row, evaluate(row, root, pred, capsys), expected)


@pytest.mark.parametrize(("row", "name"), ATTACKS, ids=str)
def test_adversarial_predictions(row, name, truth_of, within, tmp_path, capsys):
    within()
    root, truth = truth_of(row)
    rng, attack = row.random(99), row.attacks[name]
    attacked = attack.change(row.predict(truth, rng), rng)
    pred = tmp_path / row.file
    row.reference.write_predictions(pred, attacked.poses, row.protocol)
    outcome = evaluate(row, root, pred, capsys, *attack.options)
    assert attack.expected in (EITHER, EQUAL, REFUSED)
    if attack.expected == REFUSED or (attack.expected == EITHER and outcome.code):
        check_refused(row, outcome, pred, attacked.named)
    else:
        scored = attacked.poses if attacked.scored is None else attacked.scored
        if "--allow-missing" in attack.options:
            truth = {key: truth[key] for key in scored}
        check_equal(row, outcome, row.reference.scores(truth, scored, row.protocol))
