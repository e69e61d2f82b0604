"""Recordings in, recordings out: every pair of a recording through the pipeline, without ROS.

A recording is split by time into segments; each is a function of the recording, the segment and
the options alone, and becomes a part file. The parts, joined in order, are the result.
"""

from s2m2_ros.offline.processing.options import MatcherOptions, OutputFormat, ProcessOptions
from s2m2_ros.offline.processing.processor import Processed, Processor

__all__ = ['MatcherOptions', 'OutputFormat', 'ProcessOptions', 'Processed', 'Processor']
