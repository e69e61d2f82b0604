"""PointCloud2 messages as clouds of the viewer, with the confidence that comes beside them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from sensor_msgs.msg import Image, PointCloud2
from sensor_msgs_py.point_cloud2 import read_points

from s2m2_ros.io.images.ros_images import decode_raw
from s2m2_ros.io.message_data import stamp_ns
from s2m2_ros.viewer.viewed_cloud import ViewedCloud

# Confidence maps that wait for their cloud.
KEPT = 5

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class ReceivedCloud:
    """A cloud of a message.

    Attributes:
        time_ns: timestamp of the message, in nanoseconds.
        cloud: its known points.
        grid: rows and columns of the message.
        pixels: where in the flattened grid the known points are.

    """

    time_ns: int
    cloud: ViewedCloud
    grid: tuple[int, int]
    pixels: npt.NDArray[np.intp]

    @property
    def is_organized(self) -> bool:
        """Whether rows and columns are those of an image."""
        return self.grid[0] > 1

    def with_confidence(self, confidence: Floats) -> ViewedCloud:
        """Return the cloud with the confidence of its pixels, (H, W); without if none fits.

        A decimated cloud has every n-th row and column of the image.
        """
        step = max(1, round(confidence.shape[0] / self.grid[0]))
        fitting = confidence[::step, ::step]
        if not self.is_organized or fitting.shape != self.grid:
            return self.cloud
        return replace(self.cloud, confidence=fitting.reshape(-1)[self.pixels])


class ConfidenceJoin:
    """Joins organized clouds with the confidence maps of the same timestamp, in any order.

    A cloud waits for its map until the next cloud; then it is shown without.
    """

    def __init__(self) -> None:
        self._maps: dict[int, Floats] = {}
        self._waiting: ReceivedCloud | None = None

    def add_cloud(self, received: ReceivedCloud) -> ViewedCloud | None:
        """Return what can be shown now."""
        if received.cloud.confidence is not None or not received.is_organized:
            self._waiting = None
            return received.cloud
        if received.time_ns in self._maps:
            self._waiting = None
            return received.with_confidence(self._maps.pop(received.time_ns))
        late, self._waiting = self._waiting, received
        return None if late is None else late.cloud

    def add_confidence(self, time_ns: int, confidence: Floats) -> ViewedCloud | None:
        """Return what can be shown now."""
        if self._waiting is not None and self._waiting.time_ns == time_ns:
            received, self._waiting = self._waiting, None
            return received.with_confidence(confidence)
        self._maps[time_ns] = confidence
        for oldest in list(self._maps)[:-KEPT]:
            del self._maps[oldest]
        return None


def received_cloud(message: PointCloud2) -> ReceivedCloud | None:
    """Return the known points of a message; None if there is none.

    Raises whatever numpy and sensor_msgs_py raise for a message that is no cloud of points.
    """
    records = np.asarray(read_points(message)).reshape(-1)
    points = np.stack([records[axis].astype(np.float32) for axis in 'xyz'], axis=1)
    pixels = np.flatnonzero(np.isfinite(points).all(axis=1))
    if not len(pixels):
        return None
    cloud = ViewedCloud(points[pixels], _colors(records, pixels), _confidence(records, pixels))
    return ReceivedCloud(stamp_ns(message.header), cloud, (message.height, message.width), pixels)


def confidence_map(message: Image) -> tuple[int, Floats]:
    """Return timestamp and confidence, (H, W). Raises ImageError."""
    values = np.asarray(decode_raw(message).pixels, np.float32)
    return stamp_ns(message.header), np.nan_to_num(values).clip(0, 1)


def _colors(records: Any, pixels: npt.NDArray[np.intp]) -> npt.NDArray[np.uint8] | None:
    names = records.dtype.names or ()
    for name in ('rgb', 'rgba'):
        if name in names and records[name].dtype.itemsize == 4:
            packed = np.ascontiguousarray(records[name][pixels])
            return packed.view(np.uint8).reshape(-1, 4)[:, 2::-1]
    if 'intensity' in names:
        gray = np.nan_to_num(records['intensity'][pixels].astype(np.float32)).clip(0, 255)
        return np.repeat(gray.astype(np.uint8)[:, None], 3, axis=1)
    return None


def _confidence(records: Any, pixels: npt.NDArray[np.intp]) -> Floats | None:
    if 'confidence' not in (records.dtype.names or ()):
        return None
    values: Floats = records['confidence'][pixels].astype(np.float32)
    return np.nan_to_num(values).clip(0, 1)
