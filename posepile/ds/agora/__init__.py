"""AGORA."""
