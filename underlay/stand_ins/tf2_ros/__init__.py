"""Stand-in for the ROS 2 package tf2_ros: buffer, listener and static broadcaster."""

from ._broadcaster import StaticTransformBroadcaster
from ._buffer import Buffer
from ._errors import (
    ConnectivityException,
    ExtrapolationException,
    InvalidArgumentException,
    LookupException,
    TransformException,
)
from ._listener import TransformListener

__all__ = [
    'Buffer',
    'ConnectivityException',
    'ExtrapolationException',
    'InvalidArgumentException',
    'LookupException',
    'StaticTransformBroadcaster',
    'TransformException',
    'TransformListener',
]
