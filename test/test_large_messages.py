"""Which variables carry the profile for large messages, by distribution and the user's choice."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from s2m2_ros import large_messages
from s2m2_ros.demo.isolation import confine
from support.processes import SOURCE

PROFILE = SOURCE / large_messages.PROFILE


class _Usage(NamedTuple):
    free: int


NEW, OLD = 'FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE'


@pytest.mark.parametrize(
    ('distribution', 'expected'),
    [('humble', OLD), ('iron', OLD), ('jazzy', OLD), ('kilted', NEW), ('rolling', NEW)],
)
def test_each_distribution_has_its_variable(distribution: str, expected: str) -> None:
    environment = {'ROS_DISTRO': distribution}
    assert large_messages.default_environment(environment, PROFILE) == {expected: str(PROFILE)}


@pytest.mark.parametrize(
    ('version', 'expected'),
    [('3.3.16', {OLD}), ('7.1.5', {OLD}), ('9.1.2', {NEW}), ('10.0.0', {NEW}), ('?', {OLD, NEW})],
)
def test_without_a_sourced_distribution_the_version_of_rclpy_decides(
    version: str, expected: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(large_messages, 'version', lambda name: version)
    assert large_messages.profile_environment({}, PROFILE).keys() == expected


@pytest.mark.parametrize(
    'environment',
    [
        {NEW: 'mine.xml'},
        {OLD: 'mine.xml'},
        {'FASTDDS_BUILTIN_TRANSPORTS': 'UDPv4'},
        {'ROS2_EASY_MODE': '127.0.0.1'},
        {'RMW_IMPLEMENTATION': 'rmw_cyclonedds_cpp'},
        {'RMW_IMPLEMENTATION': 'rmw_zenoh_cpp'},
    ],
)
def test_settings_of_the_user_are_kept(environment: dict[str, str]) -> None:
    environment = {'ROS_DISTRO': 'kilted', **environment}
    assert large_messages.default_environment(environment, PROFILE) == {}


def test_empty_variables_and_the_default_middleware_are_no_settings() -> None:
    environment = {'ROS_DISTRO': 'kilted', NEW: '', 'RMW_IMPLEMENTATION': 'rmw_fastrtps_cpp'}
    assert large_messages.default_environment(environment, PROFILE) == {NEW: str(PROFILE)}


def test_a_profile_in_the_ignored_variable_is_made_effective() -> None:
    environment = {'ROS_DISTRO': 'jazzy', NEW: 'mine.xml'}
    assert large_messages.default_environment(environment, PROFILE) == {OLD: 'mine.xml'}


@pytest.mark.parametrize('name', large_messages.LOCAL_PROFILES)
def test_a_profile_in_the_working_directory_is_kept(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).touch()
    assert large_messages.default_environment({'ROS_DISTRO': 'kilted'}, PROFILE) == {}


def test_the_profile_has_room_for_clouds() -> None:
    assert large_messages.segment_size(PROFILE) == 64 << 20


@pytest.mark.parametrize(('distribution', 'expected'), [('jazzy', OLD), ('kilted', NEW)])
def test_the_demo_and_the_tests_use_it(
    distribution: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('ROS_DISTRO', distribution)
    variables: dict[str, str] = {}
    confine(variables, 7, profile=PROFILE)
    assert variables == {
        'ROS_DOMAIN_ID': '7',
        'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
        expected: str(PROFILE),
    }


def test_a_process_takes_the_profile_where_the_user_says_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, 'environ', {'ROS_DISTRO': 'kilted'})
    assert large_messages.provide_profile() == []
    assert os.environ[NEW] == str(PROFILE)
    monkeypatch.setattr(os, 'environ', {'ROS_DISTRO': 'kilted', NEW: 'mine.xml'})
    assert large_messages.provide_profile() == []
    assert os.environ[NEW] == 'mine.xml'


def test_without_room_for_the_segment_the_default_one_stays(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Docker's default: 64 MiB.
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: _Usage(free=64 << 20))
    monkeypatch.setattr(os, 'environ', {'ROS_DISTRO': 'kilted'})
    assert large_messages.default_environment(os.environ, PROFILE) == {}
    (warning,) = large_messages.provide_profile()
    assert str(large_messages.SHARED_MEMORY) in warning
    assert '--shm-size' in warning
    assert NEW not in os.environ
    monkeypatch.undo()
    monkeypatch.setattr(large_messages, 'SHARED_MEMORY', tmp_path / 'none')
    assert large_messages.default_environment({'ROS_DISTRO': 'kilted'}, PROFILE)
