"""Stereo pairs in videos and from cameras that OpenCV can read, as frames."""

from __future__ import annotations

import itertools
import logging
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from s2m2_ros.errors import ImageError
from s2m2_ros.geometry import CameraModel
from s2m2_ros.io.calibration import read_calibration
from s2m2_ros.io.sources.calibration_search import CalibrationLookup, no_calibration
from s2m2_ros.io.sources.stereo_frame import NANOSECONDS, Pixels, PlaybackError, StereoFrame
from s2m2_ros.io.sources.view_layout import ViewLayout, split_views
from s2m2_ros.setting_names import PARAMETERS, SettingNames

_logger = logging.getLogger(__name__)

SUFFIXES = ('.mp4', '.avi', '.mkv', '.mov', '.m4v', '.webm', '.mpg', '.mpeg', '.wmv', '.ogv')
DEVICE = re.compile(r'(?:/dev/)?video(\d{1,3})|(\d{1,3})')
DEFAULT_RATE = 30.0
# Rates beyond these are those of a damaged header.
RATES = (0.1, 1000.0)

Capture = Callable[..., Any]


def is_video(path: Path) -> bool:
    """Return whether a file is a video, by its suffix."""
    return path.suffix.lower() in SUFFIXES


def device_number(source: str) -> int | None:
    """Return the number of a camera named `/dev/video2`, `video2` or `2`; None for other names."""
    match = DEVICE.fullmatch(source)
    return int(match[1] or match[2]) if match else None


class VideoFiles:
    """Gives the pairs of a video that holds both views, or of two videos of the same length."""

    def __init__(
        self,
        left: Path,
        right: Path | None = None,
        *,
        layout: ViewLayout = ViewLayout.TWO_TOPICS,
        calibration: Sequence[Path] = (),
        needs_calibration: bool = True,
        names: SettingNames = PARAMETERS,
        lookup: CalibrationLookup | None = None,
    ) -> None:
        """Take one video and the layout of its views, or a left and a right one.

        ``lookup`` takes the place of ``calibration`` where several share one. Raises S2M2Error if
        that does not fit, or there is no calibration though ``needs_calibration``.
        """
        if layout.in_one_image == (right is not None):
            wanted = f'{names("input_layout")} side_by_side or top_bottom if it holds both views'
            if other := names('right_source'):
                wanted += f', else the right video as {other}'
            raise PlaybackError(f"'{left}': a video needs {wanted}")
        self._paths = [left] if right is None else [left, right]
        self._layout = layout
        self._lookup = lookup or CalibrationLookup(
            calibration, is_needed=needs_calibration, names=names
        )
        if needs_calibration and not self._lookup.files(left):
            raise no_calibration(left, names)

    def __iter__(self) -> Iterator[StereoFrame]:
        with ExitStack() as stack:
            videos = [stack.enter_context(_Video(path)) for path in self._paths]
            period_ns = round(NANOSECONDS / videos[0].rate)
            for number in itertools.count():
                images = [video.read() for video in videos]
                if any(image is None for image in images):
                    self._report_end(number, images)
                    return
                yield self._frame(number, number * period_ns, [i for i in images if i is not None])

    def _frame(self, number: int, stamp_ns: int, images: list[Pixels]) -> StereoFrame:
        left, right = images if len(images) == 2 else split_views(images[0], self._layout)
        models = self._lookup.models(self._paths[0], (left.shape[1], left.shape[0]))
        left_model, right_model = models or (None, None)
        return StereoFrame(
            left, right, left_model, right_model, f'{number:06d}', (stamp_ns, stamp_ns)
        )

    def _report_end(self, number: int, images: Sequence[Pixels | None]) -> None:
        if number == 0:
            raise PlaybackError(
                f"'{self._paths[0]}' holds no frame that OpenCV can decode: convert it with "
                '`ffmpeg -i VIDEO -c:v mjpeg -q:v 2 NEW.avi`'
            )
        if any(image is not None for image in images):
            _logger.warning(
                "'%s' and '%s' have different lengths: only the first %d frames are pairs",
                *self._paths,
                number,
            )


