"""Time the rectification of raw pairs: OpenCV on a CPU, torch on any device, and the maps.

python -m benchmark.rectification --device cpu
python -m benchmark.rectification --device cuda
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch

from s2m2_ros.geometry.rectification import (
    RawCalibration,
    Rectifier,
    rectification_maps,
    remap_on_device,
    sampling_grid,
)

SIZES = ((640, 480), (1280, 720), (1920, 1080))
DISTORTION = (-0.3, 0.1, 0.001, -0.002, 0.01)


def calibration(width: int, height: int) -> RawCalibration:
    """Return a wide lens, turned by a degree."""
    focal, angle = 0.8 * width, np.radians(1)
    K = (focal, 0, width / 2, 0, focal, height / 2, 0, 0, 1)
    P = (focal, 0, width / 2, 0, 0, focal, height / 2, 0, 0, 0, 1, 0)
    R = (np.cos(angle), 0, np.sin(angle), 0, 1, 0, -np.sin(angle), 0, np.cos(angle))
    return RawCalibration(K, DISTORTION, R, P, width, height)


def milliseconds(call: Callable[[], object], device: torch.device, rounds: int) -> float:
    """Return the least time of a call, finished on the device."""
    taken = []
    for _ in range(rounds):
        started = time.perf_counter()
        call()
        if device.type == 'cuda':
            torch.cuda.synchronize(device)
        taken.append((time.perf_counter() - started) * 1e3)
    return min(taken)


def main() -> None:
    """Print a line for each size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--rounds', type=int, default=20)
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    for width, height in SIZES:
        model = calibration(width, height)
        maps_ms = milliseconds(lambda m=model: rectification_maps(m), torch.device('cpu'), 3)  # type: ignore[misc]
        rectify = Rectifier(model, device)
        grid = sampling_grid(*rectification_maps(model), device=device)
        print(f'{width}x{height}: maps of one camera {maps_ms:.1f} ms (once)', end='')
        for channels in (1, 3):
            pair = torch.randint(0, 256, (2, channels, height, width), dtype=torch.uint8)
            pair = pair.to(device)
            used = milliseconds(lambda r=rectify, p=pair: r(p), device, arguments.rounds)  # type: ignore[misc]
            torch_ms = milliseconds(
                lambda p=pair, g=grid: remap_on_device(p, g),  # type: ignore[misc]
                device,
                arguments.rounds,
            )
            print(
                f'; {channels} channels, a pair: {used:.2f} ms, by torch {torch_ms:.2f} ms', end=''
            )
        print()


if __name__ == '__main__':
    main()
