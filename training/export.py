"""From a checkpoint to a GGUF file that Candlewick and llama.cpp load.

    python training/export.py --run main --output src/candlewick/builtin/candlewick-tiny.gguf

Matrices become Q8_0, norms stay F32. Sources: the gguf package's writer and constants for key and tensor
names; llama.cpp reads ``smollm3`` with rotation over neighbouring pairs, which is how the model was trained,
so no row moves.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from tokenizers import Tokenizer

import text_tokens
from chat_format import CONTROL, END_OF_TURN, MARKERS, TEMPLATE
from model import ModelShape, TinyModel
from train import RUNS
from weights_file import tensor_name

NAME = "Candlewick Tiny"
DESCRIPTION = (
    "A very small model (7 million parameters) made to show Candlewick with nothing downloaded: it does "
    "small arithmetic, calls tools, answers questions about Candlewick, and knows nothing else of the world."
)


def load_checkpoint(*paths: Path) -> TinyModel:
    """The averaged model of a checkpoint. Of several it is their mean, weight by weight, which serves where one run
    went on from the other (model soups: Wortsman et al. 2022, arXiv:2203.05482).

    Raises:
        ValueError: they are of networks of different shapes.
    """
    states = [torch.load(path) for path in paths]
    shapes = {ModelShape(**state["shape"]) for state in states}
    if len(shapes) > 1:
        raise ValueError(f"checkpoints of different networks have no mean: {shapes}")
    model = TinyModel(shapes.pop())
    averages = [state["average"] for state in states]
    model.load_state_dict(
        {name: sum(average[name] for average in averages) / len(averages) for name in averages[0]}
    )
    return model.eval()


def write_gguf(
    model: TinyModel,
    tokenizer: Tokenizer,
    path: Path,
    matrix_type: gguf.GGMLQuantizationType = gguf.GGMLQuantizationType.Q8_0,
) -> None:
    """Write ``model`` and ``tokenizer`` to ``path``."""
    writer = gguf.GGUFWriter(path, "smollm3")
    _write_description(writer, matrix_type)
    _write_shape(writer, model.shape)
    _write_tokenizer(writer, tokenizer)
    for parameter, tensor in model.state_dict().items():
        values = tensor.float().numpy()
        kind = matrix_type if values.ndim == 2 else gguf.GGMLQuantizationType.F32
        data = gguf.quants.quantize(values, kind)
        writer.add_tensor(tensor_name(parameter), data, raw_dtype=kind)
    path.parent.mkdir(parents=True, exist_ok=True)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _write_description(writer: gguf.GGUFWriter, matrix_type: gguf.GGMLQuantizationType) -> None:
    writer.add_type("model")
    writer.add_name(NAME)
    writer.add_description(DESCRIPTION)
    writer.add_license("apache-2.0")
    writer.add_languages(["en"])
    file_types = {"Q8_0": gguf.LlamaFileType.MOSTLY_Q8_0, "F32": gguf.LlamaFileType.ALL_F32}
    writer.add_file_type(file_types[matrix_type.name])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)


def _write_shape(writer: gguf.GGUFWriter, shape: ModelShape) -> None:
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.hidden)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_layer_norm_rms_eps(shape.norm_epsilon)
    writer.add_rope_freq_base(shape.rope_theta)
    writer.add_rope_dimension_count(shape.head_dim)
    writer.add_vocab_size(shape.vocab_size)


def _write_tokenizer(writer: gguf.GGUFWriter, tokenizer: Tokenizer) -> None:
    content: dict[str, Any] = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(content["vocab"], key=content["vocab"].__getitem__)
    kinds = np.full(len(tokens), gguf.TokenType.NORMAL, dtype=np.int32)
    kinds[[tokens.index(text) for text in CONTROL]] = gguf.TokenType.CONTROL
    kinds[[tokens.index(text) for text in MARKERS]] = gguf.TokenType.USER_DEFINED
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(text_tokens.PRE_TOKENIZER)
    writer.add_token_list(tokens)
    writer.add_token_types(kinds.tolist())
    writer.add_token_merges([" ".join(pair) for pair in content["merges"]])
    writer.add_bos_token_id(tokens.index("<|im_start|>"))
    writer.add_eos_token_id(tokens.index(END_OF_TURN))
    writer.add_pad_token_id(tokens.index("<|endoftext|>"))
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", nargs="+", default=["main"], help="several: the mean of their weights")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--type", choices=["Q8_0", "F32"], default="Q8_0", help="type of the matrices")
    arguments = parser.parse_args()
    model = load_checkpoint(*(RUNS / run / "checkpoint.pt" for run in arguments.run))
    write_gguf(model, text_tokens.load(), arguments.output, gguf.GGMLQuantizationType[arguments.type])
    print(f"{arguments.output}: {arguments.output.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
