"""CHI3D: pairs of people in contact before four cameras."""
