"""An interactive 3-D view of a cloud in the browser, through viser.

viser serves a page of its own over a socket, needs no display and no internet, and binds to the
loopback interface. `request_guard` rejects requests without the secret address.
"""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from s2m2_ros.errors import S2M2Error
from s2m2_ros.optional_packages import require_packages
from s2m2_ros.viewer.request_guard import RequestGuard, guarded_servers

LOOPBACK = '127.0.0.1'
FIRST_PORT = 8080
POINT_SIZE_PER_DEPTH = 0.002
FIELD_OF_VIEW = 0.8  # radians, upright: about that of a stereo camera


class CloudViewer:
    """A web page with one cloud, served until it is closed.

    Attributes:
        address: what to open in a browser; its last part is secret.

    """

    def __init__(self, cloud: Path, *, port: int = FIRST_PORT) -> None:
        """Show a PLY file; takes the next free port from `port` on.

        Raises MissingPackageError if viser is missing, S2M2Error if the cloud cannot be read or
        is empty, or if viser cannot be guarded.
        """
        require_packages('view', 'viser', 'trimesh')
        points, colors = _read_cloud(cloud)
        guard = RequestGuard()
        self._server = _start_server(guard, port)
        self.address = f'http://{LOOPBACK}:{self._server.get_port()}/{guard.token}/'
        self.show(points, colors)
        self._look_from_the_camera(float(np.median(points[:, 2])))

    def show(self, points: np.ndarray, colors: np.ndarray) -> None:
        """Show another cloud instead: points (N, 3), at least one, and their RGB, uint8 (N, 3)."""
        size = POINT_SIZE_PER_DEPTH * float(np.median(points[:, 2]))
        self._server.scene.add_point_cloud('/cloud', points, colors, point_size=size)

    def wait(self) -> None:
        """Serve until the process is interrupted."""
        self._server.sleep_forever()

    def close(self) -> None:
        """Stop serving."""
        with _quiet():
            self._server.stop()

    def __enter__(self) -> CloudViewer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _look_from_the_camera(self, depth: float) -> None:
        """Begin a little behind the left camera, in its optical frame: y down, z forward."""
        self._server.scene.set_up_direction('-y')
        camera = self._server.initial_camera
        camera.position = (0.0, -0.1 * depth, -0.3 * depth)
        camera.look_at = (0.0, 0.0, depth)
        camera.fov = FIELD_OF_VIEW


def _read_cloud(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return points, float32 (N, 3) with N > 0, and colors, uint8 (N, 3). Raises S2M2Error."""
    import trimesh

    try:
        content: Any = trimesh.load(path)
        points = np.asarray(content.vertices, np.float32)
        colors = np.asarray(content.colors, np.uint8)[:, :3]
    except Exception as error:  # trimesh raises whatever its readers raise
        raise S2M2Error(f"'{path}' is not a point cloud that can be shown: {error}") from error
    if len(points) == 0:
        raise S2M2Error(f"'{path}' holds no points to show")
    return points, colors


def _start_server(guard: RequestGuard, port: int) -> Any:
    """Return viser's server behind the guard. Raises S2M2Error."""
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
        server = LocalServer(host=LOOPBACK, port=port, verbose=False)
    try:
        guard.require_in_place()
    except S2M2Error:
        server.stop()
        raise
    server.gui.configure_theme(show_share_button=False)
    return server


def _quiet() -> contextlib.redirect_stdout[io.StringIO]:
    return contextlib.redirect_stdout(io.StringIO())
