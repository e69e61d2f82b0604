"""Process a recording (rosbag2, MCAP, ROS 1 bag) without ROS, then read the depth that came out.

Usage: python3 process_recording.py RECORDING FOLDER [BACKEND]

Needs `pip install s2m2_ros[recordings]`. Interrupted, it goes on where it was.
"""

import sys
from pathlib import Path

import numpy as np

from s2m2_ros.offline.processing import (
    MatcherOptions,
    OutputFormat,
    ProcessOptions,
    Processor,
)


def main() -> None:
    """Process and summarize; functions, since worker processes import this file again."""
    recording, folder = Path(sys.argv[1]), Path(sys.argv[2])
    backend = sys.argv[3] if len(sys.argv) > 3 else 'auto'
    # OutputFormat.MCAP, the default, gives a recording with the output topics in it.
    options = ProcessOptions(outputs=['depth', 'confidence'], formats=[OutputFormat.NPZ])
    with Processor(MatcherOptions(backend=backend), options) as processor:
        processed = processor.process(recording, folder)
    print(f'{processed.pairs} pairs, {processed.lost} lost; the report is {processed.report}')
    for file in sorted(processed.output.rglob('*.npz')):
        pair = np.load(file)
        trusted = pair['depth'][pair['confidence'] > 0.9]
        print(f'{file.name}: median depth {np.nanmedian(trusted):.2f} m')


if __name__ == '__main__':
    main()
