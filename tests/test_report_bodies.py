"""The section of the report about body models over the pictures."""

import shutil

import archive_kit as kit
import pytest

from posepile import paths
from posepile.checking.sample import data_root
from posepile.datasets3d import TEST, get_dataset
from posepile.posing import ReposeLimits
from posepile.report import page
from posepile.report.checks import bodies_section
from posepile.report.reposed import repose_section

NAME = "ssp3d"


@pytest.fixture(scope="module")
def root(miniature, tmp_path_factory):
    """A copy, whose body models may be taken away."""
    copy = tmp_path_factory.mktemp("copy") / "data"
    shutil.copytree(miniature(NAME), copy)
    return copy


def test_bodies_of_a_miniature_agree_and_the_worst_are_named(root):
    with data_root(root):
        dataset = get_dataset(NAME)
        section = repose_section(NAME, dataset)
        tight = repose_section(NAME, dataset, ReposeLimits(outside=1e-4))
        text = bodies_section(NAME, dataset)
    assert section.title == "within the limits" and not section.bad
    ((split, posed, joints, mean, largest, *shares, n_over),) = section.rows
    n = len(dataset.examples[TEST])
    assert (split, posed, joints, mean, largest) == ("test", f"{n} of {n}", "same", "0.0", "0.0")
    assert [0 < float(s.strip("%")) < 3 for s in shares] == [True, True] and n_over == 0
    assert tight.bad and tight.title.endswith(f" of {n} examples over the limit")
    assert tight.worst[0][1] in {ex.image_path for ex in dataset.examples[TEST]}
    assert text.title == "Body models: within the limits" and text.verdict == "good"
    assert tight.worst[0][1] in text.body


def test_a_body_model_that_is_not_there_is_said(root):
    with data_root(root):
        models = paths.raw_dir(NAME) / "body_models"
        models.rename(models.with_name("elsewhere"))
        try:
            section = repose_section(NAME, get_dataset(NAME))
            text = bodies_section(NAME, get_dataset(NAME))
        finally:
            models.with_name("elsewhere").rename(models)
    assert section.title == "not looked at" and not section.rows and not section.worst
    assert all("not found below" in line and "README.md" in line for line in section.lines)
    assert section.lines and text.body and text.title == "Body models: not looked at"


@pytest.mark.parametrize("kind", ["3d", "2d"])
def test_without_parameters_there_is_no_section(tmp_path, monkeypatch, kind):
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    kit.make_archive(tmp_path, "toy", kind)
    assert bodies_section("toy", page.open_dataset("toy")).body == ""
