"""What is found damaged in a file: the log says so once, and whoever asks gets all of it."""

from __future__ import annotations

import logging
from pathlib import Path

_logger = logging.getLogger(__name__)


class DamageLog:
    """Texts about one file; ``is_noted``: there was any."""

    def __init__(self, name: Path, level: int = logging.WARNING) -> None:
        """Take the file's name for people, and the level at which the first text is logged."""
        self._name, self._level = name, level
        self.is_noted = False
        self._texts: list[str] = []

    def add(self, text: str) -> None:
        """Take note of a text that goes on after the file's name."""
        if not self.is_noted:
            self.is_noted = True
            _logger.log(self._level, "'%s' %s", self._name, text)
        self._texts.append(f"'{self._name.name}' {text}")

    def take(self) -> list[str]:
        """Return the texts since the last call."""
        texts, self._texts = self._texts, []
        return texts
