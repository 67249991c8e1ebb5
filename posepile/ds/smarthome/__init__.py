"""Toyota Smarthome: daily living filmed from the ceiling, without ground truth; and a likeness."""
