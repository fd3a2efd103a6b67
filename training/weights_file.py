"""The network's weights in a GGUF file: what its tensors are called, and how they come back.

A run can begin with the weights of an exported file, so that training goes on where the checkpoint is lost.
"""

from __future__ import annotations

from pathlib import Path

import gguf
import torch

from model import TinyModel


def tensor_name(parameter: str) -> str:
    """llama.cpp's name for one of our parameters: ``blk.0.attention.attn_q.weight`` ->
    ``blk.0.attn_q.weight``."""
    return parameter.replace(".attention.", ".")


def read_weights(path: Path, model: TinyModel) -> None:
    """Take over the weights of a file.

    Raises:
        ValueError: the file's tensors are not those of this network.
    """
    tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
    state = {}
    for parameter, own in model.state_dict().items():
        tensor = tensors.pop(tensor_name(parameter), None)
        if tensor is None:
            raise ValueError(f"{path} has no tensor {tensor_name(parameter)}")
        values = torch.from_numpy(gguf.quants.dequantize(tensor.data, tensor.tensor_type).copy())
        if values.shape != own.shape:
            raise ValueError(
                f"{path}: {tensor.name} is {tuple(values.shape)}, the network's is {tuple(own.shape)}"
            )
        state[parameter] = values
    if tensors:
        raise ValueError(f"{path} has tensors of another network: {', '.join(sorted(tensors))}")
    model.load_state_dict(state)
