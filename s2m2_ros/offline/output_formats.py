"""The kinds of results of `s2m2 process`, and which outputs each of them takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum

from s2m2_ros.geometry import Output
from s2m2_ros.messages.output_topics import OUTPUT_TOPICS, RECTIFIED_IMAGE

DEFAULT_OUTPUTS = (
    'disparity',
    'depth',
    'depth/camera_info',
    'confidence',
    'occlusion_mask',
    'points',
)


class OutputFormat(Enum):
    """What is written: a recording, or a folder of files for each pair."""

    MCAP = 'mcap'
    ROSBAG2 = 'rosbag2'
    PNG = 'png'
    PFM = 'pfm'
    PLY = 'ply'
    NPZ = 'npz'

    @property
    def is_recording(self) -> bool:
        """Return whether all pairs are in one recording."""
        return self in (OutputFormat.MCAP, OutputFormat.ROSBAG2)


# What a file holds of an output; beside these, RECTIFIED_IMAGE; the others are messages only.
FILE_ARRAYS: Mapping[str, Output] = {
    'disparity': Output.RAW_DISPARITY,
    'depth': Output.DEPTH,
    'depth/uncertainty': Output.UNCERTAINTY,
    'confidence': Output.CONFIDENCE,
    'confidence_mask': Output.CONFIDENCE_MASK,
    'occlusion_mask': Output.OCCLUSION_MASK,
    'points': Output.POINTS,
    'registered/depth': Output.REGISTERED_DEPTH,
}
_MAPS = ('disparity', 'depth', 'depth/uncertainty', 'confidence', 'registered/depth')
_MASKS = ('confidence_mask', 'occlusion_mask')
FORMAT_OUTPUTS: Mapping[OutputFormat, Sequence[str]] = {
    OutputFormat.MCAP: (*OUTPUT_TOPICS,),
    OutputFormat.ROSBAG2: (*OUTPUT_TOPICS,),
    OutputFormat.PNG: (*_MAPS, *_MASKS, RECTIFIED_IMAGE),
    OutputFormat.PFM: _MAPS,
    OutputFormat.PLY: ('points',),
    OutputFormat.NPZ: (*FILE_ARRAYS, RECTIFIED_IMAGE),
}
