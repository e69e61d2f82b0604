"""The live cloud of the demo in the browser."""

from __future__ import annotations

import logging
from pathlib import Path

import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import PointCloud2

from s2m2_ros.demo.subscriber import colors_of, read_cloud
from s2m2_ros.text_safety import safe_text
from s2m2_ros.viewer.cloud_viewer import CloudViewer

_logger = logging.getLogger(__name__)


def watch(context: Context, topic: str, first_cloud: Path) -> None:
    """Show a file, and then each cloud that arrives on a topic, until interrupted (Ctrl-C).

    Raises BackendUnavailableError if the viewer's packages are missing.
    """
    node = Node('demo_viewer', context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    with CloudViewer(first_cloud) as viewer:

        def show(message: PointCloud2) -> None:
            try:
                records = read_cloud(message)
                if len(records):
                    viewer.show(records[:, :3], colors_of(records))
            except Exception as error:  # whatever a peer may publish there
                _logger.warning('a cloud that cannot be shown: %s', safe_text(error))

        node.create_subscription(PointCloud2, topic, show, qos_profile_sensor_data)
        _logger.info('Open %s in a browser; Ctrl-C ends.', viewer.address)
        try:
            while rclpy.ok(context=context):
                executor.spin_once()
        except KeyboardInterrupt:
            _logger.info('\nend of the view')
        finally:
            executor.shutdown()
            node.destroy_node()
