"""How fast training runs on a device."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import torch

from s2m2_ros.training.batch import StereoBatch
from s2m2_ros.training.options import Crop, TrainOptions
from s2m2_ros.training.procedural.scenes import SceneGenerator, scene_options
from s2m2_ros.training.trainer import RunSettings, Trainer


@dataclass(frozen=True)
class Throughput:
    """Crops per second of generated scenes, of steps on a ready batch, and of both in turns."""

    scenes_per_s: float
    steps_crops_per_s: float
    crops_per_s: float
    peak_bytes: int | None
    """Of the device's memory; None on a processor."""


class RepeatedBatch:
    """Yields the same batch every time."""

    def __init__(self, pairs: StereoBatch) -> None:
        self.pairs = pairs

    def batch(self, index: int, batch_size: int, height: int, width: int) -> StereoBatch:
        """Return the batch."""
        del index, batch_size, height, width
        return self.pairs


def measure_training(
    device: torch.device, crop: Crop, *, precision: str, compiled: bool = False, repeats: int = 3
) -> Throughput:
    """Measure generating scenes and taking steps, each ``repeats`` times."""
    if device.type == 'cuda':
        torch.cuda.reset_peak_memory_stats(device)
    options = TrainOptions(crops=(crop,), steps=10**6)
    scenes = SceneGenerator(0, options=scene_options(options), device=device)
    pairs = scenes.batch(0, crop.batch, crop.height, crop.width)
    started = _now(device)
    for index in range(repeats):
        pairs = scenes.batch(index, crop.batch, crop.height, crop.width)
    scene = (_now(device) - started) / repeats
    settings = RunSettings(Path(), device, precision, compiled)
    trainer = Trainer(options, settings, RepeatedBatch(pairs), pairs)
    for _ in range(2):  # the first steps allocate and choose kernels
        trainer.step()
    started = _now(device)
    for _ in range(repeats):
        trainer.step()
    step = (_now(device) - started) / repeats
    peak = torch.cuda.max_memory_allocated(device) if device.type == 'cuda' else None
    return Throughput(crop.batch / scene, crop.batch / step, crop.batch / (scene + step), peak)


def _now(device: torch.device) -> float:
    """Return seconds, all work on the device done."""
    if device.type == 'cuda':
        torch.cuda.synchronize(device)
    return time.perf_counter()
