"""benchmark/network.py counts the work of every stage."""

from __future__ import annotations

import argparse

import pytest
import torch

from s2m2_ros.network import S2M2Config
from support.scripts import load_script


def test_the_stages_make_up_the_pass() -> None:
    script = load_script('benchmark/network.py')
    options = argparse.Namespace(size=(96, 64), batch=1, refine_iterations=3)
    with torch.inference_mode():  # as the script measures
        work = script.stage_gflop(S2M2Config.named('XS'), options)
    # The product of both images' features is made beside its stage.
    assert set(script.STAGES) - {'disp_init'} <= set(work)
    assert min(work.values()) >= 0.0
    # The first stage at half the resolution is plain convolutions: nine times as many pixels, and
    # the work is nine times as much.
    options.size = (288, 192)
    wider = script.stage_gflop(S2M2Config.named('XS'), options)
    assert wider['cnn_backbone'] == pytest.approx(9 * work['cnn_backbone'], rel=1e-6)
    # Attention along the rows grows faster than the pixels.
    assert wider['transformer'] > 9 * work['transformer']
