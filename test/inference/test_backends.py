"""All backends that run here agree on a real pair, and keep what they built."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch

from s2m2_ros.inference import BackendUnavailableError, MatchResult, StereoMatcher
from s2m2_ros.inference.padding import Padding
from s2m2_ros.network import load_network, prepare_for_inference
from support.torch_defaults import torch_defaults

ByteImage = npt.NDArray[np.uint8]
SIZE = (100, 148)  # padded to 128 x 160
ITERATIONS = 1


@pytest.fixture(scope='module')
def pair(
    motorcycle: tuple[ByteImage, ByteImage, npt.NDArray[np.float32]],
) -> tuple[ByteImage, ByteImage]:
    left, right = (
        np.asarray(cv2.resize(image, SIZE[::-1], interpolation=cv2.INTER_AREA), np.uint8)
        for image in motorcycle[:2]
    )
    return left, right


@pytest.fixture(scope='module')
def expected(checkpoint: Path, pair: tuple[ByteImage, ByteImage]) -> Iterator[MatchResult]:
    with StereoMatcher.open(
        checkpoint,
        backend='torch',
        device='cpu',
        precision='float32',
        refine_iterations=ITERATIONS,
    ) as matcher:
        yield matcher.match(*pair)


def open_torch(checkpoint: Path, refine_iterations: int = ITERATIONS) -> StereoMatcher:
    return StereoMatcher.open(
        checkpoint, device='cpu', precision='float32', refine_iterations=refine_iterations
    )


def assert_agree(found: MatchResult, expected: MatchResult) -> None:
    """Compare as the package promises: median below 0.02 px, 99 % below 0.25 px."""
    difference = (found.disparity - expected.disparity).abs()
    assert difference.shape == SIZE
    assert difference.median() < 0.02
    assert difference.quantile(0.99) < 0.25
    assert (found.confidence - expected.confidence).abs().median() < 0.002
    assert (found.visibility - expected.visibility).abs().median() < 0.002


def test_torch_equals_the_bare_network_padded_by_hand(
    checkpoint: Path, pair: tuple[ByteImage, ByteImage], expected: MatchResult
) -> None:
    padding = Padding(*SIZE)
    planes = [torch.from_numpy(i).permute(2, 0, 1)[None] for i in pair]
    with torch.inference_mode():
        network = load_network(checkpoint, refine_iterations=ITERATIONS)
        prepare_for_inference(network)
        maps = network(*(padding.pad(p) for p in planes))
    assert torch.equal(padding.crop(maps.disparity)[0, 0], expected.disparity)
    assert torch.equal(padding.crop(maps.visibility)[0, 0], expected.visibility)
    assert torch.equal(padding.crop(maps.confidence)[0, 0], expected.confidence)


def test_gray_equals_the_same_gray_in_three_channels(
    checkpoint: Path, pair: tuple[ByteImage, ByteImage]
) -> None:
    left, right = (np.asarray(cv2.cvtColor(i, cv2.COLOR_RGB2GRAY), np.uint8) for i in pair)
    with open_torch(checkpoint, refine_iterations=0) as matcher:
        gray = matcher.match(left, right)
        color = matcher.match(*(np.repeat(i[..., None], 3, 2) for i in (left, right)))
    assert torch.equal(gray.disparity, color.disparity)


def test_bytes_uint16_and_floats_of_the_same_picture_agree(
    checkpoint: Path, pair: tuple[ByteImage, ByteImage], expected: MatchResult
) -> None:
    with open_torch(checkpoint) as matcher:
        for images in (
            [i.astype(np.uint16) * 257 for i in pair],
            [i.astype(np.float32) for i in pair],
            [torch.from_numpy(i) for i in pair],
        ):
            assert torch.equal(matcher.match(*images).disparity, expected.disparity)


def test_batch_equals_its_pairs_one_by_one(
    checkpoint: Path, pair: tuple[ByteImage, ByteImage], expected: MatchResult
) -> None:
    left, right = pair
    other = right[::-1].copy(), left[::-1].copy()
    with open_torch(checkpoint) as matcher:
        first, second = matcher.match_batch([left, other[0]], [right, other[1]])
        alone = matcher.match(*other)
    assert torch.allclose(first.disparity, expected.disparity, atol=1e-3)
    assert torch.allclose(second.disparity, alone.disparity, atol=1e-3)


def test_half_precision_stays_finite_and_near(
    checkpoint: Path, pair: tuple[ByteImage, ByteImage], expected: MatchResult
) -> None:
    with StereoMatcher.open(
        checkpoint, device='cpu', precision='bfloat16', refine_iterations=ITERATIONS
    ) as matcher:
        found = matcher.match(*pair)
    assert matcher.precision == 'bfloat16'
    assert found.disparity.dtype == torch.float32
    assert found.disparity.isfinite().all()
    assert (found.disparity - expected.disparity).abs().median() < 0.1


def test_onnxruntime_agrees_and_keeps_its_model(
    checkpoint: Path,
    pair: tuple[ByteImage, ByteImage],
    expected: MatchResult,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def found() -> MatchResult:
        with StereoMatcher.open(
            checkpoint,
            backend='onnxruntime',
            device='cpu',
            precision='float32',
            refine_iterations=ITERATIONS,
            cache_folder=tmp_path,
        ) as matcher:
            return matcher.match(*pair)

    assert_agree(found(), expected)
    model, proof = sorted((tmp_path / 'engines').iterdir())
    assert model.name.startswith('onnx-160x128-float32-')
    assert proof.name.startswith('proof-onnxruntime-160x128-float32-')

    def refuse(*_: object) -> bytes:
        raise AssertionError('exported again')

    monkeypatch.setattr('s2m2_ros.inference.engines.exported_models.to_onnx', refuse)
    assert_agree(found(), expected)
    model.write_bytes(model.read_bytes()[:-5])
    with pytest.raises(BackendUnavailableError, match='exported again'):
        found()


def test_compiled_agrees_and_keeps_its_code(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compile a stand-in of two operations: the real network takes minutes on a CPU."""

    class Small(torch.nn.Module):
        def forward(self, left: torch.Tensor, right: torch.Tensor) -> list[torch.Tensor]:
            mean = (left + 2 * right).mean(dim=1, keepdim=True)
            return [mean, mean.sigmoid(), mean.sin().abs()]

    small = Small()
    for module in ('backends.torch_compile', 'engines.proof'):
        monkeypatch.setattr(f's2m2_ros.inference.{module}.load_for_inference', lambda _: small)
    monkeypatch.setenv('TORCHINDUCTOR_CACHE_DIR', str(tmp_path / 'inductor'))
    left = np.random.default_rng(0).integers(0, 256, (40, 64, 3), np.uint8)
    for _ in range(2):
        torch.compiler.reset()
        with StereoMatcher.open(
            checkpoint,
            backend='compiled',
            device='cpu',
            precision='float32',
            cache_folder=tmp_path,
        ) as matcher:
            for image in (left, left[:33]):
                found = matcher.match(image, image).disparity
                wanted = torch.from_numpy(image).float().mean(2) * 3
                assert torch.allclose(found, wanted, atol=1e-3)
    names = sorted(path.name[:19] for path in (tmp_path / 'engines').iterdir())
    assert names == ['compiled-64x64-floa', 'proof-compiled-64x6']


