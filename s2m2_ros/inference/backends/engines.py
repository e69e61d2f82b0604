"""What is built for one size of images: built once, verified, kept while it is in use.

A failure to build, or a result that differs from torch's, is remembered as long as the process
runs, so that the same failure does not cost minutes with every pair.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch

from s2m2_ros.errors import S2M2Error
from s2m2_ros.inference.backend import BackendOptions
from s2m2_ros.inference.backends.network import Network
from s2m2_ros.inference.engines.artifact_cache import ArtifactKey
from s2m2_ros.inference.engines.exported_models import ExportedModels, Models
from s2m2_ros.inference.engines.proof import Proof, load_proof, prove, store_proof
from s2m2_ros.inference.errors import BackendUnavailableError, WrongResultsError
from s2m2_ros.inference.export import ImageSize
from s2m2_ros.inference.hardware.device_memory import is_out_of_memory, release

_logger = logging.getLogger(__name__)

# Each engine holds the memory of one whole pass.
ENGINES_KEPT = 4
_failures: dict[ArtifactKey, str] = {}
_failures_lock = threading.Lock()


class Engines:
    """The engines of one backend by size of the padded images; see `network.Network`.

    Args:
        name: of the backend.
        options: what the backend was opened with.
        build: makes the engine of a size; whatever it raises makes the backend unavailable for
            that size, but for a lack of memory, which passes.
        models: where keys come from; default: the models exported from the checkpoint.
        prover: compares an engine of a size with its reference; default: with torch in float32.
        reference: what the prover compares with, for messages.
        versions: of the libraries that the result depends on, by name.

    """

    def __init__(
        self,
        name: str,
        options: BackendOptions,
        build: Callable[[ImageSize], Network],
        *,
        models: Models | None = None,
        prover: Callable[[Network, ImageSize], Proof] | None = None,
        reference: str = 'torch',
        **versions: str,
    ) -> None:
        self._name = name
        self._options = options
        self._build = build
        self._versions = versions
        self._models: Models = models or ExportedModels(options)
        self._prover = prover or self._prove
        self._reference = reference
        self._engines: OrderedDict[ImageSize, Network] = OrderedDict()

    def __call__(self, left: torch.Tensor, right: torch.Tensor) -> Sequence[torch.Tensor]:
        """Return disparity, visibility and confidence of padded images.

        Raises BackendUnavailableError if the engine of the size cannot be built or is wrong.
        """
        batch, _, height, width = left.shape
        size = ImageSize(height, width, batch)
        if size in self._engines:
            self._engines.move_to_end(size)
        else:
            while len(self._engines) >= ENGINES_KEPT:
                self._engines.popitem(last=False)
            self._engines[size] = self._proven(size)
            # What the passes before a capture and the proof took: twice the engine's own memory.
            self._release()
        return self._engines[size](left, right)

    def _proven(self, size: ImageSize) -> Network:
        key = self._models.key(f'proof-{self._name}', size, **self._versions)
        with _remembering_failures(self._name, key):
            kept = load_proof(self._models.cache, key)
            if kept is not None:
                self._require_agreement(kept)
                return self._timed_build(size)
            engine = self._timed_build(size)
            proof = self._prover(engine, size)
            store_proof(self._models.cache, key, proof)
            self._require_agreement(proof)
            _logger.info('%s agrees with %s in float32: %s', self._name, self._reference, proof)
            return engine

    def _prove(self, engine: Network, size: ImageSize) -> Proof:
        return prove(engine, self._options, size)

    def _require_agreement(self, proof: Proof) -> None:
        if problem := proof.problem(self._options.precision, self._reference):
            raise WrongResultsError(self._name, problem, proof)

    def _timed_build(self, size: ImageSize) -> Network:
        what = f'{self._name} for {size.width}x{size.height}, batch {size.batch}'
        _logger.info('preparing %s in %s', what, self._options.precision)
        started = time.monotonic()
        # Libraries that build engines cannot use what torch's allocator keeps unused.
        self._release()
        engine = self._build(size)
        _logger.info('prepared %s in %.1f s', what, time.monotonic() - started)
        return engine

    def _release(self) -> None:
        if self._options.device.type == 'cuda':
            release(self._options.device)


@contextmanager
def _remembering_failures(backend: str, key: ArtifactKey) -> Iterator[None]:
    """Raise what failed before in this process, and remember what fails now.

    Raises BackendUnavailableError; a lack of memory passes through and is not remembered.
    """
    with _failures_lock:
        known = _failures.get(key)
    if known is not None:
        raise BackendUnavailableError(backend, f'{known} (not tried again until restart)')
    try:
        yield
    except Exception as error:
        if is_out_of_memory(error):
            raise
        reason = _reason(error)
        with _failures_lock:
            _failures[key] = reason
        _logger.warning('%s is not used: %s', backend, reason)
        if isinstance(error, BackendUnavailableError):
            raise
        raise BackendUnavailableError(backend, reason) from error


def _reason(error: Exception) -> str:
    """Return the reason in one line."""
    if isinstance(error, BackendUnavailableError):
        return error.reason
    if isinstance(error, S2M2Error):
        return str(error)
    first_line = next(iter(str(error).strip().splitlines()), '')
    return f'{type(error).__name__}: {first_line}'
