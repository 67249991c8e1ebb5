"""IKEA ASM: people assembling furniture before three cameras, one of which looks down."""
