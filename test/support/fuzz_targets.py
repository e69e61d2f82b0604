"""Readers of files that strangers made: what goes in, and the one way each may refuse."""

from __future__ import annotations

import io
import itertools
import struct
import zipfile
from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import safetensors.torch
import torch
from sensor_msgs.msg import CameraInfo, Image

from s2m2_ros.errors import ImageError
from s2m2_ros.geometry.camera_model import CalibrationError
from s2m2_ros.io.calibration import read_calibration
from s2m2_ros.io.images.image_files import read_raw
from s2m2_ros.io.images.pfm import encode_pfm
from s2m2_ros.io.recordings.recording_reader import Recording
from s2m2_ros.io.recordings.recording_writer import RecordingWriter

# Imported now, for the fuzzer sees only what was imported before it began.
from s2m2_ros.io.recordings.storage import deserialization, recording_files  # noqa: F401
from s2m2_ros.io.sources.stereo_frame import PlaybackError
from s2m2_ros.network import CheckpointError, load_network
from s2m2_ros.player.ros_serialization import serialized

# More pairs than these tell nothing new.
PAIRS_READ = 5
# A network that needs few bytes, so that the fuzzer's changes hit something.
WIDTH = 16


@dataclass(frozen=True)
class Target:
    """A reader: `read` it from a file with this suffix; `refusal` is what it may raise.

    `seeds` makes files that it accepts, or nearly, given an empty folder.
    """

    suffix: str
    refusal: type[Exception]
    read: Callable[[Path], object]
    seeds: Callable[[Path], list[bytes]]

    def try_out(self, data: bytes, folder: Path) -> bool:
        """Read these bytes; return whether they were accepted. Any other error comes through."""
        path = folder / f'fuzzed{self.suffix}'
        path.write_bytes(data)
        try:
            self.read(path)
        except self.refusal as error:
            assert str(error)
            return False
        return True


def _small_state() -> dict[str, torch.Tensor]:
    return {
        'cnn_backbone.norm1.weight': torch.ones(WIDTH),
        'transformer.uformer_list.0.weight': torch.zeros(2, 2),
        'disp_init.layer_norm1.bias': torch.ones(3, dtype=torch.float16),
    }


def _pth_seeds(_: Path) -> list[bytes]:
    seeds = []
    for content in (_small_state(), {'state_dict': _small_state(), 'epoch': 3}):
        for zipped in (True, False):
            stream = io.BytesIO()
            torch.save(content, stream, _use_new_zipfile_serialization=zipped)
            seeds.append(stream.getvalue())
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('archive/data.pkl', b'\0' * 1_000_000)
    return [*seeds, bomb.getvalue()]


def _safetensors_seeds(_: Path) -> list[bytes]:
    return [safetensors.torch.save(_small_state(), {'format': 'pt'})]


CALIBRATIONS = (
    b'cam0=[994.9 0 311.1; 0 994.9 254.8; 0 0 1]\ncam1=[994.9 0 342.2; 0 994.9 254.8; 0 0 1]\n'
    b'doffs=31.08\nbaseline=193.001\nwidth=741\nheight=500\n',
    b'P0: 700 0 600 0 0 700 180 0 0 0 1 0\nP1: 700 0 600 -350 0 700 180 0 0 0 1 0\n',
    b'%YAML:1.0\n---\nP1: !!opencv-matrix\n   rows: 3\n   cols: 4\n   dt: d\n   data: [ 450., 0., '
    b'300., 0., 0., 450., 250., 0., 0., 0., 1., 0. ]\nP2: !!opencv-matrix\n   rows: 3\n   cols: 4'
    b'\n   dt: d\n   data: [ 450., 0., 300., -54., 0., 450., 250., 0., 0., 0., 1., 0. ]\n',
    b'image_width: 640\nimage_height: 480\nprojection_matrix:\n  rows: 3\n  cols: 4\n  data: [450.'
    b', 0., 300., -54., 0., 450., 250., 0., 0., 0., 1., 0.]\nroi: {x_offset: 1, y_offset: 2}\n',
    b'<?xml version="1.0"?><opencv_storage><Q type_id="opencv-matrix"><rows>4</rows><cols>4</cols>'
    b'<data>1 0 0 -9 0 1 0 -9 0 0 0 9 0 0 9 0</data></Q></opencv_storage>',
    b'[image]\n\nwidth\n64\n\nheight\n48\n\n[left]\n\nprojection\n9 0 3 0\n0 9 2 0\n0 0 1 0\n\n'
    b'[right]\n\nprojection\n9 0 3 -9\n0 9 2 0\n0 0 1 0\n',
    b'1543.8 0.0 965.4 0.0 1544.1 507.0 0.0 0.0 1.0\n0.06\n',
    b'{"fx": 450, "fy": 450, "cx0": 300, "cx1": 310, "cy": 250, "baseline_meters": 0.1}',
    b'a: &a [1, 2]\nb: &b [*a, *a]\nc: &c [*b, *b]\nP1: {data: *c}\nP2: {data: *c}\n',
)


def _read_calibration(path: Path) -> None:
    """Read it as the whole calibration, and as the left camera's and the right one's."""
    refusals = []
    for paths in ([path], [path, path]):
        try:
            read_calibration(paths, image_size=(640, 480))
        except CalibrationError as error:
            refusals.append(error)
    if refusals:
        raise refusals[0]


def _recording_seeds(folder: Path) -> list[bytes]:
    with RecordingWriter(folder / 'seed') as writer:
        for number, side in itertools.product((1, 2), ('left', 'right')):
            image = Image(height=2, width=3, encoding='mono8', step=3, data=array('B', b'abcdef'))
            image.header.stamp.sec = number
            writer.write(f'/{side}/image_rect', serialized(image), number)
            info = CameraInfo(width=3, height=2)
            writer.write(f'/{side}/camera_info', serialized(info), number)
    return [path.read_bytes() for path in (folder / 'seed').glob('*.mcap')]


def _read_recording(path: Path) -> None:
    for _ in itertools.islice(Recording(path), PAIRS_READ):
        pass


def _image_seeds(folder: Path) -> list[bytes]:
    pixels = np.arange(12 * 16 * 3, dtype=np.uint8).reshape(12, 16, 3)
    seeds = [
        cv2.imencode(suffix, pixels)[1].tobytes()
        for suffix in ('.png', '.jpg', '.tif', '.bmp', '.webp', '.ppm', '.pam')
    ]
    np.save(folder / 'seed.npy', pixels)
    directory = struct.pack('>HHHIHHI', 1, 274, 3, 1, 6, 0, 0)
    exif = b'\xff\xe1\x00\x22Exif\x00\x00MM\x00*\x00\x00\x00\x08' + directory
    jpeg = seeds[1]
    return [
        *seeds,
        (folder / 'seed.npy').read_bytes(),
        encode_pfm(pixels[..., 0].astype(np.float32)),
        jpeg[:2] + exif + jpeg[2:],
    ]


TARGETS: Mapping[str, Target] = {
    'image': Target('.img', ImageError, read_raw, _image_seeds),
    'pth': Target('.pth', CheckpointError, load_network, _pth_seeds),
    'safetensors': Target('.safetensors', CheckpointError, load_network, _safetensors_seeds),
    'calibration': Target(
        '.yaml', CalibrationError, _read_calibration, lambda _: list(CALIBRATIONS)
    ),
    'recording': Target('.mcap', PlaybackError, _read_recording, _recording_seeds),
}
