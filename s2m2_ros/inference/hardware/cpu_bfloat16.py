"""Whether a processor should compute in bfloat16."""

from __future__ import annotations

import logging
from pathlib import Path

import torch

from s2m2_ros.inference.backend import BackendOptions
from s2m2_ros.inference.backends.network import load_for_inference
from s2m2_ros.inference.engines.artifact_cache import ArtifactKey
from s2m2_ros.inference.engines.exported_models import ExportedModels
from s2m2_ros.inference.engines.proof import Proof, load_proof, prove, store_proof
from s2m2_ros.inference.export import ExportSize
from s2m2_ros.inference.hardware.device_memory import is_out_of_memory

_logger = logging.getLogger(__name__)

# Of x86; others were not measured.
INSTRUCTIONS = ('avx512_bf16', 'amx_bf16')
PROCESSOR_FILE = Path('/proc/cpuinfo')
# The kernels are the same at every size, so a small one is enough.
PROVEN_SIZE = ExportSize(128, 192)


def why_not_bfloat16(options: BackendOptions) -> str | None:
    """Return why the network should not run in bfloat16 on this processor, or None.

    Args:
        options: of the backend, with the precision bfloat16. The network is compared with itself
            in float32 once, and the figures are kept in the cache.

    """
    if not has_instructions():
        return 'this processor has no instructions for bfloat16'
    models = ExportedModels(options)
    key = models.key('proof-torch', PROVEN_SIZE)
    proof = load_proof(models.cache, key)
    if proof is None:
        try:
            proof = _measure(options, key, models)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            return 'there is no memory to compare bfloat16 with it'
    problem = proof.problem('bfloat16')
    return f'in bfloat16, {problem}' if problem else None


def _measure(options: BackendOptions, key: ArtifactKey, models: ExportedModels) -> Proof:
    with torch.inference_mode():
        proof = prove(load_for_inference(options), options, PROVEN_SIZE)
    store_proof(models.cache, key, proof)
    _logger.info('bfloat16 beside float32: %s', proof)
    return proof


def has_instructions(processor_file: Path = PROCESSOR_FILE) -> bool:
    """Return whether this processor has instructions for products in bfloat16."""
    capabilities = getattr(torch.cpu, 'get_capabilities', None)
    if capabilities is not None:
        known = capabilities()
        return any(bool(known.get(name)) for name in INSTRUCTIONS)
    flags = processor_facts(processor_file).get('flags', '').split()
    return any(name in flags for name in INSTRUCTIONS)


def processor_facts(processor_file: Path = PROCESSOR_FILE) -> dict[str, str]:
    """Return what Linux says of the first processor, by its names; nothing where it does not."""
    try:
        lines = processor_file.read_text(encoding='utf-8', errors='replace').splitlines()
    except OSError:
        return {}
    facts: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(':')
        facts.setdefault(name.strip(), value.strip())
    return facts
