"""Averages over entries, clips and groups, their intervals, and the worst entries."""

import json

import numpy as np
import pytest
from evaluation_kit import P1, Gym, score

from posepile.errors import WorkError
from posepile.evaluation.benchmark import Clip, Protocol
from posepile.evaluation.tally import Tally

FORM = {"joints": "2", "root": "none", "alignment": "none", "averaging": "x", "source": "ours"}


def tally_of(clips, pool="entries", n_worst=0, **more):
    """A tally of clips: (labels of entries, values of entries) each."""
    tally = Tally(Protocol("gym.p1", ("e_mm",), pool=pool, **FORM, **more), n_worst)
    for i, (labels, values) in enumerate(clips):
        labels = list(labels)
        values = np.array(values, float)
        clip = Clip(f"c{i}", [f"c{i}/{k}" for k in range(len(labels))], {}, {"kind": labels})
        tally.add(clip, {}, {"e_mm": values})
    return tally


# One value per entry: clips of different length, labels that cross them.
CLIPS = [("xxy", [1.0, 2, 3]), ("y", [10.0]), ("zz", [np.nan, np.nan]), ("x", [8.0])]


@pytest.mark.parametrize(
    ("pool", "expected"),
    [
        ("entries", (1 + 2 + 3 + 10 + 8) / 5),
        ("clips", (2 + 10 + 8) / 3),
        ("kind", ((1 + 2 + 8) / 3 + (3 + 10) / 2) / 2),
    ],
)
def test_what_a_figure_is_the_mean_of(pool, expected):
    tally = tally_of(CLIPS, pool)
    assert tally.figures()["e_mm"] == pytest.approx(expected)
    assert tally.entries == 7
    assert tally.per_clip()["c0"] == {"e_mm": 2.0} and np.isnan(tally.per_clip()["c2"]["e_mm"])


def test_groups_of_entries():
    groups = tally_of(CLIPS).per_group()["kind"]
    assert groups["x"]["e_mm"] == pytest.approx(11 / 3) and groups["y"]["e_mm"] == 6.5
    assert np.isnan(groups["z"]["e_mm"])


def test_a_group_of_clips_is_the_mean_of_their_means():
    clips = [("xxx", [1.0, 2, 3]), ("x", [10.0]), ("yy", [4.0, 5]), ("y", [np.nan])]
    groups = tally_of(clips, "clips").per_group()["kind"]
    assert groups["x"]["e_mm"] == 6.0 and groups["y"]["e_mm"] == 4.5


def test_values_that_are_not_one_per_entry_belong_to_the_clip():
    tally = tally_of([("xx", [[1.0, 2]]), ("yy", [[3.0, 4]]), ("xy", [[50.0, 50]])])
    groups = tally.per_group()["kind"]
    assert groups["x"]["e_mm"] == 1.5 and groups["y"]["e_mm"] == 3.5  # the third is of neither
    assert tally.per_joint() == {}


def test_numbers_are_summed():
    tally = tally_of(CLIPS, "clips", summed=("e_mm",))
    assert tally.figures()["e_mm"] == 24.0 and tally.per_clip()["c0"]["e_mm"] == 6.0
    assert tally.per_group()["kind"]["y"]["e_mm"] == 13.0
    assert tally.intervals() == {}


def test_a_nan_counts_where_the_protocol_says_so():
    assert np.isnan(tally_of(CLIPS, nan_counts=True).figures()["e_mm"])
    whole = [clip for clip in CLIPS if clip[0] != "zz"]
    assert tally_of(whole, nan_counts=True).figures()["e_mm"] == pytest.approx(24 / 5)


def test_joints_are_averaged_over_what_is_known_of_each():
    values = [[[1.0, 5], [3.0, np.nan]], [[5.0, 7]]]
    tally = tally_of([("xx", values[0]), ("x", values[1])])
    assert tally.per_joint() == {"e_mm": [3.0, 6.0]}
    assert tally.figures()["e_mm"] == pytest.approx((1 + 5 + 3 + 5 + 7) / 5)
    clips = tally_of([("xx", values[0]), ("x", values[1])], "clips")
    assert clips.figures()["e_mm"] == pytest.approx((3 + 6) / 2)


def many_clips(n=40):
    rng = np.random.default_rng(3)
    return [("x" * k, rng.normal(100, 5, k) + rng.normal(0, 20)) for k in rng.integers(1, 9, n)]


