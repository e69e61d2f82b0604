"""Depth in 16 bits: millimeters, and the two forms of compressed_depth_image_transport.

The latter is a sensor_msgs/CompressedImage on `.../compressedDepth`: 12 bytes that say how depth
was quantized, then a PNG of 16 bits. Meters are quantized evenly in 1 / depth, as disparities are:
`q = A / depth + B`, and back `depth = A / (q - B)`; 0 is unknown.
"""

from __future__ import annotations

import struct

import cv2
import numpy as np
import numpy.typing as npt
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import Header

from s2m2_ros.geometry import HostOutputs, Output
from s2m2_ros.io.message_data import fill

METERS, MILLIMETERS = '32FC1', '16UC1'
LARGEST = 65535
# The plugin's struct: an enum, then A and B.
CONFIG_HEADER = struct.Struct('<iff')
INVERSE_DEPTH = 0
# Steps of the quantization for each pixel of disparity, unless a wide image has too many pixels.
STEPS_PER_PIXEL = 32
# Half a step: the middle of what is rounded down to a whole number of steps.
MIDDLE = 0.5
FASTEST_PNG = (cv2.IMWRITE_PNG_COMPRESSION, 1)

Depth = npt.NDArray[np.float32]
Quantized = npt.NDArray[np.uint16]


def millimeters(depth: Depth) -> Quantized:
    """Return meters as whole millimeters; 0 is unknown, as is all beyond 65.535 m."""
    with np.errstate(invalid='ignore'):
        rounded = np.rint(depth * np.float32(1000))
        held = (rounded >= 0) & (rounded <= LARGEST)  # NaN is neither
        return np.where(held, rounded, 0).astype(np.uint16)


def inverse_depth(depth: Depth, scale: float) -> Quantized:
    """Return `floor(scale / depth) + 1`; 0 where unknown, or nearer than 16 bits can say.

    `scale`: A in meters, positive.
    """
    with np.errstate(invalid='ignore', divide='ignore'):
        steps = np.floor(np.float32(scale) / depth) + 1
        return np.where((steps >= 1) & (steps <= LARGEST), steps, 0).astype(np.uint16)


def quantization(focal_length: float, baseline: float, width: int) -> float:
    """Return A in meters, by which every disparity of images of this width (pixels) fits."""
    return min(STEPS_PER_PIXEL, (LARGEST - 1) / width) * focal_length * baseline


def compressed_depth_message(
    outputs: HostOutputs, header: Header, encoding: str = METERS
) -> CompressedImage:
    """Return the depth image as `image_transport` names it `compressedDepth`.

    A and B follow from the camera: the plugin's own (of 10 m, 0.15 m at the nearest) fit one
    kind of sensor.
    """
    depth = outputs.arrays[Output.DEPTH]
    if encoding == MILLIMETERS:
        scale, offset, pixels = 0.0, 0.0, millimeters(depth)
    else:
        camera = outputs.calibrated_camera
        scale = quantization(camera.focal_length, camera.baseline, camera.width)
        offset, pixels = MIDDLE, inverse_depth(depth, scale)
    encoded, png = cv2.imencode('.png', pixels, FASTEST_PNG)
    if not encoded:
        raise ValueError(f'OpenCV cannot encode a depth image of {pixels.shape} as PNG')
    message = CompressedImage(header=header, format=f'{encoding}; compressedDepth png')
    config = CONFIG_HEADER.pack(INVERSE_DEPTH, scale, offset)
    fill(message.data, np.concatenate([np.frombuffer(config, np.uint8), png.reshape(-1)]))
    return message
