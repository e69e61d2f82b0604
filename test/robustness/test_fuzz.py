"""Damaged files and impossible messages are refused in words; nothing else ever happens."""

from __future__ import annotations

import math
import os
import pickle
import subprocess
import sys
from array import array
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from s2m2_ros.errors import S2M2Error
from s2m2_ros.inference import StereoMatcher
from s2m2_ros.io.images.encodings import ENCODINGS
from s2m2_ros.io.images.pixel_range import PixelRange
from s2m2_ros.messages.pair_decoder import decode_pair
from s2m2_ros.network import CheckpointError, load_network
from s2m2_ros.node.inputs.synchronizer import StereoMessages, StereoTopics
from s2m2_ros.pipeline import PipelineOptions, PipelineState, StereoPipeline
from support.fuzz_targets import TARGETS
from support.processes import SOURCE, python_path

TOPICS = StereoTopics('left', 'right', 'left_info', 'right_info')
# Checks what it is given; as nothing is wanted of it, it matches nothing.
PIPELINE = StereoPipeline(StereoMatcher.open(backend='sgbm'))
# The folder is only overwritten by the next example.
THOROUGH = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

numbers = st.one_of(
    st.integers(0, 5),
    st.sampled_from([40, 64, 2**16, 2**31, 2**32 - 1]),
    st.integers(0, 2**32 - 1),
)
reals = st.one_of(
    st.sampled_from([0.0, 1.0, -40.0, 400.0, math.nan, math.inf, -math.inf, 5e-324, 1e308]),
    st.floats(),
)
encodings = st.one_of(
    st.sampled_from([*ENCODINGS, '8UC3', '16UC4', '32FC1', '64FC4', '8UC0', '8UC99', '']),
    st.text(max_size=8).filter(lambda text: '\0' not in text),
)


@st.composite
def images(draw: st.DrawFn) -> Image:
    """Return an image message in which little fits together."""
    data = draw(st.binary(max_size=64)) * draw(st.sampled_from([1, 1, 200]))
    return Image(
        height=draw(numbers),
        width=draw(numbers),
        encoding=draw(encodings),
        is_bigendian=draw(st.sampled_from([0, 1, 255])),
        step=draw(numbers),
        data=array('B', data),
    )


@st.composite
def compressed_images(draw: st.DrawFn) -> CompressedImage:
    """Return a compressed image that may begin like one."""
    start = draw(
        st.sampled_from([b'', b'\xff\xd8\xff\xe0', b'\x89PNG\r\n\x1a\n', b'BM', b'II*\0'])
    )
    data = (
        start + draw(st.binary(max_size=80)) + draw(st.sampled_from([b'', b'\xff\xd9', b'IEND']))
    )
    kind = draw(
        st.sampled_from(['jpeg', 'rgb8; jpeg compressed bgr8', '; compressedDepth', 'x;;'])
    )
    return CompressedImage(format=kind, data=array('B', data))


