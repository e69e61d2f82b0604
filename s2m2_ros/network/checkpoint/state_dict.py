"""Finding the weights of the network among what a checkpoint file holds."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from s2m2_ros.network.checkpoint.errors import CheckpointError
from s2m2_ros.network.checkpoint.pickle_reader import Call, Name
from s2m2_ros.network.checkpoint.stored_tensor import StoredTensor

WIDTH_KEY = 'cnn_backbone.norm1.weight'
STACK_KEY = re.compile(r'transformer\.uformer_list\.(\d{1,9})\.')
# Names that published files are known to use for what is called otherwise today.
OLD_PREFIXES = {
    'disp_init.layer_norm1.': 'disp_init.layer_norm.',
    'upsample_mask_4x.': 'upsample_mask_4x_refine.',
}
# Items that programs for training keep weights in, those of the network itself first, averages
# last. Any other item is looked into too.
ITEMS = (
    'state_dict',
    'model_state_dict',
    'model_state',
    'model',
    'net',
    'network',
    'params_ema',
    'params',
    'weights',
    'module',
    'model_ema',
    'state_dict_ema',
    'ema_state_dict',
    'ema',
    'average',
)
MOST_NESTING = 4
# Parts of names that wrappers of modules put in anywhere.
WRAPPERS = re.compile(
    r'(?:^|(?<=\.))(?:_orig_mod|module|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.'
)

Weights = Mapping[str, StoredTensor | Any]


def find_weights(file: Path, content: Any) -> dict[str, StoredTensor | Any]:
    """Return the weights by the network's own names, without the prefixes of wrappers.

    Args:
        file: names the file in errors.
        content: what the file holds.

    Raises:
        CheckpointError: there is no dictionary at all, or none with weights of an S2M2 network.

    """
    if not isinstance(content, Mapping):
        raise CheckpointError(
            f'{file}: holds {_kind(content)}; expected a dictionary of tensors, or one in its '
            f"item 'state_dict'{_advice(content)}"
        )
    for candidate in _dictionaries(content, MOST_NESTING):
        names = {str(key): value for key, value in candidate.items()}
        own = _without_prefix({WRAPPERS.sub('', name): value for name, value in names.items()})
        if own:
            return _with_current_names(own)
    raise CheckpointError(_not_found(file, content))


def _dictionaries(content: Mapping[Any, Any], nesting: int) -> Iterator[Mapping[Any, Any]]:
    """Yield a dictionary and those in it, the likeliest first."""
    yield content
    if nesting:
        rank = {name: number for number, name in enumerate(ITEMS)}
        keys = sorted(content, key=lambda key: rank.get(str(key), len(ITEMS)))
        for key in keys:
            if isinstance(content[key], Mapping):
                yield from _dictionaries(content[key], nesting - 1)


def _without_prefix(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the names behind the shortest prefix that a network has; empty if none has one."""
    found = [name for name in state if name == WIDTH_KEY or name.endswith(f'.{WIDTH_KEY}')]
    if not found:
        return {}
    prefix = min(found, key=len).removesuffix(WIDTH_KEY)
    return {
        name.removeprefix(prefix): value
        for name, value in state.items()
        if name.startswith(prefix)
    }


def _with_current_names(state: Mapping[str, Any]) -> dict[str, Any]:
    """Rename keys of earlier files, never overwriting one that is there."""
    renamed = dict(state)
    for old, new in OLD_PREFIXES.items():
        for key, value in state.items():
            if key.startswith(old):
                renamed.setdefault(new + key.removeprefix(old), value)
    return renamed


def _not_found(file: Path, content: Mapping[Any, Any]) -> str:
    """Return the error for a dictionary without weights, showing what is in it."""
    chosen = next((content[name] for name in ITEMS if name in content), content)
    shown = chosen if isinstance(chosen, Mapping) else content
    if shown is content and chosen is not content:
        found = f'{_kind(chosen)}{_advice(chosen)}'
    else:
        found = ', '.join(repr(str(key)[:80]) for key in list(shown)[:3]) or 'nothing'
    return (
        f'{file}: not the weights of an S2M2 network; expected {WIDTH_KEY!r} with one axis '
        f"and 'transformer.uformer_list.*', found {found}"
    )


def _kind(value: Any) -> str:
    if isinstance(value, Call):
        return f'a Python object ({_class_of(value)})'
    if isinstance(value, StoredTensor):
        return 'a tensor'
    return f'a {type(value).__name__}'


def _class_of(call: Call) -> str:
    """Return the class or function that a call would begin with."""
    function = call.function
    for _ in range(10):
        if isinstance(function, Call):
            function = function.function
    # Objects without a method of their own for pickling are made through these.
    arguments = call.arguments if isinstance(call.arguments, tuple) else ()
    if str(function).endswith(('_reconstructor', '__newobj__')) and arguments:
        function = arguments[0]
    return str(function)[:120] if isinstance(function, Name) else 'unknown'


def _advice(value: Any) -> str:
    if not isinstance(value, Call):
        return ''
    return (
        '. Reading that object would run code, so it is not done: in an environment that you '
        'trust with the file, load it there and save its tensors with '
        'safetensors.torch.save_file(model.state_dict(), FILE)'
    )
