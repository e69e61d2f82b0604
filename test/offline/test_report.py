"""The report of a recording: one file that says what was in it."""

from __future__ import annotations

import base64
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from s2m2_ros.offline.processing import MatcherOptions, ProcessOptions, Processor
from s2m2_ros.offline.processing.report_charts import MOST_POINTS, Curve, chart
from support.recorded_pairs import SECOND, Written, write_mcap
from support.stereo_recordings import START, in_order, scene_image, scene_pairs

MISSING = (4, 5)
BLANK = 7


class Page(HTMLParser):
    """Collects elements and text; fails for tags that are not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text, self.sources, self._open = '', list[str](), list[str]()
        self.feed(text)
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.sources += [value or '' for name, value in attrs if name in ('src', 'href')]
        assert tag != 'script'
        if tag not in ('meta', 'img'):
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope='module')
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the report of 12 pairs at 5 Hz, of which two are missing and one is black."""
    folder = tmp_path_factory.mktemp('<b>rig & co')
    written = []
    for item in in_order(scene_pairs(12)):
        number = (item.message.header.stamp.sec * SECOND + item.message.header.stamp.nanosec
                  - START) // (SECOND // 5)  # fmt: skip
        if number in MISSING:
            continue
        if number == BLANK and 'image' in item.topic:
            black = np.zeros((240, 320), np.uint8)
            item.message.data = scene_image(black, 0).data  # type: ignore[attr-defined]
        written.append(item)
    path = write_mcap(folder / '<i>run&.mcap', written)
    options = ProcessOptions(outputs=('depth',), segment_seconds=0.5)
    with Processor(MatcherOptions(backend='sgbm'), options) as processor:
        return processor.process(path, folder / 'out').report.read_text(encoding='utf-8')


def test_it_is_one_page_that_needs_nothing_else(text: str) -> None:
    page = Page(text)
    assert page.sources
    for source in page.sources:
        kind, _, content = source.partition(',')
        assert kind == 'data:image/jpeg;base64'
        image = cv2.imdecode(np.frombuffer(base64.b64decode(content), np.uint8), 1)
        assert image is not None
        assert image.shape == (240, 320, 3)


def test_names_are_escaped(text: str) -> None:
    assert '<i>run' not in text
    assert '&lt;i&gt;run&amp;' in text


def test_rates_and_gaps(text: str) -> None:
    shown = Page(text).text
    assert '5.000 pairs per second' in shown
    # From pair 3 at 100.6 s to pair 6 at 101.2 s.
    assert '1, in which about 2 pairs are missing' in shown
    assert '0.600000000 s without a pair after 100.600000000 s' in shown


def test_times_are_exact_to_the_nanosecond(tmp_path: Path) -> None:
    """A double has steps of 238 ns there."""
    first, written = 1_700_000_000_123_456_789, []
    for item in scene_pairs(3, period_ns=200_000_001):
        stamp = item.message.header.stamp
        exact = stamp.sec * SECOND + stamp.nanosec - START + first
        stamp.sec, stamp.nanosec = divmod(exact, SECOND)
        written.append(Written(item.topic, item.time_ns - START + first, item.message))
    options = ProcessOptions(outputs=('depth',))
    path = write_mcap(tmp_path / 'run.mcap', written)
    with Processor(MatcherOptions(backend='sgbm'), options) as processor:
        page = processor.process(path, tmp_path / 'out').report.read_text(encoding='utf-8')
    shown = Page(page).text
    assert 'first pair1700000000.123456789 s' in shown
    assert 'last pair1700000000.523456791 s' in shown
    assert 'duration0.400000002 s' in shown
    assert 'at 1700000000.123456789 s' in shown


def test_calibration_and_examination(text: str) -> None:
    shown = Page(text).text
    assert '320x240, focal length 240.000 px, baseline 0.10000 m' in shown
    assert 'both images are blank' in shown
    assert 'correct in' in shown


def test_charts_are_svg_with_all_values_inside(text: str) -> None:
    parts = [part.partition('</svg>')[0] for part in text.split('<svg')[1:]]
    assert len(parts) >= 4
    for part in parts:
        ET.fromstring(f'<svg{part}</svg>')  # noqa: S314  # our own


class TestChart:
    def test_the_curve_goes_through_its_points(self) -> None:
        svg = chart([Curve('a', [(0.0, 0.0), (10.0, 1.0)])], unit='m', low=0.0, high=1.0)
        assert 'd="M60.0 150.0L850.0 10.0"' in svg

    def test_unknown_values_leave_a_gap(self) -> None:
        svg = chart([Curve('a', [(0.0, 0.0), (1.0, None), (2.0, 1.0)])], unit='m')
        assert 'd="M60.0 150.0M850.0 10.0"' in svg

    def test_nothing_is_said_to_be_nothing(self) -> None:
        assert 'nothing to draw' in chart([Curve('a', [(0.0, None)])], unit='')

    def test_one_point_and_equal_values(self) -> None:
        assert '<svg' in chart([Curve('a', [(3.0, 5.0)])], unit='')

    def test_a_long_curve_is_thinned_but_keeps_its_peaks(self) -> None:
        points = [(float(n), 0.0) for n in range(100_000)]
        points[54_321] = (54_321.0, 1.0)
        svg = chart([Curve('a', list(points))], unit='', low=0.0, high=1.0)
        assert svg.count('L') < MOST_POINTS * 1.1
        assert ' 10.0L' in svg
