"""Units on other machines: on a Dask cluster that runs, or in jobs that are submitted to Slurm."""
