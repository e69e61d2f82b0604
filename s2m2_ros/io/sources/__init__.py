"""Stereo pairs from files, folders, videos and cameras."""
