"""Datasets in the forms of others, read into packed archives: ``posepile import``."""
