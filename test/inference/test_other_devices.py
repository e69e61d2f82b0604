"""Everything stays on the device of its inputs: no mixed devices, no unasked copies to the host.

Tensors of the device 'meta' have shapes and a device but no values: whatever reads a value, or
mixes them with tensors of the processor, fails. Where torch is linked with CUDA, fake tensors of
a CUDA device are used as well; elsewhere that target does not exist. Neither shows what a GPU
computes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from s2m2_ros.geometry.stereo_camera import PrincipalPoint, StereoCamera
from s2m2_ros.inference import BackendOptions, StereoMatcher
from s2m2_ros.inference.backend import PRECISIONS
from s2m2_ros.inference.backends.network import PaddedBackend
from s2m2_ros.network import S2M2, S2M2Config

META = torch.device('meta')
SIZES = ((32, 32), (64, 96), (480, 640))


def network_on(device: torch.device, variant: str, precision: str, **options: Any) -> S2M2:
    with device:
        network = S2M2(S2M2Config.named(variant), **options)
    return network.to(PRECISIONS[precision]).eval().requires_grad_(False)


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('precision', PRECISIONS)
@pytest.mark.parametrize('variant', ['XS', 'S', 'M', 'L', 'XL'])
@torch.inference_mode()
def test_the_network_stays_on_its_device(
    variant: str, precision: str, size: tuple[int, int]
) -> None:
    allow_negative = size == SIZES[0]
    network = network_on(META, variant, precision, allow_negative=allow_negative)
    images = torch.empty(2, 3, *size, device=META)
    for maps in network(images, images):
        assert (maps.device, maps.dtype, maps.shape) == (META, torch.float32, (2, 1, *size))


def matcher_on(device: torch.device, network: S2M2) -> StereoMatcher:
    options = BackendOptions(None, device, 'float32', 1, False, Path())
    return StereoMatcher(PaddedBackend('torch', network, options), max_width=80)


@pytest.mark.parametrize('kind', [torch.uint8, torch.uint16])
def test_the_matcher_stays_on_its_device(kind: torch.dtype) -> None:
    """Floats are left out: their values are checked, which reads them."""
    matcher = matcher_on(META, network_on(META, 'XS', 'float32', refine_iterations=1))
    image = torch.empty(60, 100, 3, device=META, dtype=kind)
    for result in matcher.match_batch([image, image], [image, image]):
        for maps in (result.disparity, result.visibility, result.confidence):
            assert (maps.device, maps.dtype, maps.shape) == (META, torch.float32, (60, 100))


def test_images_of_the_host_are_brought_to_the_device() -> None:
    matcher = matcher_on(META, network_on(META, 'XS', 'float32', refine_iterations=0))
    image = torch.zeros(60, 100, 3, dtype=torch.uint8)
    assert matcher.match(image, image.numpy()).disparity.device == META


CAMERA = StereoCamera(
    width=100,
    height=60,
    focal_length=250.0,
    focal_length_y=250.0,
    baseline=0.1,
    left=PrincipalPoint(50.0, 30.0),
    right=PrincipalPoint(52.0, 30.0),
)


@pytest.mark.parametrize('name', ['depth', 'points'])
def test_geometry_stays_on_its_device(name: str) -> None:
    compute: Callable[[torch.Tensor], torch.Tensor] = getattr(CAMERA, name)
    found = compute(torch.empty(60, 100, device=META))
    assert (found.device, found.shape[:2]) == (META, (60, 100))


if torch.backends.cuda.is_built():  # type: ignore[no-untyped-call]

    @torch.inference_mode()
    def test_the_network_stays_on_a_fake_gpu() -> None:
        cuda = torch.device('cuda:0')
        with FakeTensorMode():
            for precision in PRECISIONS:
                network = network_on(cuda, 'S', precision)
                images = torch.empty(1, 3, 64, 96, device=cuda)
                for maps in network(images, images):
                    assert (maps.device, maps.dtype) == (cuda, torch.float32)
