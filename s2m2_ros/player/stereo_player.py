"""`stereo_player`: publishes stereo pairs from files or a recording, as a camera driver would."""

from __future__ import annotations

import itertools
import math
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import rclpy
from rclpy.duration import Duration
from rclpy.exceptions import NameValidationException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo, CompressedImage

from s2m2_ros.errors import S2M2Error
from s2m2_ros.executable import StopSignals, run_executable
from s2m2_ros.io.sources.stereo_frame import PairSource, PlaybackError, StereoFrame
from s2m2_ros.large_messages import provide_profile
from s2m2_ros.logging_bridge import send_logging_to
from s2m2_ros.player.player_parameters import (
    IMAGE_FILES_RATE,
    PlayerOptions,
    declare_options,
    publishes_raw,
    source_of,
)
from s2m2_ros.player.ros_messages import PlayedMessages, stereo_messages
from s2m2_ros.player.static_transforms import broadcast
from s2m2_ros.ros_arguments import creating_node, init_rclpy, unused_parameter_files
from s2m2_ros.text_safety import utf8_text

USAGE = """usage: stereo_player --ros-args -p source:=FOLDER_OR_RECORDING ...

Publishes stereo pairs from files or a recording, as a camera driver would.
doc/stereo_player.md describes all topics and parameters."""
QUEUE_DEPTH = 10
# How often to look whether a subscriber came; only until playing starts.
POLL_S = 0.02
# Discovery takes a moment, and what plays once is over before: so long it waits for subscribers,
# and so long after the first one for those of the other topics. On a busy machine the first
# announcements of a participant may get lost; Fast DDS repeats them every 3 s: time for two.
DISCOVERY_S = 7.0
OTHER_TOPICS_S = 0.3
ACKNOWLEDGMENT_TIMEOUT = Duration(seconds=1)
NAME = 'stereo_player'


class StereoPlayer(Node):  # type: ignore[misc]  # rclpy has no types
    """Publishes pairs on left/ and right/ image_rect and camera_info.

    Reliable, so that any subscriber matches; overridable by the standard QoS parameters. Images
    that were recorded compressed go out on ``image_rect/compressed``.
    """

    def __init__(self, **node_arguments: Any) -> None:
        """Declare the parameters; raises :class:`S2M2Error` if what they name cannot be played."""
        with creating_node(node_arguments.get('context')):
            super().__init__(NAME, **node_arguments)
        self.options: PlayerOptions = declare_options(self)
        self._raw = publishes_raw(self.options)
        self.source: PairSource = source_of(self.options)
        self.published = 0
        self.had_subscribers = False
        self._broadcaster: Any = None
        self._outputs: dict[str, Publisher[Any]] = {}

    def subscribers(self) -> int:
        """Return the number of subscribers of the topic that has fewest."""
        if not self._outputs:
            return 0
        return int(min(p.get_subscription_count() for p in self._outputs.values()))

    def notice_subscribers(self) -> bool:
        """Return whether someone subscribes to an image, and remember it."""
        found = any(
            output.get_subscription_count()
            for topic, output in self._outputs.items()
            if not topic.endswith('camera_info')
        )
        self.had_subscribers |= found
        return found

    def prepare(self, frame: StereoFrame) -> None:
        """Create the publishers that a pair needs, and publish where its cameras are."""
        messages = self._messages(frame)
        for side, image in (('left', messages.left), ('right', messages.right)):
            self._output(side, image)
            self._output(side, messages.left_info)
        if self.options.parent_frame:
            self._broadcaster = broadcast(self, self.options.parent_frame, messages)

    def publish(self, frame: StereoFrame) -> None:
        """Publish one pair, calibrations first, so that its images can be used at once."""
        messages = self._messages(frame)
        left_stamp, right_stamp = self._stamps(frame)
        for side, message, stamp in (
            ('left', messages.left_info, left_stamp),
            ('left', messages.left, left_stamp),
            ('right', messages.right_info, right_stamp),
            ('right', messages.right, right_stamp),
        ):
            message.header.stamp = stamp
            self._output(side, message).publish(message)
        self.published += 1

    def finish(self) -> None:
        """Wait, not for long, until reliable subscribers have what was published."""
        for publisher in self._outputs.values():
            publisher.wait_for_all_acked(ACKNOWLEDGMENT_TIMEOUT)

    def _messages(self, frame: StereoFrame) -> PlayedMessages:
        frame_ids = (self.options.left_frame, self.options.right_frame)
        return stereo_messages(frame, frame_ids, raw=self._raw)

    def _output(self, side: str, message: Any) -> Publisher[Any]:
        """Return the publisher for a message of one camera, made when it is needed first."""
        topic = f'{side}/camera_info'
        if not isinstance(message, CameraInfo):
            compressed = isinstance(message, CompressedImage)
            topic = f'{side}/image_rect/compressed' if compressed else f'{side}/image_rect'
        if topic not in self._outputs:
            self._outputs[topic] = self.create_publisher(
                type(message),
                topic,
                QoSProfile(depth=QUEUE_DEPTH),
                qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            )
        return self._outputs[topic]

    def _stamps(self, frame: StereoFrame) -> tuple[Any, Any]:
        now_ns = self.get_clock().now().nanoseconds
        left_ns, right_ns = frame.stamps_ns or (now_ns, now_ns)
        if self.options.restamp:
            left_ns, right_ns = now_ns, now_ns + right_ns - left_ns
        return Time(nanoseconds=left_ns).to_msg(), Time(nanoseconds=right_ns).to_msg()


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


