"""A small stereo camera, pictures of one gray value, and a recording of them."""

from __future__ import annotations

from array import array
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from sensor_msgs.msg import CameraInfo, CompressedImage

from s2m2_ros.geometry import CameraModel
from s2m2_ros.io.recordings.recording_writer import RecordingWriter
from s2m2_ros.player.ros_messages import camera_info, image_message
from s2m2_ros.player.ros_serialization import serialized

CALIBRATION = """cam0=[40 0 31.5; 0 40 23.5; 0 0 1]
cam1=[40 0 34.5; 0 40 23.5; 0 0 1]
doffs=3
baseline=100
width=64
height=48
"""

MODELS = (
    CameraModel([40, 0, 31.5, 0, 0, 40, 23.5, 0, 0, 0, 1, 0], 64, 48),
    CameraModel([40, 0, 34.5, -4, 0, 40, 23.5, 0, 0, 0, 1, 0], 64, 48),
)


def picture(value: int) -> np.ndarray:
    return np.full((48, 64), value, np.uint8)


def camera_infos() -> list[CameraInfo]:
    return [
        camera_info(model, name) for model, name in zip(MODELS, ('left', 'right'), strict=True)
    ]


def record(folder: Path, *, compressed: bool = False, with_infos: bool = True) -> None:
    """Write two pairs, at 100 s and 101 s, the right image 5 ms later; calibrations come last."""
    infos = camera_infos()
    with RecordingWriter(folder) as writer:
        for number in (1, 2):
            for side, (name, info) in enumerate(zip(('left', 'right'), infos, strict=True)):
                image: Any = image_message(picture(10 * number + side), frame_id=name)
                topic = f'/stereo/{name}/image_rect'
                if compressed:
                    png = cv2.imencode('.png', picture(10 * number + side))[1]
                    image = CompressedImage(format='mono8; png compressed ')
                    image.data, topic = array('B', png.tobytes()), topic + '/compressed'
                stamp = image.header.stamp
                stamp.sec, stamp.nanosec = 99 + number, 5_000_000 * side
                info.header.stamp = stamp
                writer.write(topic, serialized(image), number)
                if with_infos:
                    writer.write(f'/stereo/{name}/camera_info', serialized(info), number)
