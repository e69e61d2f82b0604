"""Stand-in for the ROS 2 package cv_bridge: image messages from and to NumPy arrays."""

from ._bridge import CvBridge
from ._encodings import CvBridgeError

__all__ = ['CvBridge', 'CvBridgeError']
