"""Berkeley MHAD."""
