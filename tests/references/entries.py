"""Names of entries and means of them, for evaluators that are written entry by entry."""

from pathlib import Path


def mean(values):
    """Returns the mean of a list of numbers; not a number for an empty one."""
    values = [float(v) for v in values]
    return sum(values) / len(values) if values else float("nan")


def folder_of(root, *names):
    """Returns the first of the named folders that lies below the root, else the root."""
    found = [Path(root) / name for name in names if (Path(root) / name).is_dir()]
    return found[0] if found else Path(root)


def pairs_of(poses):
    """Returns predictions as pairs of entry and value: a dict's, or as they are."""
    return list(poses.items()) if isinstance(poses, dict) else list(poses)
