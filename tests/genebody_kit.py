"""Helpers of the tests of GeneBody."""

import numpy as np

from posepile.ds.genebody import body, main
from posepile.ds.genebody.subjects import Performer

TRAIN = "GeneBody-Train40"


def save(path, content):
    path.unlink(missing_ok=True)
    np.save(path, np.array(content, dtype=object))


def param_of(path):
    return np.load(path, allow_pickle=True).item()  # written by this test's own miniature


def unit_named(root, name, **options):
    options = main.Options(**options)
    return next(u for u in main.list_units(root, options) if u.id == name), options


def load(root, name, **options):
    unit, options = unit_named(root, name, **options)
    return main.load_unit(root, unit, options)[0]


def read(path, gender, model, **options):
    """A body out of a parameter file."""
    performer = Performer(path.parents[1], "train", gender, None, model, "model")
    return body.read_body(performer, int(path.stem), main.Options(**options))
