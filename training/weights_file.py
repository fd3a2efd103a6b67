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


GROWING = {"ffn_gate.weight": 0, "ffn_up.weight": 0, "ffn_down.weight": 1}
"""The dimension of a tensor in which a file's network may be smaller: that of the neurons between."""


def read_weights(path: Path, model: TinyModel) -> None:
    """Take over the weights of a file, whose network may have fewer layers and fewer neurons in them.

    What the file does not have begins so that it changes nothing: new neurons and layers read, and write zero, until
    they learn. Known as function-preserving growth (Chen et al. 2016, Net2Net, arXiv:1511.05641).

    Raises:
        ValueError: the file lacks a tensor of its layers, or has tensors or sizes that this network has no place for.
    """
    tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
    num_layers = 1 + max((int(name.split(".")[1]) for name in tensors if name.startswith("blk.")), default=-1)
    state = model.state_dict()
    for parameter, own in state.items():
        name = tensor_name(parameter)
        if name.endswith(("attn_output.weight", "ffn_down.weight")):
            own.zero_()  # in place: what the file lacks of it writes nothing
        tensor = tensors.pop(name, None)
        if tensor is None:
            if name.startswith("blk.") and int(name.split(".")[1]) >= num_layers:
                continue
            raise ValueError(f"{path} has no tensor {name}")
        values = torch.from_numpy(gguf.quants.dequantize(tensor.data, tensor.tensor_type).copy())
        if not _fits(name, values, own):
            raise ValueError(f"{path}: {name} is {tuple(values.shape)}, the network's is {tuple(own.shape)}")
        own[tuple(slice(size) for size in values.shape)] = values
    if tensors:
        raise ValueError(f"{path} has tensors of another network: {', '.join(sorted(tensors))}")


def _fits(name: str, values: torch.Tensor, own: torch.Tensor) -> bool:
    """Whether the tensors have one shape, but for fewer neurons in the file."""
    growing = next((dimension for kind, dimension in GROWING.items() if name.endswith(kind)), None)
    return values.ndim == own.ndim and all(
        a == b or (a < b and dimension == growing)
        for dimension, (a, b) in enumerate(zip(values.shape, own.shape, strict=True))
    )
