"""Verify an engine before it is used: compare its results with torch in float32.

Exporters, compilers and engine builders have returned finite, plausible and wrong disparities. So
whatever they make is run once, on a pair made for it, and compared with the network as PyTorch
runs it operation by operation, in float32 without TF32. The figures are kept in the folder of
the engines, under a key that names checkpoint, size, precision and versions.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace

import torch

from s2m2_ros.inference.backend import BackendOptions
from s2m2_ros.inference.backends.network import Network, load_for_inference
from s2m2_ros.inference.engines.artifact_cache import ArtifactCache, ArtifactKey
from s2m2_ros.inference.engines.made_pairs import made_pair
from s2m2_ros.inference.export import ImageSize
from s2m2_ros.inference.hardware.device_memory import is_out_of_memory, release
from s2m2_ros.inference.hardware.float32_arithmetic import without_tf32

_logger = logging.getLogger(__name__)

# Largest median difference of the disparity, in pixels, by precision. That of bfloat16 is
# smaller than that of float16 as 'auto' takes it on processors without being asked.
MEDIAN_LIMIT_PX = {'float32': 0.05, 'float16': 0.25, 'bfloat16': 0.1}
# Largest median difference of visibility and confidence, in any precision.
MEDIAN_LIMIT_PROBABILITY = 0.05


@dataclass(frozen=True)
class Proof:
    """Differences from eager float32; of the disparity in pixels, of both others in 0..1."""

    median_px: float
    p99_px: float
    median_visibility: float
    median_confidence: float

    def problem(self, precision: str, reference: str = 'torch') -> str:
        """Return what is beyond the limits of a precision; empty if nothing is."""
        for name, value, limit, unit in (
            ('disparity', self.median_px, MEDIAN_LIMIT_PX[precision], ' px'),
            ('visibility', self.median_visibility, MEDIAN_LIMIT_PROBABILITY, ''),
            ('confidence', self.median_confidence, MEDIAN_LIMIT_PROBABILITY, ''),
        ):
            # Written so that NaN is beyond every limit.
            if not value <= limit:
                return (
                    f'its {name} differs from that of {reference} in float32 by {value:.3g}{unit} '
                    f'in the median, more than the {limit:g}{unit} allowed in {precision}'
                )
        return ''

    def __str__(self) -> str:
        return (
            f'median difference {self.median_px:.2g} px, 99 % within {self.p99_px:.2g} px, '
            f'visibility {self.median_visibility:.2g}, confidence {self.median_confidence:.2g}'
        )


def load_proof(cache: ArtifactCache, key: ArtifactKey) -> Proof | None:
    """Return the figures kept for an engine, or None."""
    content = cache.load(key)
    if content is None:
        return None
    try:
        values = json.loads(content)
        return Proof(**{field.name: float(values[field.name]) for field in fields(Proof)})
    except (ValueError, TypeError, KeyError):
        return None


def store_proof(cache: ArtifactCache, key: ArtifactKey, proof: Proof) -> None:
    """Keep the figures of an engine."""
    cache.store(key, json.dumps(asdict(proof)).encode())


def prove(engine: Network, options: BackendOptions, size: ImageSize) -> Proof:
    """Compare an engine for padded images of a size with torch in float32 on a synthetic pair.

    The reference runs on the engine's device, or on the processor where the device's memory does
    not hold both.
    """
    left, right = made_pair(size)
    found = _on_host(engine(left.to(options.device), right.to(options.device)))
    return compare(found, _reference(options, left, right))


def compare(found: Sequence[torch.Tensor], expected: Sequence[torch.Tensor]) -> Proof:
    """Return the differences of two triples of disparity, visibility and confidence."""
    differences = [
        (one.float() - other.float()).abs().flatten()
        for one, other in zip(found, expected, strict=True)
    ]
    disparity, visibility, confidence = (d.nan_to_num(torch.inf) for d in differences)
    return Proof(
        median_px=float(disparity.median()),
        # Not `quantile`, which rejects more than 2^24 values.
        p99_px=float(disparity.kthvalue(max(1, round(0.99 * disparity.numel()))).values),
        median_visibility=float(visibility.median()),
        median_confidence=float(confidence.median()),
    )


def _reference(
    options: BackendOptions, left: torch.Tensor, right: torch.Tensor
) -> list[torch.Tensor]:
    """Return what torch gives in float32, on the host."""
    exact = replace(options, precision='float32')
    try:
        return _run_reference(exact, left, right)
    except Exception as error:
        if options.device.type == 'cpu' or not is_out_of_memory(error):
            raise
    # Outside the handler: the traceback held the tensors of the failed pass.
    release(options.device)
    _logger.info('the memory of %s is too small: comparing on the processor', options.device)
    return _run_reference(replace(exact, device=torch.device('cpu')), left, right)


def _run_reference(
    options: BackendOptions, left: torch.Tensor, right: torch.Tensor
) -> list[torch.Tensor]:
    network = load_for_inference(options)
    with torch.inference_mode(), without_tf32():
        return _on_host(network(left.to(options.device), right.to(options.device)))


def _on_host(maps: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    return [m.cpu() for m in maps]
