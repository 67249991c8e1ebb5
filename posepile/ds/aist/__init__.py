"""AIST++: street dance before nine cameras, with 3D key points."""
