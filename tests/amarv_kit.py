"""Helpers of the tests of AMARV."""

import json

import yaml

from posepile.ds.amarv import (
    main,
)
from posepile.paths import config_dir

LAYOUT = yaml.safe_load((config_dir() / "amarv_layout.yaml").read_text())


def options_for(folder, **changes):
    """Options whose manifest differs from the default one in the given dotted keys."""
    raw = json.loads(json.dumps(LAYOUT))
    for key, value in changes.items():
        *parents, last = key.split("__")
        node = raw
        for parent in parents:
            node = node[parent]
        node[last] = value
    path = folder / "layout.yaml"
    path.write_text(yaml.safe_dump(raw))
    return main.Options(layout=str(path), validate_clips=1)
