"""Time what lies between messages and the network, against the cheapest or the usual way.

Every case of a comparison runs once in each round, one after the other, so that whatever else
the machine does hits them alike; medians are reported. Run it in the root of the repository:

    python -m benchmark.messages
"""

from __future__ import annotations

import argparse
import statistics
import time
from array import array
from collections.abc import Callable

import cv2
import numpy as np
import torch
from sensor_msgs.msg import CompressedImage, Image, PointCloud2
from sensor_msgs_py.point_cloud2 import create_cloud_xyz32
from std_msgs.msg import Header

from s2m2_ros.confidence_tables import meaning_of
from s2m2_ros.geometry import (
    CloudOptions,
    FlyingPixelFilter,
    Output,
    OutputOptions,
    PixelFilter,
    PrincipalPoint,
    StereoCamera,
    VoxelGrid,
    compute_outputs,
)
from s2m2_ros.geometry.uncertainty import disparity_deviation
from s2m2_ros.inference import MatchResult
from s2m2_ros.io.images.ros_images import decode_compressed_image, decode_image
from s2m2_ros.io.message_data import fill
from s2m2_ros.messages.builders import CloudMemory, point_cloud_message

WIDTH, HEIGHT = 1280, 720
CENTER = PrincipalPoint(640.0, 360.0)
CAMERA = StereoCamera(WIDTH, HEIGHT, 700.0, 700.0, 0.12, CENTER, CENTER)
Case = Callable[[], object]


