"""The executable `stereo_node`: rectified pairs in; disparity, depth, confidence, points out."""

from __future__ import annotations

import logging
import os
import sys
import time
from typing import TYPE_CHECKING

from s2m2_ros.errors import S2M2Error
from s2m2_ros.node.logging_bridge import send_logging_to
from s2m2_ros.node.process_memory import keep_freed_memory

if TYPE_CHECKING:
    from s2m2_ros.node.stereo_node import StereoNode

# Seconds between an unexpected error of the executor and going on.
PAUSE = 0.1


def main(arguments: list[str] | None = None) -> int:
    """Run the node until it is asked to stop; return the exit status."""
    # Threads that spin while they wait for each other take the processor from each other when a
    # robot is busy: passes took five times as long. OpenMP reads this when torch is imported.
    os.environ.setdefault('OMP_WAIT_POLICY', 'passive')
    keep_freed_memory()
    import rclpy

    # First of all, so that a signal ends the start cleanly too: importing torch takes seconds.
    rclpy.init(args=arguments)
    node = None
    try:
        from s2m2_ros.node.stereo_node import StereoNode

        node = StereoNode()
        send_logging_to(node.get_logger())
        _spin(node)
    except KeyboardInterrupt:
        pass
    except S2M2Error as error:
        rclpy.logging.get_logger('stereo_node').fatal(str(error))
        return 2
    except Exception:
        if rclpy.ok():  # otherwise it only comes from being asked to stop
            raise
    finally:
        finished = node is None or node.close()
        rclpy.try_shutdown()
        if not finished:
            _end_process()
    return 0


def _spin(node: StereoNode) -> None:
    from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor

    executor = SingleThreadedExecutor()
    executor.add_node(node)
    while node.context.ok():
        try:
            executor.spin()
        except ExternalShutdownException:
            return
        except Exception as error:
            # A signal invalidates the context at any moment; anything else must not end the node.
            node.report(f'executor: {error!r}')
            time.sleep(PAUSE)


def _end_process() -> None:
    """End at once: an inference cannot be interrupted, and Python would wait for it or crash."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


if __name__ == '__main__':
    sys.exit(main())
