"""Generated stereo scenes with exact truth."""
