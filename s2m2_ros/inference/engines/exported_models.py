"""Exported models of one checkpoint, made when a size is used first and kept on disk."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import torch

import s2m2_ros.network
from s2m2_ros.inference.backend import BackendOptions
from s2m2_ros.inference.backends.network import load_for_export
from s2m2_ros.inference.engines.artifact_cache import (
    ArtifactCache,
    ArtifactKey,
    device_name,
    library_versions,
)
from s2m2_ros.inference.errors import InferenceError
from s2m2_ros.inference.export import ExportSize, ImageSize, to_onnx
from s2m2_ros.weights import file_sha256


class Models(Protocol):
    """Where engines get their models from, and under which keys they are kept.

    Attributes:
        cache: where engines are kept.

    """

    cache: ArtifactCache

    def key(self, kind: str, size: ImageSize, **versions: str) -> ArtifactKey:
        """Return the key of an artifact of this checkpoint, these options and this device."""

    def onnx(self, size: ImageSize) -> bytes:
        """Return the ONNX model of a size."""


class ExportedModels:
    """The ONNX models of a checkpoint by size, and keys for what is built from them."""

    def __init__(self, options: BackendOptions) -> None:
        if options.checkpoint is None:
            raise InferenceError('this backend needs a checkpoint')
        self._options = options
        self._checkpoint_sha256 = file_sha256(options.checkpoint)
        self.cache = ArtifactCache(options.cache_folder / 'engines')

    def key(self, kind: str, size: ImageSize, **versions: str) -> ArtifactKey:
        """Return the key of an artifact of this checkpoint, these options and this device."""
        options = self._options
        return ArtifactKey(
            kind=kind,
            checkpoint=self._checkpoint_sha256,
            batch=size.batch,
            height=size.height,
            width=size.width,
            precision=options.precision,
            refine_iterations=options.refine_iterations,
            allow_negative=options.allow_negative,
            device=device_name(options.device),
            versions=library_versions(network=_source_digest(), **versions),
        )

    def onnx(self, size: ImageSize) -> bytes:
        """Return the ONNX model of a size."""
        return self.cache.load_or_build(self.key('onnx', size), lambda: self._export(size))

    def _export(self, size: ImageSize) -> bytes:
        # On the processor whatever the device, so that the file is the one that tests compare; the
        # whole weights are needed for this moment only.
        options = replace(self._options, device=torch.device('cpu'))
        return to_onnx(load_for_export(options), ExportSize(size.height, size.width, size.batch))


def _source_digest() -> str:
    """Return a digest of the network's source, which exported models depend on."""
    digest = hashlib.sha256()
    for path in sorted(Path(s2m2_ros.network.__file__).parent.glob('*.py')):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
