"""Time the temporal filter: a camera that stands still, and one that moves.

python -m benchmark.temporal_filter
python -m benchmark.temporal_filter --device cuda --size 1920x1080
"""

from __future__ import annotations

import argparse
from itertools import count

import torch

from benchmark.registration import milliseconds, room, stereo
from s2m2_ros.confidence_tables import meaning_of
from s2m2_ros.geometry import RigidTransform, registration_kernel
from s2m2_ros.geometry.target_camera import IDENTITY_ROTATION
from s2m2_ros.geometry.uncertainty import disparity_deviation
from s2m2_ros.pipeline.temporal import Measurement, Mode, Remembered, TemporalOptions, filtered


def main() -> None:
    """Print a line for each mode."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--size', default='1280x720')
    parser.add_argument('--rounds', type=int, default=25)
    parser.add_argument('--no-compiled', action='store_true', help='let torch do it on a CPU too')
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    if arguments.no_compiled:
        registration_kernel.library = lambda: None  # type: ignore[assignment]
    width, height = (int(part) for part in arguments.size.split('x'))
    camera = stereo(width, height)
    result = room(camera, device)
    modes: tuple[tuple[str, Mode, float], ...] = (
        ('static', 'static', 0.0),
        ('tf, standing', 'tf', 0.0),
        ('tf, 1 cm a pair', 'tf', 0.01),
    )
    for name, mode, step in modes:
        remembered: Remembered | None = None
        pairs = count()

        def next_pair() -> None:
            nonlocal remembered
            number = next(pairs)  # noqa: B023  # called at once
            # To and fro, so that the room stays in view.
            place = (step * (number % 2), 0.0, 0.0)  # noqa: B023
            measurement = Measurement(
                result=result,
                deviation=lambda confidence: disparity_deviation(
                    confidence, meaning_of('starter')
                ),
                camera=camera,
                source=(),
                scale=1.0,
                stamp_ns=number,
                pose=RigidTransform('odom', IDENTITY_ROTATION, place),
            )
            _, remembered, _ = filtered(measurement, remembered, TemporalOptions(mode))  # noqa: B023

        next_pair()
        taken = milliseconds(next_pair, device, arguments.rounds)
        print(f'{width}x{height}, {name}: {taken:.1f} ms')


if __name__ == '__main__':
    main()
