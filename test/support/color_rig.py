"""A stereo rig with a color camera beside it, over DDS: three streams and tf."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from geometry_msgs.msg import TransformStamped
from sensor_msgs.msg import CameraInfo, Image
from tf2_ros import StaticTransformBroadcaster

from support.stereo_rig import Rig, profile
from support.stereo_scene import FRAME, PlaneScene, image_message, stamp

SCENE = PlaneScene()
WARN = 1
# The color camera: a finer image, 5 cm right of the left camera and 1 cm ahead.
WIDTH, HEIGHT, FOCAL, CX, CENTER_Y = 480, 360, 330.0, 238.0, 181.0
RIGHT, AHEAD = 0.05, 0.01
COLOR_FRAME = 'color_optical'
STRAIGHT = (0.0, 0.0, 0.0, 0.0, 0.0)


def color_info(at: float = 0.0, lens: Sequence[float] = STRAIGHT) -> CameraInfo:
    """Return the calibration, stamped with a time in seconds; ``lens`` bends the raw image."""
    info = CameraInfo(width=WIDTH, height=HEIGHT, distortion_model='plumb_bob', d=[*lens])
    info.k = [FOCAL, 0.0, CX, 0.0, FOCAL, CENTER_Y, 0.0, 0.0, 1.0]
    info.p = [FOCAL, 0.0, CX, 0.0, 0.0, FOCAL, CENTER_Y, 0.0, 0.0, 0.0, 1.0, 0.0]
    info.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    info.header.stamp, info.header.frame_id = stamp(at), COLOR_FRAME
    return info


def color_image(at: float) -> Image:
    """Return the image of a time in seconds."""
    image = image_message(color_pixels(), stamp(at), 'rgb8')
    image.header.frame_id = COLOR_FRAME
    return image


def color_pixels() -> np.ndarray:
    """Return an image whose red says the column, and whose green the row, in steps of two."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack((x // 2, y // 2, np.full_like(x, 9)), axis=-1).astype(np.uint8)


def color_pose(turned: float = 0.0) -> TransformStamped:
    """Return where the color camera stands, turned to the right by so many degrees."""
    pose = TransformStamped(child_frame_id=COLOR_FRAME)
    pose.header.frame_id = FRAME
    pose.transform.translation.x = RIGHT
    pose.transform.translation.z = AHEAD
    pose.transform.rotation.y = math.sin(math.radians(turned) / 2)
    pose.transform.rotation.w = math.cos(math.radians(turned) / 2)
    return pose


class ColorRig:
    """The rig and a color camera beside it."""

    def __init__(self, rig: Rig, lens: Sequence[float] = STRAIGHT) -> None:
        self.rig = rig
        self._lens = lens
        self.info = rig.node.create_publisher(CameraInfo, 'color/camera_info', profile())
        self.image = rig.node.create_publisher(Image, 'color/image_rect', profile())
        self.broadcaster: Any = None

    def publish(self, at: float, late: float = 0.0) -> None:
        """Publish calibration and image of this time in seconds."""
        self.info.publish(color_info(at + late, self._lens))
        self.image.publish(color_image(at + late))

    def publish_until(
        self,
        condition: Any,
        what: str,
        scene: PlaneScene = SCENE,
        *,
        start: float,
        late: float = 0.0,
    ) -> None:
        """Publish pairs and color images until the condition holds."""
        self._at = start

        def observed() -> bool:
            if condition():
                return True
            self._at = round(self._at + 0.1, 3)
            self.publish(self._at, late)
            self.rig.publish(scene, self._at)
            return False

        self.rig.until(observed, what)

    def place(self, *, turned: float = 0.0) -> None:
        """Broadcast where the color camera stands in the frame of the left one."""
        self.broadcaster = StaticTransformBroadcaster(self.rig.node)
        self.broadcaster.sendTransform(color_pose(turned))

    def reported(self, *words: str) -> bool:
        """Return whether the status of the outputs warns in these words."""
        status = self.rig.statuses.get('outputs')
        return bool(
            status
            and status.level == bytes([WARN])
            and all(word in status.message for word in words)
        )
