"""Stand-in for the ROS 2 package message_filters: subscribers and timestamp synchronizers."""

from ._filters import SimpleFilter, Subscriber
from ._synchronizers import ApproximateTimeSynchronizer, TimeSynchronizer

__all__ = ['ApproximateTimeSynchronizer', 'SimpleFilter', 'Subscriber', 'TimeSynchronizer']
