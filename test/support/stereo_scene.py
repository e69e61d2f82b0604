"""A stereo pair of a textured plane whose every disparity is known."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from sensor_msgs.msg import CameraInfo, Image

FOCAL_LENGTH = 240.0
BASELINE = 0.1
CX_LEFT, CX_RIGHT, CY = 160.0, 156.0, 120.0
FRAME = 'left_optical'


@dataclass(frozen=True)
class PlaneScene:
    """The plane on which the adjusted disparity is `a + b*x + c*y` pixels.

    With f = 240 px and B = 0.1 m, f*B/Z = a + b*x + c*y; as x = f*X/Z + cx and y = f*Y/Z + cy,
    the plane is B*f = (a + b*cx + c*cy)*Z + b*f*X + c*f*Y. The default is 1.2 m away at the
    principal point: 240 * 0.1 / (12 + 0.02*160 + 0.04*120) = 1.2.
    """

    a: float = 12.0
    b: float = 0.02
    c: float = 0.04
    width: int = 320
    height: int = 240

    def disparity(self) -> np.ndarray:
        """Return the adjusted disparity x_left - x_right - (cx_left - cx_right)."""
        y, x = np.mgrid[: self.height, : self.width].astype(np.float32)
        return np.asarray(self.a + self.b * x + self.c * y)

    def depth(self) -> np.ndarray:
        """Return the depth in meters."""
        return FOCAL_LENGTH * BASELINE / self.disparity()

    @lru_cache  # noqa: B019  # a few small scenes
    def images(self, seed: int = 7) -> tuple[np.ndarray, np.ndarray]:
        """Return the left and right gray images (H, W) uint8."""
        margin = 96
        random = np.random.default_rng(seed)
        noise = random.uniform(0, 255, (self.height, self.width + 2 * margin))
        smooth = np.asarray(cv2.GaussianBlur(noise.astype(np.float32), (0, 0), 1.0))
        texture = np.clip((smooth - 127.5) * 2.5 + 127.5, 0, 255)
        # A right pixel x_r shows what the left one has at x: x_r = x - (a + b*x + c*y) - offset.
        y, x_right = np.mgrid[: self.height, : self.width].astype(np.float32)
        x = (x_right + CX_LEFT - CX_RIGHT + self.a + self.c * y) / (1 - self.b)
        right = cv2.remap(texture, x + margin, y, cv2.INTER_CUBIC)
        left = texture[:, margin : margin + self.width]
        return _bytes(left), _bytes(right)


def _bytes(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))


def stamp(seconds: float) -> Time:
    """Return a stamp, exact to a nanosecond for whole numbers of seconds."""
    nanoseconds = round(seconds * 1e9)
    return Time(sec=nanoseconds // 10**9, nanosec=nanoseconds % 10**9)


def image_message(pixels: np.ndarray, at: Time, encoding: str = 'mono8') -> Image:
    """Return the Image of (H, W) or (H, W, 3) uint8 pixels."""
    message = Image(
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding=encoding,
        step=pixels[0].nbytes,
        data=array('B', pixels.tobytes()),
    )
    message.header.stamp, message.header.frame_id = at, FRAME
    return message


def camera_info(scene: PlaneScene, at: Time, *, right: bool = False) -> CameraInfo:
    """Return the CameraInfo of one camera."""
    shift = -FOCAL_LENGTH * BASELINE if right else 0.0
    cx = CX_RIGHT if right else CX_LEFT
    message = CameraInfo(height=scene.height, width=scene.width)
    message.p = [FOCAL_LENGTH, 0.0, cx, shift, 0.0, FOCAL_LENGTH, CY, 0.0, 0.0, 0.0, 1.0, 0.0]
    message.header.stamp, message.header.frame_id = at, FRAME
    return message
