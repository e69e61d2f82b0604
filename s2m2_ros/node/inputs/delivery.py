"""What keeps published messages from being delivered, and the setting that helps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rclpy.utilities import get_rmw_implementation_identifier
from sensor_msgs.msg import Image

from s2m2_ros.node.inputs.endpoints import Endpoint, node_names
from s2m2_ros.node.inputs.input_qos import InputSubscription

# Fast DDS loses larger best-effort messages with its default shared-memory segment.
LARGEST_BEST_EFFORT = 512 * 1024
MOST_BYTES_A_PIXEL = 4
# By middleware: where large best-effort messages get lost, and the setting besides reliability.
REMEDIES = {
    'fastrtps': (
        'in the shared memory of Fast DDS with its default settings',
        'start it with FASTDDS_DEFAULT_PROFILES_FILE (before Kilted '
        'FASTRTPS_DEFAULT_PROFILES_FILE) set to config/fastdds_large_messages.xml of s2m2_ros',
    ),
    'cyclonedds': (
        'in the socket buffers of Cyclone DDS',
        'raise net.core.rmem_max and SocketReceiveBufferSize of Cyclone DDS',
    ),
}


def explain_mismatch(
    subscription: InputSubscription, publishers: Sequence[Endpoint]
) -> str | None:
    """Return which publishers the subscription's QoS shuts out; None if there is none."""
    shut_out = [p for p in publishers if not subscription.quality.receives(p)]
    if not shut_out:
        return None
    offered = ', '.join(f'{publisher.node} ({publisher.quality})' for publisher in shut_out)
    return (
        f'the QoS of {subscription.topic.full} does not match: the subscription asks for '
        f'{subscription.quality}, as set by qos_overrides, and {offered} offers less: remove the '
        'override, then the node asks for what is offered'
    )


def explain_loss(
    subscription: InputSubscription,
    publishers: Sequence[Endpoint],
    image_bytes: range,
    middleware: str,
) -> str | None:
    """Return why images are probably lost on the way; None if that is unlikely.

    `image_bytes` is the range that the size of an image lies in, as far as it is known.
    """
    remedy = next((words for name, words in REMEDIES.items() if name in middleware), None)
    unreliable = tuple(publisher for publisher in publishers if not publisher.reliable)
    if (
        remedy is None
        or subscription.quality.reliable
        or image_bytes.stop <= LARGEST_BEST_EFFORT
        or not (unreliable or (publishers and subscription.fixed))
    ):
        return None
    size = (
        f'images of {_kilobytes(image_bytes.start)} or more'
        if image_bytes.start > LARGEST_BEST_EFFORT
        else 'images, if larger than 512 KiB,'
    )
    where, settings = remedy
    lost, topic = f'{size} get lost that way {where}', subscription.topic.full
    if not unreliable:
        return (
            f'{topic} is subscribed best effort, as set by qos_overrides: {lost}; remove the '
            'override'
        )
    return (
        f'{topic} is offered as best effort by {node_names(unreliable)}: {lost}; set the '
        f'publisher to reliable, or {settings}'
    )


def explain_image_loss(
    subscription: InputSubscription,
    publishers: Sequence[Endpoint],
    arrived_bytes: int | None,
    info: Any | None,
) -> str | None:
    """Return what `explain_loss` does, for the middleware in use.

    `arrived_bytes` is the size of an image that arrived, None without any; `info` is the newest
    camera_info.
    """
    if arrived_bytes is None and subscription.kind is not Image:
        arrived_bytes = 0  # unknown to the camera_info
    return explain_loss(
        subscription,
        publishers,
        image_size(arrived_bytes, info),
        get_rmw_implementation_identifier(),
    )


def image_size(known: int | None, info: Any | None) -> range:
    """Return the range of bytes of an image: of one that arrived, or by its camera_info."""
    if known is not None:
        return range(known, known + 1)
    pixels = info.width * info.height if info is not None else 0
    return range(pixels, pixels * MOST_BYTES_A_PIXEL + 1) if pixels else range(2**31)


def _kilobytes(count: int) -> str:
    return f'{count / 1024:.0f} KiB'
