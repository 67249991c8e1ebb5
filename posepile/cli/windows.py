"""Whether there is a screen to open something on."""

from __future__ import annotations

import os
import sys


def has_windows() -> bool:
    """Returns whether a browser would be a window, and not a program in this terminal."""
    if os.environ.get("SSH_CONNECTION"):
        return False
    if sys.platform == "darwin":
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
