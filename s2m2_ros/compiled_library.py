"""The compiled loops in `compiled/`, which `ctypes` loads.

Building the package compiles them. Where that was not possible torch does the work, with the same
results.
"""

from __future__ import annotations

import ctypes
import logging
from pathlib import Path

import s2m2_ros

_logger = logging.getLogger(__name__)


def load(name: str, version: int) -> ctypes.CDLL | None:
    """Return the library `_NAME*.so`; None if it was not built, or from other sources.

    Its function ``NAME_version`` must return this version: an old library beside new sources must
    not be called.
    """
    for file in (file for folder in _folders() for file in sorted(folder.glob(f'_{name}*.so'))):
        try:
            found = ctypes.CDLL(str(file))
            built = getattr(found, f'{name}_version')()
        except (OSError, AttributeError) as error:
            _logger.warning('%s: cannot be used, its work takes longer: %s', file, error)
            continue
        if built == version:
            return found
        _logger.warning('%s: is of another version; build the package again', file)
    return None


def _folders() -> list[Path]:
    """Return where the library may be: beside this file, or in the installation of a workspace.

    The latter matters where Python starts beside the sources and so imports those.
    """
    installed = [Path(folder, 'compiled') for folder in s2m2_ros.__path__]
    return [Path(__file__).with_name('compiled'), *installed]
