"""Rendered scenes: furnished interiors with lights and shadows, exact disparity and visibility."""
