"""The table of parameters, and that config/stereo.yaml and the documentation agree with it."""

from __future__ import annotations

import math
import re
from array import array
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rclpy
import yaml
from hypothesis import given
from hypothesis import strategies as st
from rclpy.context import Context

from s2m2_ros.geometry import RegionOfInterest, VoxelGrid
from s2m2_ros.io.images.image_files import write_png
from s2m2_ros.node.parameter_declaration import Parameters, descriptor, unknown_parameters
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
        ({'upsampling': 0.5}, r'upsampling = 0\.5 must be 1 \(off\) to 4, or -1'),
        ({'upsampling': 4.5}, 'upsampling'),
        ({'points_voxel_size': 0.0005}, 'must be 0 .* or at least 0.001'),
        ({'roi': (1, 2, 3)}, r'roi = \[1, 2, 3\]: needs four integers'),
        ({'roi': (7,) * 100_000}, r'^roi = .{100,250}: needs four integers'),
        ({'roi': (0, 0, -1, 3)}, 'roi = .* must be 0 to 65536'),
        ({'mask_polygon': (1.0, 2.0, 3.0)}, 'mask_polygon: 3 numbers are no pairs'),
        ({'mask_polygon': (1.0, 1.0, 2.0, 2.0)}, 'mask_polygon: .* needs three'),
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
        ('roi', (0.0, 0.0, 3.0, 3.0), 'integer array'),
        ('roi', (False, 0, 3, 3), 'integer array'),
        ('roi', 3, 'integer array'),
        ('roi', '0 0 3 3', 'integer array'),
        ('roi', None, 'integer array'),
        ('mask_polygon', ('1', '2'), 'double array'),
        ('mask_polygon', b'', 'double array'),
    ],
)
def test_a_wrong_type_is_named(name: str, value: Any, kind: str) -> None:
    with pytest.raises(ParameterError, match=f'{name} = .* must be of type {kind}'):
        Settings(**{name: value})


@pytest.mark.parametrize(
    ('name', 'reason'),
    [
        ('/points.publisher.reliability', ''),
        ('/left/image_rect.subscription.durability', ''),
        ('/points.publisher_front.depth', ''),
        ('/points.publisher.reliabilty', 'one of history, depth, reliability$'),
        ('/points.publisher.durability', 'one of history, depth, reliability$'),
        ('/points.subscriber.depth', "'subscriber' must be one of publisher, subscription$"),
        ('points.publisher.depth', 'full name of a topic'),
        ('/points', 'full name of a topic'),
        ('/points.depth', 'full name of a topic'),
    ],
)
def test_qos_overrides_that_nothing_reads_are_said(name: str, reason: str) -> None:
    sentences = unknown_parameters({f'qos_overrides.{name}': 'reliable'})
    assert len(sentences) == bool(reason)
    for sentence in sentences:
        assert f"'qos_overrides.{name}' is ignored" in sentence
        assert re.search(reason, sentence)


def test_misspelt_names_are_errors_and_foreign_ones_are_reported() -> None:
    assert unknown_parameters({'use_sim_time': True, 'slop': 1.0}) == []
    with pytest.raises(ParameterError, match="'max_dept': did you mean 'max_depth'"):
        unknown_parameters({'max_dept': 5.0})
    (sentence,) = unknown_parameters({'robot_radius': 1.0})
    assert "'robot_radius' is unknown to this node and ignored" in sentence


@pytest.mark.parametrize('kind', [list, tuple, lambda values: array('d', values)])
def test_arrays_come_in_several_types(kind: Any) -> None:
    corners = [0.0, 0.0, 9.0, 0.0, 9.0, 9.0]
    assert Settings(mask_polygon=kind(corners)).mask_polygon == tuple(corners)
    assert Settings(roi=array('q', [1, 2, 3, 4])).roi == (1, 2, 3, 4)  # type: ignore[arg-type]
    whole = Settings(mask_polygon=kind([1.0, 2.0, 3.0, 2.0, 3.0, 4.0])).mask_polygon
    assert {type(number) for number in whole} == {float}
    mixed = Settings(mask_polygon=(0, 0, 9, 0, 9, 9.5)).mask_polygon
    assert mixed == (0.0, 0.0, 9.0, 0.0, 9.0, 9.5)


def test_empty_arrays_and_the_defaults_leave_nothing_out() -> None:
    assert Settings().mask.keeps_all
    assert Settings(roi=(), mask_polygon=()).mask.keeps_all
    assert Settings().pipeline_options().mask is not None


