"""Which table of confidence belongs to the weights in a file, wherever they lie."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from s2m2_ros.confidence_files import has_table, read_table_of, table_path
from s2m2_ros.confidence_tables import ConfidenceMeaning, meaning_of
from s2m2_ros.inference.backend import Backend
from s2m2_ros.weights import CHECKPOINTS, checkpoint_path, file_sha256, find_checkpoint

STARTER = 'starter'

_logger = logging.getLogger(__name__)


def counted_meaning(checkpoint: str | Path, backend: Backend) -> ConfidenceMeaning | None:
    """Return what the table beside a checkpoint says, or that of this package for its weights.

    None where there is neither. Raises ConfidenceTableError if the table beside it is damaged, or
    was counted for other weights.
    """
    file = find_checkpoint(checkpoint)
    if not has_table(file):
        return meaning_of(STARTER) if is_starter(file) else None
    path = table_path(file)
    counted = read_table_of(file, weights_sha256(file, getattr(backend, 'description', {})))
    _logger.info('confidence is corrected by %s', path)
    return ConfidenceMeaning(
        str(path), counted.table, sha256=counted.sha256, refined=counted.refined
    )


def is_starter(file: Path) -> bool:
    """Return whether a file holds the weights that come with this package, under any name."""
    starter = CHECKPOINTS[STARTER]
    own = checkpoint_path(starter)
    # Nothing large is read for it.
    same_size = file.stat().st_size == own.stat().st_size
    return file == own or (same_size and file_sha256(file) == starter.sha256_prefix)


def weights_sha256(file: Path, network_description: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a network: of all its files, where it is one of others."""
    return str(network_description.get('sha256', '')) or file_sha256(file)
