"""Rendered scenes: furnished rooms with lights and shadows, exact disparity and visibility."""
