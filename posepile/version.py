"""The version, for manifests, requests and ``posepile --version``."""

__version__ = "0.1.0"
