"""Procedural stereo scenes, losses, trainer."""
