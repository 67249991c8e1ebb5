"""Where pickles written by version 0.1.0 look for the sources of their examples."""

from posepile.store.row_sources import (
    _entry_example,
    _rebuild_entry_source,
    _table_example,
    table_source,
)

__all__ = ["_entry_example", "_rebuild_entry_source", "_table_example", "table_source"]
