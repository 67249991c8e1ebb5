"""SPEC-SYN."""
