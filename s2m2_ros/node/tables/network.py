"""Parameters of the network: which one, where and how it runs, and how often."""

from __future__ import annotations

from dataclasses import dataclass

from s2m2_ros.inference.presets import AUTO, BY_PRESET, CHOICES, MOST_UPSAMPLING
from s2m2_ros.inference.registry import BACKENDS, PRECISIONS
from s2m2_ros.inference.sgbm_options import REFINE_AUTO, REFINE_CHOICES
from s2m2_ros.node.parameter_values import parameter


@dataclass(frozen=True)
class NetworkParameters:
    """Which network, and how it runs; one for all cameras of a node, but for size and rate."""

    checkpoint: str = parameter(
        'starter',
        "Weights: a name that 's2m2 weights list' shows, or the path of a .pth or .safetensors "
        'file, or of the .onnx file of another network (doc/other_networks.md). Ignored by the '
        'sgbm backend.',
        read_only=True,
        node_wide=True,
    )
    backend: str = parameter(
        'auto',
        'What computes the disparity; auto takes the fastest that works here, sgbm needs neither '
        'checkpoint nor GPU.',
        read_only=True,
        choices=('auto', *BACKENDS),
        node_wide=True,
    )
    device: str = parameter(
        'auto',
        'auto (a CUDA device if there is one), cpu, cuda, cuda:1, ...',
        read_only=True,
        node_wide=True,
    )
    precision: str = parameter(
        'auto',
        'Precision of convolutions and attention; auto is float16 on a CUDA device, on a '
        'processor bfloat16 where it is fast and agrees with float32, else float32.',
        read_only=True,
        choices=('auto', *PRECISIONS),
        node_wide=True,
    )
    preset: str = parameter(
        AUTO,
        'Speed against accuracy, in place of max_width, refine_iterations and upsampling, which '
        'override it: finest, accurate, balanced or fast. auto is accurate on a GPU; on a '
        'processor the most accurate of the other three that should give two pairs per '
        'second of 640x480 (doc/presets.md).',
        read_only=True,
        choices=CHOICES,
        node_wide=True,
    )
    refine_iterations: int = parameter(
        BY_PRESET,
        'Local refinement steps; 3 as published, fewer is faster. -1: as preset says.',
        read_only=True,
        range=(BY_PRESET, 10),
        node_wide=True,
    )
    allow_negative: bool = parameter(
        False, 'Allow negative disparities (verged cameras).', read_only=True, node_wide=True
    )
    sgbm_search_fraction: float = parameter(
        0.25,
        'Largest disparity that the sgbm backend searches, as a fraction of the width of the '
        'images. Nearer surfaces than fx * baseline / (fraction * width) meters stay unknown.',
        read_only=True,
        range=(0.01, 1.0),
        node_wide=True,
    )
    sgbm_working_width: int = parameter(
        800,
        'The sgbm backend matches wider images at this width, in pixels; its time grows with the '
        'cube of the width. 0: no limit.',
        read_only=True,
        range=(0, 8192),
        node_wide=True,
    )
    sgbm_speckle_size: int = parameter(
        200,
        'The sgbm backend removes connected regions of at most so many pixels. 0: none.',
        read_only=True,
        range=(0, 1000000),
        node_wide=True,
    )
    warm_up_width: int = parameter(
        0,
        'Width of the images to expect, in pixels: what a backend prepares for each size is then '
        'ready before the first pair. 0: unknown.',
        read_only=True,
        range=(0, 8192),
        node_wide=True,
    )
    warm_up_height: int = parameter(
        0,
        'Height of the images to expect, in pixels. 0: unknown.',
        read_only=True,
        range=(0, 8192),
        node_wide=True,
    )
    max_width: int = parameter(
        BY_PRESET,
        'Match at this width at most, in pixels, and scale the disparity back: faster, less '
        'memory, less detail. 0: no limit. -1: as preset says.',
        range=(BY_PRESET, 8192),
    )
    upsampling: float = parameter(
        float(BY_PRESET),
        'Match a second time at so many times the size, 1 (not) to 4, and take each pixel from '
        'the finer result unless the other one is much more trusted: more time, finer depth of '
        'what has texture. max_width limits it. -1: as preset says.',
        read_only=True,
        range=(float(BY_PRESET), MOST_UPSAMPLING),
        node_wide=True,
    )
    sgbm_refinement: str = parameter(
        REFINE_AUTO,
        'Take the last pixels of the disparity from semi-global matching (as the sgbm_ parameters '
        'say), where it agrees with the network or that doubts itself: finer with weights that '
        'were trained briefly, worse with others. auto: for baseline weights such as starter, on '
        'a processor.',
        read_only=True,
        choices=REFINE_CHOICES,
        node_wide=True,
    )
    fallback_backend: str = parameter(
        '',
        'Backend to switch to when the chosen one cannot be opened or fails repeatedly, e.g. '
        'sgbm. Empty: none.',
        choices=('', *BACKENDS),
        node_wide=True,
    )
    max_rate: float = parameter(
        0.0,
        'Pairs per second that are matched at most, evenly spaced; others are dropped at once. 0: '
        'no limit.',
        range=(0.0, 1000.0),
    )
    autostart: bool = parameter(
        True,
        'Configure and activate at start, and retry if that fails; false leaves the transitions '
        'to a lifecycle manager.',
        read_only=True,
        node_wide=True,
    )
