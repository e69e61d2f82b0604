"""Which preset `auto` is on this machine, and how the log says so."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from s2m2_ros.inference.hardware.processor_speed import (
    REFINING_S,
    RESIZING_S,
    Processor,
    this_processor,
)
from s2m2_ros.inference.presets import AUTO, AUTOMATIC, Preset
from s2m2_ros.inference.scaling import working_size
from s2m2_ros.network import S2M2Config

# What `auto` wants on a processor.
PAIRS_PER_SECOND = 2.0
HEIGHT, WIDTH = 480, 640


@dataclass(frozen=True)
class Choice:
    """A preset, its name, and the sentence for the log."""

    name: str
    preset: Preset
    reason: str


def automatic_preset(
    config: S2M2Config | None, device: torch.device, *, bfloat16: bool, refined: bool = False
) -> Choice:
    """Return the most accurate preset that gives `PAIRS_PER_SECOND`, else the fastest one.

    Args:
        config: sizes of the network; None for another network or none, which presets leave alone.
        device: what it runs on; a GPU always gets the most accurate preset.
        bfloat16: whether a processor may compute in bfloat16.
        refined: whether semi-global matching follows.

    """
    accurate = next(iter(AUTOMATIC))
    if config is None or device.type != 'cpu':
        return Choice(accurate, AUTOMATIC[accurate], f'preset {AUTO} is {accurate} on {device}')
    processor = this_processor(bfloat16=bfloat16)
    rates = {
        name: 1 / seconds(processor, config, preset, refined=refined)
        for name, preset in AUTOMATIC.items()
    }
    quick = (name for name, rate in rates.items() if rate >= PAIRS_PER_SECOND)
    name = next(quick, list(AUTOMATIC)[-1])
    return Choice(name, AUTOMATIC[name], _reason(name, rates[name], processor, refined=refined))


def seconds(
    processor: Processor, config: S2M2Config, preset: Preset, *, refined: bool = False
) -> float:
    """Return the estimated seconds of a pair of 640x480."""
    size = working_size(HEIGHT, WIDTH, preset.max_width)
    resizing = 0.0 if size == (HEIGHT, WIDTH) else RESIZING_S
    refining = REFINING_S if refined else 0.0
    return processor.seconds(config, size, preset.refine_iterations) + resizing + refining


def _reason(name: str, rate: float, processor: Processor, *, refined: bool) -> str:
    start = (
        f'preset {AUTO} is {name} on {processor} without a GPU (about {rate:.2g} pairs per second '
        f'of {WIDTH}x{HEIGHT}, estimated'
    )
    accurate = next(iter(AUTOMATIC))
    if name == accurate:
        return f'{start})'
    wrong, least = (
        preset.refined if refined else preset.alone
        for preset in (AUTOMATIC[name], AUTOMATIC[accurate])
    )
    loss = (
        f'; of the motorcycle pair, starter then gets {wrong:g} % of the pixels wrong by more '
        f'than 2 px instead of {least:g} %); preset {accurate} turns this off'
    )
    slower = ', backend sgbm is faster still' if rate < PAIRS_PER_SECOND else ''
    return f'{start}{loss}{slower}'
