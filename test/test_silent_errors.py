"""doc/depth_errors.md: each way in which depth goes wrong has a test, and the limits are true."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from s2m2_ros.cli.main import main
from s2m2_ros.inference import StereoMatcher
from s2m2_ros.inference.sgbm_options import SgbmOptions, nearest_depth
from support.processes import SOURCE
from support.stereo_scene import PlaneScene

Image = npt.NDArray[np.uint8]

DOCUMENT = SOURCE / 'doc' / 'depth_errors.md'
TESTS = SOURCE / 'test'
# `io/images/test_pfm.py::test_headers`
REFERENCE = re.compile(r'`([\w/]+\.py)::(\w+)`')


def rows(text: str, columns: int) -> list[list[str]]:
    """Return the cells of each row of the tables with so many columns, without their heads."""
    lines = [line for line in text.splitlines() if line.startswith('|')]
    tables = [[cell.strip() for cell in line.strip('|').split('|')] for line in lines]
    heads = {index - 1 for index, cells in enumerate(tables) if set(cells[0]) <= set('-: ')}
    return [
        cells
        for index, cells in enumerate(tables)
        if len(cells) == columns and not heads & {index, index - 1}
    ]


@cache
def functions(path: Path) -> frozenset[str]:
    """Return the names of a file's functions and methods."""
    tree = ast.parse(path.read_text(encoding='utf-8'))
    return frozenset(n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef))


def without_test(text: str) -> list[str]:
    """Return the rows that name no test, and the tests that do not exist."""
    wrong = []
    for trouble, action, tests in rows(text, 3):
        found = REFERENCE.findall(tests)
        if not (trouble and action and found) or tests.count('`') != 2 * len(found):
            wrong.append(trouble)
        for file, name in found:
            path = TESTS / file
            if not (name.startswith('test_') and path.is_file() and name in functions(path)):
                wrong.append(f'{file}::{name}')
    return wrong


def test_every_row_names_a_test_that_exists() -> None:
    text = DOCUMENT.read_text(encoding='utf-8')
    assert len(rows(text, 3)) >= 50
    assert without_test(text) == []


@pytest.mark.parametrize(
    ('row', 'wrong'),
    [
        ('| a | b | `io/images/test_pfm.py::test_headers` |', []),
        ('| a | b | |', ['a']),
        ('| a | b | by hand |', ['a']),
        (
            '| a | b | `io/images/test_pfm.py::test_header` |',
            ['io/images/test_pfm.py::test_header'],
        ),
        ('| a | b | `io/test_pfm.py::test_headers` |', ['io/test_pfm.py::test_headers']),
        ('| a | b | `io/images/test_pfm.py::stored` |', ['io/images/test_pfm.py::stored']),
        ('| a | b | `io/images/test_pfm.py::test_headers`, `later` |', ['a']),
    ],
)
def test_a_row_without_its_test_is_found(row: str, wrong: list[str]) -> None:
    assert without_test(f'| what | action | test |\n| --- | --- | --- |\n{row}\n') == wrong


def test_the_nearest_depths_are_those_of_the_search() -> None:
    table = rows(DOCUMENT.read_text(encoding='utf-8'), 5)
    assert len(table) >= 4
    for cells in table:
        width, largest, focal, baseline, nearest = (float(cell.split()[0]) for cell in cells)
        assert SgbmOptions().max_disparity(int(width)) == pytest.approx(largest)
        assert nearest_depth(focal, baseline, largest) == pytest.approx(nearest, abs=0.005)


def noise(height: int, width: int, seed: int) -> Image:
    values = np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8)
    return np.asarray(cv2.GaussianBlur(values, (0, 0), 1.0), np.uint8)


def test_a_mirror_has_the_depth_of_what_it_shows() -> None:
    """A wall at 24 px with a mirror, in which things appear at 6 px."""
    wall, shown = noise(240, 344, 0), noise(100, 150, 1)
    left, right = wall[:, :320].copy(), wall[:, 24:].copy()
    # The mirror's frame is at 24 px, its content at 6 px.
    left[70:170, 120:220] = shown[:, 30:130]
    right[70:170, 96:196] = shown[:, 12:112]
    result = StereoMatcher.open(backend='sgbm').match(left, right)
    inside = np.s_[80:160, 140:200]
    assert result.disparity[inside].nanmedian() == pytest.approx(6, abs=0.2)
    assert result.confidence[inside].median() > 0.9


@pytest.mark.parametrize('period', [8, 20])
def test_a_pattern_without_an_end_is_off_by_whole_periods(period: int) -> None:
    shift = 40
    stripes = 127 + 100 * np.sin(2 * np.pi * np.arange(320 + shift) / period)
    image = np.repeat(stripes.astype(np.uint8)[None], 240, axis=0)
    left, right = (np.ascontiguousarray(image[:, at : at + 320]) for at in (0, shift))
    result = StereoMatcher.open(backend='sgbm').match(left, right)
    inside = np.s_[20:-20, shift + 20 : -20]
    periods = (shift - result.disparity[inside].nanmedian().item()) / period
    assert periods == pytest.approx(round(periods), abs=0.05)
    assert result.confidence[inside].median() > 0.9


def swapped(left: Image, right: Image) -> tuple[Image, Image]:
    return right, left


def identical(left: Image, right: Image) -> tuple[Image, Image]:
    return left, left


def blank(left: Image, right: Image) -> tuple[Image, Image]:
    return np.zeros_like(left), np.zeros_like(right)


def covered(left: Image, right: Image) -> tuple[Image, Image]:
    return left, np.zeros_like(right)


def higher(left: Image, right: Image) -> tuple[Image, Image]:
    return left, np.roll(right, -6, axis=0)


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (swapped, 'the left and right images are swapped'),
        (identical, 'both images are the same picture'),
        (blank, 'both images are blank'),
        (covered, 'the right image is blank'),
        (higher, 'the views are misaligned vertically'),
    ],
)
def test_match_reports_what_the_node_reports(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    change: Callable[[Image, Image], tuple[Image, Image]],
    words: str,
) -> None:
    left, right = (
        np.asarray(cv2.resize(view, (640, 480)), np.uint8) for view in PlaneScene().images()
    )
    files = [str(tmp_path / name) for name in ('left.png', 'right.png')]
    for file, view in zip(files, change(left, right), strict=True):
        assert cv2.imwrite(file, view)
    output = tmp_path / 'result'
    assert main(['match', *files, '--backend', 'sgbm', '--output', str(output)]) == 0
    assert [m for m in caplog.messages if words in m]
    assert (output / 'disparity.pfm').is_file()
