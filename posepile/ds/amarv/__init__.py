"""AMARV (SynthAct, ICRA 2024): AMASS motions rendered as four-view video."""
