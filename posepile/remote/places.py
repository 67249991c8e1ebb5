"""Where copies of what is in object stores are kept on this machine."""

from __future__ import annotations

import os
from pathlib import Path

from posepile import paths


def cache_folder() -> Path:
    """Returns where copies are kept: ``POSEPILE_OBJECT_CACHE``, else ``objects`` in the cache."""
    value = os.environ.get("POSEPILE_OBJECT_CACHE")
    return Path(os.path.abspath(value)) if value else paths.cache_dir() / "objects"
