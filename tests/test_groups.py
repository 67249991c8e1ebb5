"""Groups of examples by columns: compared with what loops over examples find."""

from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from posepile.errors import UsageError
from posepile.merging import groups
from posepile.merging.sequences import SequenceFacts, read_sequence_id

VIEWS = [
    SequenceFacts("a", f"S1/{motion}/{view}", "S1", view, motion, f"S1/{motion}/", True)
    for motion in ("walk", "run")
    for view in ("left", "right", "top")
]
OTHERS = [
    SequenceFacts("b", "S1/walk/left", "S1", "left", "walk", "S1/walk/", True),
    SequenceFacts("b", "train/0", in_time=True, recording="train/0", single_person=True),
    SequenceFacts("c", "p1/0007", "p1", recording="p1/0007", is_instant=True, single_person=True),
    SequenceFacts("d", "chunk"),
]
FACTS = VIEWS + OTHERS


class Rows:
    """What groups ask of a list of examples."""

    def __init__(self, rows):
        self.rows = [
            dict(zip(("sequence", "frame", "track", "person"), r, strict=True)) for r in rows
        ]

    def __len__(self):
        return len(self.rows)

    def column(self, name):
        return np.array(
            [row[name] for row in self.rows], np.int64 if name == "frame" else np.int32
        )


@pytest.fixture
def told(monkeypatch):
    """Sequences are numbers of FACTS."""
    monkeypatch.setattr(
        groups, "sequences_of", lambda examples: (examples.column("sequence"), FACTS)
    )


rows = st.lists(
    st.tuples(
        st.integers(0, len(FACTS) - 1), st.integers(0, 9), st.integers(-1, 2), st.integers(0, 2)
    ),
    max_size=60,
)


def person_of(row):
    alone = FACTS[row["sequence"]].single_person
    return 0 if row["track"] < 0 and alone else row["track"]


@pytest.mark.usefixtures("told")
@given(rows, st.booleans(), st.integers(1, 3))
def test_views_are_of_one_instant_of_one_recording(drawn, by_person, least):
    examples = Rows(drawn)
    expected = defaultdict(dict)
    for i, row in enumerate(examples.rows):
        facts, frame = FACTS[row["sequence"]], row["frame"]
        view = frame if facts.is_instant else facts.view
        if view == "unknown" or (by_person and person_of(row) < 0):
            continue
        at = 0 if facts.is_instant else frame
        key = (facts.dataset, facts.recording, at, person_of(row) if by_person else None)
        who = person_of(row) if person_of(row) >= 0 else (i,)  # somebody else each time
        expected[key].setdefault((view, who), i)
    expected = [
        sorted(members.values())
        for members in expected.values()
        if len({view for view, _ in members}) >= least
    ]
    found = groups.views_of_instants(examples, by_person=by_person, least=least)
    assert sorted(map(sorted, map(list, found))) == sorted(expected)
    first = [min(group) for group in found]
    assert first == sorted(first)
    assert found.sizes.sum() + found.left_out.total() == len(examples)


@pytest.mark.usefixtures("told")
@given(rows, st.integers(1, 3))
def test_people_are_of_one_picture(drawn, least):
    examples = Rows(drawn)
    expected = defaultdict(dict)
    for i, row in enumerate(examples.rows):
        who = person_of(row) if person_of(row) >= 0 else (i,)  # somebody else each time
        expected[row["sequence"], row["frame"]].setdefault(who, i)
    expected = [list(m.values()) for m in expected.values() if len(m) >= least]
    found = groups.people_of_pictures(examples, least=least)
    assert sorted(map(sorted, map(list, found))) == sorted(map(sorted, expected))
    assert found.sizes.sum() + found.left_out.total() == len(examples)


@pytest.mark.usefixtures("told")
@given(rows, st.integers(1, 4), st.sampled_from([None, 1, 2, 3]), st.sampled_from([None, 1, 2]))
def test_clips_are_of_one_person_in_time(drawn, length, step, every):
    examples = Rows(drawn)
    runs = defaultdict(dict)
    for i, row in enumerate(examples.rows):
        if FACTS[row["sequence"]].in_time and person_of(row) >= 0:
            runs[row["sequence"], person_of(row)].setdefault(row["frame"], i)
    expected = []
    for run in runs.values():
        chains = []
        for frame in sorted(run):
            chain = next((c for c in chains if step is None or c[-1] == frame - step), None)
            chain.append(frame) if chain else chains.append([frame])
        for chain in chains:
            for k in range(0, len(chain) - length + 1, every or length):
                expected.append([run[frame] for frame in chain[k : k + length]])
    found = groups.clips(examples, length, step, every=every)
    assert sorted(map(list, found)) == sorted(expected)
    in_some = {i for group in found for i in group}
    assert len(in_some) + found.left_out.total() == len(examples)


@pytest.mark.usefixtures("told")
def test_gaps_end_a_clip():
    examples = Rows([(0, frame, 0, 0) for frame in (0, 2, 3, 9, 10, 11)])
    found = groups.clips(examples, 2, None, max_gap=3)
    assert [group.tolist() for group in found] == [[0, 1], [3, 4]]
    assert found.left_out == {groups.ALONE: 2}
    with pytest.raises(UsageError, match="max_gap is for step=None"):
        groups.clips(examples, 2, max_gap=3)
    with pytest.raises(UsageError, match="length=0; expected at least 1"):
        groups.clips(examples, 0)