@pytest.mark.parametrize("pool", ["entries", "clips"])
def test_intervals_cover_the_mean_and_are_those_of_clips(pool):
    tally = tally_of(many_clips(), pool)
    low, high = tally.intervals()["e_mm"]
    assert low < tally.figures()["e_mm"] < high
    # The spread of clips, 20 mm, over the square root of their number; frames would give 1 mm.
    assert 2 * 1.96 * 20 / np.sqrt(40) == pytest.approx(high - low, rel=0.4)
    assert tally.intervals() == tally.intervals(seed=0) != tally.intervals(seed=1)


def test_there_is_no_interval_of_one_clip():
    assert tally_of(many_clips(1)).intervals() == {}
    assert tally_of(many_clips(5), "kind").intervals() == {}
    assert tally_of([("x", [np.nan])] * 3).intervals() == {}


def test_an_infinite_clip_makes_an_infinite_end():
    """Means of draws without it are finite, the others are not left out."""
    tally = tally_of([("x", [v]) for v in (1.0, 2.0, np.inf, 3.0)])
    low, high = tally.intervals()["e_mm"]
    assert np.isfinite(low) and high == np.inf


def test_figures_made_of_others(tmp_path):
    def finish(setup, figures):
        return {**figures, "share": figures["hits"] / setup.args.worst}

    gym = Gym(P1.variant("gym.p1", summed=("hits",), figures=("share", "hits")), finish=finish)
    coords = gym.stacked()
    coords[:3, 1] += 20
    found = gym.evaluate(gym.write(tmp_path / "p.npz", coords), "--worst", "3")
    assert found["figures"] == {"share": 3.0, "hits": 9.0}
    assert found["per_clip"]["clip0"]["hits"] == 1.0
    assert found["more_figures"]["MPJPE_mm"] == pytest.approx(3 * 20 * np.sqrt(3) / 48)
    assert json.dumps(found)


def test_the_worst_are_kept_in_order(tmp_path):
    gym = Gym()
    coords = gym.stacked()
    coords[:, 1, 0] += [5, 80, 0, 7, 0, 90, 1, 2, 0, 80, 4, 3]
    found = score(gym.benchmark, tmp_path, gym.write(tmp_path / "p.npz", coords), "--worst", "3")
    assert [w.key for w in found.worst] == ["clip1/1.jpg", "clip0/1.jpg", "clip2/2.jpg"]
    assert [w.value for w in found.worst] == pytest.approx([90 / 4, 80 / 4, 80 / 4])
    np.testing.assert_allclose(
        found.worst[0].pred - found.worst[0].true, [[0] * 3, [90, 0, 0], [0] * 3, [0] * 3]
    )
    assert score(gym.benchmark, tmp_path, tmp_path / "p.npz").worst == []


def test_clips_of_one_name_are_all_counted():
    tally = tally_of(CLIPS)
    tally.add(Clip("c0", ["again"], {}), {}, {"e_mm": np.array([100.0])})
    assert tally.figures()["e_mm"] == pytest.approx(124 / 6)


def notes_of(gym, path, coords=None):
    return gym.evaluate(gym.write(path, coords))["notes"]


def test_truth_that_is_not_whole_is_told(tmp_path):
    """Figures of a part of the benchmark are not those that papers report."""
    path = tmp_path / "p.npz"
    for expected, note in (
        ({"entries": 12}, []),
        ({"clips": 3}, []),
        ({"entries": 8724}, ["the truth has 12 entries, gym.part has 8724: "]),
        ({"clips": 17}, ["the truth has 3 clips, gym.part has 17: these are not its figures"]),
    ):
        found = notes_of(Gym(P1.variant("gym.part", expected=expected)), path)
        assert len(found) == len(note) and all(map(str.startswith, found, note))


def test_errors_that_no_network_makes_are_told(tmp_path):
    path, gym = tmp_path / "p.npz", Gym()
    true = gym.stacked()
    assert notes_of(gym, path) == []
    assert notes_of(gym, path, true + np.random.default_rng(0).normal(0, 60, true.shape)) == []
    (axes,) = notes_of(gym, path, true[..., [2, 0, 1]])
    assert "axes and root" in axes
    (order,) = notes_of(gym, path, true[:, [2, 0, 3, 1]])
    assert "protocol's order" in order


def test_a_figure_that_is_not_given_is_named(tmp_path):
    gym = Gym(P1.variant("gym.p9", figures=("MPJPE",)))
    with pytest.raises(WorkError, match="gym.p9: its eval.py gives no MPJPE; it gives MPJPE_mm, "):
        gym.evaluate(gym.write(tmp_path / "p.npz"))
