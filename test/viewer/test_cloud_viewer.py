"""The page with the cloud: who may open it, what it shows, and that nothing leaves the machine."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import numpy as np
import pytest
import viser
import viser._viser
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from s2m2_ros.errors import S2M2Error
from s2m2_ros.io.images.image_files import write_ply
from s2m2_ros.viewer import request_guard
from s2m2_ros.viewer.cloud_viewer import CloudViewer

POINTS = np.array([[0, 0, 1, 0], [1, 0, 2, 0]], np.float32)
PATIENCE = 60.0
FORBIDDEN = 403
CAMERA = {
    'type': 'ViewerCameraMessage',
    'wxyz': (1.0, 0.0, 0.0, 0.0),
    'position': (0.0, 0.0, 0.0),
    'fov': 1.0,
    'near': 0.1,
    'far': 10.0,
    'image_height': 10,
    'image_width': 10,
    'look_at': (0.0, 0.0, 1.0),
    'up_direction': (0.0, -1.0, 0.0),
}


@pytest.fixture
def viewer(tmp_path: Path) -> Iterator[CloudViewer]:
    write_ply(tmp_path / 'cloud.ply', POINTS)
    with CloudViewer(tmp_path / 'cloud.ply', port=0) as opened:
        yield opened


def port(viewer: CloudViewer) -> int:
    found = urlsplit(viewer.address).port
    assert found
    return found


def path(viewer: CloudViewer) -> str:
    return urlsplit(viewer.address).path


def get(viewer: CloudViewer, path: str, headers: dict[str, str]) -> http.client.HTTPResponse:
    """Send one request with exactly these headers besides the request line."""
    connection = http.client.HTTPConnection('127.0.0.1', port(viewer), timeout=PATIENCE)
    connection.putrequest('GET', path, skip_host=True)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    return connection.getresponse()


def open_socket(
    viewer: CloudViewer, path: str, *, host: str = '', origin: str | None = None
) -> ClientConnection:
    """Open a WebSocket as the page does: its own address without the last slash."""
    # The name is what the browser was told; the connection goes to this machine either way.
    address = f'ws://{host or f"127.0.0.1:{port(viewer)}"}{path}'
    connection = socket.create_connection(('127.0.0.1', port(viewer)), timeout=PATIENCE)
    try:
        return connect(
            address,
            sock=connection,
            subprotocols=[f'viser-v{viser.__version__}'],  # type: ignore[list-item]
            origin=origin,  # type: ignore[arg-type]
            open_timeout=PATIENCE,
            max_size=None,
            compression=None,
        )
    except InvalidStatus:
        # Left open, it would be waited for when the server stops.
        connection.close()
        raise


@pytest.mark.parametrize('name', ['127.0.0.1', 'localhost', '[::1]'])
def test_the_page_opens_under_every_name_of_this_machine(viewer: CloudViewer, name: str) -> None:
    # Another port than the server's: an SSH tunnel.
    for host in (name, f'{name}:{port(viewer)}', f'{name}:9000'):
        answer = get(viewer, path(viewer), {'Host': host, 'Origin': f'http://{host}'})
        assert answer.status == 200
        assert b'<html' in answer.read(2000).lower()
        assert answer.headers['Referrer-Policy'] == 'no-referrer'
        assert answer.headers['X-Frame-Options'] == 'DENY'


@pytest.mark.parametrize(
    'host',
    ['robot.example', 'evil.example:8080', '127.0.0.1.evil.example', 'localhost.', ''],
)
def test_other_hosts_are_refused(viewer: CloudViewer, host: str) -> None:
    # A page whose own name was made to point here ("DNS rebinding") even has the right origin.
    answer = get(viewer, path(viewer), {'Host': host, 'Origin': f'http://{host}'})
    assert answer.status == FORBIDDEN
    answer.close()
    with pytest.raises(InvalidStatus) as refused:
        open_socket(viewer, path(viewer).rstrip('/'), host=host or 'evil.example')
    assert refused.value.response.status_code == FORBIDDEN


@pytest.mark.parametrize(
    'origin',
    ['http://evil.example', 'https://127.0.0.1:{port}', 'http://127.0.0.1:1', 'null', ''],
)
def test_other_origins_are_refused(viewer: CloudViewer, origin: str) -> None:
    origin = origin.format(port=port(viewer))
    host = f'127.0.0.1:{port(viewer)}'
    answer = get(viewer, path(viewer), {'Host': host, 'Origin': origin})
    assert answer.status == FORBIDDEN
    answer.close()
    with pytest.raises(InvalidStatus) as refused:
        open_socket(viewer, path(viewer).rstrip('/'), origin=origin or 'null')
    assert refused.value.response.status_code == FORBIDDEN


def test_without_the_token_neither_page_nor_cloud(viewer: CloudViewer) -> None:
    token = path(viewer).strip('/')
    host = f'127.0.0.1:{port(viewer)}'
    for wrong in ('/', '/index.html', f'/{token[:-1]}/', f'/x/{token}/', f'/?{token}', '//', '*'):
        answer = get(viewer, wrong, {'Host': host})
        assert answer.status == FORBIDDEN, wrong
        assert token.encode() not in answer.read()
        if wrong != '*':
            with pytest.raises(InvalidStatus) as refused:
                open_socket(viewer, wrong, origin=f'http://{host}')
            assert refused.value.response.status_code == FORBIDDEN


def test_an_address_that_is_no_ascii_is_refused_like_others(
    viewer: CloudViewer, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_connection(('127.0.0.1', port(viewer)), timeout=10) as connection:
        host = f'127.0.0.1:{port(viewer)}'.encode()
        connection.sendall(b'GET /\xff\xfe HTTP/1.1\r\nHost: ' + host + b'\r\n\r\n')
        assert connection.recv(64).startswith(b'HTTP/1.1 403')
    assert not caplog.text


def test_every_viewer_has_a_token_of_its_own_that_cannot_be_guessed(tmp_path: Path) -> None:
    write_ply(tmp_path / 'cloud.ply', POINTS)
    tokens = set()
    for _ in range(2):
        with CloudViewer(tmp_path / 'cloud.ply', port=0) as viewer:
            tokens.add(path(viewer).strip('/'))
    assert len(tokens) == 2
    # 22 characters of 64 kinds are 128 bits.
    assert min(map(len, tokens)) >= 22


def test_the_page_gets_the_cloud(viewer: CloudViewer) -> None:
    with open_socket(
        viewer, path(viewer).rstrip('/'), origin=f'http://127.0.0.1:{port(viewer)}'
    ) as page:
        received = b''
        # Positions lie uncompressed in a message, as float16 or float32.
        wanted = [POINTS[:, :3].astype(kind).tobytes() for kind in (np.float16, np.float32)]
        while not any(w in received for w in wanted):
            message = page.recv(timeout=PATIENCE)
            assert isinstance(message, bytes)
            received += message


def test_a_request_to_share_the_page_goes_nowhere(
    viewer: CloudViewer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = threading.Event()

    class Internet:
        """Stands in for viser's tunnel, whose first act is a request to a server of viser's."""

        def __init__(self, *_: object) -> None:
            asked.set()

    monkeypatch.setattr(viser._viser, 'ViserTunnel', Internet)
    seen = threading.Event()
    viewer.page.viser.on_client_connect(lambda _: seen.set())
    with open_socket(viewer, path(viewer).rstrip('/')) as page:
        page.send(msgspec.msgpack.encode({'type': 'ShareUrlRequest'}))
        page.send(msgspec.msgpack.encode({'type': 'ShareUrlDisconnect'}))
        # Answered after the request before it, by the same threads.
        page.send(msgspec.msgpack.encode(CAMERA))
        assert seen.wait(PATIENCE)
    viewer.close()
    assert not asked.is_set()


def test_it_prints_nothing_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # viser's own banner shows an address without the token.
    write_ply(tmp_path / 'cloud.ply', POINTS)
    with CloudViewer(tmp_path / 'cloud.ply', port=0):
        pass
    assert capsys.readouterr() == ('', '')


def test_a_viser_that_cannot_be_guarded_serves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_ply(tmp_path / 'cloud.ply', POINTS)
    monkeypatch.setattr(request_guard.RequestGuard, 'before', lambda _, process: process)
    with pytest.raises(S2M2Error, match='viser'):
        CloudViewer(tmp_path / 'cloud.ply', port=0)


@pytest.mark.parametrize('content', [b'', b'ply\n', b'no cloud', b'\xff' * 100])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / 'cloud.ply'
    file.write_bytes(content)
    with pytest.raises(S2M2Error, match=r'cloud\.ply'):
        CloudViewer(file, port=0)
