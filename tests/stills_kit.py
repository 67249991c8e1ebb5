"""For tests of datasets in files like COCO's: changed copies, and who is taken from them."""

import json
import shutil
from collections import Counter


def changed(root, tmp_path, file, change):
    """A copy of a miniature, of whose file the content is changed."""
    copy = shutil.copytree(root, tmp_path / root.name)
    data = json.loads((copy / file).read_text())
    change(data)
    (copy / file).write_text(json.dumps(data))
    return copy


def load(main, root, **options):
    """Sequences by id."""
    options = main.Options(**options)
    units = list(main.list_units(root, options))
    return {s.id: s for unit in units for s in main.load_unit(root, unit, options)}


def crops(sequences):
    """Name of each crop -> joints in the photograph."""
    return {
        sequence.image_name(int(frame), track.person): track.image_coords[k]
        for sequence in sequences.values()
        for track in sequence.tracks
        for k, frame in enumerate(track.frames)
    }


def dropped(sequences):
    """How many are left out, by reason."""
    return dict(sum((s.dropped for s in sequences.values()), Counter()))


def annotation(data, id):
    return next(person for person in data["annotations"] if person["id"] == id)
