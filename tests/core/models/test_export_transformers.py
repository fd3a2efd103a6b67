"""The exporter that the comparisons stand on, against readers that are not ours."""

from pathlib import Path

import gguf
import numpy as np
import pytest

from candlewick.core.gguf import GGUFFile
from candlewick.core.tokenizer import Tokenizer
from reference.export_transformers import CONTROL_TOKENS, export_gguf, read_dequantized
from reference.random_models import random_model

torch = pytest.importorskip("torch", reason="torch and transformers are the reference here")
transformers = pytest.importorskip("transformers", reason="torch and transformers are the reference here")
pytestmark = pytest.mark.reference


@pytest.mark.parametrize(
    ("model_type", "overrides"),
    [
        ("llama", {"tie_word_embeddings": False}),
        ("mistral", {"sliding_window": None}),
        ("qwen2", {}),
        ("qwen3", {"head_dim": 128}),  # what transformers assumes of every Qwen3 file
    ],
)
def test_transformers_reads_the_same_weights_back(
    model_type: str, overrides: dict[str, object], tmp_path: Path
) -> None:
    pytest.importorskip("accelerate", reason="transformers needs it to read GGUF files")
    model = random_model(model_type, **overrides)
    export_gguf(model, tmp_path / "model.gguf")
    again = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path, gguf_file="model.gguf", dtype=torch.float32
    )
    expected, got = model.state_dict(), again.state_dict()
    assert got.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(got[name].numpy(), values.numpy(), err_msg=name)
    for field in ("num_attention_heads", "num_key_value_heads", "rms_norm_eps", "max_position_embeddings"):
        assert getattr(again.config, field) == pytest.approx(getattr(model.config, field)), field


def test_matrices_have_the_type_asked_for(tmp_path: Path) -> None:
    path = export_gguf(random_model("smollm3"), tmp_path / "model.gguf", "Q4_0")
    tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(str(path)).tensors}
    assert tensors["blk.0.attn_q.weight"].tensor_type == gguf.GGMLQuantizationType.Q4_0
    assert tensors["blk.0.attn_norm.weight"].tensor_type == gguf.GGMLQuantizationType.F32
    assert read_dequantized(path)["blk.0.ffn_down.weight"].shape == (64, 96)


def test_the_vocabulary_is_complete(tmp_path: Path) -> None:
    path = export_gguf(random_model("qwen2"), tmp_path / "model.gguf", chat_template="{{ messages }}")
    with GGUFFile.open(path) as file:
        tokenizer = Tokenizer.from_metadata(file.metadata, path)
    text = "hé, the 🕯 \x00\n<|im_end|>"
    token_ids = tokenizer.encode(text, parse_special=True)
    assert tokenizer.decode(token_ids) == text
    assert token_ids[-1] == tokenizer.id_of("<|im_end|>")
    assert all(tokenizer.is_control(tokenizer.id_of(token)) for token in CONTROL_TOKENS)
    assert tokenizer.chat_template == "{{ messages }}"


def test_models_that_can_not_be_exported(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="vocab_size must be at least 262, got 100"):
        export_gguf(random_model("llama", vocab_size=100), tmp_path / "model.gguf")
