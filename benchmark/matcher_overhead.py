"""What StereoMatcher costs beyond the bare network, their calls taking turns.

The bare network gets padded float tensors on its device; the matcher gets what a camera gives,
uint8 arrays. Run: python benchmark/matcher_overhead.py --variant XS --size 1024x1216
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from s2m2_ros.inference import StereoMatcher
from s2m2_ros.network import S2M2, S2M2Config, load_network, save_network


def seconds(call: Callable[[], object]) -> float:
    """Return how long a call takes, with the device's work."""
    started = time.perf_counter()
    call()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--variant', default='XS')
    parser.add_argument('--size', default='1024x1216', metavar='HxW')
    parser.add_argument('--calls', type=int, default=4)
    arguments = parser.parse_args()
    height, width = (int(side) for side in arguments.size.split('x'))
    rng = np.random.default_rng(0)
    left = rng.integers(0, 256, (height, width, 3), np.uint8)
    right = np.roll(left, -8, axis=1)
    with TemporaryDirectory() as folder:
        path = Path(folder) / 'random.safetensors'
        save_network(S2M2(S2M2Config.named(arguments.variant)), path, licence='Apache-2.0')
        matcher = StereoMatcher.open(path, backend='torch', precision='float32')
        network = load_network(path, device=matcher.device)
    padded = [
        torch.from_numpy(i).permute(2, 0, 1)[None].float().to(matcher.device)
        for i in (left, right)
    ]

    def bare() -> object:
        with torch.inference_mode():
            return network(*padded)

    def matched() -> object:
        return matcher.match(left, right)

    seconds(bare)
    seconds(matched)
    pairs = [(seconds(bare), seconds(matched)) for _ in range(arguments.calls)]
    medians = [statistics.median(column) for column in zip(*pairs, strict=True)]
    timings = matcher.match(left, right, timed=True).timings
    print(f'{arguments.variant} {width}x{height} on {matcher.device}, {len(pairs)} turns')
    print(f'bare network {medians[0] * 1e3:.1f} ms, matcher {medians[1] * 1e3:.1f} ms')
    print(f'overhead {100 * (medians[1] / medians[0] - 1):.2f} % of medians')
    if timings is not None:
        print(f'of it bringing the images to the device {timings.upload_ms:.2f} ms')


if __name__ == '__main__':
    main()
