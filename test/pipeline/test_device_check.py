"""A device's outputs beside the processor's.

In place of a device, which is not here, stands PyTorch on the processor without the compiled
loops: the operators that a device would run.
"""

from __future__ import annotations

from collections.abc import Callable
from unittest.mock import patch

import numpy as np
import pytest
import torch

from s2m2_ros.geometry import Output, pixel_kernel, registration_kernel
from s2m2_ros.pipeline import PipelineOptions, device_check
from s2m2_ros.pipeline.device_check import cases, check_outputs, differing_fraction

CPU = torch.device('cpu')


compute = device_check._outputs
Outputs = dict[Output, np.ndarray]


def replace_device(
    monkeypatch: pytest.MonkeyPatch, outputs: Callable[[torch.device, PipelineOptions], Outputs]
) -> list[PipelineOptions]:
    """Let every second outputs, those of the device, come from elsewhere; return what ran."""
    runs: list[PipelineOptions] = []

    def by_turns(device: torch.device, options: PipelineOptions) -> Outputs:
        runs.append(options)
        return (compute if len(runs) % 2 else outputs)(device, options)

    monkeypatch.setattr(device_check, '_outputs', by_turns)
    return runs


def test_torchs_operators_agree_in_all_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    def by_torch(device: torch.device, options: PipelineOptions) -> Outputs:
        with (
            patch.object(pixel_kernel, 'serves', return_value=False),
            patch.object(registration_kernel, 'serves', return_value=False),
        ):
            return compute(device, options)

    runs = replace_device(monkeypatch, by_torch)
    found = list(check_outputs(CPU))
    assert [check for check in found if not check.agrees] == []
    assert {check.case for check in found} == set(cases())
    assert {check.output for check in found} == {output.name for output in Output}
    assert len(runs) == 2 * len(cases())


def test_wrong_outputs_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def a_hundredth_off(device: torch.device, options: PipelineOptions) -> Outputs:
        arrays = compute(device, options)
        return {**arrays, Output.DEPTH: arrays[Output.DEPTH] * 1.01}

    replace_device(monkeypatch, a_hundredth_off)
    assert {c.output for c in check_outputs(CPU) if not c.agrees} == {'DEPTH'}


def test_differing_fraction() -> None:
    values = np.array([1.0, 1000.0, np.nan, 0.0], np.float32)
    assert differing_fraction(values, values) == 0
    assert differing_fraction(values + np.float32(5e-5), values) == 0
    assert differing_fraction(values + np.float32(0.01), values) == 0.5
    assert differing_fraction(np.nan_to_num(values), values) == 0.25
    assert differing_fraction(values[:3], values) == 1
    assert differing_fraction(values.astype(np.float64), values) == 1
    masks = np.array([0, 255, 255, 0], np.uint8)
    assert differing_fraction(255 - masks, masks) == 1
    # As numbers, packed colors are all near 0.
    colors = np.array([0x00010203, 0x00FF0000], np.uint32)
    near, far = (
        np.array(packed, np.uint32) for packed in ((0x00020103, 0x00FF0001), colors[::-1])
    )
    assert differing_fraction(near.view(np.float32), colors.view(np.float32)) == 0
    assert differing_fraction(far.view(np.float32), colors.view(np.float32)) == 1
