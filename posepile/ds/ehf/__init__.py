"""EHF: Expressive Hands and Faces."""
