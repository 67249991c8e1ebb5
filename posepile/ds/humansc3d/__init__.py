"""HumanSC3D: people touching themselves before four cameras."""
