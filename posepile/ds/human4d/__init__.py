"""HUMAN4D: activities with optical markers, seen by four RGB-D sensors that lie on their side."""
