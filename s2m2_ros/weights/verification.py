"""Detecting damaged and foreign checkpoint files."""

from __future__ import annotations

import hashlib
from pathlib import Path

from s2m2_ros.weights.errors import WeightsError
from s2m2_ros.weights.registry import Checkpoint


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal; WeightsError if it cannot be read."""
    # hashlib.file_digest is of Python 3.11; 3.10 is supported too.
    digest = hashlib.sha256()
    try:
        with path.open('rb') as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise WeightsError(f"'{path}' cannot be read ({error.strerror})") from error
    return digest.hexdigest()


def is_intact(checkpoint: Checkpoint, path: Path) -> bool:
    """Return whether a file is what is published, as far as its SHA-256 is known."""
    return file_sha256(path).startswith(checkpoint.sha256_prefix)
