"""Cameras of any convention, projections, and the one definition of the box of joints."""
