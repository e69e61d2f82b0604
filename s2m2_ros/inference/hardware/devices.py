"""The device meant by a name."""

from __future__ import annotations

import torch

from s2m2_ros.inference.engines.versions import how_to_install, is_jetson
from s2m2_ros.inference.errors import BackendUnavailableError, OptionError

# What other frameworks call an NVIDIA GPU.
_OTHER_NAMES_OF_CUDA = ('gpu', 'nvidia', 'hip', 'rocm')


def resolve_device(device: str | torch.device) -> torch.device:
    """Return the device meant by its name; 'auto' is CUDA if that works, else the CPU.

    A CUDA device has its index, so that 'cuda' and 'cuda:0' are equal.

    Raises:
        OptionError: there is no such name.
        BackendUnavailableError: this machine, torch or this package cannot use the device.

    """
    name = str(device)
    if name == 'auto':
        name = 'cuda' if torch.cuda.is_available() else 'cpu'
    if name.split(':')[0].lower() in _OTHER_NAMES_OF_CUDA:
        raise OptionError(
            f"device must be auto, cpu, cuda or cuda:N, not '{name}' (torch calls NVIDIA's GPUs, "
            "and AMD's under ROCm, cuda)"
        )
    try:
        resolved = torch.device(name)
    except RuntimeError as error:
        raise OptionError(f"device must be auto, cpu, cuda or cuda:N, not '{name}'") from error
    if resolved.type == 'cpu':
        if resolved.index:  # torch would take any number, and use the one processor
            raise OptionError(
                f"device must be auto, cpu, cuda or cuda:N, not '{name}': the processor has no "
                'number'
            )
        return torch.device('cpu')
    if resolved.type != 'cuda':
        raise BackendUnavailableError(
            name,
            'this package runs on cpu and cuda; choose the device cpu or auto',
            subject='device',
        )
    return _cuda_device(name, resolved.index)


def _cuda_device(name: str, index: int | None) -> torch.device:
    if not torch.cuda.is_available():
        reason = f'torch {torch.__version__} sees no CUDA device; choose the device cpu or auto'
        if is_jetson():
            reason += f' ({how_to_install("torch")})'
        raise BackendUnavailableError(name, reason, subject='device')
    count = torch.cuda.device_count()
    if index is not None and index >= count:
        present = ', '.join(f'cuda:{i}' for i in range(count))
        reason = f'this machine has {present}'
        raise BackendUnavailableError(name, reason, subject='device')
    return torch.device('cuda', torch.cuda.current_device() if index is None else index)
