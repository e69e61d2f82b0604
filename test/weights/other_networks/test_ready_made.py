"""Published networks are found by the names of their files."""

from __future__ import annotations

import pytest

from s2m2_ros.weights.other_networks import READY_MADE, ready_made


@pytest.mark.parametrize(
    ('stem', 'name'),
    [
        ('LAS2_S', 'LAS2-S'),
        ('las2-m_480x640', 'LAS2-M'),
        ('LiteAnyStereo_V2_L', 'LAS2-L'),
        ('liteanystereov2-h-736x1280', 'LAS2-H'),
        ('LAS2-H.onnx', 'LAS2-H'),
        ('Lite-Any-Stereo-v2_S_fp16', 'LAS2-S'),
        ('las2_small', None),
        ('las2', None),
        ('model', None),
        ('classes_2', None),
    ],
)
def test_names_of_files(stem: str, name: str | None) -> None:
    found = ready_made(stem)
    assert (found.name if found else None) == name


def test_facts_of_lite_any_stereo() -> None:
    assert list(READY_MADE) == ['LAS2-S', 'LAS2-M', 'LAS2-L', 'LAS2-H']
    for network in READY_MADE.values():
        given = network.description
        assert (given.license, given.largest, given.range) == ('MIT', 192.0, (0.0, 255.0))
        assert network.fits(['right', 'left'], ['disparity'])
        assert not network.fits(['left', 'right', 'iterations'], ['disparity'])
        assert not network.fits(['left', 'right'], ['flow'])
