"""`s2m2 process` from Python, by the backend that needs no network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from s2m2_ros.offline.processing import MatcherOptions, Processed, ProcessOptions, Processor

SGBM = MatcherOptions(backend='sgbm')


def processed(
    path: Path | str, output: Path | str, *, again: bool = False, **options: Any
) -> Processed:
    """Process an input with `ProcessOptions` of these values."""
    with Processor(SGBM, ProcessOptions(**options)) as processor:
        return processor.process(path, output, again=again)
