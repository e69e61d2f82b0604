"""One word in place of max_width and refine_iterations, and what `auto` makes of a machine."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

from s2m2_ros.errors import S2M2Error
from s2m2_ros.inference import preset_choice
from s2m2_ros.inference.hardware import processor_speed
from s2m2_ros.inference.hardware.processor_speed import (
    RATES,
    WORK,
    Processor,
    is_zen_4,
    this_processor,
    usable_cores,
)
from s2m2_ros.inference.matcher_options import MatcherOptions
from s2m2_ros.inference.preset_choice import automatic_preset
from s2m2_ros.inference.presets import AUTOMATIC, PRESETS
from s2m2_ros.network import S2M2, S2M2Config, read_config, save_network

CPU = torch.device('cpu')
XS, S = S2M2Config.named('XS'), S2M2Config.named('S')


def on(monkeypatch: pytest.MonkeyPatch, processor: Processor) -> None:
    monkeypatch.setattr(preset_choice, 'this_processor', lambda *, bfloat16: processor)


@pytest.mark.parametrize(
    ('processor', 'config', 'expected'),
    [
        # 247 GFLOP for three refinements: 0.475 s at 520 GFLOP/s.
        (Processor(2, 'bfloat16'), XS, 'accurate'),
        # 190 GFLOP for one: 0.49 s at 390 GFLOP/s, where three take 0.63 s.
        (Processor(6, 'AVX2'), XS, 'balanced'),
        # 448x352 pixels are 0.513 of 640x480: 98 GFLOP, 0.27 s at 360 GFLOP/s; all take 0.53 s.
        (Processor(2, 'AVX512'), XS, 'fast'),
        # 190 GFLOP at 280 GFLOP/s are 0.68 s.
        (Processor(2, 'bfloat16 on Zen 4'), XS, 'fast'),
        (Processor(8, 'bfloat16 on Zen 4'), XS, 'accurate'),
        (Processor(4, 'other'), XS, 'fast'),
        (Processor(2, 'bfloat16'), S, 'fast'),
        (Processor(64, 'AVX512'), S, 'accurate'),
    ],
)
def test_auto_is_the_most_accurate_that_gives_two_pairs_per_second(
    monkeypatch: pytest.MonkeyPatch, processor: Processor, config: S2M2Config, expected: str
) -> None:
    on(monkeypatch, processor)
    choice = automatic_preset(config, CPU, bfloat16=True)
    assert choice.name == expected
    assert choice.preset is PRESETS[expected]


@pytest.mark.parametrize(
    ('refinement', 'wrong', 'least'), [('never', 21.9, 11.5), ('always', 8.8, 7.6)]
)
def test_the_log_says_what_auto_costs_and_how_to_turn_it_off(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    refinement: str,
    wrong: float,
    least: float,
) -> None:
    on(monkeypatch, Processor(4, 'other'))
    with caplog.at_level(logging.INFO):
        options = MatcherOptions(sgbm_refinement=refinement).resolved()
    assert (options.max_width, options.refine_iterations) == (448, 1)
    line = caplog.messages[-1]
    for part in ('auto is fast on 4 cores', f'{wrong} %', f'instead of {least} %',
                 'preset accurate turns this off', 'backend sgbm is faster',
                 'max_width 448, refine_iterations 1'):  # fmt: skip
        assert part in line


def test_a_gpu_gets_the_most_accurate_preset(monkeypatch: pytest.MonkeyPatch) -> None:
    on(monkeypatch, Processor(1, 'other'))
    assert automatic_preset(S, torch.device('cuda:0'), bfloat16=False).name == 'accurate'


@pytest.mark.parametrize(
    ('given', 'expected', 'said'),
    [
        ({'preset': 'fast'}, (448, 1), 'preset fast: max_width 448, refine_iterations 1'),
        ({'preset': 'balanced'}, (640, 1), 'preset balanced'),
        ({'preset': 'accurate'}, (0, 3), 'preset accurate'),
        ({'preset': 'fast', 'refine_iterations': 3}, (448, 3), '3 given, which overrides it'),
        ({'preset': 'fast', 'max_width': 0}, (0, 1), 'max_width 0 given, which overrides it'),
        (
            {'preset': 'fast', 'max_width': 64, 'refine_iterations': 0, 'upsampling': 1.5},
            (64, 0),
            'no effect: max_width 64, refine_iterations 0 and upsampling 1.5 given',
        ),
        ({'preset': 'finest'}, (0, 3), 'preset finest: max_width 0, refine_iterations 3, upsampl'),
        ({'preset': 'fast', 'backend': 'sgbm'}, (0, 3), 'is ignored'),
    ],
)
def test_what_is_given_overrides_the_preset(
    given: dict[str, str | float],
    expected: tuple[int, int],
    said: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO):
        options = MatcherOptions(
            **given,  # type: ignore[arg-type]
            sgbm_refinement='never',
        ).resolved()
        again = options.resolved()
    assert (options.max_width, options.refine_iterations) == expected
    assert again == options
    (line,) = caplog.messages
    assert said in line


def test_a_preset_that_changes_nothing_is_not_called_ignored(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO):
        options = MatcherOptions(preset='accurate', backend='sgbm').resolved()
    assert (options.max_width, options.upsampling) == (0, 1.0)
    assert not caplog.messages


def test_an_unknown_preset_is_an_error_that_lists_them() -> None:
    names = 'auto, finest, accurate, balanced, fast'
    with pytest.raises(S2M2Error, match=f"must be one of {names}, not 'quick'"):
        MatcherOptions(preset='quick').open()


def test_the_matcher_works_at_the_width_of_the_preset() -> None:
    with MatcherOptions(preset='fast', device='cpu').open() as matcher:
        assert matcher.max_width == 448
        assert matcher.working_size(480, 640) == (336, 448)


def test_finest_is_only_what_one_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    on(monkeypatch, Processor(512, 'bfloat16'))
    assert MatcherOptions().resolved().upsampling == 1.0
    with MatcherOptions(preset='finest', device='cpu').open() as matcher:
        assert matcher.upsampling == 2.0
    with MatcherOptions(preset='finest', upsampling=1.5, device='cpu').open() as matcher:
        assert matcher.upsampling == 1.5
    given = MatcherOptions(max_width=640, refine_iterations=1).resolved()
    assert (given.upsampling, given.max_width) == (1.0, 640)
    with pytest.raises(S2M2Error, match=r'upsampling must be 1 to 4, not 0\.5'):
        MatcherOptions(upsampling=0.5, device='cpu').open()


def test_presets_become_faster_and_less_accurate() -> None:
    processor = Processor(1, 'AVX2')
    times = [preset_choice.seconds(processor, XS, preset) for preset in AUTOMATIC.values()]
    assert times == sorted(times, reverse=True)
    errors = [preset.refined for preset in PRESETS.values()]
    alone = [preset.alone for preset in PRESETS.values()]
    assert alone == sorted(alone)
    assert errors == sorted(errors)


@pytest.mark.parametrize(
    ('vendor', 'family', 'expected'),
    [
        ('AuthenticAMD', 25, 'AVX512 on Zen 4'),
        ('AuthenticAMD', 26, 'AVX512'),
        ('GenuineIntel', 6, 'AVX512'),
        ('', 25, 'AVX512'),
    ],
)
def test_zen_4_is_known_by_its_family(
    vendor: str, family: int, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / 'cpuinfo'
    one = f'processor\t: {{}}\nvendor_id\t: {vendor}\ncpu family\t: {family}\nmodel\t\t: 17\n\n'
    file.write_text(one.format(0) + one.format(1))
    assert is_zen_4(file) == (expected != 'AVX512')
    assert not is_zen_4(tmp_path / 'none')
    monkeypatch.setattr('torch.backends.cpu.get_cpu_capability', lambda: 'AVX512')
    monkeypatch.setattr(processor_speed, 'is_zen_4', lambda: is_zen_4(file))
    assert this_processor(bfloat16=False).instructions == expected
    assert expected in RATES


def test_a_width_without_a_name_is_estimated_from_the_nearest() -> None:
    half = S2M2Config(channels=32, transformers=1)
    base, step = WORK['XS']
    expected = (base + 2 * step) / 4 / RATES['other']
    assert Processor(1, 'other').seconds(half, (480, 640), 2) == pytest.approx(expected)


def test_sizes_are_estimated_with_their_padding() -> None:
    processor = Processor(3, 'AVX2')
    assert processor.seconds(XS, (449, 1), 1) == processor.seconds(XS, (480, 32), 1)


def test_threads_of_one_core_count_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, siblings in enumerate(('0,2', '1,3', '0,2', '1,3')):
        folder = tmp_path / f'cpu{number}' / 'topology'
        folder.mkdir(parents=True)
        (folder / 'thread_siblings_list').write_text(f'{siblings}\n')
    monkeypatch.setattr('os.sched_getaffinity', lambda _: {0, 1, 2, 3, 4}, raising=False)
    assert usable_cores(tmp_path) == 3


def test_the_sizes_of_a_network_are_read_from_its_file(tmp_path: Path) -> None:
    config = S2M2Config(channels=16, transformers=2)
    save_network(S2M2(config), tmp_path / 'small.safetensors', licence='Apache-2.0')
    assert read_config(tmp_path / 'small.safetensors') == config