def test_voxels_of_settings() -> None:
    cloud = Settings(points_voxel_size=0.05, points_voxel_growth=2.0).pipeline_options().outputs
    assert cloud.cloud.voxels == VoxelGrid(0.05, 2.0)
    assert Settings(points_voxel_growth=2.0).pipeline_options().outputs.cloud.voxels is None


class TestMaskFile:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        picture = np.full((4, 6), 255, np.uint8)
        picture[:, :2] = 0
        write_png(tmp_path / 'mask.png', picture)
        return tmp_path / 'mask.png'

    def test_black_is_left_out(self, path: Path) -> None:
        kept = Settings(mask_file=str(path)).pipeline_options().mask.kept(6, 4)
        assert kept.sum(axis=0).tolist() == [0, 0, 4, 4, 4, 4]

    def test_it_is_read_once(self, path: Path) -> None:
        first = Settings(mask_file=str(path))
        mask = first.mask
        assert first.pipeline_options().mask is mask
        path.unlink()
        second = first.with_changes({'max_depth': 5.0})
        assert second.mask is mask
        third = second.with_changes({'roi': (1, 0, 5, 4)})
        assert third.mask.picture is mask.picture
        assert third.mask.roi == RegionOfInterest(1, 0, 5, 4)
        assert third.with_changes({'mask_file': ''}).mask.picture is None
        with pytest.raises(ParameterError, match='mask_file: no image'):
            third.with_mask_read()

    def test_it_can_be_read_again(self, path: Path) -> None:
        settings = Settings(mask_file=str(path)).with_mask_read()
        write_png(path, np.full((9, 9), 255, np.uint8))
        assert settings.mask.picture is not None
        assert settings.mask.picture.shape == (4, 6)
        again = settings.with_mask_read().mask.picture
        assert again is not None
        assert again.shape == (9, 9)

    def test_a_missing_file_does_not_keep_other_parameters_from_changing(self) -> None:
        settings = Settings(mask_file='/nowhere/mask.png').with_changes({'max_depth': 3.0})
        assert settings.max_depth == 3.0

    @pytest.mark.parametrize(
        ('content', 'reason'),
        [(None, 'no image'), (b'', 'cannot be read'), (b'no image at all', 'cannot be read')],
    )
    def test_what_is_no_image_is_named(
        self, tmp_path: Path, content: bytes | None, reason: str
    ) -> None:
        path = tmp_path / 'mask.png'
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ParameterError, match=f'mask_file: .*{reason}'):
            _ = Settings(mask_file=str(path)).mask

    @pytest.mark.parametrize('name', ['', '~nobody_of_that_name/mask.png'])
    def test_folders_and_homes_of_nobody(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(ParameterError, match='mask_file: '):
            _ = Settings(mask_file=name or str(tmp_path)).mask

    def test_a_black_picture_leaves_nothing(self, tmp_path: Path) -> None:
        write_png(tmp_path / 'black.png', np.zeros((4, 6), np.uint8))
        with pytest.raises(ParameterError, match=r'mask_file: .*black everywhere'):
            _ = Settings(mask_file=str(tmp_path / 'black.png')).mask


def test_off_as_yaml_reads_it_turns_the_temporal_filter_off() -> None:
    assert Settings(temporal_filter=False).temporal_filter == 'off'  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match='temporal_filter = True must be of type string'):
        Settings(temporal_filter=True)  # type: ignore[arg-type]


@pytest.mark.parametrize('name', ['roi', 'mask_polygon', 'cameras'])
def test_an_empty_array_of_a_file_is_none_at_all(name: str, tmp_path: Path) -> None:
    """`ros2 param set roi []` is taken, so what `ros2 param dump` writes then must be too."""
    path = tmp_path / 'dumped.yaml'
    path.write_text(f'/**: {{ros__parameters: {{{name}: [], max_depth: 4.0}}}}')
    context = Context()
    rclpy.init(context=context, args=['--ros-args', '--params-file', str(path)])
    try:
        node = rclpy.create_node('stereo_node', context=context)
        table = Parameters(node)
        value = node.get_parameter(name).value
        node.destroy_node()
    finally:
        context.shutdown()
    assert list(value) == {'roi': [0] * 4, 'mask_polygon': [0.0] * 2, 'cameras': ['']}[name]
    assert table.settings.max_depth == 4.0
    assert table.sharing.is_plain
