"""Tests of the training's parts against implementations that are not ours: transformers, jinja2, minijinja, gguf.

    python -m pytest training/test_training.py
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import gguf
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

import jinja2  # noqa: E402
import minijinja  # noqa: E402

import text_tokens  # noqa: E402
from chat_format import TEMPLATE, render, to_request  # noqa: E402
from corpus.arithmetic import working  # noqa: E402
from corpus.candlewick_questions import TOPICS  # noqa: E402
from corpus.chance import Chance, is_held_out  # noqa: E402
from corpus.mixture import dialogue  # noqa: E402
from export import tensor_name, write_gguf  # noqa: E402
from model import ModelShape, TinyModel, causal_mask  # noqa: E402
from packing import make_batch  # noqa: E402

SMALL = ModelShape(vocab_size=2048, hidden=64, layers=5, heads=4, kv_heads=2, feed_forward=96, context=64)


def _halves_from_pairs(weight: torch.Tensor, head_dim: int) -> torch.Tensor:
    """Rows of a query or key matrix from neighbouring pairs to transformers' two halves of each head."""
    heads = weight.reshape(-1, head_dim // 2, 2, weight.shape[-1])
    return heads.transpose(1, 2).reshape(weight.shape)


def test_model_agrees_with_transformers() -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    ours = TinyModel(SMALL)
    config = transformers.SmolLM3Config(
        vocab_size=SMALL.vocab_size,
        hidden_size=SMALL.hidden,
        num_hidden_layers=SMALL.layers,
        num_attention_heads=SMALL.heads,
        num_key_value_heads=SMALL.kv_heads,
        intermediate_size=SMALL.feed_forward,
        max_position_embeddings=SMALL.context,
        rms_norm_eps=SMALL.norm_epsilon,
        no_rope_layer_interval=SMALL.no_rope_interval,
        rope_parameters={"rope_type": "default", "rope_theta": SMALL.rope_theta},
        tie_word_embeddings=True,
        pad_token_id=0,
    )
    theirs = transformers.SmolLM3ForCausalLM(config).eval()
    names = {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
             "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
             "ffn_down": "mlp.down_proj", "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm"}  # fmt: skip
    state = {"model.embed_tokens.weight": ours.token_embd.weight, "lm_head.weight": ours.token_embd.weight,
             "model.norm.weight": ours.output_norm.weight}  # fmt: skip
    for parameter, tensor in ours.state_dict().items():
        if parameter.startswith("blk"):
            _, layer, own, _ = tensor_name(parameter).split(".")
            rotated = own in ("attn_q", "attn_k")
            state[f"model.layers.{layer}.{names[own]}.weight"] = (
                _halves_from_pairs(tensor, SMALL.head_dim) if rotated else tensor
            )
    theirs.load_state_dict(state)
    ids = torch.randint(0, SMALL.vocab_size, (2, 40))
    with torch.no_grad():
        torch.testing.assert_close(ours(ids, causal_mask(40)), theirs(ids).logits, rtol=1e-4, atol=1e-4)


def test_packed_documents_do_not_see_each_other() -> None:
    torch.manual_seed(0)
    model = TinyModel(ModelShape(hidden=64, layers=2, heads=2, kv_heads=1, feed_forward=64))
    batch = make_batch(3, text_tokens.load())
    row, document = batch.ids[:1], batch.document[:1]
    mask = batch.mask()[:1]
    with torch.no_grad():
        packed = model(row, mask)[0]
        for number in document.unique().tolist():
            if number < 0:
                continue
            places = (document[0] == number).nonzero()[:, 0]
            alone = model(row[:, places], causal_mask(len(places)))[0]
            torch.testing.assert_close(packed[places], alone, rtol=1e-3, atol=1e-4)


def _environments() -> dict[str, object]:
    def tojson(value: object) -> str:
        return json.dumps(value, ensure_ascii=False)

    plain = jinja2.Environment(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])
    plain.filters["tojson"] = tojson
    rust = minijinja.Environment(trim_blocks=True, lstrip_blocks=True, auto_escape_callback=lambda name: False)
    rust.add_filter("tojson", tojson)
    rust.add_template("chat", TEMPLATE)
    return {
        "jinja2": lambda **values: plain.from_string(TEMPLATE).render(**values),
        "minijinja": lambda **values: rust.render_template("chat", **values),
    }


