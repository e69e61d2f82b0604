"""Time depth registered to another camera, and the cloud in its colors; several lenses.

python -m benchmark.registration
python -m benchmark.registration --device cuda --no-compiled
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace

import torch

from s2m2_ros.geometry import (
    Output,
    OutputOptions,
    PrincipalPoint,
    StereoCamera,
    TargetCamera,
    Workspace,
    compute_outputs,
    registration_kernel,
)
from s2m2_ros.geometry.target_camera import IDENTITY_ROTATION
from s2m2_ros.inference import MatchResult

LENSES = {
    'no distortion': ((), False),
    'plumb_bob': ((-0.28, 0.09, 0.0008, -0.0011, -0.012, *(0.0,) * 7), False),
    'equidistant': ((-0.02, 0.01, -0.004, 0.001), True),
}


def stereo(width: int, height: int) -> StereoCamera:
    """Return a pair with 90 degrees of view and 5 cm between the cameras."""
    center = PrincipalPoint(width / 2, height / 2)
    return StereoCamera(width, height, width / 2, width / 2, 0.05, center, center)


def target(width: int, height: int) -> TargetCamera:
    """Return a color camera with 70 degrees of view, 6 cm to the right and turned a little."""
    return TargetCamera(
        width=width,
        height=height,
        fx=0.72 * width,
        fy=0.72 * width,
        cx=width / 2,
        cy=height / 2,
        rotation=IDENTITY_ROTATION,
        translation=(-0.06, 0.0, 0.002),
    )


def room(camera: StereoCamera, device: torch.device) -> MatchResult:
    """Return a floor, a wall 4 m away, and three boards before it, with a little noise."""
    rows = torch.arange(camera.height, dtype=torch.float32)[:, None] - camera.left.y
    product = camera.focal_length * camera.baseline
    floor = (rows / camera.focal_length_y / 0.8).clamp(min=0.0) * product
    disparity = torch.maximum(floor, torch.tensor(product / 4.0)).repeat(1, camera.width)
    for number, depth in enumerate((0.7, 1.2, 2.0)):
        left = camera.width * (2 * number + 1) // 7
        board = slice(camera.height // 4, 3 * camera.height // 4)
        disparity[board, left : left + camera.width // 7] = product / depth
    disparity += 0.05 * torch.rand(disparity.shape, generator=torch.Generator().manual_seed(1))
    disparity = disparity.to(device)
    return MatchResult(disparity, torch.ones_like(disparity), torch.ones_like(disparity))


def milliseconds(call: Callable[[], object], device: torch.device, rounds: int) -> float:
    """Return the median time of a call, finished on the device."""
    taken = []
    for _ in range(rounds):
        started = time.perf_counter()
        call()
        if device.type == 'cuda':
            torch.cuda.synchronize(device)
        taken.append((time.perf_counter() - started) * 1e3)
    return sorted(taken)[rounds // 2]


def main() -> None:
    """Print a line for each pair of sizes and lens."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--rounds', type=int, default=25)
    parser.add_argument('--no-compiled', action='store_true', help='let torch do it on a CPU too')
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    if arguments.no_compiled:
        registration_kernel.library = lambda: None  # type: ignore[assignment]
    for left_size, size in (((1280, 720), (1280, 720)), ((848, 480), (1920, 1080))):
        camera, workspace = stereo(*left_size), Workspace()
        maps = room(camera, device)
        image = torch.zeros((camera.height, camera.width), dtype=torch.uint8, device=device)
        color = torch.zeros((size[1], size[0], 3), dtype=torch.uint8, device=device)
        for name, (distortion, fisheye) in LENSES.items():
            other = replace(target(*size), distortion=distortion, fisheye=fisheye, is_raw=True)
            times = []
            for outputs, color_image in (
                ({Output.DEPTH}, None),
                ({Output.REGISTERED_DEPTH}, None),
                ({Output.POINTS}, None),
                ({Output.POINTS}, color),
            ):

                def compute() -> object:
                    return compute_outputs(
                        camera,  # noqa: B023  # called at once
                        maps,  # noqa: B023
                        outputs,  # noqa: B023
                        image=image,  # noqa: B023
                        color_image=color_image,  # noqa: B023
                        options=OutputOptions(target=other),  # noqa: B023
                        workspace=workspace,  # noqa: B023
                    )

                times.append(milliseconds(compute, device, arguments.rounds))
            depth, registered, cloud, colored = times
            print(
                f'{left_size[0]}x{left_size[1]} to {size[0]}x{size[1]}, {name}: depth {depth:.1f} '
                f'ms, registered depth {registered:.1f} ms, cloud {cloud:.1f} ms, in its colors '
                f'{colored:.1f} ms'
            )


if __name__ == '__main__':
    main()
