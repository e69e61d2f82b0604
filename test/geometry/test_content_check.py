"""Blank images and one picture on both sides, with and without sensor noise and compression."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from s2m2_ros.geometry.content_check import ContentCheck, check_content
from support.stereo_scene import PlaneScene

ByteImage = npt.NDArray[np.uint8]
SIZES = [(480, 640), (240, 320), (1080, 1920), (64, 64)]
FINE = ContentCheck()


def sensor(level: float | npt.NDArray[np.floating], noise: float, seed: int = 0) -> ByteImage:
    """Return what a sensor with this noise, in gray levels, makes of a scene."""
    level = np.broadcast_to(level, (480, 640)) if np.ndim(level) == 0 else np.asarray(level)
    values = level + np.random.default_rng(seed).normal(0, noise, level.shape)
    return np.asarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))


def compressed(image: ByteImage, quality: int) -> ByteImage:
    _, data = cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), np.uint8)


def shifted(image: ByteImage, pixels: float) -> ByteImage:
    matrix = np.array([[1.0, 0.0, -pixels], [0.0, 1.0, 0.0]])
    size = image.shape[::-1]
    return np.asarray(cv2.warpAffine(image, matrix, size, flags=cv2.INTER_CUBIC, borderMode=1))


def photograph() -> ByteImage:
    from skimage.data import stereo_motorcycle

    return np.asarray(cv2.cvtColor(stereo_motorcycle()[0], cv2.COLOR_RGB2GRAY), np.uint8)


@pytest.mark.parametrize('level', [0, 4, 20, 128, 255])
@pytest.mark.parametrize('noise', [0, 1, 2, 5, 10, 20])
def test_one_gray_value_with_sensor_noise_is_blank(level: int, noise: float) -> None:
    found = check_content(sensor(level, noise, 1), sensor(level, noise, 2))
    assert found == ContentCheck(left_blank=True, right_blank=True)
    assert found.nothing_to_match


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('noise', [0, 5, 20])
def test_blank_images_of_any_size(size: tuple[int, int], noise: float) -> None:
    level = np.full(size, 60.0)
    assert check_content(sensor(level, noise, 1), sensor(level, noise, 2)).blank


def test_a_wall_with_vignetting_hot_pixels_or_compression_is_blank() -> None:
    y, x = np.mgrid[:480, :640]
    vignetting = 120 * (1 - 0.7 * ((x - 320) ** 2 + (y - 240) ** 2) / 400**2)
    assert check_content(sensor(vignetting, 3, 1), sensor(vignetting, 3, 2)).blank
    hot = sensor(5, 3, 1)
    random = np.random.default_rng(3)
    hot[random.integers(0, 480, 300), random.integers(0, 640, 300)] = 255
    assert check_content(hot, sensor(5, 3, 2)).blank
    noisy = compressed(sensor(60, 10, 1), 50), compressed(sensor(60, 10, 2), 50)
    assert check_content(*noisy).blank


@pytest.mark.parametrize('shape', [(480, 1), (1, 640)])
@pytest.mark.parametrize('amplitude', [2, 5, 10])
def test_banding_of_rows_or_columns_is_no_content(shape: tuple[int, int], amplitude: int) -> None:
    random = np.random.default_rng(0)
    bands = (60 + random.normal(0, amplitude, shape) + np.zeros((480, 640)) for _ in range(2))
    assert check_content(*(sensor(b, 2, seed) for seed, b in enumerate(bands))).blank


@pytest.mark.parametrize('quality', [None, 95, 80])
@pytest.mark.parametrize('noise', [0.0, 0.2])
@pytest.mark.parametrize('brightness', [12, 120])
def test_smooth_shading_without_noise_is_blank(
    brightness: int, noise: float, quality: int | None
) -> None:
    y, x = np.mgrid[:480, :640]
    bright = brightness * (1 - ((x - 320) ** 2 + (y - 240) ** 2) / 400**2)
    ramp = 20 + brightness / 640 * (x + y)
    for shading in (bright, ramp):
        # The second view is a little brighter, and its shading lies elsewhere.
        for other in (shading, shading * 1.08, np.roll(shading, 8, axis=0)):
            views = sensor(shading, noise, 1), sensor(other, noise, 2)
            if quality is not None:
                views = compressed(views[0], quality), compressed(views[1], quality)
            assert check_content(*views).left_blank


def test_a_faint_scene_without_noise_is_content() -> None:
    from skimage.data import stereo_motorcycle

    left, right, _ = stereo_motorcycle()
    # 5 gray levels are left of 255.
    pair = [cv2.cvtColor(view, cv2.COLOR_RGB2GRAY) * 0.02 + 20 for view in (left, right)]
    assert check_content(*(sensor(view, 0) for view in pair)) == FINE


def test_light_that_leaks_or_a_finger_on_the_lens_is_no_content() -> None:
    y, x = np.mgrid[:480, :640]
    for height, width in ((30, 90), (40, 30)):
        spots = (
            20 + height * np.exp(-((x - at) ** 2 + (y - 240) ** 2) / 2 / width**2)
            for at in (200, 270)
        )
        assert check_content(*(sensor(spot, 2, seed) for seed, spot in enumerate(spots))).blank


@pytest.mark.parametrize('direction', ['vertical', 'checked'])
def test_repetitive_texture_is_content(direction: str) -> None:
    y, x = np.mgrid[:480, :640]
    rows = np.sin(y / 11) if direction == 'checked' else 1
    views = (sensor(127 + 40 * np.sign(np.sin((x + at) / 7) * rows), 2, at) for at in (0, 5))
    assert check_content(*views) == FINE


def test_the_black_border_of_rectification_is_no_content() -> None:
    white = np.full((480, 640), 255, np.uint8)
    white[:20] = 0
    white[:, :15] = 0
    assert check_content(white, white).blank


@pytest.mark.parametrize('level', [3, 200])
def test_one_covered_lens_is_told_by_its_side(level: int) -> None:
    left, right = PlaneScene(width=640, height=480).images()
    covered = sensor(level, 4)
    assert check_content(covered, right) == ContentCheck(left_blank=True)
    assert check_content(left, covered) == ContentCheck(right_blank=True)


@pytest.mark.parametrize('size', [(480, 640), (240, 320), (96, 128)])
def test_a_planted_pair_is_fine(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, size, np.uint8)
    assert check_content(image, np.roll(image, -16, axis=1)) == FINE


def test_fog_and_dusk_are_not_blank() -> None:
    from skimage.data import stereo_motorcycle

    left, right, _ = stereo_motorcycle()
    pair = [cv2.cvtColor(view, cv2.COLOR_RGB2GRAY).astype(float) for view in (left, right)]
    for contrast, level, noise in ((0.05, 180, 1), (0.05, 2, 2)):
        views = (sensor(v * contrast + level, noise, s) for s, v in enumerate(pair))
        assert check_content(*views) == FINE


def test_a_white_wall_with_one_object_is_fine() -> None:
    photo = photograph()
    left, right = np.full((480, 640), 200.0), np.full((480, 640), 200.0)
    left[200:300, 300:360] = right[200:300, 280:340] = photo[200:300, 300:360]
    assert check_content(sensor(left, 2, 1), sensor(right, 2, 2)) == FINE


def test_a_few_lights_at_night_are_fine() -> None:
    random = np.random.default_rng(0)
    left, right = np.zeros((480, 640), np.float32), np.zeros((480, 640), np.float32)
    for x, y in random.integers((60, 20), (600, 460), (6, 2)):
        cv2.circle(left, (int(x), int(y)), 3, 255, -1)
        cv2.circle(right, (int(x) - 2, int(y)), 3, 255, -1)
    assert check_content(sensor(left + 4, 2, 1), sensor(right + 4, 2, 2)) == FINE


@pytest.mark.parametrize('noise', [0, 1, 2, 5])
@pytest.mark.parametrize('quality', [None, 95, 80, 50])
def test_the_same_picture_is_recognized(noise: float, quality: int | None) -> None:
    photo = photograph().astype(float)
    left, right = sensor(photo, noise, 1), sensor(photo, noise, 2)
    if quality is not None:
        right = compressed(right, quality)
    assert check_content(left, right) == ContentCheck(identical=True)


def test_the_same_picture_at_another_brightness_or_in_halves_is_recognized() -> None:
    photo = photograph()
    darker = sensor(photo * 0.9 + 5, 1)
    assert check_content(photo, darker).identical
    both = np.hstack(PlaneScene().images())
    assert check_content(both, both).identical
    random = np.random.default_rng(0).integers(0, 256, (240, 320), np.uint8)
    assert check_content(random, random).identical


@pytest.mark.parametrize('pixels', [0.1, 0.2, 0.3, 0.5, 1.0, 2.0])
def test_a_far_scene_is_not_the_same_picture(pixels: float) -> None:
    photo = photograph()
    far = shifted(photo, pixels)
    assert (
        check_content(sensor(photo.astype(float), 2, 1), sensor(far.astype(float), 2, 2)) == FINE
    )


def test_a_far_scene_with_one_near_object_is_not_the_same_picture() -> None:
    photo = photograph()
    right = photo.copy()
    right[200:300, 300:400] = photo[200:300, 304:404]
    assert check_content(photo, right) == FINE


def test_both_views_of_real_pairs_are_fine() -> None:
    from skimage.data import stereo_motorcycle

    left, right, _ = stereo_motorcycle()
    pair = [np.asarray(cv2.cvtColor(v, cv2.COLOR_RGB2GRAY), np.uint8) for v in (left, right)]
    assert check_content(*pair) == FINE
    assert check_content(*PlaneScene().images()) == FINE
