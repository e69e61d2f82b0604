"""What the settings that are asked for in messages are called in each command."""

from __future__ import annotations

from s2m2_ros.setting_names import SettingNames

PROCESS_OPTIONS = SettingNames(
    as_options=True,
    others={
        'formats': '--format',
        'pairs': '--pair LEFT RIGHT',
        'shared_topic': '--pair TOPIC TOPIC',
        'right_source': '',
    },
)
MATCH_OPTIONS = SettingNames(as_options=True, others={'right_source': 'RIGHT'})
# Its images are one pair, never both views in one.
CHECK_OPTIONS = SettingNames(as_options=True, others={'right_source': 'RIGHT', 'input_layout': ''})
CLUSTER_OPTIONS = SettingNames(others={'workers': '--ray-workers', 'cores': '--ray-cores'})
