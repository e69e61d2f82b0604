"""Scripts that are no part of the package, as modules."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

from support.processes import SOURCE


def load_script(path: str) -> ModuleType:
    """Import a script by its path in the repository, under a name that nothing else has."""
    name = path.removesuffix('.py').replace('/', '_')
    spec = importlib.util.spec_from_file_location(name, SOURCE / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module
