"""Examples that are probably wrong, worst first, each with the reason."""
