"""Which images are taken, which are refused, and what the network then sees."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from s2m2_ros.errors import ImageError
from s2m2_ros.inference.images import Uploader

CPU = torch.device('cpu')


def upload(left: Any, right: Any) -> tuple[torch.Tensor, torch.Tensor]:
    return Uploader(CPU).upload([left], [right])


def image(shape: tuple[int, ...] = (40, 50, 3), dtype: Any = np.uint8, value: float = 7) -> Any:
    return np.full(shape, value, dtype)


def values(tensor: torch.Tensor) -> list[float]:
    return sorted(set(tensor.flatten().tolist()))


def test_rgb_bytes_become_channels_first() -> None:
    left = np.arange(40 * 50 * 3, dtype=np.uint32).astype(np.uint8).reshape(40, 50, 3)
    batch, _ = upload(left, left)
    assert batch.dtype == torch.uint8
    assert batch.shape == (1, 3, 40, 50)
    assert batch[0, 2, 3, 4].item() == left[3, 4, 2]


def test_left_and_right_are_kept_apart() -> None:
    left, right = upload(image(value=1), image(value=2))
    assert (values(left), values(right)) == ([1], [2])


def test_gray_has_one_channel() -> None:
    assert upload(image((40, 50)), image((40, 50)))[0].shape == (1, 1, 40, 50)


def test_uint16_fills_the_range_of_bytes() -> None:
    left, right = upload(image(dtype=np.uint16, value=65535), image(dtype=np.uint16, value=257))
    assert values(left) == [255.0]
    assert values(right) == [1.0]


@pytest.mark.parametrize('take', [np.asarray, torch.as_tensor])
def test_uint16_of_fewer_bits_is_said_once(
    take: Callable[[Any], Any], caplog: pytest.LogCaptureFixture
) -> None:
    uploader = Uploader(CPU)
    bright, dark = (take(image(dtype=np.uint16, value=value)) for value in (16384, 4095))
    uploader.upload([bright], [dark])
    assert not caplog.messages
    for _ in range(2):
        uploader.upload([dark], [dark])
    assert len(caplog.messages) == 1
    assert 'taken as 0 to 65535, but the largest value here is 4095' in caplog.text


def test_doubles_become_float32() -> None:
    left, _ = upload(image(dtype=np.float64, value=12.5), image(dtype=np.float64, value=200))
    assert left.dtype == torch.float32
    assert values(left) == [12.5]


@pytest.mark.parametrize('dtype', [np.uint16, np.float32])
def test_big_endian_is_read_rightly(dtype: Any) -> None:
    native = np.linspace(0, 255, 40 * 50).reshape(40, 50).astype(dtype)
    swapped = native.astype(native.dtype.newbyteorder('>'))
    assert torch.equal(upload(native, native)[0], upload(swapped, swapped)[0])


def test_views_with_strides_and_read_only_ones_are_taken() -> None:
    base = np.random.default_rng(0).integers(0, 256, (80, 100, 3), np.uint8)
    view = base[::2, ::-2, ::-1]
    view.flags.writeable = False
    assert np.array_equal(upload(view, view)[0][0].permute(1, 2, 0).numpy(), view)


def test_tensors_are_taken_and_never_written_to() -> None:
    left = torch.arange(40 * 50, dtype=torch.float32).reshape(40, 50).remainder(256)
    before = left.clone()
    batch, _ = upload(left, left)
    assert torch.equal(batch[0, 0], before)
    assert torch.equal(left, before)


def test_a_later_upload_of_another_size_and_type_works() -> None:
    uploader = Uploader(CPU)
    uploader.upload([image()], [image()])
    left, _ = uploader.upload([image((32, 33), np.float32)], [image((32, 33), np.float32)])
    assert left.shape == (1, 1, 32, 33)


def test_batch_keeps_the_order() -> None:
    lefts, rights = [image(value=1), image(value=2)], [image(value=3), image(value=4)]
    left, right = Uploader(CPU).upload(lefts, rights)
    assert left[:, 0, 0, 0].tolist() == [1, 2]
    assert right[:, 0, 0, 0].tolist() == [3, 4]


BAD = {
    'sizes differ': (image(), image((40, 52, 3)), '52x40'),
    'types differ': (image(), image(dtype=np.uint16), 'uint16'),
    'gray and color': (image(), image((40, 50)), '1 channel'),
    'empty': (image((0, 50, 3)), image((0, 50, 3)), '50x0'),
    'tiny': (image((31, 50, 3)), image((31, 50, 3)), 'at least 32'),
    'alpha': (image((40, 50, 4)), image((40, 50, 4)), 'or .H, W, 3.'),
    'channels first': (image((3, 40, 50)), image((3, 40, 50)), 'transpose'),
    'a batch': (image((1, 40, 50, 3)), image((1, 40, 50, 3)), 'shape'),
    'int32': (image(dtype=np.int32), image(dtype=np.int32), 'int32'),
    'bool': (image(dtype=np.bool_), image(dtype=np.bool_), 'bool'),
    'complex': (image(dtype=np.complex64), image(dtype=np.complex64), 'complex64'),
    'a list': ([[1.0]], [[1.0]], 'not list'),
    'None': (None, None, 'not NoneType'),
    'NaN': (image(dtype=np.float32), image(dtype=np.float32, value=np.nan), 'NaN'),
    'infinite': (image(dtype=np.float32, value=np.inf), image(dtype=np.float32), 'infinite'),
    'negative': (image(dtype=np.float32, value=-40), image(dtype=np.float32), 'from -40'),
    'too bright': (image(dtype=np.float32, value=999), image(dtype=np.float32), 'to 999'),
    'unit range': (image(dtype=np.float32, value=0.2), image(dtype=np.float32, value=1), 'by 255'),
}


@pytest.mark.parametrize(('left', 'right', 'message'), BAD.values(), ids=BAD.keys())
def test_bad_images_are_refused_and_explained(left: Any, right: Any, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        upload(left, right)


def test_empty_and_uneven_batches_are_refused() -> None:
    uploader = Uploader(CPU)
    with pytest.raises(ImageError, match='0 left and 0 right'):
        uploader.upload([], [])
    with pytest.raises(ImageError, match='1 left and 2 right'):
        uploader.upload([image()], [image()] * 2)


def test_float_tensor_on_the_device_holding_nan_is_refused() -> None:
    bad = torch.full((40, 50), 5.0)
    bad[3, 4] = torch.nan
    with pytest.raises(ImageError, match='NaN'):
        upload(bad, bad)
