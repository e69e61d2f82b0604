"""The server of the page: on the loopback interface, behind the guard, never shared.

viser serves a page of its own over a socket and needs no display and no internet. `request_guard`
rejects requests without the secret address.
"""

from __future__ import annotations

import contextlib
import io
from typing import Any

from s2m2_ros.errors import S2M2Error
from s2m2_ros.viewer.request_guard import RequestGuard, guarded_servers

LOOPBACK = '127.0.0.1'
TITLE = 's2m2_ros'


class PageServer:
    """viser's server, and the secret address of its page.

    Attributes:
        address: what to open in a browser; its last part is secret.
        viser: for `scene` and `gui`.

    """

    def __init__(self, port: int) -> None:
        """Serve on the next free port from `port` on. Raises S2M2Error."""
        guard = RequestGuard()
        self.viser = _start_viser(guard, port)
        self.address = f'http://{LOOPBACK}:{self.viser.get_port()}/{guard.token}/'

    @property
    def is_watched(self) -> bool:
        """Whether the page is open in a browser."""
        return bool(self.viser.get_clients())

    def close(self) -> None:
        """Stop serving."""
        with _quiet():
            self.viser.stop()


def _start_viser(guard: RequestGuard, port: int) -> Any:
    import viser

    class LocalServer(viser.ViserServer):  # type: ignore[misc]  # viser is optional
        """viser's server without its way to publish the page on the internet.

        viser runs these two when a client asks for it.
        """

        def request_share_url(self, verbose: bool = True) -> str | None:
            return None

        def disconnect_share_url(self) -> None:
            return None

    # viser prints an address without the token, which would be rejected.
    with guarded_servers(guard), _quiet():
        server = LocalServer(host=LOOPBACK, port=port, label=TITLE, verbose=False)
    try:
        guard.require_in_place()
    except S2M2Error:
        server.stop()
        raise
    # White walls are seen before a dark background, dark corners less missed.
    server.gui.configure_theme(dark_mode=True, show_share_button=False, show_logo=False)
    # Beside the cloud, not before it; older versions of viser have no place for that.
    panel = getattr(server.gui, 'main_panel', None)
    if panel is not None:
        panel.dock_right()
    return server


def _quiet() -> contextlib.redirect_stdout[io.StringIO]:
    return contextlib.redirect_stdout(io.StringIO())
