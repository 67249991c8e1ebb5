"""What the report page says of itself: failed runs, what is not there, where cameras look."""

import archive_kit as kit
import numpy as np
import pytest
from browser_kit import PHONE, faults

from posepile.checking.sample import data_root
from posepile.cli import main
from posepile.errors import UsageError, WorkError
from posepile.report import overhead
from posepile.report.page import write_report
from posepile.run.failed import forget_failure, last_failure, noting_failure


def test_after_a_failed_run_the_page_begins_with_that(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    kit.make_archive(tmp_path, "toy")
    work = tmp_path / "toy_work"
    with pytest.raises(UsageError), noting_failure(work):
        raise UsageError("--only x: no such unit")
    assert last_failure(work) is None
    with pytest.raises(WorkError), noting_failure(work):
        raise WorkError("toy: 3 of 9 units are quarantined; repair <them>")
    with pytest.raises(SystemExit):
        main(["report", "toy"])
    said = "the last run failed: toy: 3 of 9 units are quarantined; this is the older archive"
    assert capsys.readouterr().out.startswith(said)
    text = (work / "report.html").read_text()
    assert said in text and text.index(said) < text.index("<ul class=short>")
    assert forget_failure(work) and not forget_failure(work)
    assert write_report("toy", tmp_path / "r.html")["last_run_failed"] is None
    assert "last run failed" not in (tmp_path / "r.html").read_text()


def test_what_no_example_has_is_not_in_the_legend(miniature, tmp_path):
    for name, has in (("aspset", False), ("coco", True)):
        with data_root(miniature(name)):
            write_report(name, tmp_path / f"{name}.html")
        text = (tmp_path / f"{name}.html").read_text()
        assert ("</i>mask</span>" in text) is has
        assert ("masks: raw" in text) is has


def test_a_phone_is_not_filled_by_pictures(miniature, browser):
    page = browser.open(miniature("h36m") / "h36m_work" / "report.html", PHONE)
    assert page.locator("#sheets figure:visible").count() <= 4 + 2 + 2
    assert page.locator("#sheets details figure").count() > 0
    assert page.locator("#distributions h3").count() == 1
    page.click("#sheets summary >> nth=0")
    assert faults(page) == []


def test_cameras_have_a_direction_and_their_names_beside_them():
    cameras = np.zeros((4, 24), np.float32)
    cameras[:, 18:21] = [[0, 0, 0], [4000, 0, 0], [4000, 100, 0], [0, 4000, 0]]
    cameras[:, 6:9] = [1, 0, 0]
    people = np.float32([[2000, 2000, 0]] * 4)
    up = np.array([0.0, 0, 1])
    drawn = overhead._from_above(cameras, people, ["a", "b", "b", "c"], up)
    assert drawn.count("<path") == 4 + 1  # wedges, and the scale
    assert [drawn.count(f">{name}</text>") for name in "abc"] == [1, 1, 1]
    caption = overhead._caption("x", cameras, ["a", "b", "b", "c"], up, True, None, False)
    assert "4 camera places, all named" in caption
    caption = overhead._caption("x", cameras, ["unknown"] * 4, up, True, None, False)
    assert "4 camera places, none named" in caption
