"""Optional packages: whether they are installed, and how to get them."""

from __future__ import annotations

import importlib.util

from s2m2_ros.errors import S2M2Error


class MissingPackageError(S2M2Error):
    """An optional package is not installed; says for what it is needed and how to install it."""


def missing_packages(*names: str) -> str | None:
    """Return what to say of the packages that cannot be imported, or None if all can."""
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if not missing:
        return None
    return f'{" and ".join(missing)} not installed (pip install {" ".join(missing)})'


def require_packages(purpose: str, *names: str) -> None:
    """Raise MissingPackageError, which names `purpose`, if a package cannot be imported."""
    reason = missing_packages(*names)
    if reason is not None:
        raise MissingPackageError(f'{purpose}: {reason}')
