"""Metrics, readers of stereo data sets, reports."""
