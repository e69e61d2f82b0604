"""Recordings of a plane whose depth is known, with other topics beside, written without ROS."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from support.recorded_pairs import IMAGE, INFO, SECOND, Written, header, message
from support.stereo_scene import BASELINE, CX_LEFT, CX_RIGHT, CY, FOCAL_LENGTH, FRAME, PlaneScene

SCENE = PlaneScene()
START = 100 * SECOND
# The same cameras as a file in Middlebury's format.
SCENE_CALIBRATION = (
    f'cam0=[{FOCAL_LENGTH} 0 {CX_LEFT}; 0 {FOCAL_LENGTH} {CY}; 0 0 1]\n'
    f'cam1=[{FOCAL_LENGTH} 0 {CX_RIGHT}; 0 {FOCAL_LENGTH} {CY}; 0 0 1]\n'
    f'doffs={CX_RIGHT - CX_LEFT}\nbaseline={BASELINE * 1000}\n'
)


def scene_image(pixels: np.ndarray, time_ns: int, frame: str = FRAME) -> object:
    """Return an Image of (H, W) uint8 or uint16 pixels."""
    return message(
        IMAGE,
        header=header(time_ns, frame),
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding='mono8' if pixels.dtype == np.uint8 else 'mono16',
        is_bigendian=0,
        step=pixels[0].nbytes,
        data=np.frombuffer(pixels.tobytes(), np.uint8),
    )


def scene_info(time_ns: int, *, right: bool = False, scene: PlaneScene = SCENE) -> object:
    """Return the CameraInfo of one camera; K and R say nothing, as in `stereo_scene`."""
    shift = -FOCAL_LENGTH * BASELINE if right else 0.0
    cx = CX_RIGHT if right else CX_LEFT
    P = [FOCAL_LENGTH, 0.0, cx, shift, 0.0, FOCAL_LENGTH, CY, 0.0, 0.0, 0.0, 1.0, 0.0]
    roi = message(
        'sensor_msgs/msg/RegionOfInterest',
        x_offset=0, y_offset=0, height=0, width=0, do_rectify=False,
    )  # fmt: skip
    return message(
        INFO, header=header(time_ns, FRAME), height=scene.height, width=scene.width,
        distortion_model='', d=np.zeros(0), k=np.zeros(9), r=np.zeros(9), p=np.array(P),
        binning_x=0, binning_y=0, roi=roi,
    )  # fmt: skip


def scene_pairs(
    count: int,
    *,
    camera: str = '/stereo',
    period_ns: int = SECOND // 5,
    info_every: int = 1,
    delay_ns: int = SECOND // 100,
    scene: PlaneScene = SCENE,
) -> Iterator[Written]:
    """Yield pairs whose images differ; the right one comes ``delay_ns`` after the left one."""
    for number in range(count):
        stamp = START + number * period_ns
        left, right = scene.images(seed=number % 5)
        if number % info_every == 0:
            yield Written(f'{camera}/left/camera_info', stamp, scene_info(stamp, scene=scene))
            info = scene_info(stamp, right=True, scene=scene)
            yield Written(f'{camera}/right/camera_info', stamp, info)
        yield Written(f'{camera}/left/image_rect', stamp, scene_image(left, stamp))
        late = stamp + delay_ns
        yield Written(f'{camera}/right/image_rect', late, scene_image(right, stamp))


def transform(
    time_ns: int, parent: str, child: str, place: Sequence[float], turn: float = 0.0
) -> Any:
    """Return a TFMessage; ``turn`` is about z, in degrees."""
    x, y, z = place
    half = np.radians(turn) / 2
    pose = message(
        'geometry_msgs/msg/Transform',
        translation=message('geometry_msgs/msg/Vector3', x=x, y=y, z=z),
        rotation=message(
            'geometry_msgs/msg/Quaternion', x=0.0, y=0.0, z=np.sin(half), w=np.cos(half)
        ),
    )
    stamped = message(
        'geometry_msgs/msg/TransformStamped',
        header=header(time_ns, parent), child_frame_id=child, transform=pose,
    )  # fmt: skip
    return message('tf2_msgs/msg/TFMessage', transforms=[stamped])


def texts(count: int, *, topic: str = '/log', period_ns: int = SECOND // 10) -> list[Written]:
    """Return messages of another kind."""
    return [
        Written(
            topic, START + n * period_ns + 7, message('std_msgs/msg/String', data=f'message {n}')
        )
        for n in range(count)
    ]


def in_order(*parts: object) -> list[Written]:
    """Return messages of several kinds in the order of their time."""
    written: list[Written] = [item for part in parts for item in part]  # type: ignore[attr-defined]
    return sorted(written, key=lambda item: item.time_ns)
