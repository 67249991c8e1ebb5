"""Readers of raw files that check shape, type and finiteness."""
