"""The stages of a unit of work, one file each: from annotations and pixels to a part."""

# The stages of a unit, in order. ``select`` only counts; the others leave data.
UNIT_STAGES = ("select", "detect", "crop", "segment")

# Everything that ``--stage`` and ``--from`` can name.
STAGES = ("download", "calibrate", *UNIT_STAGES, "pack")
