"""Downloads from servers that cut connections, lie about lengths and serve garbage."""

from __future__ import annotations

import fcntl
import hashlib
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from s2m2_ros.weights import Checkpoint, WeightsError, checkpoint_path, download

Serving = Callable[..., AbstractContextManager[Any]]
Reply = dict[str, Any]

CONTENT = bytes(range(256)) * 4000  # 1 024 000 bytes


def checkpoint(address: str, content: bytes = CONTENT) -> Checkpoint:
    return Checkpoint(
        name='T',
        variant='S',
        filename='t.pth',
        address=address,
        licence='CC BY-NC 4.0',
        parameters=len(content) // 4,
        sha256_prefix=hashlib.sha256(content).hexdigest()[:12],
    )


def fetch(serving: Serving, tmp_path: Path, *replies: Reply) -> tuple[Path, list[str | None]]:
    with serving(*replies) as script:
        path = download(checkpoint(script.address), folder=tmp_path, retry_delay=0)
    return path, script.ranges


def assert_nothing_in_place(tmp_path: Path) -> None:
    assert not (tmp_path / 'weights' / 't.pth').exists()


def test_plain_download_lands_in_place_and_reports_progress(
    serving: Serving, tmp_path: Path
) -> None:
    seen: list[tuple[int, int]] = []
    with serving({'content': CONTENT}) as script:
        entry = checkpoint(script.address)
        path = download(entry, folder=tmp_path, progress=lambda *args: seen.append(args))
    assert path == checkpoint_path(entry, folder=tmp_path)
    assert path.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert [p.name for p in path.parent.iterdir()] == ['t.pth']


def test_present_file_is_not_fetched_again(serving: Serving, tmp_path: Path) -> None:
    path, _ = fetch(serving, tmp_path, {'content': CONTENT})
    again, ranges = fetch(serving, tmp_path, {'status': 500})
    assert (again, ranges) == (path, [])


def test_damaged_present_file_is_fetched_again(serving: Serving, tmp_path: Path) -> None:
    path, _ = fetch(serving, tmp_path, {'content': CONTENT})
    path.write_bytes(b'damaged')
    fetch(serving, tmp_path, {'content': CONTENT})
    assert path.read_bytes() == CONTENT


def test_cut_connection_is_resumed_where_it_broke(serving: Serving, tmp_path: Path) -> None:
    path, ranges = fetch(
        serving, tmp_path, {'content': CONTENT, 'cut_after': 300_000}, {'content': CONTENT}
    )
    assert path.read_bytes() == CONTENT
    assert ranges == [None, 'bytes=300000-']


def test_later_call_resumes_what_an_earlier_one_left(serving: Serving, tmp_path: Path) -> None:
    partial = tmp_path / 'weights' / 't.pth.part'
    partial.parent.mkdir()
    partial.write_bytes(CONTENT[:1000])
    path, ranges = fetch(serving, tmp_path, {'content': CONTENT})
    assert path.read_bytes() == CONTENT
    assert ranges == ['bytes=1000-']


def test_server_without_ranges_starts_afresh(serving: Serving, tmp_path: Path) -> None:
    replies = {'content': CONTENT, 'cut_after': 300_000}, {'content': CONTENT, 'ranges': False}
    path, _ = fetch(serving, tmp_path, *replies)
    assert path.read_bytes() == CONTENT


def test_stale_partial_of_another_file_is_thrown_away(serving: Serving, tmp_path: Path) -> None:
    partial = tmp_path / 'weights' / 't.pth.part'
    partial.parent.mkdir()
    partial.write_bytes(b'x' * 1000)
    path, ranges = fetch(serving, tmp_path, {'content': CONTENT})
    assert path.read_bytes() == CONTENT
    assert ranges == ['bytes=1000-', None]


def test_partial_longer_than_the_file_is_thrown_away(serving: Serving, tmp_path: Path) -> None:
    partial = tmp_path / 'weights' / 't.pth.part'
    partial.parent.mkdir()
    partial.write_bytes(b'x' * (len(CONTENT) + 5))
    path, _ = fetch(serving, tmp_path, {'content': CONTENT})
    assert path.read_bytes() == CONTENT


def test_transient_error_is_tried_again(serving: Serving, tmp_path: Path) -> None:
    path, _ = fetch(serving, tmp_path, {'status': 503}, {'status': 500}, {'content': CONTENT})
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize(
    'replies',
    [
        pytest.param(({'content': b'<html>sign in</html>'},), id='garbage'),
        pytest.param(({'content': CONTENT, 'declared': 1000},), id='length too short'),
        pytest.param(({'content': CONTENT[:-1] + b'!'},), id='one wrong byte'),
        pytest.param(({'content': b''},), id='empty'),
        pytest.param(({'status': 404},), id='not found'),
        pytest.param(({'status': 503},), id='never recovers'),
        pytest.param(({'content': CONTENT, 'cut_after': 0},), id='never sends a byte'),
        pytest.param(({'content': CONTENT, 'declared': 10**12},), id='length absurd'),
        pytest.param(({'content': CONTENT * 4},), id='far too long'),
        pytest.param(
            ({'content': CONTENT, 'cut_after': 9}, {'content': CONTENT, 'starts_at': 500}),
            id='another part',
        ),
    ],
)
def test_hostile_server_leaves_nothing_in_place(
    serving: Serving, tmp_path: Path, replies: tuple[Reply, ...]
) -> None:
    with serving(*replies) as script:
        entry = checkpoint(script.address)
        with pytest.raises(WeightsError) as caught:
            download(entry, folder=tmp_path, retry_delay=0)
    assert script.address in str(caught.value)
    assert str(checkpoint_path(entry, folder=tmp_path)) in str(caught.value)
    assert_nothing_in_place(tmp_path)


def test_offline_says_where_to_get_it_by_hand(tmp_path: Path) -> None:
    with socket.create_server(('127.0.0.1', 0)) as closed:
        port = closed.getsockname()[1]
    address = f'http://127.0.0.1:{port}/file'
    with pytest.raises(WeightsError, match=f'by hand, save {address} as'):
        download(checkpoint(address), folder=tmp_path, retry_delay=0)
    assert_nothing_in_place(tmp_path)


def test_two_downloads_at_once_are_refused(tmp_path: Path) -> None:
    partial = tmp_path / 'weights' / 't.pth.part'
    partial.parent.mkdir()
    with partial.open('ab') as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(WeightsError, match='another process'):
            download(checkpoint('http://127.0.0.1:1/'), folder=tmp_path)


def test_other_schemes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match='not a web address'):
        download(checkpoint('file:///etc/passwd'), folder=tmp_path, retry_delay=0)


def test_bundled_checkpoint_is_not_downloaded(tmp_path: Path) -> None:
    entry = Checkpoint('B', 'XS', 'b.safetensors', None, 'Apache-2.0', 0, '')
    with pytest.raises(WeightsError, match='comes with s2m2_ros'):
        download(entry, folder=tmp_path)
