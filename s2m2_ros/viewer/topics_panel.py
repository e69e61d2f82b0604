"""The part of the page beside a live cloud: an image, rates of topics, what nodes report."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from s2m2_ros.text_safety import safe_text
from s2m2_ros.viewer.page_server import PageServer

NO_IMAGE = 'none'
TABLE_STYLE = 'width:100%; font-size:0.8em; border-collapse:collapse; overflow-wrap:anywhere'
CELL_STYLE = 'padding:0.2em 0.8em 0.2em 0.8em; vertical-align:top'
# What is drawn first, until an image comes.
BLANK = np.zeros((1, 1, 3), np.uint8)


@dataclass(frozen=True)
class Row:
    """A line of a table: cells of any text, and the color of the first one, if it has any."""

    cells: Sequence[str]
    color: str = ''


class TopicsPanel:
    """Shows what others give it; texts come from peers and are escaped here."""

    def __init__(self, page: PageServer) -> None:
        """Add the controls to a page."""
        gui = page.viser.gui
        with gui.add_folder('Image'):
            self._choice = gui.add_dropdown('Topic', [NO_IMAGE])
            self._image = gui.add_image(BLANK, visible=False)
        with gui.add_folder('Topics'):
            self._topics = gui.add_html('')
        with gui.add_folder('Node'):
            self._node = gui.add_html('')

    @property
    def image_topic(self) -> str | None:
        """The topic of the image to be shown; None for no image."""
        chosen = str(self._choice.value)
        return None if chosen == NO_IMAGE else chosen

    def offer_images(self, topics: Iterable[str], preferred: str = '') -> None:
        """Let the user choose among these topics; `preferred` is chosen when it first appears."""
        options = [NO_IMAGE, *sorted(topics)]
        if options == list(self._choice.options):
            return
        is_new = preferred in options and preferred not in self._choice.options
        chosen = preferred if is_new else self._choice.value
        self._choice.options = options
        self._choice.value = chosen if chosen in options else NO_IMAGE

    def show_image(self, picture: np.ndarray | None) -> None:
        """Show RGB, uint8 (H, W, 3), or nothing."""
        if picture is not None:
            self._image.image = picture
        self._image.visible = picture is not None

    def show_topics(self, rows: Iterable[Row]) -> None:
        """Show the topics with their rates."""
        _update(self._topics, _table(rows))

    def show_node(self, rows: Iterable[Row]) -> None:
        """Show what nodes report."""
        _update(self._node, _table(rows))

    def on_choice(self, changed: Callable[[], None]) -> None:
        """Call this, in a thread of its own, when the user chooses another image."""
        self._choice.on_update(lambda _: changed())


def _update(element: Any, content: str) -> None:
    if element.content != content:
        element.content = content


def _table(rows: Iterable[Row]) -> str:
    lines = ''.join(_line(row) for row in rows)
    return f'<table style="{TABLE_STYLE}">{lines}</table>'


def _line(row: Row) -> str:
    cells = []
    for index, text in enumerate(row.cells):
        color = f'; color:{row.color}' if row.color and index == 0 else ''
        content = html.escape(safe_text(text))
        cells.append(f'<td style="{CELL_STYLE}{color}">{content}</td>')
    return f'<tr>{"".join(cells)}</tr>'
