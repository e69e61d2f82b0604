"""One graph without breaks, made once for a size, and exportable."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch._dynamo.testing import CompileCounterWithBackend

from s2m2_ros.network import S2M2, Prediction


@pytest.fixture(scope='module')
def network(filled: Any) -> S2M2:
    made: S2M2 = filled('XS', refine_iterations=1)
    return made


def assert_same(found: Prediction, wanted: Prediction) -> None:
    for one, other in zip(found, wanted, strict=True):
        assert (one - other).abs().mean() < 1e-4


@torch.inference_mode()
def test_one_graph_serves_every_pair_of_a_size(network: S2M2, pairs: Any) -> None:
    torch._dynamo.reset()
    counter = CompileCounterWithBackend('aot_eager')
    compiled = torch.compile(network, backend=counter, fullgraph=True, dynamic=False)
    for index in (0, 1):
        images = pairs(64, 64, index=index)
        assert_same(compiled(*images), network(*images))
    assert counter.frame_count == 1


def test_one_graph_serves_training(network: S2M2, pairs: Any) -> None:
    # The compiler of torch 2.11 failed where it had to break the graph.
    torch._dynamo.reset()
    counter = CompileCounterWithBackend('eager')
    compiled = torch.compile(network.forward_all, backend=counter, fullgraph=True, dynamic=False)
    images = pairs(64, 64)
    with torch.autocast('cpu', torch.bfloat16):
        found, wanted = compiled(*images), network.forward_all(*images)
    assert counter.frame_count == 1
    assert found.prediction.disparity.requires_grad
    assert_same(found.prediction, wanted.prediction)


def test_export_gives_the_same_numbers(network: S2M2, pairs: Any) -> None:
    images: tuple[Tensor, Tensor] = pairs(64, 64)
    program = torch.export.export(network, images)
    with torch.inference_mode():
        assert_same(program.module()(*images), network(*images))
    # Private kernels of one processor would not run elsewhere.
    targets = {str(node.target) for node in program.graph.nodes}
    assert not [target for target in targets if 'mkldnn' in target]
