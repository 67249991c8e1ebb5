"""Where pickles written by version 0.1.0 look for the sources of their examples."""

from posepile.store.row_sources import entry_example as _entry_example
from posepile.store.row_sources import entry_source as _rebuild_entry_source
from posepile.store.row_sources import table_example as _table_example
from posepile.store.row_sources import table_source

__all__ = ["_entry_example", "_rebuild_entry_source", "_table_example", "table_source"]
