"""Clouds, images, rates and diagnostics of a stereo node in the browser, live."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image, PointCloud2

from s2m2_ros.msg import InferenceStats
from s2m2_ros.text_safety import safe_text
from s2m2_ros.topic_viewer.cloud_messages import (
    ConfidenceJoin,
    confidence_map,
    received_cloud,
)
from s2m2_ros.topic_viewer.node_report import Diagnostics, stats_rows
from s2m2_ros.topic_viewer.pictures import COMPRESSED_IMAGE, IMAGE, picture_of
from s2m2_ros.topic_viewer.subscriptions import Subscriptions, Wanted
from s2m2_ros.viewer.cloud_viewer import FIRST_PORT, CloudViewer
from s2m2_ros.viewer.topics_panel import Row, TopicsPanel
from s2m2_ros.viewer.viewed_cloud import ViewedCloud

_logger = logging.getLogger(__name__)

NODE_NAME = 's2m2_view'
STEREO_NODE = 'stereo_node'
IMAGE_TYPES: dict[str, type[Any]] = {IMAGE: Image, COMPRESSED_IMAGE: CompressedImage}
# Forms of image_transport that are no pictures.
NO_PICTURES = ('/compressedDepth',)
# Seconds between two updates of the subscriptions and tables.
PERIOD = 0.5


@dataclass(frozen=True)
class ViewOptions:
    """What is shown.

    Attributes:
        namespace: of the stereo node, e.g. '/stereo'.
        points: topic of the clouds; empty for `points` of the node.
        confidence: topic of their confidence; empty for `confidence` of the node.
        node: full name of the node whose diagnostics are shown; empty for `stereo_node`.
        port: the first port to try.
        first_cloud: a PLY file to show until the first cloud comes.

    """

    namespace: str = '/'
    points: str = ''
    confidence: str = ''
    node: str = ''
    port: int = FIRST_PORT
    first_cloud: Path | None = None

    def topic(self, name: str) -> str:
        """Return the full name of a topic of the node."""
        return f'/{self.namespace.strip("/")}/{name}'.replace('//', '/')


class TopicViewer:
    """Serves the page; subscribes while it is open in a browser."""

    def __init__(self, context: Context, options: ViewOptions) -> None:
        """Start the server and join the ROS graph.

        Raises MissingPackageError if the viewer's packages are missing, and S2M2Error if the
        first cloud cannot be read.
        """
        self._options = options
        self._points = options.points or options.topic('points')
        self._confidence = options.confidence or options.topic('confidence')
        self._preferred_image = options.topic('disparity/color')
        self._diagnostics = Diagnostics(options.node or options.topic(STEREO_NODE))
        self._join = ConfidenceJoin()
        self._stats: InferenceStats | None = None
        self._viewer = CloudViewer(options.first_cloud, port=options.port)
        self._panel = TopicsPanel(self._viewer.page)
        self._node = Node(NODE_NAME, context=context)
        self._executor = SingleThreadedExecutor(context=context)
        self._executor.add_node(self._node)
        self._subscriptions = Subscriptions(self._node)
        self._shown_image: str | None = None
        self._callbacks = {
            kind: partial(self._guarded, callback)
            for kind, callback in (
                ('points', self._take_cloud),
                ('confidence', self._take_confidence),
                ('image', self._take_image),
            )
        }

    @property
    def address(self) -> str:
        """What to open in a browser; its last part is secret."""
        return self._viewer.address

    def run(self, stop: threading.Event) -> None:
        """Show what comes until the context is shut down or `stop` is set."""
        next_update = 0.0
        while rclpy.ok(context=self._node.context) and not stop.is_set():
            now = time.monotonic()
            if now >= next_update:
                self._update()
                next_update = now + PERIOD
            self._executor.spin_once(timeout_sec=max(0.0, next_update - now))

    def close(self) -> None:
        """Leave the ROS graph and stop serving."""
        self._executor.shutdown()
        self._node.destroy_node()
        self._viewer.close()

    def __enter__(self) -> TopicViewer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _update(self) -> None:
        images = self._image_topics()
        self._panel.offer_images(images, self._preferred_image)
        if not self._viewer.page.is_watched:
            self._subscriptions.follow({})
            return
        chosen = self._panel.image_topic
        if chosen != self._shown_image:
            self._panel.show_image(None)
            self._shown_image = chosen
        self._subscriptions.follow(self._wanted(chosen, images))
        self._panel.show_topics(self._rate_rows())
        self._panel.show_node([*stats_rows(self._stats), *self._diagnostics.rows()])

    def _image_topics(self) -> dict[str, type[Any]]:
        """Return the topics of images that are published, with the class of their messages."""
        return {
            topic: IMAGE_TYPES[kinds[0]]
            for topic, kinds in self._node.get_topic_names_and_types()
            if kinds[0] in IMAGE_TYPES
            and not topic.endswith(NO_PICTURES)
            and self._node.count_publishers(topic)
        }

    def _wanted(self, image: str | None, images: dict[str, type[Any]]) -> dict[str, Wanted]:
        wanted = {
            self._points: Wanted(PointCloud2, self._callbacks['points']),
            self._confidence: Wanted(Image, self._callbacks['confidence']),
            self._options.topic('stats'): Wanted(InferenceStats, self._take_stats),
            '/diagnostics': Wanted(DiagnosticArray, self._diagnostics.update),
        }
        if image in images and image not in wanted:
            wanted[image] = Wanted(images[image], self._callbacks['image'])
        return wanted

    def _rate_rows(self) -> list[Row]:
        rows = []
        for topic, rate in sorted(self._subscriptions.rates().items()):
            publishers = self._node.count_publishers(topic)
            text = f'{rate:.1f} Hz' if publishers else 'no publisher'
            rows.append(Row((topic, text)))
        return rows

    def _guarded(self, callback: Callable[[Any], None], message: Any) -> None:
        try:
            callback(message)
        except Exception as error:  # whatever a peer may publish there
            _logger.warning('a message that cannot be shown: %s', safe_text(error))

    def _take_cloud(self, message: PointCloud2) -> None:
        received = received_cloud(message)
        if received is not None:
            self._show(self._join.add_cloud(received))

    def _take_confidence(self, message: Image) -> None:
        stamp, confidence = confidence_map(message)
        self._show(self._join.add_confidence(stamp, confidence))
        if self._shown_image == self._confidence:
            self._take_image(message)

    def _take_image(self, message: Any) -> None:
        self._panel.show_image(picture_of(message))

    def _take_stats(self, message: InferenceStats) -> None:
        self._stats = message

    def _show(self, cloud: ViewedCloud | None) -> None:
        if cloud is not None:
            self._viewer.show(cloud)


@contextmanager
def joined_graph() -> Iterator[Context]:
    """Yield a context of rclpy in the domain that the environment names."""
    context = Context()
    context.init()
    try:
        yield context
    finally:
        context.try_shutdown()


@contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    """Yield what SIGINT and SIGTERM set meanwhile.

    As KeyboardInterrupt they would be lost in a destructor or in a callback from C++, where
    Python prints an exception and goes on.
    """
    asked = threading.Event()
    former = {
        number: signal.signal(number, lambda *_: asked.set())
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield asked
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def view_topics(context: Context, options: ViewOptions) -> None:
    """Show topics in the browser until interrupted (Ctrl-C); see `TopicViewer` for errors."""
    with TopicViewer(context, options) as viewer, _stop_signals() as stop:
        _logger.info('Open %s in a browser; Ctrl-C ends.', viewer.address)
        viewer.run(stop)
        _logger.info('\nend of the view')
