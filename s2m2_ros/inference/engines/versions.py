"""Which versions of torch and of others are needed, and how to get them on this machine."""

from __future__ import annotations

import platform
import re
from pathlib import Path

import torch

from s2m2_ros.optional_packages import missing_packages

# torch.is_autocast_enabled with the type of a device, which the network asks for.
OLDEST_TORCH = (2, 4)
# The options of torch.onnx.export that are used here.
OLDEST_TORCH_FOR_EXPORT = (2, 6)
# Cache artifacts and `recompile_limit`.
OLDEST_TORCH_FOR_COMPILING = (2, 7)
JETSON_RELEASE = Path('/etc/nv_tegra_release')
# On a Jetson these come with JetPack or from NVIDIA's index; what PyPI has does not run there.
_ON_JETSON = {
    'tensorrt': 'sudo apt-get install python3-libnvinfer; a virtual environment sees it only if '
    'made with --system-site-packages',
    'onnxruntime-gpu': "install NVIDIA's onnxruntime-gpu wheel for this JetPack",
    'torch': "install NVIDIA's torch wheel for this JetPack",
}


def version_pair(version: str) -> tuple[int, int]:
    """Return the first two numbers of a version like '2.13.0+cpu', 0 where there is none."""
    match = re.match(r'(\d+)(?:\.(\d+))?', version)
    return (int(match[1]), int(match[2] or 0)) if match else (0, 0)


def torch_too_old(needed: tuple[int, int], purpose: str) -> str | None:
    """Return that torch is older than `needed` for `purpose`, and what to do, or None."""
    if version_pair(torch.__version__) >= needed:
        return None
    advice = how_to_install('torch', f"'torch>={needed[0]}.{needed[1]}'")
    return f'torch {torch.__version__} is too old for {purpose} ({advice})'


def lacks_exporter() -> str | None:
    """Return why no model can be exported to ONNX here, or None."""
    return torch_too_old(OLDEST_TORCH_FOR_EXPORT, 'the ONNX export') or missing_packages(
        'onnx', 'onnxscript'
    )


def how_to_install(package: str, requirement: str = '') -> str:
    """Return the command or the source that installs a package on this kind of machine."""
    if is_jetson() and package in _ON_JETSON:
        return _ON_JETSON[package]
    return f'pip install {requirement or package}'


def is_jetson() -> bool:
    """Return whether this is an NVIDIA Jetson, whose packages come from JetPack."""
    return JETSON_RELEASE.exists() or platform.release().endswith('tegra')
