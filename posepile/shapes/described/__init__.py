"""Multi-view video in a tree that a person describes in a YAML file instead of in code.

The layout says where pictures, cameras, joints, boxes and masks of a clip lie and how they are
meant. Nothing is processed before :mod:`posepile.shapes.described.validation` has found layout and
files to agree.
"""
