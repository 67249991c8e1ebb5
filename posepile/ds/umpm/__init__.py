"""UMPM."""
