"""The table of parameters, and that config/stereo.yaml and the documentation agree with it."""

from __future__ import annotations

import math
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from s2m2_ros.node.parameter_declaration import descriptor, unknown_parameters
from s2m2_ros.node.parameters import CONSTRAINTS, ParameterError, Settings, type_name

ROOT = Path(__file__).resolve().parents[2]
DEFAULTS: dict[str, Any] = {option.name: option.default for option in fields(Settings)}
NUMBERS = [name for name, constraint in CONSTRAINTS.items() if constraint.range]


def test_the_configuration_file_holds_every_parameter_with_its_default() -> None:
    text = (ROOT / 'config' / 'stereo.yaml').read_text(encoding='utf-8')
    ((_, node),) = yaml.safe_load(text).items()
    written = node['ros__parameters']
    written = {n: tuple(v) if isinstance(v, list) else v for n, v in written.items()}
    assert written == DEFAULTS
    assert {n: type_name(v) for n, v in written.items()} == {
        n: type_name(v) for n, v in DEFAULTS.items()
    }


@pytest.mark.parametrize('name', list(CONSTRAINTS))
def test_each_parameter_is_described_for_tools(name: str) -> None:
    described = descriptor(name, DEFAULTS[name])
    assert described.description.endswith('.') or described.description.endswith('...')
    for limits in described.integer_range:
        # rqt_reconfigure breaks on larger numbers and steps.
        assert -(2**31) <= limits.from_value < limits.to_value < 2**31
        assert limits.step == 1


@pytest.mark.parametrize('name', NUMBERS)
def test_limits_are_allowed_and_nothing_beyond(name: str) -> None:
    low, high = CONSTRAINTS[name].range or (0, 0)
    kind = type(DEFAULTS[name])
    for value in (kind(low), kind(high)):
        companions: dict[str, Any] = {}
        if name.startswith('warm_up'):
            companions = {'warm_up_width': value, 'warm_up_height': value}
        if name == 'min_depth' and value:
            companions = {'max_depth': 2 * value}
        assert getattr(Settings(**{name: value, **companions}), name) == value
    for value in (low - 1, high + 1):
        with pytest.raises(ParameterError, match=f'{name} = .* is not between'):
            Settings(**{name: kind(value)})


@given(name=st.sampled_from(NUMBERS))
def test_not_a_number_is_refused(name: str) -> None:
    with pytest.raises(ParameterError, match=name):
        Settings(**dict[str, Any]({name: math.nan}))


@pytest.mark.parametrize(
    ('values', 'reason'),
    [
        ({'backend': 'magic'}, "backend = 'magic' must be one of 'auto'"),
        ({'min_depth': 2.0, 'max_depth': 2.0}, 'max_depth = 2 m must be 0'),
        ({'warm_up_width': 640}, 'both, or neither'),
        ({'max_width': 31}, 'must be 0 or at least 32'),
    ],
)
def test_what_does_not_go_together_is_refused(values: dict[str, Any], reason: str) -> None:
    with pytest.raises(ParameterError, match=reason):
        Settings(**values)


def test_settings_become_filters() -> None:
    options = (
        Settings(
            confidence_threshold=0.7,
            occlusion_threshold=0.6,
            min_depth=0.5,
            max_depth=8.0,
            points_confidence=True,
            points_layout='padded',
            points_decimation=3,
        )
        .pipeline_options()
        .outputs
    )
    assert (options.min_confidence, options.min_visibility) == (0.7, 0.6)
    for used in (options.depth_filter, options.cloud.filter):
        assert (used.min_depth, used.max_depth) == (0.5, 8.0)
    assert (options.depth_filter.min_confidence, options.depth_filter.min_visibility) == (0, 0)
    cloud = options.cloud
    assert (cloud.filter.min_confidence, cloud.filter.min_visibility) == (0.7, 0.6)
    assert cloud.filter.flying_pixels is not None
    assert (cloud.padded, cloud.confidence, cloud.decimation) == (True, True, 3)


def test_filters_can_be_off() -> None:
    options = (
        Settings(points_filter=False, points_flying_pixel_filter=False).pipeline_options().outputs
    )
    used = options.cloud.filter
    assert (used.min_confidence, used.min_visibility, used.flying_pixels) == (0, 0, None)
    assert used.max_depth == math.inf


def test_whole_numbers_are_real_ones_too() -> None:
    settings = Settings(**dict[str, Any]({'max_depth': 5}))
    assert (settings.max_depth, type(settings.max_depth)) == (5.0, float)


@pytest.mark.parametrize(
    ('name', 'value', 'kind'),
    [
        ('max_depth', True, 'double'),
        ('max_depth', '5', 'double'),
        ('max_width', 640.0, 'integer'),
        ('max_width', False, 'integer'),
        ('points_filter', 1, 'bool'),
        ('backend', 3, 'string'),
    ],
)
def test_a_wrong_type_is_named(name: str, value: Any, kind: str) -> None:
    with pytest.raises(ParameterError, match=f'{name} = .* must be of type {kind}'):
        Settings(**{name: value})


def test_misspelt_names_are_errors_and_foreign_ones_are_reported() -> None:
    assert unknown_parameters({'use_sim_time': True, 'qos_overrides./a.x': 1, 'slop': 1.0}) == []
    with pytest.raises(ParameterError, match="'max_dept': did you mean 'max_depth'"):
        unknown_parameters({'max_dept': 5.0})
    (sentence,) = unknown_parameters({'robot_radius': 1.0})
    assert "'robot_radius' is unknown to this node and ignored" in sentence
