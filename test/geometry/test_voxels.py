"""One point a voxel, against points worked out by hand and a plain implementation in NumPy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from s2m2_ros.geometry import (
    CloudLayout,
    CloudOptions,
    Output,
    OutputOptions,
    PrincipalPoint,
    RigidTransform,
    StereoCamera,
    VoxelGrid,
    Workspace,
    compute_outputs,
    pixel_kernel,
)
from s2m2_ros.inference import MatchResult
from support.maps import maps

MICROMETER = 2.0**-20
SHIFTED = RigidTransform('base', ((1, 0, 0), (0, 1, 0), (0, 0, 1)), (0.0, 0.0, -0.75))


def camera(width: int, height: int) -> StereoCamera:
    """Return a camera of f = 100 px and B = 1 mm, so Z = 0.1 / d, X = Z * column / 100."""
    corner = PrincipalPoint(0.0, 0.0)
    return StereoCamera(width, height, 100.0, 100.0, 0.001, corner, corner)


def estimate(depth: np.ndarray, confidence: np.ndarray | None = None) -> MatchResult:
    disparity = (0.1 / depth).astype(np.float32)
    ones = np.ones_like(disparity)
    sure = ones if confidence is None else confidence.astype(np.float32)
    return maps(*(torch.from_numpy(m) for m in (disparity, ones, sure)))


def records(found: MatchResult, image: np.ndarray | None = None, **options: Any) -> np.ndarray:
    """Return the records; the deviation of a disparity is 1 - confidence, in pixels."""
    height, width = found.disparity.shape
    chosen = CloudOptions(color='none' if image is None else 'rgb', **options)
    return compute_outputs(
        camera(width, height),
        found,
        {Output.POINTS},
        image=image,
        deviation=lambda confidence: 1 - confidence,
        options=OutputOptions(cloud=chosen),
    ).arrays[Output.POINTS]


def colors(cloud: np.ndarray) -> list[tuple[int, ...]]:
    """Return R, G, B of the field behind x, y, z."""
    packed = np.ascontiguousarray(cloud[:, 3]).view(np.uint32)
    return [(int(p) >> 16 & 255, int(p) >> 8 & 255, int(p) & 255) for p in packed]


@pytest.mark.usefixtures('either_way')
class TestByHand:
    def test_centroid_color_confidence_and_uncertainty(self) -> None:
        # Z = 1, 1, 1, 2, unknown: X = 0, 0.01, 0.02 | 0.06.
        depth = np.array([[1.0, 1.0, 1.0, 2.0, math.nan]])
        confidence = np.array([[0.5, 0.9, 0.8, 0.6, 1.0]])
        image = np.array([[[0, 10, 255], [1, 20, 255], [1, 40, 254], [9, 8, 7], [0, 0, 0]]])
        cloud = records(
            estimate(depth, confidence),
            image.astype(np.uint8),
            voxels=VoxelGrid(0.25),
            confidence=True,
            uncertainty=True,
        )
        # Mean of 0, 1, 1 is 2/3, of 10, 20, 40 70/3, of 255, 255, 254 254 2/3.
        assert colors(cloud) == [(1, 23, 255), (9, 8, 7)]
        np.testing.assert_allclose(cloud[:, :3], [[0.01, 0, 1], [0.06, 0, 2]], atol=2e-6)
        np.testing.assert_allclose(cloud[:, 4], [0.9, 0.6])
        # sigma_Z = Z^2 / (f B) * (1 - confidence): 10 * 0.1 of the best point, 40 * 0.4.
        np.testing.assert_allclose(cloud[:, 5], [1, 16], rtol=1e-5)

    def test_a_half_is_rounded_up(self) -> None:
        image = np.array([[[0, 1, 2], [1, 2, 3]]], np.uint8)
        cloud = records(estimate(np.full((1, 2), 1.0)), image, voxels=VoxelGrid(1.0))
        assert colors(cloud) == [(1, 2, 3)]

    def test_intensity_is_a_mean(self) -> None:
        image = np.array([[10, 20, 40]], np.uint8)
        outputs = compute_outputs(
            camera(3, 1),
            estimate(np.full((1, 3), 1.0)),
            {Output.POINTS},
            image=image,
            options=OutputOptions(cloud=CloudOptions(color='intensity', voxels=VoxelGrid(1.0))),
        )
        assert outputs.arrays[Output.POINTS][:, 3].tolist() == pytest.approx([70 / 3], abs=1e-4)

    def test_voxels_are_those_of_the_target_frame(self) -> None:
        found = estimate(np.array([[1.1, 1.3]]))
        assert len(records(found, voxels=VoxelGrid(0.5))) == 1
        # At 0.35 and 0.55 they lie on two sides of 0.5.
        assert len(records(found, voxels=VoxelGrid(0.5), transform=SHIFTED)) == 2

    def test_negative_coordinates_have_voxels_of_their_own(self) -> None:
        down = RigidTransform('base', ((1, 0, 0), (0, 1, 0), (0, 0, 1)), (-0.005, 0.0, 0.0))
        # X = -0.005, 0.005: two voxels, one on each side of 0.
        found = records(estimate(np.full((1, 2), 1.0)), voxels=VoxelGrid(1.0), transform=down)
        np.testing.assert_allclose(found[:, 0], [-0.005, 0.005], atol=2e-6)

    def test_the_order_is_that_of_the_first_pixels(self) -> None:
        depth = np.array([[5.1, 1.1, 5.1], [2.1, 1.1, 5.1]])
        z = records(estimate(depth), voxels=VoxelGrid(0.5))[:, 2]
        np.testing.assert_allclose(z, [5.1, 1.1, 2.1], atol=3e-6)

    @pytest.mark.parametrize(
        ('growth', 'count'),
        # sigma_Z of Z = 1 m at confidence 0.995 is 0.05 m. The points lie at X = 0 ... 0.07 m.
        # Edge 0.02 m: four voxels; above 0.4 deviations 0.04 m: two; above 0.8 0.08 m: one.
        [(0.0, 4), (0.39, 4), (0.41, 2), (0.79, 2), (0.81, 1), (2.0, 1)],
    )
    def test_voxels_grow_with_the_uncertainty(self, growth: float, count: int) -> None:
        found = estimate(np.full((1, 8), 1.0), np.full((1, 8), 0.995))
        # Half a centimeter to the right, so that no point lies on an edge.
        aside = RigidTransform('base', ((1, 0, 0), (0, 1, 0), (0, 0, 1)), (0.005, 0.005, 0.005))
        cloud = records(found, voxels=VoxelGrid(0.02, growth), transform=aside)
        assert len(cloud) == count

    def test_growth_ends_at_64_times(self) -> None:
        # A deviation that asks for kilometers: edges of 0.64 and 3.2 m.
        found = estimate(np.array([[1.0, 1.5, 2.0]]), np.full((1, 3), -1e6))
        assert len(records(found, voxels=VoxelGrid(0.01, 1.0))) == 3
        assert len(records(found, voxels=VoxelGrid(0.05, 1.0))) == 1

    def test_far_points(self) -> None:
        # 400 km, and 600 km, beyond what is summed.
        depth = np.array([[400e3, 600e3, math.inf]])
        cloud = records(estimate(depth), voxels=VoxelGrid(0.001))
        np.testing.assert_allclose(cloud[:, 2], [400e3], rtol=1e-6)

    def test_nothing_known_gives_an_empty_cloud(self) -> None:
        found = estimate(np.full((3, 4), math.nan))
        cloud = records(found, voxels=VoxelGrid(0.05), confidence=True)
        assert cloud.shape == (0, 4)

    def test_never_organized_and_padded(self) -> None:
        found = estimate(np.full((2, 2), 1.0))
        cloud = records(
            found,
            np.zeros((2, 2, 3), np.uint8),
            voxels=VoxelGrid(9.0),
            organized=True,
            padded=True,
        )
        assert cloud.shape == (1, 8)
        assert (cloud[:, 4:] == 0).all()

    def test_a_kept_workspace_holds_the_next_cloud_too(self) -> None:
        memory = Workspace()
        shapes = []
        for depth in (np.full((2, 3), 1.1), np.array([[1.1, 2.1, 5.1], [1.1, 2.1, 5.1]])):
            outputs = compute_outputs(
                camera(3, 2),
                estimate(depth),
                {Output.POINTS},
                options=OutputOptions(cloud=CloudOptions(color='none', voxels=VoxelGrid(0.5))),
                workspace=memory,
            )
            shapes.append(outputs.arrays[Output.POINTS].shape)
        assert shapes == [(1, 3), (3, 3)]


def test_many_voxels_outgrow_the_first_table() -> None:
    """More voxels than the compiled hash table begins with."""
    random = np.random.default_rng(0)
    found = estimate(random.uniform(1, 9, (160, 200)))
    compiled = records(found, voxels=VoxelGrid(0.001))
    assert len(compiled) > 25_000
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pixel_kernel, 'library', lambda: None)
        assert records(found, voxels=VoxelGrid(0.001)).tobytes() == compiled.tobytes()


@pytest.mark.parametrize('size', [0.0, 0.0009, 101.0, math.nan, -1.0])
def test_impossible_sizes(size: float) -> None:
    with pytest.raises(ValueError, match='voxel size'):
        VoxelGrid(size)


@pytest.mark.parametrize('growth', [-0.1, 101.0, math.nan])
def test_impossible_growth(growth: float) -> None:
    with pytest.raises(ValueError, match='voxel growth'):
        VoxelGrid(0.1, growth)


def test_growth_needs_the_uncertainty() -> None:
    with pytest.raises(ValueError, match='deviation of the disparity'):
        compute_outputs(
            camera(2, 2),
            estimate(np.ones((2, 2))),
            {Output.POINTS},
            options=OutputOptions(
                cloud=CloudOptions(color='none', voxels=VoxelGrid(0.1, growth=1.0))
            ),
        )


def plain(
    points: np.ndarray, fields: np.ndarray, size: float, levels: np.ndarray
) -> dict[tuple[int, ...], tuple[np.ndarray, np.ndarray, float, float, int]]:
    """Return centroid, mean color, confidence, uncertainty and count of each voxel."""
    held: dict[tuple[int, ...], list[int]] = {}
    for number, (point, level) in enumerate(zip(points, levels, strict=True)):
        # The edges are those of float32, as the kernel's are.
        index = np.floor(point * (np.float32(1) / np.float32(size))).astype(int) // 2**level
        held.setdefault((int(level), *index.tolist()), []).append(number)
    return {
        key: (
            points[rows].astype(float).mean(axis=0),
            fields[rows, :3].mean(axis=0),
            fields[rows, 3].max(),
            fields[rows, 4].min(),
            len(rows),
        )
        for key, rows in held.items()
    }


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.sampled_from([0.01, 0.05, 0.3, 1.7]),
    growth=st.sampled_from([0.0, 1.0, 7.5]),
    way=st.sampled_from(['compiled', 'torch']),
)
def test_as_a_plain_implementation(*, seed: int, size: float, growth: float, way: str) -> None:
    random = np.random.default_rng(seed)
    depth = random.choice([0.5, 1.0, 5.0], (7, 30)) * random.uniform(0.9, 1.1, (7, 30))
    depth[random.random((7, 30)) < 0.1] = math.nan
    confidence = 1 - random.random((7, 30)).astype(np.float32) / 10
    image = random.integers(0, 256, (7, 30, 3), np.uint8)
    found = estimate(depth, confidence)
    turned = RigidTransform('base', ((0, 0, 1), (-1, 0, 0), (0, -1, 0)), (0.1, 0.2, -0.3))
    shared: dict[str, Any] = {'confidence': True, 'uncertainty': True, 'transform': turned}
    with pytest.MonkeyPatch.context() as patch:
        if way == 'torch':
            patch.setattr(pixel_kernel, 'library', lambda: None)
        every = records(found, image, organized=False, **shared)
        cloud = records(found, image, voxels=VoxelGrid(size, growth), **shared)
    levels = np.zeros(len(every), int)
    if growth:
        edges = np.float32(growth) * every[:, 5] / np.float32(size)
        levels = np.clip(np.ceil(np.log2(np.maximum(edges, 1.0))), 0, 6).astype(int)
    fields = np.column_stack((np.array(colors(every)), every[:, 4], every[:, 5]))
    expected = plain(every[:, :3], fields, size, levels)
    assert sum(count for *_, count in expected.values()) == len(every)
    assert len(cloud) == len(expected)
    for row, color, (key, value) in zip(cloud, colors(cloud), expected.items(), strict=True):
        np.testing.assert_allclose(row[:3], value[0], atol=2 * MICROMETER, rtol=2e-7)
        np.testing.assert_array_less(np.abs(np.array(color) - value[1]), 0.5 + 1e-9)
        assert (row[4], row[5]) == (np.float32(value[2]), np.float32(value[3]))
        # The centroid lies in its voxel.
        edge = size * 2 ** key[0]
        low = np.array(key[1:]) * edge
        assert (row[:3] >= low - 1e-5).all()
        assert (row[:3] <= low + edge + 1e-5).all()


def test_layout_names_the_further_columns() -> None:
    layout = CloudLayout.of(CloudOptions(padded=True, confidence=True))
    assert layout.columns == {'rgb': 4, 'confidence': 5}
