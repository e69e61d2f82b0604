"""The executable `stereo_node`: rectified pairs in; disparity, depth, confidence, points out."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from s2m2_ros.errors import S2M2Error
from s2m2_ros.executable import StopSignals, run_executable
from s2m2_ros.freed_memory import keep_freed_memory
from s2m2_ros.large_messages import provide_profile
from s2m2_ros.logging_bridge import send_logging_to
from s2m2_ros.ros_arguments import init_rclpy, unused_parameter_files
from s2m2_ros.text_safety import safe_text

if TYPE_CHECKING:
    from s2m2_ros.node.stereo_node import StereoNode

USAGE = """usage: stereo_node [--ros-args ...]

Stereo depth from a pair of cameras. Subscribes to left/image_rect, right/image_rect,
left/camera_info and right/camera_info; publishes disparity, depth, points and more.
doc/stereo_node.md describes all topics and parameters; `ros2 launch s2m2_ros stereo.launch.py
--show-args` starts it with the topics of a camera."""
# Seconds between an unexpected error of the executor and going on.
PAUSE = 0.1


def main(arguments: list[str] | None = None) -> int:
    """Run the node until it is asked to stop; return the exit status."""
    return run_executable(_run, arguments, usage=USAGE)


def _run(arguments: Sequence[str] | None, stop: StopSignals) -> int:
    # Threads that spin while they wait for each other take the processor from each other when a
    # robot is busy: passes took five times as long. OpenMP reads this when torch is imported.
    os.environ.setdefault('OMP_WAIT_POLICY', 'passive')
    keep_freed_memory()
    cautions = provide_profile()
    import rclpy

    # First of all, so that a signal ends the start cleanly too: importing torch takes seconds.
    init_rclpy(arguments)
    node, status = None, 0
    try:
        from s2m2_ros.node.stereo_node import StereoNode

        node = StereoNode()
        stop.started()
        send_logging_to(node.get_logger())
        cautions += unused_parameter_files(arguments, node.get_fully_qualified_name())
        for reason in cautions:
            node.get_logger().warning(reason)
        _spin(node)
    except S2M2Error as error:
        rclpy.logging.get_logger('stereo_node').fatal(str(error))
        status = 2
    finally:
        finished = node is None or node.close()
        rclpy.try_shutdown()
        unexpected = sys.exc_info()[1] is not None and not stop.asked
        # With arguments it was called by Python code, which goes on.
        if not unexpected and (arguments is None or not finished):
            _end_process(status)
    return status


def _spin(node: StereoNode) -> None:
    from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor

    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        while node.context.ok():
            try:
                executor.spin()
            except ExternalShutdownException:
                return
            except Exception as error:
                # A signal invalidates the context at any moment; anything else must not end the
                # node.
                node.report(f'executor: {safe_text(repr(error))}')
                time.sleep(PAUSE)
    finally:
        # It holds on to the handles that it waited for, and they would outlive the node.
        executor.shutdown()


def _end_process(status: int) -> None:
    """End at once: an inference cannot be interrupted, and Python would wait for it or crash.

    Threads of the middleware run on while the interpreter and its libraries unload
    themselves: with other nodes starting and stopping, one shutdown in twenty was a crash.
    The node has left the graph by now, and the system frees the rest.
    """
    logging.shutdown()
    _write_ros_log()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)


def _write_ros_log() -> None:
    """Have the last lines written to the log file, which the library does every few seconds."""
    from rclpy.impl.implementation_singleton import rclpy_implementation

    with contextlib.suppress(Exception):
        rclpy_implementation.rclpy_logging_fini()


if __name__ == '__main__':
    sys.exit(main())
