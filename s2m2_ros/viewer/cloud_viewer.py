"""An interactive 3-D view of a cloud in the browser: files, and clouds as they come."""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType
from typing import Any

from s2m2_ros.optional_packages import require_packages
from s2m2_ros.viewer.cloud_files import read_cloud
from s2m2_ros.viewer.first_view import FIELD_OF_VIEW, first_view
from s2m2_ros.viewer.page_server import PageServer
from s2m2_ros.viewer.viewed_cloud import ColorMode, ViewedCloud

FIRST_PORT = 8080
# Sizes of points to choose from, in units of a fraction of the cloud's distance.
SMALLEST_POINT, USUAL_POINT, LARGEST_POINT = 1, 3, 20
POINT_UNIT = 0.0005
CONFIDENCE_STEP = 0.01
UNKNOWN_CONFIDENCE = 'their confidence is unknown'


class CloudViewer:
    """A web page with one cloud and what is drawn of it, served until it is closed.

    Attributes:
        page: the server of the page, to which others add what they show.

    """

    def __init__(self, cloud: Path | None = None, *, port: int = FIRST_PORT) -> None:
        """Show a PLY file, or nothing yet; takes the next free port from `port` on.

        Raises MissingPackageError if viser is missing, S2M2Error if the cloud cannot be read or
        is empty, or if viser cannot be guarded.
        """
        require_packages('view', 'viser', 'trimesh')
        first = None if cloud is None else read_cloud(cloud)
        self.page = PageServer(port)
        self._lock = threading.Lock()
        self._cloud: ViewedCloud | None = None
        self._drawn: Any = None
        with self.page.viser.gui.add_folder('Cloud'):
            self._add_controls()
        if first is not None:
            self.show(first)

    @property
    def address(self) -> str:
        """What to open in a browser; its last part is secret."""
        return self.page.address

    def show(self, cloud: ViewedCloud) -> None:
        """Show another cloud instead."""
        with self._lock:
            is_first, self._cloud = self._cloud is None, cloud.thinned()
            if is_first:
                self._look_at(self._cloud)
            self._draw()

    def wait(self) -> None:
        """Serve until the process is interrupted."""
        self.page.viser.sleep_forever()

    def close(self) -> None:
        """Stop serving."""
        self.page.close()

    def __enter__(self) -> CloudViewer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _add_controls(self) -> None:
        gui = self.page.viser.gui
        self._mode = gui.add_dropdown('Color', [mode.value for mode in ColorMode])
        self._minimum = gui.add_slider('Min. confidence', 0.0, 1.0, CONFIDENCE_STEP, 0.0)
        self._size = gui.add_slider('Point size', SMALLEST_POINT, LARGEST_POINT, 1, USUAL_POINT)
        self._summary = gui.add_html(_line('no points yet'))
        for control in (self._mode, self._minimum, self._size):
            control.on_update(lambda _: self._redraw())

    def _redraw(self) -> None:
        with self._lock:
            self._draw()

    def _draw(self) -> None:
        cloud = self._cloud
        if cloud is None:
            return
        is_known = cloud.confidence is not None
        self._minimum.disabled = not is_known
        shown = cloud.confident(self._minimum.value)
        mode = ColorMode(self._mode.value)
        counts = f'{len(shown.points)} of {len(cloud.points)} points'
        is_missing = mode is ColorMode.CONFIDENCE and not is_known
        self._summary.content = _line(f'{counts}; {UNKNOWN_CONFIDENCE}' if is_missing else counts)
        if not len(shown.points):
            self._drawn.visible = False
            return
        self._drawn = self.page.viser.scene.add_point_cloud(
            '/cloud',
            shown.points,
            shown.colored_by(mode),
            point_size=self._size.value * POINT_UNIT * cloud.distance,
            point_shading='flat',
        )

    def _look_at(self, cloud: ViewedCloud) -> None:
        view = first_view(cloud)
        server = self.page.viser
        server.scene.set_up_direction(view.up)
        for camera in (server.initial_camera, *(c.camera for c in server.get_clients().values())):
            camera.position, camera.look_at, camera.fov = view.position, view.target, FIELD_OF_VIEW


def _line(text: str) -> str:
    """Return a line of text of our own as HTML."""
    return f'<p style="font-size:0.8em; margin:0.3em 0.8em">{text}</p>'
