"""Packets of video: every picture at once, none that is wrong."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from s2m2_ros.errors import ImageError
from s2m2_ros.io.images.image_formats import image_format
from s2m2_ros.io.images.video_packets import VideoDecoder
from s2m2_ros.io.images.video_units import codec_named, contents, units
from s2m2_ros.optional_packages import MissingPackageError
from support.video_stream import encode

CODECS = ('h264', 'hevc')
WIDTH, HEIGHT = 160, 120
LEAST_PSNR = 30.0


def moving_texture(count: int = 12) -> list[np.ndarray]:
    """Return color images of a texture that moves by two pixels each time."""
    noise = np.random.default_rng(3).integers(0, 256, (HEIGHT, WIDTH + 2 * count, 3), np.uint8)
    smooth = cv2.GaussianBlur(noise.astype(np.float32), (0, 0), 3)
    smooth = np.clip((smooth - 127.5) * 6 + 127.5, 0, 255).astype(np.uint8)
    return [np.ascontiguousarray(smooth[:, 2 * i : 2 * i + WIDTH]) for i in range(count)]


IMAGES = moving_texture()


@pytest.fixture(scope='module', params=CODECS)
def stream(request: pytest.FixtureRequest) -> tuple[str, list[bytes]]:
    return request.param, encode(request.param, IMAGES)


def same(picture: np.ndarray | None, image: np.ndarray) -> bool:
    """Tell whether a picture is the image, but for the loss of its compression."""
    return picture is not None and cv2.PSNR(picture, image) > LEAST_PSNR


def test_each_packet_yields_its_picture_at_once(stream: tuple[str, list[bytes]]) -> None:
    codec, packets = stream
    decoder = VideoDecoder(codec)
    pictures = [decoder.decode(packet) for packet in packets]
    assert len(pictures) == len(IMAGES)
    assert all(map(same, pictures, IMAGES))
    # The bound tells a picture from its neighbor.
    assert not same(pictures[1], IMAGES[0])
    assert pictures[0] is not None
    assert pictures[0].shape == (HEIGHT, WIDTH, 3)
    assert pictures[0].dtype == np.uint8


def test_packets_are_recognized_by_their_bytes(stream: tuple[str, list[bytes]]) -> None:
    codec, packets = stream
    name = {'h264': 'H.264', 'hevc': 'H.265'}[codec]
    assert {image_format(packet) for packet in packets} == {name}
    assert codec_named(name) == codec
    assert [contents(packet, codec).key for packet in packets[:6]] == [True, *[False] * 4, True]
    assert {contents(packet, codec).pictures for packet in packets} == {1}


def test_joining_amid_a_stream_waits_for_a_key_frame(stream: tuple[str, list[bytes]]) -> None:
    codec, packets = stream
    decoder = VideoDecoder(codec)
    assert [decoder.decode(packet) for packet in packets[2:5]] == [None] * 3
    assert all(map(same, map(decoder.decode, packets[5:]), IMAGES[5:]))


@pytest.mark.parametrize('lost', [1, 2, 3])
def test_a_lost_packet_costs_the_pictures_until_the_next_key_frame(
    stream: tuple[str, list[bytes]], lost: int
) -> None:
    codec, packets = stream
    decoder = VideoDecoder(codec)
    assert all(map(same, map(decoder.decode, packets[:lost]), IMAGES))
    with pytest.raises(ImageError, match=r'missing packets|lost.*waiting for the next key frame'):
        decoder.decode(packets[lost + 1])
    assert [decoder.decode(packet) for packet in packets[lost + 2 : 5]] == [None] * (3 - lost)
    assert all(map(same, map(decoder.decode, packets[5:]), IMAGES[5:]))


def test_a_damaged_packet_costs_the_pictures_until_the_next_key_frame(
    stream: tuple[str, list[bytes]],
) -> None:
    codec, packets = stream
    decoder = VideoDecoder(codec)
    assert same(decoder.decode(packets[0]), IMAGES[0])
    with pytest.raises(ImageError, match=r'bytes: it is damaged.*waiting for the next key frame'):
        decoder.decode(packets[1][: len(packets[1]) // 2])
    assert [decoder.decode(packet) for packet in packets[2:5]] == [None] * 3
    assert all(map(same, map(decoder.decode, packets[5:]), IMAGES[5:]))


def test_parameters_sent_once_survive_a_lost_packet() -> None:
    # As some encoders do: SPS and PPS in the first packet alone.
    packets = encode('h264', IMAGES)
    bare = b'\x00\x00\x01' + packets[5][packets[5].rindex(b'\x00\x00\x01\x65') + 3 :]
    decoder = VideoDecoder('h264')
    assert same(decoder.decode(packets[0]), IMAGES[0])
    with pytest.raises(ImageError, match='lost'):
        decoder.decode(packets[2])
    assert same(decoder.decode(bare), IMAGES[5])


def test_pictures_too_large_are_refused(stream: tuple[str, list[bytes]]) -> None:
    codec, packets = stream
    with pytest.raises(ImageError, match='too large'):
        VideoDecoder(codec, max_pixels=WIDTH * HEIGHT // 2).decode(packets[0])


def test_many_pictures_in_a_packet_are_refused(stream: tuple[str, list[bytes]]) -> None:
    codec, packets = stream
    with pytest.raises(ImageError, match='it holds 12 pictures'):
        VideoDecoder(codec).decode(b''.join(packets))


def test_units_without_end_are_refused_before_they_are_read() -> None:
    packet = encode('h264', IMAGES[:1])[0] + b'\x00\x00\x01\x41\x00' * 200_000
    with pytest.raises(ImageError, match='more than 1024 units'):
        VideoDecoder('h264').decode(packet)


@pytest.mark.parametrize('profile', ['baseline', 'high'])
@pytest.mark.parametrize('slices', ['1', '4'])
def test_frame_numbers_of_other_encoders(profile: str, slices: str) -> None:
    packets = encode('h264', IMAGES, profile=profile, slices=slices, preset='medium')
    assert sum(unit[0] & 31 in (1, 5) for unit in units(packets[1])) == int(slices)
    decoder = VideoDecoder('h264')
    assert all(map(same, map(decoder.decode, packets), IMAGES))


def test_pictures_out_of_order_are_refused() -> None:
    packets = encode('h264', IMAGES, gop=12, b_frames=2, tune='psnr', preset='medium')
    decoder = VideoDecoder('h264')
    with pytest.raises(ImageError, match='without B-frames'):
        for packet in packets:
            decoder.decode(packet)


@pytest.mark.parametrize('codec', CODECS)
def test_no_bytes_do_harm(codec: str) -> None:
    packets = encode(codec, IMAGES)
    chance = np.random.default_rng(5)
    decoder = VideoDecoder(codec)
    for _ in range(300):
        damaged = bytearray(packets[chance.integers(len(packets))])
        for _ in range(chance.integers(1, 21)):
            damaged[chance.integers(len(damaged))] = chance.integers(256)
        try:
            picture = decoder.decode(bytes(damaged[: chance.integers(len(damaged) + 1)]))
        except ImageError:
            continue
        assert picture is None or picture.dtype == np.uint8
    for _ in range(2):  # the first may come amid the damage
        try:
            recovered = [decoder.decode(packet) for packet in packets[:5]]
        except ImageError:
            continue
    assert all(map(same, recovered, IMAGES))


def test_what_to_install_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
    with pytest.raises(MissingPackageError, match=r'H\.264 video: av not installed \(pip install'):
        VideoDecoder('h264')


@pytest.mark.parametrize(
    ('name', 'codec'),
    [
        ('h264', 'h264'), ('libx264', 'h264'), ('h264_nvenc', 'h264'), ('H264', 'h264'),
        ('hevc', 'hevc'), ('hevc_vaapi', 'hevc'), ('libx265', 'hevc'), ('H.265', 'hevc'),
        ('av1', None), ('jpeg', None), ('', None),
    ],
)  # fmt: skip
def test_names_of_codecs(name: str, codec: str | None) -> None:
    assert codec_named(name) == codec
