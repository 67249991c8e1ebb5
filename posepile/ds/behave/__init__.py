"""BEHAVE."""
