"""MuCo-3DHP: four people of MPI-INF-3DHP pasted into one picture."""
