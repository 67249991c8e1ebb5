"""Merging datasets into one training set."""
