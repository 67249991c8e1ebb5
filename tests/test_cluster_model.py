"""The model of a cluster does what arithmetic says, where arithmetic can say it."""

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest

benchmarks = Path(__file__).parents[1] / "benchmarks"
if not benchmarks.is_dir():
    pytest.skip("only in a checkout", allow_module_level=True)
sys.path.insert(0, str(benchmarks))
import cluster_model as model  # noqa: E402
from cluster_tail import last_end  # noqa: E402

SMALL = dataclasses.replace(model.Cluster(), nodes=20, workers=8)


@pytest.mark.parametrize("design", model.DESIGNS, ids=lambda d: d.name)
@pytest.mark.parametrize("unit_bytes", [1e7, 1e9])
def test_no_run_is_faster_than_its_slowest_station(design, unit_bytes):
    found = model.simulate(SMALL, design, unit_bytes, 0.01)
    most = model.bound(SMALL, design, unit_bytes, 0.01)
    assert 0.8 * most < found.rate <= 1.05 * most
    assert found.limit in found.use


@pytest.mark.parametrize(
    "workers, seconds, rate", [(1, 0.1, 10), (50, 0.1, 500), (500, 0.1, 1000)]
)
def test_a_station_serves_one_after_the_other(workers, seconds, rate):
    steps = [("server", 1e-3, 0.0), ("cores", 0.0, seconds)]
    found, use = model.flow({"server": model.Station()}, steps, workers, 20)
    assert found == pytest.approx(rate, rel=0.03)
    assert use["server"] == pytest.approx(rate * 1e-3, rel=0.03)


def rows_of_page():
    text = (benchmarks.parent / "docs" / "explanation" / "scale.md").read_text()
    return [line for line in text.splitlines() if line.startswith("| ")]


def test_the_page_has_the_rows_that_the_model_prints():
    rows, cluster = rows_of_page(), model.Cluster()
    for table in (model.besides, model.packing):
        for row in table(cluster, 10 * model.PB):
            assert row in rows


@pytest.mark.parametrize("design", model.DESIGNS, ids=lambda d: d.name)
def test_the_rates_on_the_page_are_those_of_the_slowest_station(design):
    [row] = [r for r in rows_of_page() if r.startswith(f"| {design.name} |")]
    for cell, size in zip(row.strip("| ").split(" | ")[1:], model.SIZES, strict=True):
        rate, hours, _ = cell.split(", ")
        rate = float(rate.removesuffix("/s").replace(",", ""))
        bound = model.bound(model.Cluster(), design, size, model.SHARE_OUT)
        assert rate == pytest.approx(bound, rel=0.02)
        left = float(hours.removesuffix(" h"))
        assert left == pytest.approx(10 * model.PB / size / rate / 3600, rel=0.02)


def test_the_last_worker_ends_when_its_last_unit_does():
    assert last_end(np.array([1.0, 1.0, 1.0, 9.0]), 2) == 10.0
    assert last_end(np.array([9.0, 1.0, 1.0, 1.0]), 2) == 9.0


def test_the_tables_of_another_cluster(monkeypatch, capsys):
    options = ["--raw", "3e14", "--nodes", "50", "--workers", "32", "--disks", "5e10"]
    monkeypatch.setattr(sys, "argv", ["cluster_model.py", *options])
    model.main()
    said = capsys.readouterr().out
    for words in (
        "| how the work is organised | 1 GB a unit (300,000) | 100 MB (3 million) |",
        "| 1,600 processes import the code",
        "| 50 shares plan 300,000 units | 0.9 to 2.1 million |",
        "| 30 archives of 10,000 units, on a node each |",
        "| handed out as | hours |",
    ):
        assert words in said
    # 1,600 cores of 6.7 MB/s.
    assert "| if all were equal | 7.8 |" in said
    monkeypatch.setattr(sys, "argv", ["cluster_model.py", "--nodes", "0"])
    with pytest.raises(SystemExit):
        model.main()
