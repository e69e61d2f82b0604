"""The table of confidence that a user has counted for a checkpoint, if there is one."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from s2m2_ros.confidence_files import has_table, read_table, table_path
from s2m2_ros.confidence_tables import ConfidenceMeaning, ConfidenceTableError
from s2m2_ros.inference.backend import Backend
from s2m2_ros.weights import file_sha256, find_checkpoint

_logger = logging.getLogger(__name__)


def counted_meaning(checkpoint: str | Path, backend: Backend) -> ConfidenceMeaning | None:
    """Return what the table beside a checkpoint says; None where there is none.

    Raises ConfidenceTableError if it is damaged, or was counted for other weights.
    """
    file = find_checkpoint(checkpoint)
    if not has_table(file):
        return None
    path = table_path(file)
    counted = read_table(path)
    if counted.weights != weights_sha256(file, getattr(backend, 'description', {})):
        raise ConfidenceTableError(
            f"{path}: counted for other weights than those of '{checkpoint}' are now: delete it, "
            'or count again by `s2m2 weights fit-confidence`'
        )
    _logger.info('confidence is corrected by %s', path)
    return ConfidenceMeaning(
        str(path), counted.table, sha256=counted.sha256, refined=counted.refined
    )


def weights_sha256(file: Path, network_description: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a network: of all its files, where it is one of others."""
    return str(network_description.get('sha256', '')) or file_sha256(file)