@st.composite
def infos(draw: st.DrawFn) -> CameraInfo:
    """Return a calibration of a camera of 8x4 pixels in which some numbers are anything."""
    p = [10.0, 0.0, 4.0, -1.0, 0.0, 10.0, 2.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    for index in draw(st.sets(st.integers(0, 11), max_size=3)):
        p[index] = draw(reals)
    info = CameraInfo(width=8, height=4, p=p)
    if draw(st.booleans()):
        info.binning_x, info.roi.width, info.width = draw(numbers), draw(numbers), draw(numbers)
    return info


@THOROUGH
@given(images(), images(), infos(), infos())
def test_messages(
    left: Image, right: Image, left_info: CameraInfo, right_info: CameraInfo
) -> None:
    good = Image(height=4, width=8, encoding='mono8', step=8, data=array('B', bytes(32)))
    for pair in ((left, right), (left, left), (good, right), (good, good)):
        decode_or_refuse(StereoMessages(*pair, left_info, right_info, TOPICS, 0.0))


@THOROUGH
@given(compressed_images(), compressed_images(), infos())
def test_compressed_messages(
    left: CompressedImage, right: CompressedImage, info: CameraInfo
) -> None:
    decode_or_refuse(StereoMessages(left, right, info, info, TOPICS, 0.0))


def decode_or_refuse(messages: StereoMessages) -> None:
    try:
        outputs = PIPELINE.process(
            decode_pair(messages, PixelRange()), (), PipelineOptions(), PipelineState()
        )
    except S2M2Error as error:
        # The topic at fault is named, as in 'left: ...'.
        assert any(topic in str(error) for topic in TOPICS)
    else:
        assert outputs.left.shape[:2] == outputs.right.shape[:2]
        assert outputs.camera is not None
        assert math.isfinite(outputs.camera.baseline)
        assert outputs.camera.baseline > 0


made_seeds: dict[str, list[bytes]] = {}


def seeds(name: str, folder: Path) -> list[bytes]:
    if name not in made_seeds:
        made_seeds[name] = TARGETS[name].seeds(folder)
    return made_seeds[name]


@st.composite
def edits(draw: st.DrawFn) -> list[tuple[float, int, bytes]]:
    """Return edits: where (as a share of the file), how many bytes go, and what comes instead."""
    place = st.floats(0, 1)
    content = st.one_of(
        st.binary(max_size=8), st.sampled_from([b'9' * 40, b'\xff' * 8, b'-1', b'{'])
    )
    edit = st.tuples(place, st.sampled_from([0, 1, 4, 8, 1000]), content)
    return draw(st.lists(edit, max_size=4))


@pytest.mark.parametrize('name', TARGETS)
@THOROUGH
@given(number=st.integers(0, 9), changes=edits(), kept=st.one_of(st.just(1.0), st.floats(0, 1)))
def test_damaged_files(
    name: str,
    number: int,
    changes: list[tuple[float, int, bytes]],
    kept: float,
    tmp_path: Path,
) -> None:
    available = seeds(name, tmp_path)
    data = available[number % len(available)]
    for share, removed, added in changes:
        start = int(share * len(data))
        data = data[:start] + added + data[start + removed :]
    TARGETS[name].try_out(data[: int(kept * len(data))], tmp_path)


@pytest.mark.parametrize('name', TARGETS)
@THOROUGH
@given(data=st.binary(max_size=400))
def test_files_of_noise(name: str, data: bytes, tmp_path: Path) -> None:
    TARGETS[name].try_out(data, tmp_path)


class Malice:
    """Unpickles to a call that leaves a trace."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.trace,)


@pytest.mark.parametrize('reader', sorted(TARGETS))
def test_coverage_guided(reader: str, tmp_path: Path) -> None:
    """Ten seconds of what `make fuzz` does for longer."""
    pytest.importorskip('atheris', reason='the fuzzer has no wheel for this processor or Python')
    command = [sys.executable, '-m', 'robustness.fuzz', reader, str(tmp_path / 'corpus')]
    # Linux lets a program begin with the peak memory of the process that starts it, and libFuzzer
    # would stop at what earlier tests of this process took; so a shell stands between.
    shell = ['sh', '-c', '"$@"; exit "$?"', 'sh']
    done = subprocess.run(
        [*shell, *command, '-max_total_time=10'],
        cwd=tmp_path,
        env={**os.environ, 'PYTHONPATH': python_path(SOURCE / 'test', SOURCE)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert 'DONE' in done.stderr  # libFuzzer's last line: it has run, and found nothing


@pytest.mark.parametrize('zipped', [True, False])
def test_code_in_a_checkpoint_is_never_run(tmp_path: Path, zipped: bool) -> None:
    trace, file = tmp_path / 'trace', tmp_path / 'evil.pth'
    content = {'state_dict': {'cnn_backbone.norm1.weight': Malice(trace)}}
    torch.save(content, file, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match=r'evil\.pth'):
        load_network(file)
    assert not trace.exists()
    # The trap works for those who unpickle freely.
    torch.load(file, weights_only=False)
    assert trace.exists()


def test_bare_pickle_is_never_run(tmp_path: Path) -> None:
    trace, file = tmp_path / 'trace', tmp_path / 'evil.pth'
    file.write_bytes(pickle.dumps(Malice(trace)))
    with pytest.raises(CheckpointError, match=r'evil\.pth'):
        load_network(file)
    assert not trace.exists()
