"""HUMBI."""
