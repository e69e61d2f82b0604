"""The public API is listed in one place, and changes only together with it."""

from __future__ import annotations

import difflib

from support.public_api import LISTED, public_api, signature

UPDATE = 'underlay/run env PYTHONPATH=test python -m support.public_api'


def test_the_list_says_what_the_code_offers() -> None:
    listed, found = LISTED.read_text(encoding='utf-8'), public_api()
    difference = '\n'.join(
        difflib.unified_diff(listed.splitlines(), found.splitlines(), 'listed', 'in the code')
    )
    assert listed == found, (
        f'the public API changed: a removed or changed line needs a new major version. If that is '
        f'meant, run `{UPDATE}` and say it in CHANGELOG.rst\n{difference}'
    )


def test_what_others_rely_on_is_in_it() -> None:
    text = LISTED.read_text(encoding='utf-8')
    for part in (
        's2m2_ros.inference\n',
        '    open(cls, checkpoint: str | Path = starter, *,',
        '    match(self, left:',
        '  StereoCamera(',
        '    depth(self, disparity: torch.Tensor) -> torch.Tensor',
        '  StereoPipeline(',
        '  Processor(',
        '  load_network(',
        '  S2M2Error(',
    ):
        assert part in text, part


def test_a_changed_default_type_or_name_is_a_difference() -> None:
    def before(image: str, *, size: int = 3) -> None: ...

    def renamed(picture: str, *, size: int = 3) -> None: ...

    def other_default(image: str, *, size: int = 4) -> None: ...

    def other_type(image: bytes, *, size: int = 3) -> None: ...

    texts = {signature(f) for f in (before, renamed, other_default, other_type)}
    assert signature(before) == '(image: str, *, size: int = 3) -> None'
    assert len(texts) == 4
