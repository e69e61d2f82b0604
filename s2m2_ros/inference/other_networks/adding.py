"""Adding an ONNX file to the weights folder, once it is known how to run it."""

from __future__ import annotations

from dataclasses import replace as replace_fields
from pathlib import Path

import torch

from s2m2_ros.inference.other_networks.foreign_network import ForeignNetwork
from s2m2_ros.inference.other_networks.onnx_model import read_onnx
from s2m2_ros.inference.other_networks.planted_check import check_description
from s2m2_ros.inference.other_networks.recognition import recognize
from s2m2_ros.inference.other_networks.sessions import HostSession, runner_for
from s2m2_ros.weights import AddedCheckpoint, add_file
from s2m2_ros.weights.added import check_name
from s2m2_ros.weights.other_networks import to_yaml


def add_network(
    file: Path, name: str, cache_folder: Path, *, replace: bool = False
) -> tuple[AddedCheckpoint, str]:
    """Copy an ONNX file and its description into the weights folder, once it matches rightly.

    Weights in files beside it become part of the copy. The description is written out whole, what
    was assumed included, so that the copy means the same under any name.

    Returns: its record, and where the description comes from with what was assumed.

    Raises OnnxFileError, DescriptionError, DescriptionMismatchError or WeightsError.
    """
    check_name(name)
    model = read_onnx(file)
    found = recognize(model, name)
    check_description(ForeignNetwork(found, runner_for(found, HostSession)), torch.device('cpu'))
    description, companions = found.description, {}
    if found.files:
        description = replace_fields(description, second_file=f'{name}.second.onnx')
        companions = {description.second_file: found.files[1].content}
    record = add_file(
        file,
        name,
        cache_folder,
        content=model.content,
        description=to_yaml(description, comments=(f'from {found.origin}', *found.assumed)),
        license=description.license,
        companions=companions,
        sha256=found.sha256,
        replace=replace,
    )
    return record, '; '.join((f'described by {found.origin}', *found.assumed))
