"""NTU RGB+D and NTU RGB+D 120: action clips by three Kinects at once, and a rendered likeness."""
