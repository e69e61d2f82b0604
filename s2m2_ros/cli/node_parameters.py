"""Parameters of the node as options of a command, and from the files that launch files take."""

from __future__ import annotations

import argparse
import inspect
import logging
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import yaml

from s2m2_ros.cli.matcher_options import PRECISIONS
from s2m2_ros.cli.option_names import MATCH_OPTIONS, PROCESS_OPTIONS
from s2m2_ros.errors import S2M2Error
from s2m2_ros.node.parameters import CONSTRAINTS, ParameterError, Settings
from s2m2_ros.node.sharing_parameters import SHARING_CONSTRAINTS
from s2m2_ros.pipeline import output_options
from s2m2_ros.regular_files import read_regular_file
from s2m2_ros.text_safety import safe_text

MATCHER_PARAMETERS = (
    'checkpoint',
    'backend',
    'device',
    'precision',
    'preset',
    'refine_iterations',
    'allow_negative',
    'max_width',
    'upsampling',
    'sgbm_refinement',
    'sgbm_search_fraction',
    'sgbm_working_width',
    'sgbm_speckle_size',
)
# Those of what happens to a pair; the outputs' are those that `output_options` takes.
INPUT_PARAMETERS = (
    'rectify',
    'pixel_range',
    'input_layout',
    'depth_scale',
    'disparity_offset',
    'max_vertical_misalignment',
    'depth_encoding',
    'color_calibration',
    'points_color_source',
    'color_slop',
    'roi',
    'mask_file',
    'mask_polygon',
    'temporal_filter',
    'temporal_fixed_frame',
    'temporal_frames',
    'temporal_max_gap',
)
PAIR_PARAMETERS = (
    *MATCHER_PARAMETERS,
    *inspect.signature(output_options).parameters,
    *INPUT_PARAMETERS,
)
DEFAULTS: Mapping[str, Any] = {option.name: option.default for option in fields(Settings)}
_logger = logging.getLogger(__name__)

SECTION = 'ros__parameters'
LARGEST_FILE = 1 << 20


def add_pair_parameters(parser: argparse.ArgumentParser) -> None:
    """Declare the parameters of the node that say what happens to a pair."""
    group = parser.add_argument_group('parameters of the node, with its names and defaults')
    group.add_argument(
        '--params-file',
        type=Path,
        default=argparse.SUPPRESS,
        help='parameters of the node as launch files take them; options given here override it',
    )
    for name in PAIR_PARAMETERS:
        default, constraint = DEFAULTS[name], CONSTRAINTS[name]
        option = f'--{name.replace("_", "-")}'
        choices = PRECISIONS if name == 'precision' else constraint.choices
        text = f'{constraint.description} (default: {default})'.replace('%', '%%')
        settings: dict[str, Any] = {'dest': name, 'default': argparse.SUPPRESS, 'help': text}
        if isinstance(default, bool):
            group.add_argument(option, action=argparse.BooleanOptionalAction, **settings)
        elif isinstance(default, tuple):
            kind = type(default[0])
            group.add_argument(option, type=kind, nargs='+', metavar='N', **settings)
        elif choices:
            group.add_argument(option, choices=choices, **settings)
        else:
            group.add_argument(option, type=type(default), metavar='VALUE', **settings)


def check_values(arguments: argparse.Namespace, parameters: Iterable[str]) -> None:
    """Raise ParameterError, with the names of options, for values that the node takes neither."""
    given = {name: getattr(arguments, name) for name in parameters}
    values = {name: value for name, value in given.items() if value is not None}
    Settings(**values, names=MATCH_OPTIONS)


class PairParameters:
    """The parameters of a command line: defaults, overridden by a file, overridden by options.

    Attributes:
        names: what they are called: those that the file sets keep their names.

    """

    def __init__(self, arguments: argparse.Namespace) -> None:
        """Read the file, if there is one; raises S2M2Error."""
        self._given = vars(arguments)
        path = self._given.get('params_file')
        self._file = read_parameters(path) if path else {}
        in_file = {n: f"'{path}': {n}" for n in self._file if self._given.get(n) is None}
        self.names = replace(PROCESS_OPTIONS, others={**PROCESS_OPTIONS.others, **in_file})

    @property
    def _values(self) -> dict[str, Any]:
        known = {**self._file, **self._given}
        return {name: known[name] for name in PAIR_PARAMETERS if name in known}

    def settings(self) -> Settings:
        """Return all of them; raises S2M2Error."""
        values: dict[str, Any] = {
            n: tuple(v) if isinstance(v, list) else v for n, v in self._values.items()
        }
        if values.get('temporal_filter') == 'tf':
            # A recording holds the transforms, so that no tf2 is needed; see `fixed_frame`.
            values['temporal_filter'] = 'static'
        values['precision'] = PRECISIONS.get(values.get('precision', 'auto'), 'auto')
        return Settings(**values, names=self.names)

    @property
    def fixed_frame(self) -> str:
        """The frame in which the temporal filter follows the camera; empty if it does not.

        Raises ParameterError.
        """
        values = {**DEFAULTS, **self._values}
        if values['temporal_filter'] != 'tf':
            return ''
        if not values['temporal_fixed_frame']:
            raise ParameterError(
                f'{self.names("temporal_filter")} = tf needs '
                f'{self.names("temporal_fixed_frame")}, a frame that stands still, e.g. odom'
            )
        return str(values['temporal_fixed_frame'])

    @property
    def points_frame(self) -> str:
        """The frame of clouds, which needs no tf2 here."""
        given = self._given.get('points_frame')
        return str(self._file.get('points_frame') or '' if given is None else given)


def read_parameters(path: Path) -> dict[str, Any]:
    """Return the parameters in a file of ROS, of whichever node; raises S2M2Error."""
    try:
        content = yaml.safe_load(read_regular_file(path.expanduser(), max_bytes=LARGEST_FILE))
    except OSError as error:
        raise S2M2Error(f"cannot read '{path}': {error.strerror or error}") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise S2M2Error(
            f"'{path}' is no YAML: {safe_text(' '.join(str(error).split()))}"
        ) from error
    values = _section(content)
    if values is None:
        raise S2M2Error(f"'{path}' holds no `{SECTION}`: it must be a parameter file of ROS 2")
    known = (*DEFAULTS, *SHARING_CONSTRAINTS)
    cameras = values.get('cameras')
    of_cameras = [
        name
        for name in values
        if isinstance(cameras, list) and name.partition('.')[0] in cameras and name not in known
    ]
    if of_cameras:
        _logger.warning('parameters of single cameras are ignored here: %s',
                        safe_text(', '.join(of_cameras)))  # fmt: skip
    unknown = [name for name in values if name not in {*known, *of_cameras}]
    if unknown:
        raise ParameterError(
            f"'{path}': there is no parameter '{safe_text(unknown[0])}'; known are "
            f'{", ".join(DEFAULTS)}'
        )
    return values


def _section(content: Any) -> dict[str, Any] | None:
    """Return what is under `ros__parameters`, however deep the names of nodes are."""
    if not isinstance(content, dict):
        return None
    if isinstance(content.get(SECTION), dict):
        return {str(name): value for name, value in content[SECTION].items()}
    return next((found for v in content.values() if (found := _section(v)) is not None), None)
