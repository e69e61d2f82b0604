"""Descriptions of published networks, found by the names of their files."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from s2m2_ros.weights.other_networks.description import NetworkDescription


@dataclass(frozen=True)
class ReadyMade:
    """A published network whose ONNX files need no YAML.

    Attributes:
        name: short, as `s2m2 weights list` shows it.
        pattern: of the names of its files, without folder and suffix, in lower case.
        description: its conventions.
        how: where to get it, in a sentence.

    """

    name: str
    pattern: re.Pattern[str]
    description: NetworkDescription
    how: str

    def fits(self, inputs: Collection[str], outputs: Collection[str]) -> bool:
        """Return whether a file has the inputs and outputs of this network."""
        description = self.description
        wanted = {description.left, description.right}
        return set(inputs) == wanted and description.disparity in outputs


def _lite_any_stereo(size: str) -> ReadyMade:
    return ReadyMade(
        name=f'LAS2-{size}',
        pattern=re.compile(
            rf'(?:las[-_ ]?(?:v[-_ ]?)?2|lite[-_ ]?any[-_ ]?stereo[-_ ]?v?[-_ ]?2)[-_ ]?{size}'
            rf'(?![a-z])'.lower()
        ),
        description=NetworkDescription(
            name=f'LiteAnyStereo V2 {size}',
            license='MIT',
            source="the LiteAnyStereo project, exported by that project's own script",
            left='left',
            right='right',
            channels='rgb',
            range=(0.0, 255.0),
            disparity='disparity',
            largest=192.0,
        ),
        how='export it with the script of the LiteAnyStereo project (V2)',
    )


READY_MADE = {network.name: network for network in map(_lite_any_stereo, ('S', 'M', 'L', 'H'))}


def ready_made(stem: str) -> ReadyMade | None:
    """Return the published network that a file is named after, or None; `stem` has no suffix."""
    found = [network for network in READY_MADE.values() if network.pattern.search(stem.lower())]
    return found[0] if len(found) == 1 else None
