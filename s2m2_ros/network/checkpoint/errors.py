"""What can be wrong with the weights of a network."""

from __future__ import annotations

from s2m2_ros.errors import S2M2Error


class CheckpointError(S2M2Error):
    """A file is not the weights of an S2M2 network; the message names it and what is wrong."""
