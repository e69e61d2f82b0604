"""A calibration file as its readers see it: text, and named values where it has a structure."""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from s2m2_ros.io.calibration import numpy_files, structured_text
from s2m2_ros.io.calibration.limited_file import NPY_MAGIC, ZIP_MAGIC, read_limited, too_large

# OpenCV's files with the points of all boards have some thousand; every reader goes over them.
MOST_LINES = 20_000
BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, 'utf-8'),
    (codecs.BOM_UTF32_LE, 'utf-32-le'),  # begins like UTF-16's
    (codecs.BOM_UTF32_BE, 'utf-32-be'),
    (codecs.BOM_UTF16_LE, 'utf-16-le'),
    (codecs.BOM_UTF16_BE, 'utf-16-be'),
)


@dataclass(frozen=True)
class Document:
    """One file.

    Attributes:
        path: names it in errors.
        data: its bytes, unpacked if it was gzip.
        text: its text with plain newlines; empty for binary files.
        parts: the mappings in it: documents of YAML, elements of a list, or the only one.
        problem: why it could not be read as YAML, JSON or XML; empty if it could.

    """

    path: Path
    data: bytes = b''
    text: str = ''
    parts: tuple[Mapping[str, Any], ...] = ()
    problem: str = ''

    @property
    def content(self) -> Mapping[str, Any]:
        """The first mapping; empty if there is none."""
        return self.parts[0] if self.parts else {}


def load_document(path: Path) -> Document:
    """Read a file of any known kind; CalibrationError if that is impossible."""
    data = read_limited(path)
    if data.startswith(ZIP_MAGIC):
        return Document(path, data, parts=(numpy_files.read_archive(path, data),))
    if data.startswith(NPY_MAGIC):
        return Document(path, data, parts=(numpy_files.read_array(path, data),))
    text = _text(data)
    if not text:
        return Document(path, data)
    if text.count('\n') > MOST_LINES:
        raise too_large(path)
    parts, problem = structured_text.parse(text)
    return Document(path, data, text, parts, problem)


def _text(data: bytes) -> str:
    """Decode text of any usual encoding; empty if it is none."""
    for mark, encoding in BYTE_ORDER_MARKS:
        if data.startswith(mark):
            data, encodings = data[len(mark) :], [encoding]
            break
    else:
        # Comments in a language with accents come in the code page of Western Windows.
        encodings = ['utf-8', 'cp1252']
        if b'\0' in data:
            encodings = ['utf-16-le' if data[1:2] == b'\0' else 'utf-16-be']
    for encoding in encodings:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        return '' if '\0' in text else text.replace('\r\n', '\n').replace('\r', '\n')
    return ''
