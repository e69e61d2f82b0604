"""The cache never believes a stale or damaged entry."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from s2m2_ros.inference.engines.artifact_cache import ArtifactCache, ArtifactKey

KEY = ArtifactKey(
    kind='onnx',
    checkpoint='ab' * 32,
    batch=1,
    height=64,
    width=96,
    precision='float32',
    refine_iterations=3,
    allow_negative=False,
    device='cpu',
    versions=(('torch', '1'),),
)
CONTENT = b'line\nanother\x00line'


@pytest.fixture
def cache(tmp_path: Path) -> ArtifactCache:
    return ArtifactCache(tmp_path / 'engines')


def entry(tmp_path: Path) -> Path:
    (path,) = (tmp_path / 'engines').iterdir()
    return path


def test_stored_content_comes_back(cache: ArtifactCache, tmp_path: Path) -> None:
    cache.store(KEY, CONTENT)
    assert cache.load(KEY) == CONTENT
    assert entry(tmp_path).name.startswith('onnx-96x64-float32-')


def test_built_once(cache: ArtifactCache) -> None:
    assert cache.load_or_build(KEY, lambda: CONTENT) == CONTENT
    assert cache.load_or_build(KEY, lambda: b'another') == CONTENT


@pytest.mark.parametrize(
    'change',
    [
        {'kind': 'tensorrt'},
        {'checkpoint': 'cd' * 32},
        {'batch': 2},
        {'height': 32},
        {'width': 32},
        {'precision': 'float16'},
        {'refine_iterations': 2},
        {'allow_negative': True},
        {'device': 'H200'},
        {'versions': (('torch', '2'),)},
    ],
)
def test_every_part_of_the_key_counts(cache: ArtifactCache, change: dict[str, object]) -> None:
    cache.store(KEY, CONTENT)
    other = replace(KEY, **change)  # type: ignore[arg-type]
    assert other.filename != KEY.filename
    assert cache.load(other) is None


def test_entry_under_a_wrong_name_is_stale(cache: ArtifactCache, tmp_path: Path) -> None:
    cache.store(KEY, CONTENT)
    other = replace(KEY, device='another GPU')
    entry(tmp_path).rename(tmp_path / 'engines' / other.filename)
    assert cache.load_or_build(other, lambda: b'fresh') == b'fresh'


@pytest.mark.parametrize(
    'damage',
    [
        lambda raw: raw[:-1],
        lambda raw: raw[:20],
        lambda raw: b'',
        lambda raw: raw[:-1] + b'!',
        lambda raw: raw.replace(b'96', b'97', 1),
        lambda raw: b'\x00' * len(raw),
    ],
)
def test_damaged_entry_is_built_again(
    cache: ArtifactCache, tmp_path: Path, damage: object
) -> None:
    cache.store(KEY, CONTENT)
    path = entry(tmp_path)
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    assert cache.load(KEY) is None
    assert cache.load_or_build(KEY, lambda: b'fresh') == b'fresh'
    assert cache.load(KEY) == b'fresh'


def test_unwritable_folder_costs_a_warning_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / 'file').write_bytes(b'')
    cache = ArtifactCache(tmp_path / 'file' / 'engines')
    assert cache.load_or_build(KEY, lambda: CONTENT) == CONTENT
    assert any('cannot keep' in message for message in caplog.messages)


def test_failed_build_leaves_nothing(cache: ArtifactCache, tmp_path: Path) -> None:
    def fail() -> bytes:
        raise RuntimeError('no engine')

    with pytest.raises(RuntimeError, match='no engine'):
        cache.load_or_build(KEY, fail)
    assert not (tmp_path / 'engines').exists()


def test_discarded_entry_is_gone(cache: ArtifactCache) -> None:
    cache.store(KEY, CONTENT)
    cache.discard(KEY)
    cache.discard(KEY)
    assert cache.load(KEY) is None


def test_engines_that_others_can_write_are_not_believed(
    cache: ArtifactCache, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache.store(KEY, CONTENT)
    assert (tmp_path / 'engines').stat().st_mode & 0o777 == 0o700
    (tmp_path / 'engines').chmod(0o777)
    assert cache.load(KEY) is None
    assert 'can be written to by others' in caplog.text
    assert cache.load_or_build(KEY, lambda: b'new') == b'new'
    assert 'cannot keep' in caplog.text
    (tmp_path / 'engines').chmod(0o700)
    assert cache.load(KEY) == CONTENT
