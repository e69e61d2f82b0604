"""Text from outside becomes one short printable line."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from s2m2_ros.text_safety import LIMIT, safe_text, utf8_text


def test_usual_text_stays() -> None:
    for text in ('', 'camera_left_optical_frame', "bgr8; jpeg compressed 'x'", 'Bücher 漢字'):
        assert safe_text(text) == text
    assert safe_text('a' * LIMIT) == 'a' * LIMIT
    assert safe_text(ValueError('why')) == 'why'


def test_what_moves_a_cursor_or_fakes_a_line_is_escaped() -> None:
    assert safe_text('a\x1b[2Jb\nFATAL\r\0\x7f\x9b') == 'a\\x1b[2Jb\\nFATAL\\r\\x00\\x7f\\x9b'
    # Right-to-left override, line separator, an undecodable byte of a file name.
    assert safe_text('\u202e\u2028\udcff') == '\\u202e\\u2028\\udcff'


def test_long_text_says_its_length() -> None:
    cut = safe_text('x' * 3_000_000)
    assert cut == 'x' * (LIMIT - len('... (3000000 characters)')) + '... (3000000 characters)'
    assert safe_text('\n' * 150) == '\\n' * 90 + '... (150 characters)'
    assert safe_text('abcdef' * 10, 31) == 'abcdefabcdef... (60 characters)'


def test_the_time_does_not_grow_with_the_text() -> None:
    huge = '\x01' * 50_000_000
    started = time.process_time()
    safe_text(huge)
    # Escaping it all would take seconds.
    assert time.process_time() - started < 0.1


@given(st.text(st.characters(), max_size=300), st.integers(30, 250))
def test_always_printable_and_short(text: str, limit: int) -> None:
    made = safe_text(text, limit)
    assert made.isprintable()
    assert len(made) <= limit


def test_names_that_are_no_utf_8_are_shown_with_their_bytes() -> None:
    name = b'caf\xe9'.decode('utf-8', 'surrogateescape')
    assert utf8_text(name) == 'caf\\udce9'
    assert utf8_text(OSError('é')) == 'é'


def test_escape_sequences_do_not_reach_a_terminal() -> None:
    assert utf8_text('a\x1b[31m\r\n\tb\u202e') == 'a\\x1b[31m\\r\n\tb\\u202e'
