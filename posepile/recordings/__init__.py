"""Folders of people's own recordings: what is in them, and the facts of a dataset of them."""
