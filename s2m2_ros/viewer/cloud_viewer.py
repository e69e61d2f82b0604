"""An interactive 3-D view of a cloud in the browser, through viser.

viser serves a page of its own over a socket, needs no display and no internet, and lets us bind
to the loopback interface, so nobody else on the network sees the cloud.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from s2m2_ros.errors import S2M2Error
from s2m2_ros.optional_packages import require_packages

LOOPBACK = '127.0.0.1'
FIRST_PORT = 8080
POINT_SIZE_PER_DEPTH = 0.002
FIELD_OF_VIEW = 0.8  # radians, upright: about that of a stereo camera


class CloudViewer:
    """A web page with one cloud, served until it is closed."""

    def __init__(self, cloud: Path, *, port: int = FIRST_PORT) -> None:
        """Show a PLY file; takes the next free port from `port` on.

        Raises MissingPackageError if viser is missing, S2M2Error if the cloud is empty.
        """
        require_packages('view', 'viser', 'trimesh')
        import trimesh
        import viser

        content: Any = trimesh.load(cloud)
        points = np.asarray(content.vertices, np.float32)
        if len(points) == 0:
            raise S2M2Error(f"'{cloud}' holds no points to show")
        self._server = viser.ViserServer(host=LOOPBACK, port=port, verbose=False)
        self.address = f'http://{LOOPBACK}:{self._server.get_port()}'
        self.show(points, np.asarray(content.colors, np.uint8)[:, :3])
        self._look_from_the_camera(float(np.median(points[:, 2])))

    def show(self, points: np.ndarray, colours: np.ndarray) -> None:
        """Show another cloud instead: points (N, 3), at least one, and their RGB, uint8 (N, 3)."""
        size = POINT_SIZE_PER_DEPTH * float(np.median(points[:, 2]))
        self._server.scene.add_point_cloud('/cloud', points, colours, point_size=size)

    def wait(self) -> None:
        """Serve until the process is interrupted."""
        self._server.sleep_forever()

    def close(self) -> None:
        """Stop serving."""
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
