"""Who is who in a crop: choosing among instances, cutting at other people."""

import numpy as np
import pytest
from test_models_segmenters import box_of, figure, scene

from posepile.models.person_mask import choose_instance


@pytest.mark.parametrize("given", ["joints", "box"])
def test_each_person_gets_their_own_instance(given):
    people = [figure(40, 30), figure(100, 30), figure(160, 30)]
    _, masks = scene(*people)
    for k, joints in enumerate(people):
        others = [p for p in people if p is not joints]
        found = choose_instance(
            masks, None, joints if given == "joints" else None, box_of(joints), others
        )
        assert found == k


def test_an_instance_that_is_another_persons_is_not_taken():
    """The network missed the wanted person, whose arm the neighbour's mask covers."""
    own, other = figure(80, 30), figure(96, 30)
    other[2] = own[2]
    _, (_, mask) = scene(own, other)
    assert choose_instance([mask], None, own, box_of(own), [other]) is None
    assert choose_instance([mask], None, other, box_of(other), [own]) == 0


def test_no_instance_fits():
    own = figure(40, 30)
    _, (mask,) = scene(figure(160, 30))
    assert choose_instance([mask], None, own, box_of(own)) is None
    assert choose_instance([], None, own, box_of(own)) is None


def test_boxes_of_the_network_are_used():
    """Masks that are equal are told apart by their boxes."""
    own = figure(100, 30)
    _, (mask,) = scene(own)
    far = np.array([0.0, 0, 20, 20])
    assert choose_instance([mask, mask], np.stack([far, box_of(own)]), own, box_of(own)) == 1