@pytest.mark.parametrize('backend', ['torch', 'sgbm'])
@pytest.mark.parametrize(
    ('dtype', 'device', 'height'),
    [
        (torch.float16, 'cpu', 97),
        (torch.float64, 'cpu', 98),
        (torch.float32, 'meta', 99),  # in place of a GPU
    ],
)
def test_what_a_program_made_the_default_changes_nothing(
    *, checkpoint: Path, backend: str, dtype: torch.dtype, device: str, height: int
) -> None:
    """A height of its own for each, so that no table was made before."""
    left = np.random.default_rng(0).integers(0, 256, (height, 130, 3), np.uint8)
    pair = left, np.roll(left, -4, axis=1)

    def found() -> MatchResult:
        options = {'precision': 'float32', 'sgbm_refinement': backend == 'torch'}
        with StereoMatcher.open(checkpoint, device='cpu', backend=backend, **options) as matcher:  # type: ignore[arg-type]
            matcher.warm_up(height, 130)
            return matcher.match(*pair)

    with torch_defaults(dtype, device):
        result = found()
    expected = found()
    for name in ('disparity', 'visibility', 'confidence'):
        values = getattr(result, name)
        assert (values.dtype, values.device.type) == (torch.float32, 'cpu')
        assert torch.equal(values.nan_to_num(), getattr(expected, name).nan_to_num())
