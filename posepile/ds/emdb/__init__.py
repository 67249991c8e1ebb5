"""EMDB."""
