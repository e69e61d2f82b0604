"""The options of commands that open a matcher."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, TypeVar

from s2m2_ros.errors import S2M2Error
from s2m2_ros.inference import registry
from s2m2_ros.inference.presets import BY_PRESET, CHOICES
from s2m2_ros.inference.sgbm_options import REFINE_AUTO, REFINE_CHOICES, SgbmOptions

if TYPE_CHECKING:
    from s2m2_ros.inference import StereoMatcher
    from s2m2_ros.inference.matcher_options import MatcherOptions

Number = TypeVar('Number', int, float)

# Short names that people type, and the full ones.
PRECISIONS = {
    'auto': 'auto',
    'fp32': 'float32',
    'fp16': 'float16',
    'bf16': 'bfloat16',
    **{name: name for name in registry.PRECISIONS},
}
BACKENDS = ('auto', *registry.BACKENDS)
CHECKED = (
    'sgbm_search_fraction',
    'sgbm_working_width',
    'sgbm_speckle_size',
    'max_width',
    'upsampling',
)


def add_network_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare which network it is."""
    parser.add_argument(
        '--checkpoint', default='starter', help='name (see `s2m2 weights list`) or path'
    )
    parser.add_argument(
        '--refine-iterations', type=int, default=3, help='local refinement steps; fewer is faster'
    )
    parser.add_argument(
        '--allow-negative', action='store_true', help='allow negative disparities (verged cameras)'
    )


def add_matcher_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `StereoMatcher.open`."""
    add_network_arguments(parser)
    parser.set_defaults(refine_iterations=None)
    add_preset_argument(parser, default='accurate')
    parser.add_argument('--backend', choices=BACKENDS, default='auto')
    parser.add_argument('--device', default='auto', help='auto, cpu, cuda, cuda:1, ...')
    parser.add_argument('--precision', choices=PRECISIONS, default='auto')
    parser.add_argument(
        '--max-width',
        type=int,
        help='match at this width at most; 0: no limit; default: as --preset says',
    )
    parser.add_argument(
        '--upsampling',
        type=float,
        help='match again at so many times the size, 1 (not) to 4, and take the finer result '
        'where it is trusted; default: as --preset says',
    )
    parser.add_argument(
        '--sgbm-refinement',
        choices=REFINE_CHOICES,
        default=REFINE_AUTO,
        help='take the last pixels of the disparity from semi-global matching; auto: for baseline '
        'weights such as starter, on a processor',
    )
    add_sgbm_arguments(parser)


def add_preset_argument(parser: argparse.ArgumentParser, *, default: str) -> None:
    """Declare the preset."""
    parser.add_argument(
        '--preset',
        choices=CHOICES,
        default=default,
        help='speed against accuracy, in place of max-width, refine-iterations and upsampling, '
        'which override it; auto: what should give 2 pairs per second of 640x480 '
        f'(default: {default})',
    )


def add_sgbm_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the sgbm backend."""
    parser.add_argument(
        '--sgbm-search-fraction',
        type=float,
        default=SgbmOptions.search_fraction,
        help='largest disparity that sgbm searches, as a fraction of the width; nearer surfaces '
        'than fx * baseline / (fraction * width) stay unknown',
    )
    parser.add_argument(
        '--sgbm-working-width',
        type=int,
        default=SgbmOptions.working_width,
        help='sgbm matches wider images at this width; 0: no limit',
    )
    parser.add_argument(
        '--sgbm-speckle-size',
        type=int,
        default=SgbmOptions.speckle_size,
        help='sgbm removes connected regions of at most so many pixels; 0: none',
    )


def open_matcher(arguments: argparse.Namespace) -> StereoMatcher:
    """Open the matcher that the arguments ask for."""
    return matcher_options(arguments).open()


def matcher_options(arguments: argparse.Namespace) -> MatcherOptions:
    """Return what the arguments ask for, with the preset's values filled in."""
    from s2m2_ros.cli.node_parameters import check_values
    from s2m2_ros.inference.matcher_options import MatcherOptions

    check_values(arguments, CHECKED)
    return MatcherOptions(
        checkpoint=arguments.checkpoint,
        backend=arguments.backend,
        device=arguments.device,
        precision=PRECISIONS[arguments.precision],
        preset=arguments.preset,
        refine_iterations=_or_by_preset(arguments.refine_iterations, 'refine-iterations'),
        allow_negative=arguments.allow_negative,
        max_width=_or_by_preset(arguments.max_width, 'max-width'),
        upsampling=_or_by_preset(arguments.upsampling, 'upsampling'),
        sgbm_refinement=arguments.sgbm_refinement,
        sgbm=SgbmOptions(
            search_fraction=arguments.sgbm_search_fraction,
            working_width=arguments.sgbm_working_width,
            speckle_size=arguments.sgbm_speckle_size,
        ),
    ).resolved()


def _or_by_preset(value: Number | None, option: str) -> Number | int:
    """Return what was given, or else `BY_PRESET`; raises S2M2Error."""
    if value is not None and value < 0:
        raise S2M2Error(f'--{option} must be 0 or more, not {value}')
    return BY_PRESET if value is None else value
