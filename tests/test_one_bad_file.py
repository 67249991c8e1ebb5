"""A bad file that a recipe's preparation reads costs its own units, and no others."""

import pytest
from test_synthego import made, root  # noqa: F401 - fixtures

from posepile.ds.synthego import main, splice
from posepile.errors import CorruptInput, PartlyDone


def test_one_bad_metadata_file_costs_its_unit_alone(root):  # noqa: F811
    bad = splice.find_metadata(root)[0]
    bad.write_bytes(bad.read_bytes()[:300])
    with pytest.raises(PartlyDone, match=rf"^{bad.name}: .* \(1 of 9 metadata files not spliced"):
        main.calibrate(root, main.Options())
    refused = []
    units = list(main.list_units(root, main.Options()))
    for unit in units:
        try:
            main.load_unit(root, unit, main.Options())
        except CorruptInput as e:
            refused.append((unit.id, e.file))
    (of_unit,) = [u.id for u in units if bad.name in " ".join(u.args["metadata"])]
    assert refused == [(of_unit, str(bad))] and len(units) > 1
