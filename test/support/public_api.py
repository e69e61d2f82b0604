"""The public API as text: every name that a user may rely on, with its signature.

Usage: underlay/run env PYTHONPATH=test python -m support.public_api

writes `doc/public_api.txt`, which test_public_api.py compares with the code.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from enum import Enum
from typing import Any

from support.processes import SOURCE

LISTED = SOURCE / 'doc' / 'public_api.txt'
MODULES = (
    's2m2_ros',
    's2m2_ros.errors',
    's2m2_ros.network',
    's2m2_ros.weights',
    's2m2_ros.inference',
    's2m2_ros.inference.export',
    's2m2_ros.geometry',
    's2m2_ros.pipeline',
    's2m2_ros.offline.processing',
    's2m2_ros.io.images.image_files',
    's2m2_ros.io.calibration.readers',
)
HEADER = """\
The public API of s2m2_ros, by semantic versioning: what is here keeps its meaning within a major
version. Topics, parameters and services of the node are in doc/stereo_node.md, commands and their
options in `s2m2 --help`. Everything else may change at any time.

"""


def public_api() -> str:
    """Return the listing."""
    return HEADER + '\n'.join(line for name in MODULES for line in _module(name))


def _module(name: str) -> Iterator[str]:
    module = importlib.import_module(name)
    yield name
    names = getattr(module, '__all__', None) or [
        key
        for key, value in vars(module).items()
        if getattr(value, '__module__', None) == name and not key.startswith('_')
    ]
    if name == 's2m2_ros':
        names = ['__version__']
    for key in sorted(names):
        yield from _entry(key, getattr(module, key))
    yield ''


def _entry(name: str, value: Any) -> Iterator[str]:
    if not inspect.isclass(value):
        yield f'  {name}{signature(value) if callable(value) else ""}'
        return
    if issubclass(value, Enum):
        yield f'  {name}: {", ".join(member.name for member in value)}'
        return
    is_error = issubclass(value, Exception)
    base = f'({value.__bases__[0].__name__})' if is_error else signature(value)
    yield f'  {name}{base}'
    for member, content in sorted(vars(value).items()):
        if not member.startswith('_') and not is_error:
            yield from _member(member, content)


def _member(name: str, content: Any) -> Iterator[str]:
    if isinstance(content, property):
        yield f'    {name}'
    elif isinstance(content, classmethod | staticmethod):
        yield f'    {name}{signature(content.__func__)}'
    elif inspect.isfunction(content):
        yield f'    {name}{signature(content)}'


class _MadeAnew:
    """Stands for a default without a text that is the same in every process."""

    def __repr__(self) -> str:
        return '...'


def signature(value: Any) -> str:
    """Return names, types and defaults of the parameters."""
    found = inspect.signature(value)
    parameters = [
        parameter.replace(default=_MadeAnew())
        if 'factory' in repr(parameter.default) or inspect.isfunction(parameter.default)
        else parameter
        for parameter in found.parameters.values()
    ]
    returned = inspect.Signature.empty if inspect.isclass(value) else found.return_annotation
    text = str(inspect.Signature(parameters, return_annotation=returned)).replace("'", '')
    # Named tuples hold the types of their fields as references.
    return re.sub(r'ForwardRef\(([^()]*)\)', r'\1', text)


if __name__ == '__main__':
    LISTED.write_text(public_api(), encoding='utf-8')
