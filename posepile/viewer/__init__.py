"""The viewer: an interactive page of a dataset, served to this machine alone."""

from posepile.viewer.serving import DEFAULT_PORT, make_server, serve

__all__ = ["DEFAULT_PORT", "make_server", "serve"]
