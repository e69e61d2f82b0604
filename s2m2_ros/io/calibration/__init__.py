"""Calibrations of stereo pairs from files: one table of readers, one file for each format."""
