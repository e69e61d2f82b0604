"""What is played in the tests of the demo."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.demo_room import write_room


@pytest.fixture(scope='session')
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one small pair and its calibration."""
    folder = tmp_path_factory.mktemp('room')
    write_room(folder)
    return folder