@pytest.mark.usefixtures("told")
def test_what_is_left_out_is_counted_with_its_reason():
    examples = Rows([(0, 0, -1, 0), (1, 0, -1, 0), (0, 1, 0, 0), (9, 0, 0, 0), (9, 0, 0, 0)])
    found = groups.views_of_instants(examples)
    assert len(found) == 0 and list(found) == []
    assert found.left_out == {groups.NO_VIEWS: 2, groups.NO_PERSON: 2, groups.ALONE: 1}
    assert "2 in none" in repr(found)
    assert groups.people_of_pictures(examples).left_out == {groups.TWICE: 1}
    nobody_known = Rows([(9, 0, -1, 0), (9, 0, -1, 0)])
    assert groups.people_of_pictures(nobody_known)[0].tolist() == [0, 1]
    assert groups.clips(examples, 1).left_out == {groups.NO_TIME: 2, groups.NO_PERSON: 2}


@pytest.mark.usefixtures("told")
@given(rows, st.integers(1, 4), st.integers(1, 4))
def test_every_rank_has_other_groups_and_as_many_batches(drawn, size, world_size):
    found = groups.people_of_pictures(Rows(drawn))
    ranks = [
        list(groups.GroupBatches(found, size, rank=rank, world_size=world_size, seed=3))
        for rank in range(world_size)
    ]
    assert len({len(batches) for batches in ranks}) == 1
    seen = Counter(i for batches in ranks for batch in batches for i in batch)
    assert max(seen.values(), default=1) == 1
    group_of = {i: k for k, group in enumerate(found) for i in group.tolist()}
    for batch in (batch for batches in ranks for batch in batches):
        whole = {group_of[i] for i in batch}
        assert len(whole) == size or world_size == 1
        assert sorted(batch) == sorted(i for k in whole for i in found[k].tolist())
    if world_size == 1:
        assert len(seen) == found.sizes.sum()


@pytest.mark.usefixtures("told")
def test_batches_are_those_of_seed_and_epoch():
    found = groups.people_of_pictures(Rows([(0, k, 0, 0) for k in range(20)]))
    batches = groups.GroupBatches(found, 4, seed=1)
    first, second = list(batches), list(batches)
    assert first != second and len(batches) == 5
    batches.set_epoch(0)
    assert list(batches) == first
    batches = groups.GroupBatches(found, 4, seed=1, with_epoch=True)
    group_of = {i: k for k, (i,) in enumerate(found)}
    assert list(batches) == [[(i, 0, group_of[i]) for i in batch] for batch in first]
    in_order = groups.GroupBatches(found, 6, shuffle=False, drop_last=True)
    assert list(in_order) == [list(range(k, k + 6)) for k in (0, 6, 12)]
    with pytest.raises(UsageError, match="rank 2 of 2"):
        groups.GroupBatches(found, 1, rank=2, world_size=2)


@pytest.mark.usefixtures("told")
def test_an_example_is_another_draw_in_each_of_its_groups():
    found = groups.clips(Rows([(0, k, 0, 0) for k in range(9)]), 4, every=1)
    batches = list(groups.GroupBatches(found, 2, with_epoch=True))
    draws = [draw for batch in batches for draw in batch]
    assert len(set(draws)) == len(draws) == 24
    for batch in batches:
        for start in range(0, len(batch), 4):
            number = batch[start][2]
            own = [(i, 0, number) for i in found[number].tolist()]
            assert batch[start : start + 4] == own


def test_groups_are_chosen_like_elements_of_an_array():
    found = groups.Groups(np.arange(6)[::-1], np.array([0, 1, 3, 6]), Counter())
    assert found[-1].tolist() == [2, 1, 0] and len(found[1:]) == 2
    assert [g.tolist() for g in found[np.array([True, False, True])]] == [[5], [2, 1, 0]]
    assert [g.tolist() for g in found[[2, 0]]] == [[2, 1, 0], [5]]
    with pytest.raises(IndexError):
        found[3]


def test_numbers_too_large_for_one_key_are_sorted_all_the_same():
    values = [np.array([5, -(2**40), 2**40]), np.array([2**40, 0, -(2**40)])]
    assert groups._sorted(np.arange(3), values).tolist() == [1, 0, 2]


@pytest.mark.parametrize(
    ("id", "pattern", "expected"),
    [
        ("S1/left", r"(?P<subject>S\d)/(?P<view>\w+)", ("S1", "left", "S1/*", True, False)),
        ("TS1", r"(?P<subject>T?S\d)(?:/(?P<view>\d))?", ("TS1", "unknown", "TS1", True, False)),
        ("7/L", r"(?P<stills>\d)/(?P<view>[LR])", ("unknown", "L", "7/*", False, False)),
        ("7", r"(?P<instant>\d)", ("unknown", "unknown", "7", False, True)),
        ("left_out", r"\d+", ("unknown", "unknown", "left_out", False, False)),
        ("7", "", ("unknown", "unknown", "7", False, False)),
    ],
)
def test_ids_tell_what_their_pattern_names(id, pattern, expected):
    facts = read_sequence_id(id, pattern, dataset="a")
    told = facts.subject, facts.view, facts.recording, facts.in_time, facts.is_instant
    assert told == expected
