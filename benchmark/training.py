"""Measure training: throughput of scenes and steps, and overfitting on a few pairs.

python3 benchmark/training.py throughput --crop 224x448x32 --device cuda
python3 benchmark/training.py overfit --device cpu
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from s2m2_ros.cli.sizes import three_numbers
from s2m2_ros.training.options import Crop, TrainOptions
from s2m2_ros.training.procedural.scenes import SceneGenerator, scene_options
from s2m2_ros.training.throughput import RepeatedBatch, measure_training
from s2m2_ros.training.trainer import RunSettings, Trainer
from s2m2_ros.training.validation import validate_network


def throughput(arguments: argparse.Namespace, device: torch.device) -> None:
    """Print crops per second of scenes alone, of steps alone, and peak memory."""
    height, width, batch = three_numbers(arguments.crop)
    figures = measure_training(
        device,
        Crop(1.0, height, width, batch),
        precision=arguments.precision,
        compiled=arguments.compile,
        repeats=arguments.repeat,
    )
    print(f'{arguments.crop} {arguments.precision} on {device}:')
    print(
        f'scenes {figures.scenes_per_s:.2f}/s, steps {figures.steps_crops_per_s:.2f} crops/s, '
        f'both {figures.crops_per_s:.2f} crops/s'
    )
    if figures.peak_bytes is not None:
        print(f'peak memory {figures.peak_bytes / 2**30:.1f} GiB')


def overfit(arguments: argparse.Namespace, device: torch.device) -> None:
    """Print the scores on four pairs before, during and after overfitting on them."""
    crop = Crop(1.0, 64, 128, 4)
    options = TrainOptions(
        channels=32, crops=(crop,), steps=arguments.steps, objects=(3, 5), learning_rate=1e-3
    )
    options = replace(options, average=0.9)
    pairs = SceneGenerator(0, options=scene_options(options), device=device, bank_size=12)
    four = pairs.batch(0, crop.batch, crop.height, crop.width)
    trainer = Trainer(options, RunSettings(Path(), device), RepeatedBatch(four), four.to('cpu'))
    for step in range(arguments.steps + 1):
        if step % max(arguments.steps // 5, 1) == 0:
            network = trainer.averaged_network()
            numbers = validate_network(network, four.to('cpu'), device).numbers()
            shown = ('epe', 'bad_1', 'bad_2', 'visibility_ap', 'occlusion_ap', 'confidence_ap')
            print(step, {name: round(numbers[name], 4) for name in shown}, flush=True)
        if step < arguments.steps:
            trainer.step()


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('what', choices=('throughput', 'overfit'))
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--precision', default='float32')
    parser.add_argument('--compile', action='store_true')
    parser.add_argument('--crop', default='96x192x4', help='HEIGHTxWIDTHxBATCH')
    parser.add_argument('--repeat', type=int, default=3)
    parser.add_argument('--steps', type=int, default=200)
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    {'throughput': throughput, 'overfit': overfit}[arguments.what](arguments, device)


if __name__ == '__main__':
    main()