def repeated(source: PairSource, *, loop: bool) -> Iterator[StereoFrame]:
    """Yield every pair of the source, over and over if ``loop``; raises for an empty source."""
    for _ in itertools.count() if loop else range(1):
        empty = True
        for frame in source:
            empty = False
            yield frame
        if empty:
            raise PlaybackError(
                'no stereo pair in the source: do the timestamps of left and right images fit?'
            )


def play(player: StereoPlayer) -> None:
    """Publish until the end of the source, or until rclpy shuts down."""
    executor = SingleThreadedExecutor(context=player.context)
    executor.add_node(player)
    frames = repeated(player.source, loop=player.options.loop)
    first = next(frames)
    player.prepare(first)
    _wait_for_subscribers(player, executor)
    frames = itertools.chain([first], frames)
    for due, frame in schedule(frames, player.options.rate, start=time.monotonic()):
        while player.context.ok() and (left := due - time.monotonic()) > 0:
            executor.spin_once(timeout_sec=left)
        if not player.context.ok():
            return
        executor.spin_once(timeout_sec=0)
        player.notice_subscribers()
        player.publish(frame)
    player.notice_subscribers()
    player.finish()
    player.get_logger().info(f'played {player.published} pairs')
    if not player.had_subscribers:
        player.get_logger().warning(
            'there were no subscribers of the images while they were played: start the subscriber '
            'first, compare its topics and ROS_DOMAIN_ID, or set loop or wait_for_subscribers to '
            'true'
        )


def _wait_for_subscribers(player: StereoPlayer, executor: SingleThreadedExecutor) -> None:
    """Wait for subscribers: without end if asked to, else briefly if it plays only once."""
    endless = player.options.wait_for_subscribers
    if player.options.loop and not endless:
        return
    deadline = math.inf if endless else time.monotonic() + DISCOVERY_S
    while player.context.ok() and not player.subscribers() and time.monotonic() < deadline:
        executor.spin_once(timeout_sec=POLL_S)
        if not (endless or player.had_subscribers) and player.notice_subscribers():
            deadline = min(deadline, time.monotonic() + OTHER_TOPICS_S)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the node; return 2 if the source cannot be played."""
    return run_executable(_run, arguments, usage=USAGE)


def _run(arguments: Sequence[str] | None, stop: StopSignals) -> int:
    cautions = provide_profile()
    init_rclpy(arguments)
    logger, player = rclpy.logging.get_logger(NAME), None
    try:
        send_logging_to(logger)
        player = StereoPlayer()
        stop.started()
        cautions += unused_parameter_files(arguments, player.get_fully_qualified_name())
        for reason in cautions:
            logger.warning(reason)
        play(player)
    except (S2M2Error, NameValidationException) as error:
        logger.fatal(utf8_text(error).partition('\n')[0])
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
