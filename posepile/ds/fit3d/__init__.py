"""Fit3D: people exercising before four cameras."""
