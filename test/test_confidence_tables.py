"""Tables of confidence, and the files beside checkpoints that hold them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2m2_ros.confidence_files import (
    LARGEST_FILE,
    CountedConfidence,
    has_table,
    read_table,
    table_path,
    write_table,
)
from s2m2_ros.confidence_tables import (
    TABLES,
    ConfidenceKind,
    ConfidenceTable,
    ConfidenceTableError,
    RefinedTables,
    meaning_of,
)

WEIGHTS = 'a1' * 32
TABLE = ConfidenceTable((0.2, 0.5, 0.9), (0.1, 0.6, 0.95), (9.0, 2.0, 0.5))
GOOD = """
weights: {weights}
confidence: [0.2, 0.5, 0.9]
likely: [0.1, 0.6, 0.95]
deviation: [9, 2.0, 0.5]
"""
# Each of twelve mappings merges the one before nine times.
HOSTILE_MERGES = 'k0: &k0 {a: 1}\n' + ''.join(
    f'k{n}: &k{n} {{<<: [{", ".join([f"*k{n - 1}"] * 9)}]}}\n' for n in range(1, 12)
)


def test_every_other_network_is_uncounted_and_as_uncertain_as_starter() -> None:
    assert {name: meaning_of(name).kind for name in ('starter', 'sgbm', 'left_right_check')} == {
        'starter': ConfidenceKind.COUNTED,
        'sgbm': ConfidenceKind.CALIBRATED,
        'left_right_check': ConfidenceKind.COUNTED,
    }
    for name in ('S', 'mine', '/a/b.pth', ''):
        assert meaning_of(name).kind is ConfidenceKind.UNCOUNTED
        assert meaning_of(name).table == TABLES['starter']


@pytest.mark.parametrize(
    ('columns', 'words'),
    [
        (((0.2, 0.5), (0.1, 0.6), (9.0, 2.0)), '3 to 64'),
        (((0.2, 0.5, 0.9), (0.1, 0.6), (9.0, 2.0, 0.5)), 'as many numbers each'),
        (((0.2, 0.2, 0.9), (0.1, 0.6, 0.9), (9.0, 2.0, 0.5)), "'confidence' must rise"),
        (((0.0, 0.5, 0.9), (0.1, 0.6, 0.9), (9.0, 2.0, 0.5)), 'above 0'),
        (((0.2, 0.5, 1.1), (0.1, 0.6, 0.9), (9.0, 2.0, 0.5)), '1 at most'),
        (((0.2, 0.5, 0.9), (0.7, 0.6, 0.9), (9.0, 2.0, 0.5)), "'likely' .* do not fall"),
        (((0.2, 0.5, 0.9), (-0.1, 0.6, 0.9), (9.0, 2.0, 0.5)), "'likely' .* 0 to 1"),
        (((0.2, 0.5, 0.9), (0.1, 0.6, 0.9), (9.0, 2.0, 0.0)), "'deviation' .* above 0"),
        (((0.2, 0.5, 0.9), (0.1, 0.6, 0.9), (2.0, 9.0, 0.5)), "'deviation' .* do not rise"),
        (((0.2, 0.5, 0.9), (0.1, 0.6, 0.9), (float('nan'), 2.0, 0.5)), "'deviation'"),
        (((0.2, 0.5, 0.9), (0.1, 0.6, 0.9), (float('inf'), 2.0, 0.5)), "'deviation'"),
        (((0.2, float('nan'), 0.9), (0.1, 0.6, 0.9), (9.0, 2.0, 0.5)), "'confidence'"),
    ],
)
def test_what_no_count_can_give_is_refused(
    columns: tuple[tuple[float, ...], ...], words: str
) -> None:
    with pytest.raises(ConfidenceTableError, match=words):
        ConfidenceTable(*columns)


@pytest.mark.parametrize(
    ('checkpoint', 'table'),
    [
        ('runs/best.pth', 'runs/best.pth.confidence.yaml'),
        ('v1.2.safetensors', 'v1.2.safetensors.confidence.yaml'),
        ('net.onnx', 'net.onnx.confidence.yaml'),
    ],
)
def test_where_the_table_of_a_checkpoint_belongs(checkpoint: str, table: str) -> None:
    assert table_path(Path(checkpoint)) == Path(table)


@given(st.lists(st.floats(1e-3, 1), min_size=3, max_size=64, unique=True))
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, values: list[float]
) -> None:
    rising = tuple(sorted(values))
    table = ConfidenceTable(rising, rising, tuple(10 * value for value in rising[::-1]))
    path = tmp_path_factory.mktemp('tables') / 'net.pth.confidence.yaml'
    refined = RefinedTables(table, TABLE, table)
    counted = CountedConfidence(table, WEIGHTS, ('Szenen: 12 "é"', '# x'), refined)
    write_table(path, counted)
    found = read_table(path)
    assert found.table == table
    assert found.weights == WEIGHTS
    assert found.counted_on == ('Szenen: 12 "é"', '# x')
    assert found.refined == refined


def test_a_file_of_a_person(tmp_path: Path) -> None:
    path = tmp_path / 'net.pth.confidence.yaml'
    path.write_text('\ufeff# mine' + GOOD.format(weights=WEIGHTS))
    assert read_table(path).table == TABLE
    assert read_table(path).counted_on == ()
    assert has_table(tmp_path / 'net.pth')
    assert not has_table(tmp_path / 'other.pth')


@pytest.mark.parametrize(
    ('text', 'words'),
    [
        ('', 'must hold weights, confidence'),
        ('[1, 2]', 'must hold weights, confidence'),
        ('confidence: [', 'no readable YAML'),
        ('[' * 60_000, 'far more than tables|no readable YAML'),
        ('a: ' + '9' * 5000, "unknown key 'a'"),
        ('a: !!bool zz', "unknown key 'a'"),
        ('weights: !!int ""', "'confidence' must be"),
        ('confidence: !!timestamp x', "'confidence' must be a list"),
        ('confidence: !!python/object:os.system [x]', "'confidence' must be a list"),
        (HOSTILE_MERGES, r'aliases \(\*\) are not read'),
        ('a: &a [1]\nb: [*a, *a]', r'aliases \(\*\) are not read'),
        (GOOD.format(weights=WEIGHTS) + 'confidence: [0.5]', "'confidence' is there twice"),
        (
            'refined:\n  confirmed: {a: [1], a: [2]}',
            "line 2: 'refined.confirmed.a' is there twice",
        ),
        (GOOD.format(weights=WEIGHTS) + 'deviatoin: 3', "unknown key 'deviatoin'"),
        (GOOD.format(weights='abc'), "'weights' must be the SHA-256"),
        (GOOD.format(weights=7), "'weights' must be the SHA-256"),
        (GOOD.format(weights='[a]'), "'weights' must be the SHA-256"),
        ('weights: ' + WEIGHTS, "'confidence' must be a list of numbers"),
        (GOOD.format(weights=WEIGHTS).replace('0.95]', 'yes]'), "'likely' must be a list of"),
        (GOOD.format(weights=WEIGHTS).replace('9,', '9' * 400 + ','), "'deviation' .* above 0"),
        (GOOD.format(weights=WEIGHTS).replace('0.2, 0.5', '0.5, 0.2'), "'confidence' must rise"),
        (GOOD.format(weights=WEIGHTS) + 'refined: 3', "'refined' must hold confirmed"),
        (GOOD.format(weights=WEIGHTS) + 'refined: {sure: 1}', "'refined' has an unknown key"),
        (GOOD.format(weights=WEIGHTS) + 'refined: {}', "'refined.confirmed' must hold conf"),
        (GOOD.format(weights=WEIGHTS) + 'counted_on: 3', "'counted_on' must be a list of texts"),
    ],
)
def test_a_damaged_file_is_named_with_what_to_do(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / 'net.pth.confidence.yaml'
    path.write_text(text)
    with pytest.raises(ConfidenceTableError, match=f'{path}: .*({words})') as caught:
        read_table(path)
    assert 's2m2 weights fit-confidence' in str(caught.value)


def test_what_is_no_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / 'net.pth.confidence.yaml'
    path.mkdir()
    with pytest.raises(ConfidenceTableError, match=r'[Dd]irectory|folder'):
        read_table(path)
    path.rmdir()
    os.mkfifo(path)
    with pytest.raises(ConfidenceTableError, match='not a regular file'):
        read_table(path)
    path.unlink()
    path.write_bytes(b'#' * (LARGEST_FILE + 1))
    with pytest.raises(ConfidenceTableError, match='more than'):
        read_table(path)
    path.write_bytes(b'\xff\xfe\x00')
    with pytest.raises(ConfidenceTableError, match='no readable YAML'):
        read_table(path)
    path.unlink()
    # A link to nothing is a table that cannot be read, not one that is not there.
    path.symlink_to(tmp_path / 'gone')
    assert has_table(tmp_path / 'net.pth')
    with pytest.raises(ConfidenceTableError, match='cannot be read'):
        read_table(path)