class VideoDevice:
    """Gives the pairs of a camera that sends both views in one image, as they come."""

    def __init__(
        self,
        number: int,
        *,
        layout: ViewLayout,
        calibration: Sequence[Path],
        capture: Capture = cv2.VideoCapture,
    ) -> None:
        """Take the number of the device and a calibration, which also says its image size.

        Raises S2M2Error if ``layout`` is that of one view, or the calibration cannot be read.
        """
        self._name = f'/dev/video{number}'
        if not layout.in_one_image:
            raise PlaybackError(
                f'{self._name}: set input_layout to side_by_side or top_bottom, whichever the '
                'camera sends; two cameras without a common trigger are no stereo camera'
            )
        if not calibration:
            raise PlaybackError(f'{self._name}: set the parameter calibration')
        self._number = number
        self._layout = layout
        self._lookup = CalibrationLookup(calibration)
        self._size = _stated_size(calibration)
        self._capture = capture

    def __iter__(self) -> Iterator[StereoFrame]:
        device = self._capture(self._number)
        try:
            if not device.isOpened():
                raise PlaybackError(
                    f'{self._name} cannot be opened: is it there, not used by another program, '
                    'and may you read it (group video)?'
                )
            self._configure(device)
            for number in itertools.count():
                ok, image = device.read()
                stamp_ns = time.time_ns()
                if not ok:
                    raise PlaybackError(f'{self._name} gives no more images: was it unplugged?')
                yield self._frame(number, stamp_ns, _rgb(image))
        finally:
            device.release()

    def _configure(self, device: Any) -> None:
        """Ask for the size of the calibration, and for no queue, which would be latency."""
        width, height = self._size
        side_by_side = self._layout is ViewLayout.SIDE_BY_SIDE
        if width and height:
            device.set(cv2.CAP_PROP_FRAME_WIDTH, width * (2 if side_by_side else 1))
            device.set(cv2.CAP_PROP_FRAME_HEIGHT, height * (1 if side_by_side else 2))
        device.set(cv2.CAP_PROP_BUFFERSIZE, 1)

    def _frame(self, number: int, stamp_ns: int, image: Pixels) -> StereoFrame:
        left, right = split_views(image, self._layout)
        models = self._lookup.models(Path(self._name), (left.shape[1], left.shape[0]))
        left_model, right_model = models or (None, None)
        return StereoFrame(
            left, right, left_model, right_model, f'{number:06d}', (stamp_ns, stamp_ns)
        )


class _Video:
    """One open video; a context manager."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise PlaybackError(f"no video '{path}'")
        if not path.stat().st_size:
            raise PlaybackError(f"the video '{path}' is empty")
        self._path = path
        self._stack = ExitStack()

    def __enter__(self) -> _Video:
        self._capture = self._opened()
        if not self._capture.isOpened():
            self._stack.close()
            raise PlaybackError(
                f"OpenCV cannot open the video '{self._path}': it is damaged, or its codec is "
                'unknown here; convert it with `ffmpeg -i VIDEO -c:v mjpeg -q:v 2 NEW.avi`'
            )
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.rate = rate if RATES[0] <= rate <= RATES[1] else DEFAULT_RATE
        return self

    def __exit__(self, *_: object) -> None:
        self._capture.release()
        self._stack.close()

    def read(self) -> Pixels | None:
        """Return the next image, RGB, or None at the end; raises ImageError."""
        try:
            ok, image = self._capture.read()
        except cv2.error as error:
            raise ImageError(f"'{self._path}': {error.err}") from error
        return _rgb(image) if ok else None

    def _opened(self) -> Any:
        """Open the video; OpenCV takes only names that are UTF-8."""
        name = os.fspath(self._path.absolute())
        try:
            name.encode()
        except UnicodeEncodeError:
            folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix='s2m2_ros_'))
            link = Path(folder) / f'video{self._path.suffix}'
            link.symlink_to(name)
            name = str(link)
        return cv2.VideoCapture(name)


def _rgb(image: Any) -> Pixels:
    """Return OpenCV's image as (H, W) gray or (H, W, 3) RGB."""
    if image.ndim == 2:
        return np.asarray(image)
    if image.shape[2] == 1:
        return np.asarray(image[..., 0])
    return np.ascontiguousarray(image[..., 2::-1])


def _stated_size(calibration: Sequence[Path]) -> tuple[int, int]:
    """Return the image size that a calibration states, (0, 0) if it leaves it to the images."""
    models: tuple[CameraModel, CameraModel] = read_calibration(
        [path.expanduser() for path in calibration], image_size=(0, 0)
    )
    return models[0].width, models[0].height
