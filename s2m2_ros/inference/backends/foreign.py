"""What the backends of other networks share: fitting, both views, and what is said of them."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict

import torch

from s2m2_ros.inference.backend import BackendOptions, Maps
from s2m2_ros.inference.backends.devices import on_device
from s2m2_ros.inference.engines.artifact_cache import (
    ArtifactCache,
    ArtifactKey,
    device_name,
    library_versions,
)
from s2m2_ros.inference.engines.made_pairs import planted_scene
from s2m2_ros.inference.engines.proof import Proof, compare
from s2m2_ros.inference.errors import ClosedError, InferenceError
from s2m2_ros.inference.export import ImageSize
from s2m2_ros.inference.other_networks.fitting import fit_for
from s2m2_ros.inference.other_networks.foreign_network import ForeignNetwork
from s2m2_ros.inference.other_networks.left_right_check import Agreement, check, mirrored
from s2m2_ros.inference.other_networks.onnx_model import read_onnx
from s2m2_ros.inference.other_networks.recognition import Recognized, recognize
from s2m2_ros.inference.other_networks.sessions import HostSession, runner_for

_logger = logging.getLogger(__name__)

# The table of `confidence_tables` for confidence that comes from the left-right check.
CHECKED = 'left_right_check'
REFERENCE = 'ONNX Runtime on the processor'

Network = Callable[[torch.Tensor, torch.Tensor], Sequence[torch.Tensor]]


def load(options: BackendOptions) -> Recognized:
    """Return the model of the checkpoint with its description, and log what was assumed.

    Raises OnnxFileError or DescriptionError.
    """
    if options.checkpoint is None:
        raise InferenceError('this backend needs a checkpoint')
    found = recognize(read_onnx(options.checkpoint))
    given = found.description
    _logger.info(
        '%s: %s, described by %s; license: %s%s',
        options.checkpoint,
        given.name or 'an ONNX file',
        found.origin,
        given.license or 'unknown',
        ''.join(f'; assumed: {text}' for text in found.assumed),
    )
    if not found.has_own_checks:
        _logger.info(
            'it does not say what is visible and how sure it is: a second run with both views '
            'exchanged checks that, so each pair takes two runs'
        )
    return found


class ForeignBackend:
    """Matches with a network of others; see `Backend`.

    Args:
        name: of the backend.
        found: the network.
        network: runs it on images of its own size; see `ForeignNetwork`.
        options: what the backend was opened with.

    """

    def __init__(
        self, name: str, found: Recognized, network: Network, options: BackendOptions
    ) -> None:
        self.name = name
        self.device = options.device
        self.precision = options.precision
        self.confidence_table = '' if found.description.confidence else CHECKED
        fields = asdict(found.description)
        self.description = {
            **{k: list(v) if isinstance(v, tuple) else v for k, v in fields.items()},
            'sha256': found.sha256,
        }
        self._found = found
        self._network: Network | None = network
        self._allow_negative = options.allow_negative

    def infer(self, left: torch.Tensor, right: torch.Tensor) -> Maps:
        """Match B pairs one by one; see `Backend.infer`."""
        with on_device(self.device):
            found = [self._match(left[i : i + 1], right[i : i + 1]) for i in range(left.shape[0])]
        return Maps(*(torch.stack(maps) for maps in zip(*found, strict=True)))

    def close(self) -> None:
        """Free the network."""
        self._network = None

    def matched_width(self, height: int, width: int) -> float:
        """Return the width at which images of a size are matched, padding left aside."""
        return fit_for(self._found.description, height, width).inner_width

    def remarks(self, height: int, width: int) -> tuple[str, ...]:
        """Return what is worth knowing of matching images of a size, in sentences."""
        given = self._found.description
        fit = fit_for(given, height, width)
        texts = []
        if (fit.inner_height, fit.inner_width) != (height, width):
            texts.append(
                f'images of {width}x{height} are scaled to {fit.inner_width}x{fit.inner_height} '
                'inside of the backend, the size that this network works at'
            )
        if given.largest:
            largest = given.largest * fit.disparity_scale
            texts.append(
                f'this network finds disparities up to {largest:.0f} px in images of {width}x'
                f'{height}: surfaces nearer than fx * baseline / {largest:.0f} come out wrong'
            )
        return tuple(texts)

    def _match(self, left: torch.Tensor, right: torch.Tensor) -> tuple[torch.Tensor, ...]:
        given = self._found.description
        disparity, *own = self._run(left, right)
        visibility = own.pop(0) if given.visibility or given.occlusion else None
        confidence = own.pop(0) if own else None
        if confidence is None or visibility is None:
            agreement = self._checked(disparity, left, right)
            confidence = agreement.confidence if confidence is None else confidence
            visibility = agreement.visibility if visibility is None else visibility
        known = disparity.isfinite()
        return (
            torch.where(known, disparity, torch.nan),
            torch.where(known, visibility, 0.0),
            torch.where(known, confidence, 0.0),
        )

    def _checked(
        self, disparity: torch.Tensor, left: torch.Tensor, right: torch.Tensor
    ) -> Agreement:
        of_right = mirrored(self._run(mirrored(right), mirrored(left))[0])
        width = disparity.shape[-1]
        scale = width / self.matched_width(disparity.shape[-2], width)
        return check(disparity, of_right, scale=scale)

    def _run(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        """Return the maps (N, H, W) of one pair at its own size, the disparity first."""
        if self._network is None:
            raise ClosedError
        fit = fit_for(self._found.description, left.shape[-2], left.shape[-1])
        images = (fit.apply(image.expand(-1, 3, -1, -1)) for image in (left, right))
        maps = fit.undo(torch.cat([m[0] for m in self._network(*images)]))
        if not self._allow_negative:
            maps[0].clamp_(min=0)
        return maps


class ForeignModels:
    """The model by size, and keys for what is built from it; see `Models`."""

    def __init__(self, found: Recognized, options: BackendOptions) -> None:
        self._found = found
        self._options = options
        self.cache = ArtifactCache(options.cache_folder / 'engines')
        text = json.dumps(asdict(found.description), sort_keys=True)
        self._description = hashlib.sha256(text.encode()).hexdigest()[:16]

    def key(self, kind: str, size: ImageSize, **versions: str) -> ArtifactKey:
        """Return the key of an artifact of this file, this description and this device."""
        return ArtifactKey(
            kind=kind,
            checkpoint=self._found.sha256,
            batch=size.batch,
            height=size.height,
            width=size.width,
            precision=self._options.precision,
            refine_iterations=0,
            allow_negative=True,
            device=device_name(self._options.device),
            versions=library_versions(description=self._description, **versions),
        )

    def onnx(self, size: ImageSize) -> bytes:
        """Return the model for images of one size."""
        shape = self._found.input_shape(size.height, size.width)
        found = self._found
        return found.model.fixed(dict.fromkeys(found.inputs, shape), found.outputs)


class HostReference:
    """Compares engines with ONNX Runtime on the processor, on a planted pair."""

    def __init__(self, found: Recognized, device: torch.device) -> None:
        self._found = found
        self._device = device

    def network(self) -> ForeignNetwork:
        """Return the network on the processor; it takes its memory as long as it is kept."""
        return ForeignNetwork(self._found, runner_for(self._found, HostSession))

    def prove(self, engine: Network, size: ImageSize) -> Proof:
        """Return the differences of an engine for images of a size."""
        largest = self._found.description.largest
        images = planted_scene(size.height, size.width, largest).images()
        found = engine(*(image.to(self._device) for image in images))
        return compare(*(self._three(m) for m in (found, self.network()(*images))))

    def _three(self, maps: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Return disparity, visibility and confidence on the host; 0 where there is none."""
        given = self._found.description
        own = [m.cpu() for m in maps]
        disparity, nothing = own.pop(0), torch.zeros(1, device='cpu')
        visibility = own.pop(0) if given.visibility or given.occlusion else nothing
        return [disparity, visibility, own.pop(0) if given.confidence else nothing]
