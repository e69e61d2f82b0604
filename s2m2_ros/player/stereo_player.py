"""`stereo_player`: publishes stereo pairs from files or a recording, as a camera driver would."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Iterator, Sequence
from copy import copy
from typing import Any

import rclpy
from rclpy.duration import Duration
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo, CompressedImage

from s2m2_ros.errors import S2M2Error
from s2m2_ros.executable import StopSignals, run_executable
from s2m2_ros.io.stereo_frame import PlaybackError, StereoFrame
from s2m2_ros.player.player_parameters import (
    IMAGE_FILES_RATE,
    PlayerOptions,
    Source,
    declare_options,
    open_source,
)
from s2m2_ros.player.static_transforms import broadcast

USAGE = """usage: stereo_player --ros-args -p source:=FOLDER_OR_RECORDING ...

Publishes stereo pairs from files or a recording, as a camera driver would.
doc/stereo_player.md describes all topics and parameters."""
QUEUE_DEPTH = 10
# How often to look whether a listener came; only until playing starts.
POLL_S = 0.02
FAREWELL = Duration(seconds=1)


class StereoPlayer(Node):  # type: ignore[misc]  # rclpy has no types
    """Publishes pairs on left/ and right/ image_rect and camera_info.

    Reliable, so that any listener matches; overridable by the standard QoS parameters. Images
    that were recorded compressed go out on ``image_rect/compressed``.
    """

    def __init__(self, **node_arguments: Any) -> None:
        """Declare the parameters; raises :class:`S2M2Error` if what they name cannot be played."""
        super().__init__('stereo_player', **node_arguments)
        self.options: PlayerOptions = declare_options(self)
        self.source: Source = open_source(self.options)
        self.published = 0
        self._broadcaster: Any = None
        self._outputs: dict[str, Publisher[Any]] = {}

    def listeners(self) -> int:
        """Return the number of listeners of the topic that has fewest."""
        if not self._outputs:
            return 0
        return int(min(p.get_subscription_count() for p in self._outputs.values()))

    def prepare(self, frame: StereoFrame) -> None:
        """Create the publishers that a pair needs, and tell where its cameras stand."""
        types: dict[str, Any] = {}
        for side, image in zip(('left', 'right'), frame.messages, strict=True):
            suffix = '/compressed' if isinstance(image, CompressedImage) else ''
            types[f'{side}/image_rect{suffix}'] = type(image)
            types[f'{side}/camera_info'] = CameraInfo
        self._outputs = {
            topic: self.create_publisher(
                kind,
                topic,
                QoSProfile(depth=QUEUE_DEPTH),
                qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            )
            for topic, kind in types.items()
        }
        if self.options.parent_frame:
            self._broadcaster = broadcast(self, self.options.parent_frame, frame)

    def publish(self, frame: StereoFrame) -> None:
        """Publish one pair: calibrations first, so that a listener can use the images at once."""
        left_stamp, right_stamp = self._stamps(frame)
        messages = (
            (frame.left_info, left_stamp),
            (frame.left, left_stamp),
            (frame.right_info, right_stamp),
            (frame.right, right_stamp),
        )
        topics = iter(self._outputs.values())
        left_image, left_info, right_image, right_info = topics
        for publisher, (message, stamp) in zip(
            (left_info, left_image, right_info, right_image), messages, strict=True
        ):
            stamped = copy(message)  # the source may hand the same message out again
            stamped.header = copy(message.header)
            stamped.header.stamp = stamp
            publisher.publish(stamped)
        self.published += 1

    def finish(self) -> None:
        """Wait, not for long, until reliable listeners have what was published."""
        for publisher in self._outputs.values():
            publisher.wait_for_all_acked(FAREWELL)

    def _stamps(self, frame: StereoFrame) -> tuple[Any, Any]:
        left, right = (message.header.stamp for message in frame.messages)
        if not self.options.restamp:
            return left, right
        apart = Time.from_msg(right).nanoseconds - Time.from_msg(left).nanoseconds
        now = self.get_clock().now()
        return now.to_msg(), (now + Duration(nanoseconds=apart)).to_msg()


def schedule(
    frames: Iterator[StereoFrame], rate: float, *, start: float
) -> Iterator[tuple[float, StereoFrame]]:
    """Yield each pair with the moment it is due, in seconds on the clock of ``start``.

    With rate 0, the times of the recording are kept (where they jump back, as a loop does, the
    last interval is used again), and image files, which have none, are due
    :data:`IMAGE_FILES_RATE` times a second.
    """
    due, interval = start, 1 / (rate or IMAGE_FILES_RATE)
    previous: StereoFrame | None = None
    for frame in frames:
        if previous is not None:
            if rate == 0 and frame.time is not None and previous.time is not None:
                elapsed = frame.time - previous.time
                interval = elapsed if elapsed >= 0 else interval
            due += interval
        yield due, frame
        previous = frame


def repeated(source: Source, *, loop: bool) -> Iterator[StereoFrame]:
    """Yield every pair of the source, over and over if ``loop``; raises for an empty source."""
    for _ in itertools.count() if loop else range(1):
        empty = True
        for frame in source:
            empty = False
            yield frame
        if empty:
            raise PlaybackError('no stereo pair in the source: do the stamps of the images fit?')


def play(player: StereoPlayer) -> None:
    """Publish until the end of the source, or until rclpy shuts down."""
    executor = SingleThreadedExecutor(context=player.context)
    executor.add_node(player)
    frames = repeated(player.source, loop=player.options.loop)
    first = next(frames)
    player.prepare(first)
    while player.options.wait_for_listeners and player.context.ok() and not player.listeners():
        executor.spin_once(timeout_sec=POLL_S)
    frames = itertools.chain([first], frames)
    for due, frame in schedule(frames, player.options.rate, start=time.monotonic()):
        while player.context.ok() and (left := due - time.monotonic()) > 0:
            executor.spin_once(timeout_sec=left)
        if not player.context.ok():
            return
        executor.spin_once(timeout_sec=0)
        player.publish(frame)
    player.finish()
    player.get_logger().info(f'played {player.published} pairs')


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the node; return 2 if it was told to play what cannot be played."""
    return run_executable(_run, arguments, usage=USAGE)


def _run(arguments: Sequence[str] | None, stop: StopSignals) -> int:
    rclpy.init(args=None if arguments is None else list(arguments))
    player = None
    try:
        player = StereoPlayer()
        stop.started()
        play(player)
    except S2M2Error as error:
        rclpy.logging.get_logger('stereo_player').fatal(str(error))
        return 2
    except ExternalShutdownException:
        pass
    finally:
        if player is not None:
            player.destroy_node()
        rclpy.try_shutdown()
    return 0


if __name__ == '__main__':
    sys.exit(main())
