"""The question of the contract test what ids of sequences tell."""

import dataclasses
from types import SimpleNamespace

import archive_kit as kit
import numpy as np
import pytest

from posepile.checking.origins import origins_are_told_by_ids
from posepile.ds import dataset_names, load_recipe

POSE = np.arange(15, dtype=np.float32).reshape(5, 3) * 100
STUDIO = r"(?P<subject>S\d)/(?P<view>\w+)"


def ask(tmp_path, pattern, examples, kind="3d"):
    """The answer about examples (sequence, frame, track, pose)."""
    made = [
        SimpleNamespace(
            sequence=id, frame=frame, track=track, world_coords=pose, image_path=f"{id}.jpg"
        )
        for id, frame, track, pose in examples
    ]
    spec = dataclasses.replace(kit.spec("studio", kind), sequence_names=pattern)
    dataset = SimpleNamespace(examples={0: made, 1: [], 2: []})
    sample = SimpleNamespace(name="studio", root=tmp_path, spec=spec, dataset=dataset)
    return origins_are_told_by_ids(sample)


def test_views_of_one_instant_have_one_pose(tmp_path):
    told = [("S1/left", 3, 0, POSE), ("S1/right", 3, 0, POSE + 1), ("S1/right", 4, 0, POSE * 2)]
    answer = ask(tmp_path, STUDIO, told)
    assert not answer.findings
    assert answer.note == (
        "2 sequences tell subject, view; 1 instants in several views, joints up to 1.7 mm apart"
    )
    told[1] = ("S1/right", 3, 0, POSE + 40)
    (finding,) = ask(tmp_path, STUDIO, told).findings
    assert finding.text.startswith("S1/*, frame 3, person 0: joints of its views are 69 mm apart")
    # Other people of that instant are elsewhere.
    told[1] = ("S1/right", 3, 1, POSE + 40)
    assert not ask(tmp_path, STUDIO, told).findings
    # What is missing says nothing.
    missing = np.full((5, 3), np.nan)
    assert not ask(tmp_path, STUDIO, [*told, ("S1/top", 3, 0, missing)]).findings


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"(?P<subject>S\d)/\d", "sequence 'S1/left' is not as SPEC.sequence_names says"),
        (r"(?P<actor>S\d)/\w+", "the group 'actor' is none of subject, view, motion"),
        (r"(?P<subject>S\d", "SPEC.sequence_names: missing )"),
        (r"S1(?P<motion>)/\w+", "sequence 'S1/left': its motion is empty"),
    ],
)
def test_patterns_that_do_not_fit_are_told(tmp_path, pattern, text):
    (finding,) = ask(tmp_path, pattern, [("S1/left", 0, 0, POSE)]).findings
    assert text in str(finding)


def test_nothing_is_asked_where_sequences_are_no_recordings(tmp_path):
    assert not ask(tmp_path, "", [("S1/left", 0, 0, POSE)]).asked


@pytest.mark.parametrize("name", [n for n in dataset_names() if load_recipe(n).SPEC.kind != "2d"])
def test_recipes_of_recordings_say_what_their_ids_tell(name):
    """Those that say nothing have chunks of stills, or are no datasets."""
    silent = {"agora", "gpa", "muco", "spec", "ssp3d", "tdoh", "inria_holidays", "pascal_voc"}
    silent |= {"densepose_coco", "densepose_posetrack", "coco_wholebody", "halpe"}
    assert bool(load_recipe(name).SPEC.sequence_names) != (name in silent)
