"""Times, rates and amounts as a person says them."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """Returns a time in its two largest units.

    >>> [duration(s) for s in (0.2, 45.4, 600, 7500, 100_000)]
    ['0 s', '45 s', '10 min', '2 h 5 min', '1 d 3 h']

    Args:
        seconds: From zero on.
    """
    seconds = round(seconds)
    if seconds < 120:
        return f"{seconds} s"
    minutes = round(seconds / 60)
    if minutes < 120:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min"
    return f"{hours // 24} d {hours % 24} h"


def amount(n: float, unit: str) -> str:
    """Returns a number of things, bytes in the unit that is nearest.

    >>> [amount(1, "units"), amount(12_000, "units"), amount(2.5e9, "B"), amount(1, "B")]
    ['1 unit', '12,000 units', '2.5 GB', '1 B']

    Args:
        n: How many.
        unit: Of what, in the plural; ``B`` for bytes.
    """
    if unit == "B":
        return byte_size(n)
    return f"{n:,.0f} {unit[:-1] if n == 1 and unit.endswith('s') else unit}"


def byte_size(n: float) -> str:
    """Returns a size in powers of ten, as pages of datasets give sizes.

    >>> byte_size(999), byte_size(22e9), byte_size(999_960_000)
    ('999 B', '22.0 GB', '1.0 GB')

    Args:
        n: Bytes.
    """
    for prefix, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if n >= size * 0.99995:  # from there on it is 1.0 of them
            return f"{n / size:.1f} {prefix}B"
    return f"{n:.0f} B"


def rate(per_second: float, unit: str) -> str:
    """Returns how fast something goes, by the time in which at least one is done.

    >>> [rate(r, "units") for r in (31.4, 2.5, 0.2, 0.001)]
    ['31/s', '2.5/s', '12/min', '3.6/h']
    >>> rate(3.2e6, "B")
    '3.2 MB/s'

    Args:
        per_second: How many in a second.
        unit: Of what, in the plural; ``B`` for bytes.
    """
    if unit == "B":
        return f"{amount(per_second, unit)}/s"
    for times, name in ((1, "s"), (60, "min"), (3600, "h")):
        if per_second * times >= 1 or name == "h":
            n = per_second * times
            return f"{n:,.0f}/{name}" if n >= 10 else f"{n:.2g}/{name}"
    raise AssertionError("not reached")