@pytest.mark.parametrize("engine", ["jinja2", "minijinja"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_template_renders_what_the_model_was_trained_on(engine: str, split: str) -> None:
    chance = Chance(5, split)  # type: ignore[arg-type]
    template = _environments()[engine]
    for _ in range(150):
        made = dialogue(chance)
        assert template(add_generation_prompt=True, **to_request(made)) == render(made)[0]  # type: ignore[operator]


@pytest.mark.parametrize("engine", ["jinja2", "minijinja"])
def test_template_reads_switches_parts_and_past_thinking(engine: str) -> None:
    template = _environments()[engine]
    messages = [
        {"role": "developer", "content": "Be brief. /no_think"},
        {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
        {"role": "assistant", "content": "<think>\nA greeting.\n</think>\nHello!"},
        {"role": "user", "content": "Bye"},
    ]
    rendered = template(messages=messages, tools=None, add_generation_prompt=True)  # type: ignore[operator]
    assert rendered == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello!<|im_end|>\n"
        "<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n"
    )


@pytest.mark.parametrize(("a", "operation", "b"), [(347, "+", 85), (5, "+", 999), (500, "-", 1), (20, "-", 345), (7, "*", 46), (46, "*", 7), (9, "*", 99)])  # fmt: skip
def test_workings_are_true(a: int, operation: str, b: int) -> None:
    lines = working(a, operation, b).splitlines()
    for line in lines:
        if "=" in line and ">" not in line:
            left, right = line.split("=")
            digit = int(right.split(" borrow ")[0])
            expression = "".join(f" {part} " if part in "+-*" else part.lstrip("0") or "0" for part in left)
            expected = eval(expression)
            assert digit == (expected % 10 if "borrow" in line else expected), line
    assert int(lines[-1]) == abs(eval(f"{a} {operation} {b}"))


def test_splits_share_no_question_about_candlewick() -> None:
    from corpus.candlewick_questions import candlewick_question

    def questions(split: str) -> set[str]:
        chance = Chance(1, split)  # type: ignore[arg-type]
        return {candlewick_question(chance).messages[0].content.lower().rstrip(".?") for _ in range(3000)}

    assert not questions("train") & questions("test")
    assert len(TOPICS) >= 60


def test_same_seed_same_batch() -> None:
    tokenizer = text_tokens.load()
    assert torch.equal(make_batch(9, tokenizer).ids, make_batch(9, tokenizer).ids)
    assert not torch.equal(make_batch(9, tokenizer).ids, make_batch(10, tokenizer).ids)
    assert is_held_out("Hi") == is_held_out("hi!")


def test_tokenizer_round_trips_and_keeps_digits_apart() -> None:
    tokenizer = text_tokens.load()
    text = "Zoë paid 1234.50 € for 2 crêpes\n\n\tin 北京 🕯️"
    ids = tokenizer.encode(text).ids
    assert tokenizer.decode(ids, skip_special_tokens=False) == text
    assert [tokenizer.id_to_token(i) for i in tokenizer.encode("a1234").ids] == ["a", "1", "2", "3", "4"]


def test_gguf_holds_the_model(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = TinyModel(SMALL)
    write_gguf(model, text_tokens.load(), tmp_path / "tiny.gguf")
    reader = gguf.GGUFReader(tmp_path / "tiny.gguf")
    written = {tensor.name: gguf.quants.dequantize(tensor.data, tensor.tensor_type) for tensor in reader.tensors}
    state = {tensor_name(name): tensor.numpy() for name, tensor in model.state_dict().items()}
    assert written.keys() == state.keys()
    for name, values in state.items():
        assert abs(written[name] - values).max() <= abs(values).max() / 127, name
    assert reader.fields["tokenizer.ggml.pre"].contents() == "smollm"
    assert reader.fields["tokenizer.chat_template"].contents() == TEMPLATE
