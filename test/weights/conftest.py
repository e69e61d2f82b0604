"""A local HTTP server that misbehaves on request."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest


class Script:
    """Replies to give one after the other (the last one for ever), and the ranges asked for.

    A reply is a dictionary: `{'status': 404}`, `{'raw': b'...'}` for bytes that need not be HTTP,
    `{'location': '...'}` for a redirection, or `{'content': b'...'}` with any of `cut_after`
    (close the connection after so many bytes), `declared` (a false length), `ranges` (False:
    ignore them) and `starts_at` (answer a range with a part that starts elsewhere).
    """

    def __init__(self, replies: tuple[dict[str, Any], ...]) -> None:
        self.replies = list(replies)
        self.ranges: list[str | None] = []
        self.address = ''

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.ranges.append(handler.headers.get('Range'))
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if 'status' in reply:
            handler.send_error(reply['status'])
        elif 'raw' in reply:
            handler.wfile.write(reply['raw'])
        elif 'location' in reply:
            handler.send_response(302)
            handler.send_header('Location', reply['location'])
            handler.send_header('Content-Length', '0')
            handler.end_headers()
        else:
            self._send_content(handler, **reply)

    @staticmethod
    def _send_content(
        handler: BaseHTTPRequestHandler,
        *,
        content: bytes,
        cut_after: int | None = None,
        declared: int | None = None,
        ranges: bool = True,
        starts_at: int | None = None,
    ) -> None:
        asked = handler.headers.get('Range') if ranges else None
        start = int(asked.removeprefix('bytes=').removesuffix('-')) if asked else 0
        if start > len(content):
            handler.send_error(416)
            return
        start = start if starts_at is None else starts_at
        part = content[start:]
        handler.send_response(206 if asked else 200)
        if asked:
            total = len(content)
            handler.send_header('Content-Range', f'bytes {start}-{total - 1}/{total}')
        handler.send_header('Content-Length', str(len(part) if declared is None else declared))
        handler.end_headers()
        handler.wfile.write(part if cut_after is None else part[:cut_after])


@contextmanager
def _serving(*replies: dict[str, Any]) -> Iterator[Script]:
    script = Script(replies)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            script.answer(self)

        def log_message(self, format: str, *args: object) -> None:
            """Keep quiet."""

    server = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={'poll_interval': 0.01})
    thread.start()
    script.address = f'http://127.0.0.1:{server.server_address[1]}/file'
    try:
        yield script
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def serving(monkeypatch: pytest.MonkeyPatch) -> Callable[..., AbstractContextManager[Any]]:
    for variable in ('http_proxy', 'HTTP_PROXY', 'all_proxy', 'ALL_PROXY'):
        monkeypatch.delenv(variable, raising=False)
    return _serving