def main() -> None:
    """Run every comparison and print one line for each case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--rounds', type=int, default=30)
    parser.add_argument('--threads', type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(options.threads)
    for title, cases in (
        ('organized xyzrgb cloud, 1280x720, from a disparity tensor', cloud_cases()),
        ('decoding to a tensor, mono8, 1280x720', decoding_cases('mono8', 1)),
        ('decoding to a tensor, rgb8, 1280x720', decoding_cases('rgb8', 3)),
        ('decoding other encodings, 1280x720', other_decoding_cases()),
        ('filling a message: 32FC1 image, 3.7 MB', payload_cases(1)),
        ('filling a message: xyzrgb cloud, 14.7 MB', payload_cases(4)),
    ):
        report(title, cases, options.rounds)


def report(title: str, cases: dict[str, Case], rounds: int) -> None:
    """Print the median of each case and its ratio to the first, which is the yardstick."""
    times: dict[str, list[float]] = {name: [] for name in cases}
    for turn in range(rounds + 3):
        for name, case in cases.items():
            start = time.perf_counter()
            case()
            if turn >= 3:
                times[name].append(1000 * (time.perf_counter() - start))
    print(title)
    medians = {name: statistics.median(values) for name, values in times.items()}
    yardstick = next(iter(medians.values()))
    for name, median in medians.items():
        best = min(times[name])
        print(f'  {name:52s} {median:9.3f} ms {median / yardstick:7.3f} x  (best {best:.3f} ms)')


def cloud_cases() -> dict[str, Case]:
    """Return the usual way of building a cloud and ours, with its options."""
    disparity, image = scene()
    estimate = MatchResult(disparity, torch.ones_like(disparity), torch.ones_like(disparity))

    def ours(**options: object) -> Case:
        chosen = OutputOptions(cloud=CloudOptions(**options))  # type: ignore[arg-type]
        memory = CloudMemory()

        def build() -> PointCloud2:
            outputs = compute_outputs(
                CAMERA,
                estimate,
                {Output.POINTS},
                image=image,
                deviation=lambda confidence: disparity_deviation(
                    confidence, meaning_of('starter')
                ),
                options=chosen,
                workspace=memory,
            )
            return point_cloud_message(outputs, Header(), memory)

        return build

    flying = FlyingPixelFilter()
    navigation = PixelFilter(
        max_depth=10.0, min_confidence=0.5, min_visibility=0.5, flying_pixels=flying
    )
    return {
        'meshgrid and filter, create_cloud_xyz32 (no color)': lambda: usual_cloud(disparity),
        'organized xyzrgb': ours(),
        'organized xyzrgb, flying-pixel filter': ours(filter=PixelFilter(flying_pixels=flying)),
        'organized xyzrgb, padded to 32 bytes': ours(padded=True),
        'dense xyzrgb': ours(organized=False),
        'decimation 2, all filters, dense xyz': ours(
            organized=False, color='none', decimation=2, filter=navigation
        ),
        'voxels of 5 cm, xyzrgb': ours(voxels=VoxelGrid(0.05)),
        'voxels of 5 cm, all filters': ours(voxels=VoxelGrid(0.05), filter=navigation),
        'voxels of 1 cm, xyzrgb': ours(voxels=VoxelGrid(0.01)),
        'voxels of 5 cm that grow, xyzrgb': ours(voxels=VoxelGrid(0.05, growth=2.0)),
    }


def scene() -> tuple[torch.Tensor, np.ndarray]:
    """Return a disparity with surfaces, edges and 5 % unknown pixels, and an RGB image."""
    rng = np.random.default_rng(0)
    blocks = rng.uniform(5, 90, (9, 16)).astype(np.float32)
    disparity = cv2.resize(blocks, (WIDTH, HEIGHT), interpolation=cv2.INTER_NEAREST)
    disparity = cv2.blur(disparity, (3, 3))
    disparity[rng.random((HEIGHT, WIDTH)) < 0.05] = np.nan
    return torch.from_numpy(disparity), rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


def usual_cloud(disparity: torch.Tensor) -> PointCloud2:
    """Return xyz of the valid pixels as Python nodes usually make them."""
    d = disparity.numpy()
    u, v = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    z = CAMERA.focal_length * CAMERA.baseline / d
    x = (u - CAMERA.left.x) * z / CAMERA.focal_length
    y = (v - CAMERA.left.y) * z / CAMERA.focal_length_y
    valid = np.isfinite(d) & (d > 0)
    points = np.stack((x, y, z), axis=-1)[valid]
    return create_cloud_xyz32(Header(), points)


def image_message(encoding: str, pixels: np.ndarray) -> Image:
    """Return a message whose rows have no padding."""
    step = pixels.nbytes // HEIGHT
    message = Image(width=WIDTH, height=HEIGHT, encoding=encoding, step=step)
    fill(message.data, pixels)
    return message


def decoding_cases(encoding: str, channels: int) -> dict[str, Case]:
    """Return a plain copy of the pixels, and decoding."""
    pixels = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, channels), np.uint8)
    message = image_message(encoding, pixels)
    return {
        'plain memory copy': pixels.copy,
        'decode_image and torch.from_numpy': lambda: torch.from_numpy(decode_image(message)),
    }


def other_decoding_cases() -> dict[str, Case]:
    """Return decoders that must convert, beside a plain copy of an rgb8 image."""
    rng = np.random.default_rng(0)
    rgb = cv2.blur(rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8), (9, 9))
    cases: dict[str, Case] = {'plain memory copy of rgb8': rgb.copy}
    for encoding, channels, kind in (
        ('bgr8', 3, np.uint8),
        ('bgra8', 4, np.uint8),
        ('mono16', 1, np.uint16),
        ('bayer_rggb8', 1, np.uint8),
        ('yuv422_yuy2', 2, np.uint8),
    ):
        pixels = rng.integers(0, 256, (HEIGHT, WIDTH, channels)).astype(kind)
        message = image_message(encoding, pixels)
        cases[encoding] = lambda message=message: decode_image(message)  # type: ignore[misc]
    data = cv2.imencode('.jpg', rgb)[1].tobytes()
    jpeg = CompressedImage(format='bgr8; jpeg compressed bgr8', data=array('B', data))
    cases[f'jpeg of {len(data) // 1000} kB'] = lambda: decode_compressed_image(jpeg)
    return cases


def payload_cases(floats: int) -> dict[str, Case]:
    """Return a plain copy of an array, and a message made of it."""
    values = np.random.default_rng(0).random((HEIGHT, WIDTH, floats), np.float32)

    def build() -> Image:
        message = Image()
        fill(message.data, values)
        return message

    return {'plain memory copy': values.copy, 'a new message, filled': build}


if __name__ == '__main__':
    main()
