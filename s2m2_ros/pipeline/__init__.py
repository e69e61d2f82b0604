"""From two images to everything that follows from them; the only way there is, without ROS."""

from s2m2_ros.pipeline.options import PipelineOptions, output_options
from s2m2_ros.pipeline.pair import PairInput, PairOutputs, StageTimes
from s2m2_ros.pipeline.state import PipelineState
from s2m2_ros.pipeline.stereo_pipeline import StereoPipeline, examine_outputs
from s2m2_ros.pipeline.temporal import Moment, TemporalOptions

__all__ = [
    'Moment',
    'PairInput',
    'PairOutputs',
    'PipelineOptions',
    'PipelineState',
    'StageTimes',
    'StereoPipeline',
    'TemporalOptions',
    'examine_outputs',
    'output_options',
]
