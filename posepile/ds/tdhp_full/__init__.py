"""MPI-INF-3DHP with all cameras and joints."""
