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
    """Take over the weights of a file, whose network may have fewer layers and narrower ones.

    What the file does not have begins so that it changes nothing: new neurons and layers read, and write zero, until
    they learn. Known as function-preserving growth (Chen et al. 2016, Net2Net, arXiv:1511.05641).

    Raises:
        ValueError: the file has tensors, or sizes, that this network has no place for.
    """
    tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
    state = model.state_dict()
    for parameter, own in state.items():
        if parameter.endswith(("attn_output.weight", "ffn_down.weight")):
            own.zero_()  # in place: what the file lacks of it writes nothing
        tensor = tensors.pop(tensor_name(parameter), None)
        if tensor is None:
            continue
        values = torch.from_numpy(gguf.quants.dequantize(tensor.data, tensor.tensor_type).copy())
        if values.ndim != own.ndim or any(a > b for a, b in zip(values.shape, own.shape, strict=True)):
            raise ValueError(
                f"{path}: {tensor.name} is {tuple(values.shape)}, the network's is {tuple(own.shape)}"
            )
        own[tuple(slice(size) for size in values.shape)] = values
    if tensors:
        raise ValueError(f"{path} has tensors of another network: {', '.join(sorted(tensors))}")
