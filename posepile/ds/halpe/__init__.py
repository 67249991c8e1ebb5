"""Halpe-FullBody: people who do something with objects, 136 key points."""
