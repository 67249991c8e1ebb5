"""RICH."""
