"""Downloads from servers that cut connections, lie about lengths and serve garbage."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import http.client
import io
import os
import socket
import stat
import time
import urllib.request
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from s2m2_ros.weights import Checkpoint, WeightsError, checkpoint_path, download
from s2m2_ros.weights.download import HttpsStaysHttps

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
        pytest.param(({'raw': b''},), id='no answer'),
        pytest.param(({'raw': b'hello\r\n\r\n'},), id='no HTTP'),
        pytest.param(({'raw': b'HTTP/1.1 200 OK\r\n' + b'a: b\r\n' * 200},), id='many headers'),
        pytest.param(({'raw': b'HTTP/1.1 999999999999 OK\r\n\r\n'},), id='absurd status'),
        pytest.param(
            ({'raw': b'HTTP/1.1 200 OK\r\nContent-Length: ' + b'9' * 9000 + b'\r\n\r\n'},),
            id='length of 9000 digits',
        ),
        pytest.param(
            ({'raw': b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n'},),
            id='chunks of nonsense',
        ),
        pytest.param(
            (
                {'content': CONTENT, 'cut_after': 9},
                {'raw': b'HTTP/1.1 206 OK\r\nContent-Range: bytes ' + b'9' * 9000 + b'-\r\n\r\n'},
            ),
            id='range of 9000 digits',
        ),
        pytest.param(({'location': ''},), id='redirection to itself'),
        pytest.param(({'location': 'file:///etc/passwd'},), id='redirection to a file'),
        pytest.param(({'location': 'ftp://127.0.0.1/x'},), id='redirection to ftp'),
        pytest.param(({'location': 'http://[::1'},), id='redirection to nonsense'),
        pytest.param(({'raw': b'HTTP/1.1 302 \r\nLocation: \xff\xfe\r\n\r\n'},), id='no text'),
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
    assert '\n' not in str(caught.value)
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


def test_a_server_that_drips_is_given_up(serving: Serving, tmp_path: Path) -> None:
    with serving({'content': CONTENT, 'cut_after': 1}) as script:
        entry = checkpoint(script.address)
        with pytest.raises(WeightsError, match='connection closed'):
            download(entry, folder=tmp_path, retry_delay=0)
    # A byte a request is no progress: five failures in a row are the end.
    assert len(script.ranges) == 5


def test_every_repetition_waits_longer(
    serving: Serving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(time, 'sleep', pauses.append)
    with serving({'content': CONTENT, 'cut_after': 1}) as script, pytest.raises(WeightsError):
        download(checkpoint(script.address), folder=tmp_path, retry_delay=1)
    assert pauses == [1, 2, 4, 8]


def test_a_pause_follows_progress_too(
    serving: Serving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(time, 'sleep', pauses.append)
    content = CONTENT * 3
    replies = ({'content': content, 'cut_after': 2_000_000}, {'content': content})
    with serving(*replies) as script:
        entry = checkpoint(script.address, content)
        assert download(entry, folder=tmp_path, retry_delay=1).read_bytes() == content
    assert pauses == [1]


def test_the_whole_download_has_a_time_limit(serving: Serving, tmp_path: Path) -> None:
    with serving({'content': CONTENT}) as script:
        entry = checkpoint(script.address)
        with pytest.raises(WeightsError, match='takes too long; what was received is kept'):
            download(entry, folder=tmp_path, time_limit=0)


def test_https_never_becomes_http() -> None:
    handler = HttpsStaysHttps()
    request = urllib.request.Request('https://example.org/a')
    headers = http.client.HTTPMessage()

    def redirect(address: str) -> urllib.request.Request | None:
        return handler.redirect_request(request, io.BytesIO(), 302, 'Found', headers, address)

    with pytest.raises(WeightsError, match=r'insecure address: http://example\.org/b'):
        redirect('http://example.org/b')
    followed = redirect('https://example.org/b')
    assert followed is not None
    assert followed.full_url == 'https://example.org/b'


def test_redirections_are_followed(serving: Serving, tmp_path: Path) -> None:
    with serving({'content': CONTENT}) as target, serving({'location': target.address}) as script:
        path = download(checkpoint(script.address), folder=tmp_path, retry_delay=0)
    assert path.read_bytes() == CONTENT


class TestDisk:
    def refused(self, serving: Serving, tmp_path: Path) -> str:
        with serving({'content': CONTENT}) as script, pytest.raises(WeightsError) as caught:
            download(checkpoint(script.address), folder=tmp_path, retry_delay=0)
        return str(caught.value)

    def test_a_planted_link_is_not_written_to(self, serving: Serving, tmp_path: Path) -> None:
        victim = tmp_path / 'victim'
        victim.write_text('mine')
        (tmp_path / 'weights').mkdir()
        (tmp_path / 'weights' / 't.pth.part').symlink_to(victim)
        assert 'is a link' in self.refused(serving, tmp_path)
        assert victim.read_text() == 'mine'

    def test_a_second_name_of_a_file_is_not_written_to(
        self, serving: Serving, tmp_path: Path
    ) -> None:
        victim = tmp_path / 'victim'
        victim.write_text('mine')
        (tmp_path / 'weights').mkdir()
        (tmp_path / 'weights' / 't.pth.part').hardlink_to(victim)
        assert 'not a partial file' in self.refused(serving, tmp_path)
        assert victim.read_text() == 'mine'

    def test_a_fifo_is_not_waited_for(self, serving: Serving, tmp_path: Path) -> None:
        (tmp_path / 'weights').mkdir()
        os.mkfifo(tmp_path / 'weights' / 't.pth.part')
        assert 'not a partial file' in self.refused(serving, tmp_path)

    @pytest.mark.parametrize('name', ['t.pth.part', 't.pth'])
    def test_a_folder_in_the_way(self, serving: Serving, tmp_path: Path, name: str) -> None:
        (tmp_path / 'weights' / name).mkdir(parents=True)
        assert 'directory' in self.refused(serving, tmp_path)

    def test_a_file_where_the_folder_belongs(self, serving: Serving, tmp_path: Path) -> None:
        (tmp_path / 'weights').write_text('')
        assert 'cannot be made' in self.refused(serving, tmp_path)

    def test_a_full_disk(
        self, serving: Serving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: object) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with serving({'content': CONTENT}) as script:
            monkeypatch.setattr('s2m2_ros.weights.partial_file.os.write', full)
            with pytest.raises(WeightsError, match='No space left on device') as caught:
                download(checkpoint(script.address), folder=tmp_path, retry_delay=0)
        assert 't.pth.part' in str(caught.value)
        assert len(script.ranges) == 1
        assert_nothing_in_place(tmp_path)

    def test_what_is_made_is_private(self, serving: Serving, tmp_path: Path) -> None:
        umask = os.umask(0)
        try:
            path, _ = fetch(serving, tmp_path / 'cache', {'content': CONTENT})
        finally:
            os.umask(umask)
        modes = [stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / 'cache', path.parent, path)]
        assert modes == [0o700, 0o700, 0o600]

    def test_a_folder_that_others_can_write_to(self, serving: Serving, tmp_path: Path) -> None:
        (tmp_path / 'weights').mkdir()
        (tmp_path / 'weights').chmod(0o775)
        refusal = self.refused(serving, tmp_path)
        assert 'can be written to by others' in refusal
        assert f"chmod 700 '{tmp_path / 'weights'}'" in refusal
