"""MADS: martial arts, dancing and sports before three cameras."""
