"""Recordings in, recordings out: every pair of a recording through the pipeline, without ROS.

A recording is split by time into segments; each is a function of the recording, the segment and
the options alone, and becomes a part file. The parts, joined in order, are the result::

    from pathlib import Path
    from s2m2_ros.offline.processing import MatcherOptions, ProcessOptions, Processor

    with Processor(MatcherOptions(backend='sgbm'), ProcessOptions(outputs=['depth'])) as processor:
        processed = processor.process(Path('run.mcap'), Path('results'))
    print(processed.output, processed.pairs, processed.lost)

Needs the packages of the extra ``recordings``; the import raises MissingPackageError without them.
"""

from s2m2_ros.optional_packages import require_packages

require_packages('recordings', 'rosbags', 'mcap', 'lz4', 'zstandard')

from s2m2_ros.inference.matcher_options import MatcherOptions  # noqa: E402  # after the check
from s2m2_ros.offline.output_formats import OutputFormat  # noqa: E402
from s2m2_ros.offline.processing.options import ProcessOptions  # noqa: E402
from s2m2_ros.offline.processing.processor import Processor, Progress  # noqa: E402
from s2m2_ros.offline.processing.results import Processed  # noqa: E402

__all__ = [
    'MatcherOptions',
    'OutputFormat',
    'ProcessOptions',
    'Processed',
    'Processor',
    'Progress',
]
