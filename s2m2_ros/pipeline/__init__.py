"""From two images to everything that follows from them; the only way there is, without ROS."""

from s2m2_ros.pipeline.options import PipelineOptions, output_options
from s2m2_ros.pipeline.pair import PairInput, PairOutputs, StageTimes
from s2m2_ros.pipeline.state import PipelineState
from s2m2_ros.pipeline.stereo_pipeline import StereoPipeline, examine_outputs

__all__ = [
    'PairInput',
    'PairOutputs',
    'PipelineOptions',
    'PipelineState',
    'StageTimes',
    'StereoPipeline',
    'examine_outputs',
    'output_options',
]
