"""What can go wrong between the name of a checkpoint and its file."""

from __future__ import annotations

from s2m2_ros.errors import S2M2Error


class WeightsError(S2M2Error):
    """A checkpoint is not known, not here, damaged, or cannot be fetched."""
