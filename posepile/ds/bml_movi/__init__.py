"""MoVi (BMLmovi): 90 actors with optical markers, seen by two fixed cameras and two phones."""
