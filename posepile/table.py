"""Where pickles written by version 0.1.0 look for lists of examples."""

from posepile.store.example_list import example_list as _rebuild_list

__all__ = ["_rebuild_list"]
