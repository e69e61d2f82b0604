"""The table of backends: each entry leads to a module with the two functions of a backend."""

from __future__ import annotations

import importlib

import pytest

from s2m2_ros.inference.registry import BACKENDS


@pytest.mark.parametrize('name', list(BACKENDS))
def test_entry_leads_to_a_backend(name: str) -> None:
    entry = BACKENDS[name]
    module = importlib.import_module(entry.module)
    assert callable(module.unavailable)
    assert callable(module.open_backend)
    assert entry.summary


def test_no_two_entries_share_a_module() -> None:
    modules = [entry.module for entry in BACKENDS.values()]
    assert len(set(modules)) == len(modules)
