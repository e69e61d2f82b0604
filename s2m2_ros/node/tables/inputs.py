"""Parameters of the inputs: what the cameras send, and how it becomes pairs."""

from __future__ import annotations

from dataclasses import dataclass

from s2m2_ros.io.images.pixel_range import SETTINGS
from s2m2_ros.io.sources.view_layout import ViewLayout
from s2m2_ros.node.parameter_values import parameter


@dataclass(frozen=True)
class InputParameters:
    """What comes in."""

    input_layout: str = parameter(
        'two_topics',
        'Where the views are: in two topics, or both in the images of left/image_rect, '
        'side_by_side (left half, right half) or top_bottom (upper half, lower half).',
        choices=tuple(layout.value for layout in ViewLayout),
    )
    image_transport: str = parameter(
        'auto',
        'raw subscribes to left/image_rect, compressed to left/image_rect/compressed (and right); '
        'auto to what is published: raw, else compressed, else left/image_rect/ffmpeg.',
        choices=('auto', 'raw', 'compressed'),
    )
    cache_camera_info: bool = parameter(
        True,
        'Match every pair of images with the newest camera_info, whatever its timestamp; false '
        'demands one whose timestamp matches its image.',
    )
    color_calibration: str = parameter(
        'auto',
        'What of color/camera_info describes the color images: raw takes K, D and R, rectified '
        'takes P; auto decides by the name of color/image_rect after remapping (image_raw or '
        'image_rect).',
        choices=('auto', 'raw', 'rectified'),
    )
    color_slop: float = parameter(
        0.05,
        'Seconds that the timestamps of a left image and of the color image that colors its cloud '
        'may be apart, at most.',
        range=(0.0001, 10.0),
    )
    rectify: str = parameter(
        'auto',
        'true rectifies the images by the K, D, R and P of their camera_info, false takes them as '
        'they are; auto rectifies raw images (by the name image_raw, else by what they show).',
        choices=('auto', 'true', 'false'),
    )
    pixel_range: str = parameter(
        'auto',
        'Values of images of more than 8 bits: auto finds black and white from both images, full '
        'takes the whole range of the type, a number takes so many bits.',
        choices=SETTINGS,
    )
    approximate_sync: bool = parameter(
        False,
        'Pair images whose timestamps lie within slop; false demands equal timestamps. Equal '
        'ones are preferred either way.',
    )
    slop: float = parameter(
        0.02,
        'Seconds that the timestamps of a pair may be apart (strictly less, and less than half '
        'of the period of the images), with approximate_sync.',
        range=(0.0001, 10.0),
    )
    sync_queue_size: int = parameter(
        10,
        'Images of each camera that wait for their matching messages; fewer if they would take '
        'more than 256 MiB.',
        range=(1, 1000),
    )
    sync_timeout: float = parameter(
        3.0,
        'Seconds without a pair (and two periods, of slower cameras) after which the node says '
        'why.',
        range=(0.1, 3600.0),
    )
