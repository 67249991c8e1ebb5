"""The SMPL family: joints, parameters, model files."""
