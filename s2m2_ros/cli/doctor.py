"""`s2m2 doctor`: check the installation, and say what to mend."""

from __future__ import annotations

import argparse

SUMMARY = 'check ROS, DDS, torch, CUDA and the checkpoints, and say what to mend'

MARKS = ('ok', 'note', 'POOR', 'BROKEN')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare nothing: there is nothing to choose."""


def run(arguments: argparse.Namespace) -> int:
    """Print every finding; 1 if something does not work at all."""
    from s2m2_ros.doctor import Health, examine

    worst = Health.GOOD
    for finding in examine():
        worst = max(worst, finding.health)
        print(f'{MARKS[finding.health]:6}  {finding.subject}: {finding.fact}')
        if finding.remedy:
            print(f'        -> {finding.remedy}')
    return 1 if worst is Health.BROKEN else 0
