"""Access control of the viewer: it serves the page that the user opened only.

A server on the loopback interface is reached by every web page that the user visits, and by every
user of the computer. Three checks keep them out: the name in ``Host`` (a foreign page can let its
own name point to this machine), the ``Origin`` that a browser states, and a random token in the
address, which only the user is shown.
"""

from __future__ import annotations

import dataclasses
import hmac
import http
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from s2m2_ros.errors import S2M2Error

if TYPE_CHECKING:
    from websockets.asyncio.server import ServerConnection
    from websockets.http11 import Request, Response

# Any port: it differs behind an SSH tunnel.
LOOPBACK_HOST = re.compile(r'(127\.0\.0\.1|localhost|\[::1\])(:[0-9]{1,5})?')
TOKEN_BYTES = 24
# The page needs no other site, and no other site may frame it or learn its address.
RESPONSE_HEADERS = {
    'Referrer-Policy': 'no-referrer',
    'X-Frame-Options': 'DENY',
    'Cross-Origin-Resource-Policy': 'same-origin',
    'Cache-Control': 'no-store',
}
REFUSAL = 'Open the address that the viewer printed: {reason}.\n'

ProcessRequest = Callable[['ServerConnection', 'Request'], 'Response | None']


class RequestGuard:
    """Checks every HTTP and WebSocket request of one server before anything answers it."""

    def __init__(self) -> None:
        self.token = secrets.token_urlsafe(TOKEN_BYTES)
        self._in_place = False

    def rejection(self, path: str, hosts: list[str], origins: list[str]) -> str | None:
        """Return why a request is rejected, or None.

        ``hosts`` and ``origins`` are the values of these headers. A program that is no browser
        states no origin.
        """
        if len(hosts) != 1 or not LOOPBACK_HOST.fullmatch(hosts[0]):
            return 'it names another host'
        if origins and origins != [f'http://{hosts[0]}']:
            return 'the request comes from another page'
        given = path.partition('?')[0].split('/')[1:2]
        # Bytes that are no ASCII arrive as surrogates.
        token = given[0].encode('utf-8', 'surrogatepass') if given else b''
        if not hmac.compare_digest(token, self.token.encode()):
            return 'its token is missing or wrong'
        return None

    def before(self, process_request: ProcessRequest | None) -> ProcessRequest:
        """Return websockets' hook for requests, which checks first and then asks the given one.

        That one sees the path without the token.
        """
        self._in_place = True

        def checked(connection: ServerConnection, request: Request) -> Response | None:
            headers = request.headers
            reason = self.rejection(
                request.path, headers.get_all('Host'), headers.get_all('Origin')
            )
            if reason is not None:
                return connection.respond(http.HTTPStatus.FORBIDDEN, REFUSAL.format(reason=reason))
            if process_request is None:
                return None
            rest = request.path.removeprefix(f'/{self.token}') or '/'
            response = process_request(connection, dataclasses.replace(request, path=rest))
            if response is not None:
                for name, value in RESPONSE_HEADERS.items():
                    response.headers[name] = value
            return response

        return checked

    def require_in_place(self) -> None:
        """Raise S2M2Error unless a server was started behind this guard."""
        if not self._in_place:
            raise S2M2Error(
                'this version of viser does not start its server in the way that s2m2_ros can '
                'protect, so nothing is shown: pip install "viser>=1.0"'
            )


@contextmanager
def guarded_servers(guard: RequestGuard) -> Iterator[None]:
    """Put the guard before every server that ``websockets`` starts meanwhile.

    viser passes no hook on to the ``websockets.asyncio.server.serve`` that it calls, and a proxy
    before it would leave viser's own port open to all. So this public function is replaced
    while viser starts; `RequestGuard.require_in_place` says whether viser did call it.
    """
    from websockets.asyncio import server

    serve = server.serve

    def guarded(
        *arguments: Any, process_request: ProcessRequest | None = None, **options: Any
    ) -> Any:
        return serve(*arguments, process_request=guard.before(process_request), **options)

    # mypy knows `serve` as a class, which callers use as a function.
    server.serve = guarded  # type: ignore[assignment,misc]
    try:
        yield
    finally:
        server.serve = serve  # type: ignore[misc]
