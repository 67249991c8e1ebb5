"""MuPoTS-3D."""
