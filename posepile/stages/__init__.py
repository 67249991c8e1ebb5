"""The stages of a unit of work, one file each: from annotations and pixels to a part.

``VERSION`` in ``examples`` (selection), ``detect``, ``crop`` and ``segment`` is part of the key
of their results. It must be raised by hand whenever a change of the code, here or in ``imaging``
and ``models``, can change a single byte of what the stage makes from the same input and the same
parameters; it must not be when results stay the same, as everybody's units are made again. A new
parameter needs no new version: it is in the key by itself. ``tests/test_stage_versions.py`` keeps
digests of the code beside the versions and asks when they no longer fit.
"""

# The stages of a unit, in order. ``select`` only counts; the others leave data.
UNIT_STAGES = ("select", "detect", "crop", "segment")

# Everything that ``--stage`` and ``--from`` can name.
STAGES = ("download", "calibrate", *UNIT_STAGES, "pack")
