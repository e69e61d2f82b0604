"""Switching to the fallback and back, with a clock that the test turns."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from s2m2_ros.inference import StereoMatcher
from s2m2_ros.node.faults import Fault, FaultLog, Level
from s2m2_ros.node.matcher_supervisor import MatcherSupervisor
from s2m2_ros.node.parameters import Settings

WITH_FALLBACK = Settings(fallback_backend='sgbm')
WITHOUT = Settings()


class Backend:
    """Stands for a device that is not here; it only has a name."""

    precision = 'float32'
    device = torch.device('cpu')

    def __init__(self, name: str) -> None:
        self.name = name
        self.closed = False

    def infer(self, left: torch.Tensor, right: torch.Tensor) -> Any:
        raise NotImplementedError

    def close(self) -> None:
        self.closed = True


class Workshop:
    """Opens matchers, unless it is broken."""

    def __init__(self) -> None:
        self.now = 0.0
        self.broken: set[str] = set()
        self.backends: list[Backend] = []
        self.lines: list[tuple[Level, str]] = []
        self.faults = FaultLog(lambda *line: self.lines.append(line), clock=lambda: self.now)
        self.matchers = MatcherSupervisor(self.faults, opener=self.open, clock=lambda: self.now)

    def open(self, settings: Settings, backend: str) -> StereoMatcher:
        del settings
        if backend in self.broken:
            raise RuntimeError(f'{backend} is broken')
        self.backends.append(Backend(backend))
        return StereoMatcher(self.backends[-1])

    def fail(self, count: int, settings: Settings) -> None:
        for _ in range(count):
            self.matchers.failed(settings, RuntimeError('no power'))


@pytest.fixture
def workshop() -> Workshop:
    return Workshop()


def test_two_failures_are_forgiven_three_are_not(workshop: Workshop) -> None:
    matchers = workshop.matchers
    matchers.open(WITH_FALLBACK)
    for _ in range(3):
        workshop.fail(2, WITH_FALLBACK)
        matchers.succeeded()
    assert matchers.state.backend == 'auto'
    workshop.fail(3, WITH_FALLBACK)
    assert (matchers.state.backend, matchers.state.fallen_back) == ('sgbm', True)
    assert workshop.backends[0].closed
    level, text = workshop.faults.current()[Fault.BACKEND]
    assert level is Level.ERROR
    assert 'no power' in text
    assert 'using fallback_backend sgbm' in text


def test_it_comes_back_and_stays_only_if_it_works(workshop: Workshop) -> None:
    matchers = workshop.matchers
    matchers.open(WITH_FALLBACK)
    workshop.fail(3, WITH_FALLBACK)
    workshop.now = 9.0
    assert matchers.get(WITH_FALLBACK).backend == 'sgbm'
    workshop.now = 10.0
    assert matchers.get(WITH_FALLBACK).backend == 'auto'
    workshop.fail(1, WITH_FALLBACK)  # on probation
    assert matchers.get(WITH_FALLBACK).backend == 'sgbm'
    workshop.now = 29.0  # twice as long now
    assert matchers.get(WITH_FALLBACK).backend == 'sgbm'
    workshop.now = 30.0
    assert matchers.get(WITH_FALLBACK).backend == 'auto'
    matchers.succeeded()
    assert workshop.faults.current() == {}
    workshop.fail(2, WITH_FALLBACK)
    assert matchers.get(WITH_FALLBACK).backend == 'auto'


def test_success_of_the_fallback_is_no_recovery(workshop: Workshop) -> None:
    workshop.matchers.open(WITH_FALLBACK)
    workshop.fail(3, WITH_FALLBACK)
    workshop.matchers.succeeded()
    assert Fault.BACKEND in workshop.faults.current()


def test_what_cannot_be_opened_is_replaced_and_retried(workshop: Workshop) -> None:
    workshop.broken = {'auto'}
    matchers = workshop.matchers
    with pytest.raises(RuntimeError, match='auto is broken'):
        matchers.open(WITHOUT)
    matchers.open(WITH_FALLBACK)
    assert matchers.state.backend == 'sgbm'
    workshop.now = 10.0
    assert matchers.get(WITH_FALLBACK).backend == 'sgbm'
    assert 'still cannot be opened' in workshop.faults.current()[Fault.BACKEND][1]
    workshop.broken = set()
    workshop.now = 30.0
    assert matchers.get(WITH_FALLBACK).backend == 'auto'


def test_without_a_fallback_it_keeps_trying(workshop: Workshop) -> None:
    workshop.matchers.open(WITHOUT)
    workshop.fail(50, WITHOUT)
    assert workshop.matchers.get(WITHOUT).backend == 'auto'
    level, text = workshop.faults.current()[Fault.MATCHING]
    assert level is Level.ERROR
    assert '50 pair(s) in a row' in text


def test_the_working_width_follows_the_parameter(workshop: Workshop) -> None:
    workshop.matchers.open(WITHOUT)
    assert workshop.matchers.get(Settings(max_width=640)).max_width == 640
    assert workshop.matchers.get(WITHOUT).max_width == 0


def test_a_second_size_is_that_of_the_parameters_and_is_said() -> None:
    assert Settings(upsampling=1.5).matcher_options().upsampling == 1.5
    matchers = MatcherSupervisor(FaultLog(lambda level, text: None))
    matchers.open(Settings(preset='finest', device='cpu'))
    assert matchers.description().endswith(', and at 2 times the size, refined by sgbm')
    matchers.open(Settings(preset='finest', device='cpu', sgbm_refinement='never'))
    assert matchers.description().endswith(', and at 2 times the size')
    matchers.close()


def test_closing_frees_the_backend(workshop: Workshop) -> None:
    workshop.matchers.open(WITHOUT)
    workshop.matchers.close()
    assert workshop.backends[0].closed
    assert workshop.matchers.state.backend == ''
