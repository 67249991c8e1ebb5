"""Object stores through fsspec: archives that are read over the network, and their upload."""
