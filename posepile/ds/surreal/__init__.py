"""SURREAL."""
