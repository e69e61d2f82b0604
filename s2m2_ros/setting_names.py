"""What settings are called in messages: nodes have parameters, commands have options.

The same code reads images for both of them. Whoever calls it says by which names its own users
know the settings, so that a message never asks for one that they do not have.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class SettingNames:
    """Call it with the name of a node's parameter.

    Attributes:
        as_options: whether settings are options of a command, `--max-depth` for `max_depth`.
        others: settings that are called otherwise; '' for those that cannot be set here.

    """

    as_options: bool = False
    others: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, setting: str) -> str:
        """Return what the setting is called here; empty if there is none."""
        if setting in self.others:
            return self.others[setting]
        return f'--{setting.replace("_", "-")}' if self.as_options else setting


PARAMETERS = SettingNames(
    others={
        'calibration': 'the parameter calibration',
        'pairs': 'recorded_left and recorded_right',
        'shared_topic': 'recorded_left',
    }
)
