"""Subscribe to `estimate` and report the nearest trusted surface of each pair.

`estimate` holds disparity, confidence and visibility of one pair in one message, so that nothing
has to be synchronized. Usage, beside a running stereo_node:

    python3 filter_estimates.py --ros-args -r __ns:=/stereo -p min_confidence:=0.9
"""

import numpy as np
import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from s2m2_ros.msg import StereoEstimate
from sensor_msgs.msg import Image
from std_msgs.msg import Float32


class EstimateFilter(Node):
    """Publishes `nearest`, the depth in meters of the nearest trusted surface."""

    def __init__(self) -> None:
        """Subscribe and advertise."""
        super().__init__('estimate_filter')
        self.declare_parameter('min_confidence', 0.9)
        self.declare_parameter('min_visibility', 0.5)
        # A hundredth of the trusted pixels may be wrong.
        self.declare_parameter('percentile', 1.0)
        self._publisher = self.create_publisher(Float32, 'nearest', 10)
        self.create_subscription(StereoEstimate, 'estimate', self._receive, 1)

    def _receive(self, message: StereoEstimate) -> None:
        disparity = pixels(message.disparity.image)
        trusted = (
            (disparity >= message.disparity.min_disparity)  # others are unknown
            & (disparity > 0)  # 0 is infinitely far away
            & (pixels(message.confidence) >= self.get_parameter('min_confidence').value)
            & (pixels(message.visibility) >= self.get_parameter('min_visibility').value)
        )
        if not trusted.any():
            self.get_logger().warning('no trusted pixel')
            return
        depth = message.disparity.f * message.disparity.t / disparity[trusted]
        nearest = float(np.percentile(depth, self.get_parameter('percentile').value))
        self.get_logger().info(f'{trusted.mean():.0%} trusted, the nearest at {nearest:.2f} m')
        self._publisher.publish(Float32(data=nearest))


def pixels(image: Image) -> np.ndarray:
    """Return a 32FC1 image as (H, W)."""
    rows = np.frombuffer(image.data, np.uint8).reshape(image.height, image.step)
    return rows[:, : 4 * image.width].copy().view(np.float32)


def main() -> None:
    """Run until interrupted."""
    rclpy.init()
    try:
        rclpy.spin(EstimateFilter())
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        rclpy.try_shutdown()


if __name__ == '__main__':
    main()
