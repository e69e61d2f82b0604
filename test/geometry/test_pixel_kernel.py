"""The compiled loop over pixels: the bytes that torch gives, and torch where it is not there."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import s2m2_ros
from s2m2_ros import compiled_library
from s2m2_ros.geometry import (
    CloudOptions,
    FlyingPixelFilter,
    Output,
    OutputOptions,
    PixelFilter,
    PrincipalPoint,
    RigidTransform,
    StereoCamera,
    TargetCamera,
    VoxelGrid,
    compute_outputs,
    pixel_kernel,
)
from s2m2_ros.geometry.cloud import cloud_records
from s2m2_ros.inference import MatchResult
from support.maps import maps
from support.processes import python_path
from support.torch_defaults import torch_defaults

TURNED = RigidTransform('base_link', ((0, 0, 1), (-1, 0, 0), (0, -1, 0)), (0.5, 0.25, 1))
IDENTITY = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
NAN_BITS = 0x7FC00000

shares = st.sampled_from([0.0, 0.25, 0.5, 1.0])
filters = st.builds(
    PixelFilter,
    min_depth=st.sampled_from([0.0, 0.7, 2.0]),
    max_depth=st.sampled_from([3.1, 40.0, math.inf]),
    min_confidence=shares,
    min_visibility=shares,
    flying_pixels=st.none()
    | st.builds(
        FlyingPixelFilter,
        min_step=st.sampled_from([0.0, 0.5, 3.0]),
        min_relative_step=st.sampled_from([0.0, 0.02, 0.3]),
    ),
)
clouds = st.builds(
    CloudOptions,
    organized=st.booleans(),
    padded=st.booleans(),
    color=st.sampled_from(['rgb', 'intensity', 'none']),
    confidence=st.booleans(),
    decimation=st.integers(1, 4),
    filter=filters,
    uncertainty=st.booleans(),
    transform=st.none() | st.just(TURNED),
    voxels=st.none()
    | st.builds(
        VoxelGrid,
        size=st.sampled_from([0.001, 0.07, 0.5, 30.0]),
        growth=st.sampled_from([0.0, 0.9, 20.0]),
    ),
)


def scene(seed: int, height: int, width: int, *, gray: bool) -> tuple[MatchResult, np.ndarray]:
    """Return an estimate with unknown, infinite and negative disparities, and an image."""
    random = np.random.default_rng(seed)
    disparity = random.choice([2.0, 5.0, 20.0], (height, width)) + random.normal(
        0, 1, (height, width)
    )
    odd = random.choice([np.nan, np.inf, -np.inf, -3.0, 0.0, float(width)], (height, width))
    disparity = np.where(random.random((height, width)) < 0.1, odd, disparity)
    arrays = (disparity, random.random((height, width)), random.random((height, width)))
    image = random.integers(0, 256, (height, width) if gray else (height, width, 3), np.uint8)
    return maps(*(torch.from_numpy(m.astype(np.float32)) for m in arrays)), image


def comparable(array: np.ndarray) -> np.ndarray:
    """Return the bits, those of every NaN alike."""
    bits = np.ascontiguousarray(array).view(np.uint32)
    return np.where(np.isnan(array), NAN_BITS, bits)


@settings(max_examples=150, deadline=None)
@given(
    cloud=clouds,
    depth_filter=filters,
    seed=st.integers(0, 2**32),
    height=st.integers(1, 9),
    width=st.integers(1, 70),
    shift=st.sampled_from([0.0, 1.5, -2.25]),
    gray=st.booleans(),
    threads=st.integers(1, pixel_kernel.MOST_THREADS),
)
def test_same_bits_as_torch(
    *,
    cloud: CloudOptions,
    depth_filter: PixelFilter,
    seed: int,
    height: int,
    width: int,
    shift: float,
    gray: bool,
    threads: int,
) -> None:
    estimate, image = scene(seed, height, width, gray=gray)
    right = PrincipalPoint(width / 3, height / 2)
    left = PrincipalPoint(right.x + shift, right.y)
    camera = StereoCamera(width, height, 70.3, 71.1, 0.12, left, right)
    options = OutputOptions(depth_filter=depth_filter, cloud=cloud)
    wanted = (Output.DEPTH, Output.POINTS)

    def computed() -> Mapping[Output, np.ndarray]:
        return compute_outputs(
            camera,
            estimate,
            wanted,
            image=image,
            deviation=lambda confidence: 1 / confidence,
            options=options,
        ).arrays

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pixel_kernel, '_threads', lambda: threads)
        found = computed()
        patch.setattr(pixel_kernel, 'library', lambda: None)
        expected = computed()
    for output in wanted:
        assert found[output].shape == expected[output].shape
        np.testing.assert_array_equal(comparable(found[output]), comparable(expected[output]))


def test_maps_that_are_views_of_larger_ones() -> None:
    estimate, image = scene(1, 6, 40, gray=False)
    each = (estimate.disparity, estimate.visibility, estimate.confidence)
    wide = [torch.nn.functional.pad(m, (3, 5)) for m in each]
    view = maps(*(m[:, 3:-5] for m in wide))
    turned = maps(*(m.T.contiguous().T for m in each))
    camera = StereoCamera(40, 6, 70.0, 70.0, 0.1, PrincipalPoint(20, 3), PrincipalPoint(20, 3))
    chosen = PixelFilter(min_confidence=0.3, min_visibility=0.3, flying_pixels=FlyingPixelFilter())
    options = OutputOptions(cloud=CloudOptions(confidence=True, filter=chosen))
    clouds = [
        compute_outputs(camera, e, {Output.POINTS}, image=i, options=options).arrays[Output.POINTS]
        for e in (estimate, view, turned)
        for i in (image, np.asfortranarray(image))
    ]
    assert not np.isnan(clouds[0][..., 2]).all()
    for cloud in clouds[1:]:
        assert cloud.tobytes() == clouds[0].tobytes()


@pytest.mark.parametrize(
    ('dtype', 'device'), [(torch.float16, 'cpu'), (torch.float64, 'cpu'), (torch.float32, 'meta')]
)
@pytest.mark.parametrize('voxels', [None, VoxelGrid(0.05)])
def test_memory_is_not_of_the_default_type_and_device(
    dtype: torch.dtype, device: str, voxels: VoxelGrid | None
) -> None:
    """Programs that use the package may have chosen others."""
    estimate, image = scene(1, 6, 40, gray=False)
    camera = StereoCamera(40, 6, 70.0, 70.0, 0.1, PrincipalPoint(20, 3), PrincipalPoint(20, 3))
    target = TargetCamera(40, 6, 70.0, 70.0, 20.0, 3.0, IDENTITY, (-0.05, 0.0, 0.0))
    options = OutputOptions(cloud=CloudOptions(transform=TURNED, voxels=voxels), target=target)
    wanted = {Output.DEPTH, Output.POINTS, Output.REGISTERED_DEPTH}

    def computed() -> Mapping[Output, np.ndarray]:
        return compute_outputs(
            camera, estimate, wanted, image=image, color_image=image, options=options
        ).arrays

    expected = computed()
    with torch_defaults(dtype, device):
        found = computed()
    for output in wanted:
        assert found[output].dtype == np.float32
        assert found[output].tobytes() == expected[output].tobytes()


@pytest.mark.parametrize('name', ['visibility', 'confidence', 'uncertainty'])
def test_maps_of_other_sizes_are_not_read(name: str) -> None:
    estimate, image = scene(1, 6, 40, gray=False)
    camera = StereoCamera(40, 6, 70.0, 70.0, 0.1, PrincipalPoint(20, 3), PrincipalPoint(20, 3))
    given = {each: getattr(estimate, each) for each in ('disparity', 'visibility', 'confidence')}
    given |= {'uncertainty': estimate.confidence, name: torch.ones((2, 2))}
    uncertainty = given.pop('uncertainty')
    with pytest.raises(ValueError, match=rf'{name} is \(2, 2\), (the )?disparity \(6, 40\)'):
        cloud_records(
            camera,
            maps(*given.values()),
            CloudOptions(uncertainty=True),
            image=torch.from_numpy(image),
            uncertainty=uncertainty,
        )


class TestLibrary:
    """Which library is loaded, from a folder of its own."""

    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        compiled = tmp_path / 'compiled'
        compiled.mkdir()
        monkeypatch.setattr(compiled_library, '_folders', lambda: [compiled])
        return compiled

    def load(self) -> object:
        return pixel_kernel.library.__wrapped__()

    def test_none(self, folder: Path) -> None:
        assert self.load() is None

    def test_what_is_no_library_is_told(
        self, folder: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        (folder / '_pixel_kernel.so').write_bytes(b'no library')
        assert self.load() is None
        assert '_pixel_kernel.so: cannot be used' in caplog.text

    def test_an_old_one_is_left_alone(
        self, folder: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        source = folder / 'old.c'
        source.write_text(f'int pixel_kernel_version() {{ return {pixel_kernel.VERSION - 1}; }}')
        library = folder / '_pixel_kernel.so'
        subprocess.run(['cc', '-shared', '-fPIC', '-o', library, source], check=True)
        assert self.load() is None
        assert 'build the package again' in caplog.text


def test_sources_find_the_one_of_the_workspace_they_are_built_in(tmp_path: Path) -> None:
    """Python started beside the sources imports those; colcon's library is elsewhere."""
    sources = tmp_path / 'sources' / 's2m2_ros'
    installed = tmp_path / 'installed' / 's2m2_ros'
    package = Path(s2m2_ros.__file__).parent
    built = pixel_kernel.library()
    assert built is not None
    library = Path(built._name)
    compiled = installed / 'compiled'
    compiled.mkdir(parents=True)
    (compiled / library.name).symlink_to(library)
    (installed / '__init__.py').touch()
    shutil.copytree(package, sources, ignore=shutil.ignore_patterns('*.so', 'weights'))
    code = 'from s2m2_ros.geometry import pixel_kernel; print(pixel_kernel.library()._name)'
    found = subprocess.check_output(
        [sys.executable, '-c', code],
        cwd=sources.parent,
        env={**os.environ, 'PYTHONPATH': python_path(installed.parent)},
        text=True,
    )
    assert found.strip() == str(compiled / library.name)
