"""Human3.6M."""
