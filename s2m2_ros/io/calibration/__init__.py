"""Calibrations of stereo pairs from files: one table of readers, one file for each format."""

from s2m2_ros.io.calibration.readers import CAMERA_READERS, READERS, read_calibration

__all__ = ['CAMERA_READERS', 'READERS', 'read_calibration']
