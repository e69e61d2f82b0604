"""A folder of things that took long to build: engines, exported models, compiled code.

An entry is one file: a line of JSON that repeats the whole key and the content's SHA-256, then
the content. It is used only if both match, so a stale, truncated or damaged entry is built
again. Files are written beside their place and moved into it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

import s2m2_ros
from s2m2_ros.atomic_files import write_atomically
from s2m2_ros.weights import WeightsError, check_private, private_folder

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ArtifactKey:
    """Everything that an artifact depends on.

    Attributes:
        kind: what it is, e.g. 'onnx'; part of the file's name.
        checkpoint: SHA-256 of the checkpoint's file.
        batch, height, width: of the padded images.
        precision: of convolutions and attention.
        refine_iterations, allow_negative: options that are built in.
        device: name of the device, or of the processor.
        versions: of the libraries involved, by name.

    """

    kind: str
    checkpoint: str
    batch: int
    height: int
    width: int
    precision: str
    refine_iterations: int
    allow_negative: bool
    device: str
    versions: tuple[tuple[str, str], ...]

    @property
    def filename(self) -> str:
        """A readable name that no other key shares."""
        digest = hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()
        return f'{self.kind}-{self.width}x{self.height}-{self.precision}-{digest[:16]}'


def device_name(device: torch.device) -> str:
    """Return the name of a device's model, as engines depend on it."""
    if device.type == 'cuda':
        properties = torch.cuda.get_device_properties(device)
        return f'{properties.name} {properties.major}.{properties.minor}'
    # Compiled code and the choice of kernels depend on the processor's instructions.
    return f'{device.type} {platform.machine()} {torch.backends.cpu.get_cpu_capability()}'


def library_versions(**others: str) -> tuple[tuple[str, str], ...]:
    """Return the versions of this package, torch and `others`, by name."""
    known = {'s2m2_ros': s2m2_ros.__version__, 'torch': torch.__version__, **others}
    return tuple(sorted(known.items()))


class ArtifactCache:
    """The entries in one folder, which need not exist yet."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, key: ArtifactKey) -> bytes | None:
        """Return the content of an intact entry, or None."""
        path = self._folder / key.filename
        if not path.exists():
            return None
        try:
            # An engine is code: it is used only if no other user can write to its folder.
            check_private(self._folder.parent, self._folder)
            header, _, content = path.read_bytes().partition(b'\n')
        except (OSError, WeightsError) as error:
            _logger.warning('cannot read %s (%s): building it again', path, error)
            return None
        if header != _header(key, content):
            _logger.warning('%s is stale or damaged: building it again', path)
            return None
        return content

    def store(self, key: ArtifactKey, content: bytes) -> None:
        """Write an entry; a disk that cannot take it costs a warning only."""
        path = self._folder / key.filename
        try:
            private_folder(self._folder.parent, self._folder.name)
            write_atomically(path, _header(key, content) + b'\n' + content)
        except (OSError, WeightsError) as error:
            _logger.warning('cannot keep %s for the next time: %s', path, error)

    def load_or_build(self, key: ArtifactKey, build: Callable[[], bytes]) -> bytes:
        """Return the content of an entry, built and stored first if there is no intact one."""
        content = self.load(key)
        if content is None:
            _logger.info('building %s, which may take minutes', key.filename)
            content = build()
            self.store(key, content)
        return content

    def discard(self, key: ArtifactKey) -> None:
        """Remove an entry that turned out to be unusable."""
        (self._folder / key.filename).unlink(missing_ok=True)


def _header(key: ArtifactKey, content: bytes) -> bytes:
    fields = {**asdict(key), 'sha256': hashlib.sha256(content).hexdigest()}
    return json.dumps(fields, sort_keys=True).encode()
