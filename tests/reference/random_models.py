"""Small transformers models with random weights, one or more for each thing that architectures differ in."""

from __future__ import annotations

from typing import Any

import gguf
import numpy as np
import numpy.typing as npt

_CLASSES = {
    "llama": ("LlamaConfig", "LlamaForCausalLM"),
    "mistral": ("MistralConfig", "MistralForCausalLM"),
    "qwen2": ("Qwen2Config", "Qwen2ForCausalLM"),
    "qwen3": ("Qwen3Config", "Qwen3ForCausalLM"),
    "smollm3": ("SmolLM3Config", "SmolLM3ForCausalLM"),
}

_SIZES = {
    "vocab_size": 288,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "tie_word_embeddings": True,
    "pad_token_id": None,
    "bos_token_id": None,
    "eos_token_id": None,
}

_PLAIN = {"rope_type": "default", "rope_theta": 10000.0}
_LINEAR = {"rope_type": "linear", "rope_theta": 500.0, "factor": 4.0}
_LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
_YARN = {"rope_type": "yarn", "rope_theta": 5000.0, "factor": 4.0, "original_max_position_embeddings": 64}

CASES: dict[str, dict[str, Any]] = {
    "smollm3": {"model_type": "smollm3"},
    "smollm3, untied, own NoPE layers": {
        "model_type": "smollm3",
        "tie_word_embeddings": False,
        "num_hidden_layers": 5,
        "no_rope_layers": [1, 0, 1, 1, 0],
        "num_attention_heads": 8,
        "num_key_value_heads": 1,
    },
    "smollm3, biases, YaRN": {"model_type": "smollm3", "attention_bias": True, "rope_parameters": _YARN},
    "llama, every head its own keys": {
        "model_type": "llama",
        "num_key_value_heads": 4,
        "tie_word_embeddings": False,
    },
    "llama, Llama 3 factors": {"model_type": "llama", "rope_parameters": _LLAMA3, "head_dim": 32},
    "llama, linear": {"model_type": "llama", "rope_parameters": _LINEAR},
    "llama, YaRN": {"model_type": "llama", "rope_parameters": _YARN, "head_dim": 64, "num_hidden_layers": 2},
    "llama, YaRN of DeepSeek's kind": {
        "model_type": "llama",
        "rope_parameters": {
            **_YARN,
            "mscale": 1.0,
            "mscale_all_dim": 0.7,
            "beta_fast": 16.0,
            "beta_slow": 2.0,
        },
    },
    "llama, biases": {"model_type": "llama", "attention_bias": True, "mlp_bias": True},
    "mistral": {"model_type": "mistral", "sliding_window": None, "hidden_size": 96, "head_dim": 8},
    "mistral, window": {"model_type": "mistral", "sliding_window": 9, "tie_word_embeddings": False},
    "qwen2": {"model_type": "qwen2", "num_attention_heads": 6, "hidden_size": 96},
    "qwen2, YaRN": {
        "model_type": "qwen2",
        "tie_word_embeddings": False,
        "rope_parameters": {**_YARN, "attention_factor": 1.3},
    },
    "qwen3": {"model_type": "qwen3", "head_dim": 32},
    "qwen3, untied": {
        "model_type": "qwen3",
        "tie_word_embeddings": False,
        "head_dim": 16,
        "num_attention_heads": 3,
        "num_key_value_heads": 1,
        "rms_norm_eps": 1e-5,
    },
}
"""What differs from ``_SIZES``, by a readable name."""


def random_model(model_type: str, seed: int = 0, **overrides: Any) -> Any:
    """A transformers model in evaluation mode; ``overrides`` are fields of its configuration.

    Weights are drawn large enough for every part to matter: with transformers' own initial values attention
    is nearly uniform and positions hardly count.
    """
    import torch
    import transformers

    config_class, model_class = (getattr(transformers, name) for name in _CLASSES[model_type])
    config = config_class(**{**_SIZES, "rope_parameters": dict(_PLAIN), **overrides})
    model = model_class(config).float()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.ndim == 1:
                parameter.copy_(0.3 * noise + (1.0 if parameter.mean() == 1 else 0.0))
            else:
                parameter.copy_(1.5 * noise / parameter.shape[1] ** 0.5)
    return model.eval()


def round_matrices(model: Any, tensor_type: str) -> None:
    """Replace every matrix by what is left of it after quantisation to ``tensor_type``."""
    import torch

    kind = gguf.GGMLQuantizationType[tensor_type]
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                rounded = gguf.quants.dequantize(gguf.quants.quantize(parameter.numpy(), kind), kind)
                parameter.copy_(torch.from_numpy(rounded.reshape(parameter.shape).copy()))


def reference_logits(model: Any, token_ids: list[int]) -> npt.NDArray[np.float64]:
    """transformers' logits of every position ``[tokens, vocabulary]``, computed in float64."""
    import torch

    torch.set_num_threads(1)  # the matrices are too small to share
    with torch.no_grad():
        return model.double()(torch.tensor([token_ids])).logits[0].numpy()


def reference_hidden_states(model: Any, token_ids: list[int]) -> npt.NDArray[np.float64]:
    """transformers' last hidden states ``[tokens, hidden]``, after the final norm, computed in float64."""
    import torch

    torch.set_num_threads(1)
    with torch.no_grad():
        return model.double().model(torch.tensor([token_ids])).last_hidden_state[0].numpy()
