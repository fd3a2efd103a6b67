"""Tests of the training's parts against implementations that are not ours: transformers, jinja2, minijinja,
gguf.

python -m pytest training/test_training.py
"""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, fields, replace
from functools import partial
from pathlib import Path

import gguf
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

import jinja2
import minijinja

import amx_step
import text_tokens
import train
from chat_format import TEMPLATE, completion, render, to_request
from corpus.arithmetic import working
from corpus.candlewick_questions import TOPICS, candlewick_question
from corpus.chance import Chance, Split, is_held_out
from corpus.long_chats import long_chat
from corpus.mixture import dialogue, learned_throughout
from corpus.tools import tool_family
from export import load_checkpoint, write_gguf
from model import ModelShape, TinyModel, causal_spans
from muon import Muon, orthogonalised
from packing import (
    BEGINNING,
    GROUP,
    TOKENS_PER_BATCH,
    Batch,
    drills,
    encode,
    encode_family,
    lay_out,
    make_batches,
    pack,
)
from weights_file import read_weights, tensor_name

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
    names = {
        "attn_q": "self_attn.q_proj",
        "attn_k": "self_attn.k_proj",
        "attn_v": "self_attn.v_proj",
        "attn_output": "self_attn.o_proj",
        "ffn_gate": "mlp.gate_proj",
        "ffn_up": "mlp.up_proj",
        "ffn_down": "mlp.down_proj",
        "attn_norm": "input_layernorm",
        "ffn_norm": "post_attention_layernorm",
    }
    state = {
        "model.embed_tokens.weight": ours.token_embd.weight,
        "lm_head.weight": ours.token_embd.weight,
        "model.norm.weight": ours.output_norm.weight,
    }
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
        torch.testing.assert_close(ours(ids, causal_spans(40)), theirs(ids).logits, rtol=1e-4, atol=1e-4)


def test_packed_trunks_and_branches_are_what_they_are_alone() -> None:
    torch.manual_seed(0)
    model = TinyModel(ModelShape(hidden=64, layers=4, heads=2, kv_heads=1, feed_forward=64))
    tokenizer = text_tokens.load()
    batch = next(batch for batch in make_batches(0, 0, tokenizer) if batch.branch[0].max() > 2)
    with torch.no_grad():
        packed = model(batch.ids[:1], batch.spans()[:1], batch.positions[:1])[0]
    ids, document, branch = batch.ids[0], batch.document[0], batch.branch[0]
    num_branches = 0
    for number in set(document.tolist()) - {-1}:
        trunk = ((document == number) & (branch == 0)).nonzero()[:, 0]
        for own in range(int(branch[document == number].max()) + 1):
            places = ((document == number) & (branch == own)).nonzero()[:, 0]
            before = trunk[:0] if own == 0 else trunk[: batch.limits[0, places[0]] + 1]
            text = ids[torch.cat((before, places))][None]
            with torch.no_grad():
                alone = model(text, causal_spans(text.shape[1]))[0]
            torch.testing.assert_close(packed[places], alone[len(before) :], rtol=1e-3, atol=1e-4)
            num_branches += own > 0
    assert num_branches > 2


@pytest.mark.parametrize("drill_share", [0.0, 1.0], ids=["packed rows", "drills"])
def test_the_operator_has_the_gradients_of_plain_torch(
    drill_share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not amx_step.is_available():
        pytest.skip("the operator needs a processor with AMX")
    monkeypatch.setattr(train, "autocast", nullcontext)
    torch.manual_seed(0)
    model = TinyModel(ModelShape(hidden=128, layers=4, heads=2, kv_heads=1, feed_forward=96))
    batches = make_batches(0, 0, text_tokens.load(), drill_share)
    batch = next(batch for batch in batches if drill_share or batch.branch[0].max() > 2)
    batch.weights[0] *= 3
    parameters = dict(model.named_parameters())
    gradients = torch.autograd.grad(train.batch_loss(model, batch), list(parameters.values()))
    loss = amx_step.learn(model, batch)
    assert loss == pytest.approx(train.batch_loss(model, batch).item(), rel=1e-3)
    for (name, parameter), wanted in zip(parameters.items(), gradients, strict=True):
        assert parameter.grad is not None
        # bfloat16 has eight bits; torch's own products in it are up to 0.02 off here.
        assert torch.linalg.norm(parameter.grad - wanted) < 0.03 * torch.linalg.norm(wanted), name


def test_a_grown_network_begins_as_the_smaller_one(tmp_path: Path) -> None:
    torch.manual_seed(0)
    small = TinyModel(ModelShape(layers=4, feed_forward=256))
    write_gguf(small, text_tokens.load(), tmp_path / "small.gguf", gguf.GGMLQuantizationType.F32)
    grown = TinyModel(ModelShape(layers=5, feed_forward=512))
    read_weights(tmp_path / "small.gguf", grown)
    ids = torch.randint(0, small.shape.vocab_size, (1, 30))
    with torch.no_grad():
        wanted = small(ids, causal_spans(30))
        torch.testing.assert_close(grown(ids, causal_spans(30)), wanted, rtol=1e-4, atol=1e-4)
    with pytest.raises(
        ValueError, match=r"blk\.0\.ffn_gate\.weight is \(256, 256\), the network's is \(128, 256\)"
    ):
        read_weights(tmp_path / "small.gguf", TinyModel(ModelShape(layers=4, feed_forward=128)))
    with pytest.raises(ValueError, match=r"tensors of another network: blk\.3\."):
        read_weights(tmp_path / "small.gguf", TinyModel(ModelShape(layers=3, feed_forward=256)))
    with pytest.raises(
        ValueError, match=r"token_embd\.weight is \(2048, 256\), the network's is \(2048, 512\)"
    ):
        read_weights(tmp_path / "small.gguf", TinyModel(ModelShape(hidden=512)))
    del small.blk[1].ffn_norm
    write_gguf(small, text_tokens.load(), tmp_path / "small.gguf", gguf.GGMLQuantizationType.F32)
    with pytest.raises(ValueError, match=r"no tensor blk\.1\.ffn_norm\.weight"):
        read_weights(tmp_path / "small.gguf", grown)


@pytest.mark.parametrize("seed", range(20))
def test_branches_are_what_the_template_asks_for_at_that_place(seed: int) -> None:
    tokenizer = text_tokens.load()
    made = learned_throughout(Chance(seed), long_chat(Chance(seed), exchanges=4))
    encoded = encode(made, tokenizer)
    for number, (place, think) in enumerate(made.branches, start=1):
        cut = replace(made, messages=made.messages[: place + 1], think=think, branches=())
        wanted = tokenizer.encode("".join(render(cut))).ids
        own = [token for token, branch in zip(encoded.ids, encoded.branch, strict=True) if branch == number]
        trunk_seen = encoded.limits[encoded.branch.index(number)] + 1
        assert encoded.ids[:trunk_seen] + own == wanted
        learned = [w for w, branch in zip(encoded.shares, encoded.branch, strict=True) if branch == number]
        assert sum(learned) == len(tokenizer.encode(completion(made.messages[place], think)[1]).ids)


@pytest.mark.parametrize("seed", range(20))
def test_a_family_is_its_dialogues_behind_one_description_of_the_tools(seed: int) -> None:
    tokenizer = text_tokens.load()
    family = tool_family(Chance(seed))
    assert len(family) >= 4
    encoded = encode_family(family, tokenizer)
    for number, made in enumerate(family, start=1):
        own = [token for token, branch in zip(encoded.ids, encoded.branch, strict=True) if branch == number]
        trunk_seen = encoded.limits[encoded.branch.index(number)] + 1
        assert encoded.ids[:trunk_seen] + own == tokenizer.encode("".join(render(made))).ids
        learned = [w for w, branch in zip(encoded.shares, encoded.branch, strict=True) if branch == number]
        assert sum(learned) == len(tokenizer.encode(render(made)[1]).ids)


@pytest.mark.parametrize("think", [True, False])
def test_of_an_answer_that_is_cut_the_beginning_is_learned_and_counts(think: bool) -> None:
    tokenizer = text_tokens.load()
    whole = replace(candlewick_question(Chance(0)), think=think)
    _, written = render(whole)
    item = encode(replace(whole, weight=5.0, cut=True), tokenizer)
    learned = tokenizer.decode(item.ids[item.prompt_length :], skip_special_tokens=False)
    if think:
        assert learned == written.partition("</think>")[0] + "</think>"
    else:
        assert written.startswith(learned)
        assert len(item.ids) - item.prompt_length == BEGINNING
    weights = lay_out([[item]], len(item.ids), Chance(0)).weights[0].tolist()
    assert weights[item.prompt_length :] == [5.0] * (len(item.ids) - item.prompt_length)
    assert set(weights[: item.prompt_length]) <= {0.0, 1.0}


def test_what_a_drill_teaches_was_there_before() -> None:
    batch = drills(Chance(3), text_tokens.load())
    assert (batch.weights > 0).float().mean() > 0.3
    for ids, learned in zip(batch.ids.tolist(), (batch.weights > 0).tolist(), strict=True):
        assert any(learned)
        for place in (place for place, follows in enumerate(learned) if follows):
            earlier = [ids[i] for i in range(1, place) if ids[i - 1] == ids[place - 1]]
            assert ids[place] in earlier
    assert len(set(batch.ids.flatten().tolist())) > 500, "most of them use the whole vocabulary"


SHAPES = ((256, 512), (512, 256), (512, 256), (128, 256))


def _muon_steps(folder: Path, workers: int, rank: int) -> None:
    """Three steps with matrices of these shapes, in one optimiser; the matrices after them."""
    torch.set_num_threads(1)
    if workers > 1:
        train.Workers.meet(workers, rank, folder / "meeting")
    torch.manual_seed(0)
    matrices = [torch.nn.Parameter(torch.randn(shape)) for shape in SHAPES]
    optimizer = Muon(matrices, lr=0.02, workers=workers, rank=rank)
    for _ in range(3):
        for matrix in matrices:
            matrix.grad = torch.randn(matrix.shape)
        optimizer.step()
    torch.save([matrix.detach() for matrix in matrices], folder / f"muon{workers}{rank}.pt")


def test_muon_steps_as_torchs_does(tmp_path: Path) -> None:
    """Alone, and as two workers, of which one has a matrix less than the other."""
    torch.manual_seed(0)
    starts = [torch.randn(shape) for shape in SHAPES]
    theirs = [torch.nn.Parameter(start.clone()) for start in starts]
    optimizer = torch.optim.Muon(theirs, lr=0.02, weight_decay=0.01)
    for _ in range(3):
        for matrix in theirs:
            matrix.grad = torch.randn(matrix.shape)
        optimizer.step()
    spawn = torch.multiprocessing.get_context("spawn")
    processes = [
        spawn.Process(target=_muon_steps, args=(tmp_path, workers, rank))
        for workers in (1, 2)
        for rank in range(workers)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    for name in ("muon10", "muon20", "muon21"):
        for ours, matrix, start in zip(torch.load(tmp_path / f"{name}.pt"), theirs, starts, strict=True):
            # Theirs rounds to bfloat16, which has eight bits.
            assert torch.linalg.norm(ours - matrix) < 0.02 * torch.linalg.norm(matrix - start), name


@pytest.mark.parametrize("shape", [(2, 128, 256), (2, 48, 80)], ids=["by 32", "not by 32"])
def test_matrices_of_any_size_are_orthogonalised(shape: tuple[int, ...]) -> None:
    """In bfloat16, by the operator where there is one that takes them, as in float32."""
    torch.manual_seed(0)
    matrices = torch.randn(shape)
    wanted = orthogonalised(matrices)
    with train.autocast():
        ours = orthogonalised(matrices).float()
    assert torch.linalg.norm(ours - wanted) < 0.03 * torch.linalg.norm(wanted)


Render = Callable[..., str]


def _jinja2() -> Render:
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
    return environment.from_string(TEMPLATE).render


def _minijinja() -> Render:
    environment = minijinja.Environment(
        trim_blocks=True, lstrip_blocks=True, auto_escape_callback=lambda name: False
    )
    environment.add_filter("tojson", lambda value: json.dumps(value, ensure_ascii=False))
    environment.add_template("chat", TEMPLATE)
    return partial(environment.render_template, "chat")


@pytest.mark.parametrize("render_template", [_jinja2(), _minijinja()], ids=["jinja2", "minijinja"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_template_renders_what_the_model_was_trained_on(render_template: Render, split: Split) -> None:
    chance = Chance(5, split)
    for _ in range(150):
        made = dialogue(chance)
        assert render_template(add_generation_prompt=True, **to_request(made)) == render(made)[0]


@pytest.mark.parametrize("render_template", [_jinja2(), _minijinja()], ids=["jinja2", "minijinja"])
def test_template_reads_switches_parts_and_past_thinking(render_template: Render) -> None:
    messages = [
        {"role": "developer", "content": "Be brief. /no_think"},
        {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
        {"role": "assistant", "content": "<think>\nA greeting.\n</think>\nHello!"},
        {"role": "user", "content": "Bye"},
    ]
    rendered = render_template(messages=messages, tools=None, add_generation_prompt=True)
    assert rendered == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
        "<|im_start|>assistant\nHello!<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n"
        "<|im_start|>assistant\n<think>\n\n</think>\n"
    )


SUMS = [
    (347, "+", 85),
    (5, "+", 999),
    (500, "-", 1),
    (20, "-", 345),
    (7, "*", 46),
    (46, "*", 7),
    (9, "*", 99),
]


@pytest.mark.parametrize(("a", "operation", "b"), SUMS)
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

    def questions(split: Split) -> set[str]:
        chance = Chance(1, split)
        return {candlewick_question(chance).messages[0].content.lower().rstrip(".?") for _ in range(3000)}

    assert not questions("train") & questions("test")
    assert len(TOPICS) >= 60


def test_same_seed_same_batches() -> None:
    tokenizer = text_tokens.load()
    first, again = make_batches(9, 0, tokenizer), make_batches(9, 0, tokenizer)
    assert len(first) == GROUP
    assert all(torch.equal(one.ids, other.ids) for one, other in zip(first, again, strict=True))
    second = make_batches(9, 1, tokenizer)
    assert [batch.ids.shape for batch in second] == [batch.ids.shape for batch in first]
    for other in (second[0], make_batches(10, 0, tokenizer)[0]):
        assert other.ids.shape != first[0].ids.shape or not torch.equal(other.ids, first[0].ids)


def test_dialogues_find_a_row_and_none_is_cut() -> None:
    tokenizer = text_tokens.load()
    chance = Chance(2)
    items = [encode(dialogue(chance), tokenizer) for _ in range(40)]
    rows = pack(items, [1024] * 5 + [2048])
    assert all(sum(len(item.ids) for item in row) <= 1024 for row in rows[:5])
    placed = [item for row in rows for item in row]
    assert len({id(item) for item in placed}) == len(placed)
    assert {id(item) for item in items if len(item.ids) <= 500} <= {id(item) for item in placed}
    batch = lay_out(rows[:5], 1024, chance)
    for row, own in enumerate(rows[:5]):
        for number, item in enumerate(own):
            places = batch.document[row] == number
            assert batch.ids[row][places].tolist() == item.ids
            assert batch.positions[row][places].tolist() == item.positions

    batches = make_batches(3, 0, tokenizer)
    assert sum(int((batch.document >= 0).sum()) for batch in batches) > 0.9 * GROUP * TOKENS_PER_BATCH


def test_a_split_belongs_to_text_and_not_to_its_punctuation() -> None:
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
    written = {
        tensor.name: gguf.quants.dequantize(tensor.data, tensor.tensor_type) for tensor in reader.tensors
    }
    state = {tensor_name(name): tensor.numpy() for name, tensor in model.state_dict().items()}
    assert written.keys() == state.keys()
    for name, values in state.items():
        assert abs(written[name] - values).max() <= abs(values).max() / 127, name
    assert reader.fields["tokenizer.ggml.pre"].contents() == "smollm"
    assert reader.fields["tokenizer.chat_template"].contents() == TEMPLATE


def test_of_several_checkpoints_the_mean_is_exported(tmp_path: Path) -> None:
    paths = [tmp_path / "one.pt", tmp_path / "two.pt"]
    for path, value in zip(paths, (1.0, 4.0), strict=True):
        state = {
            name: torch.full_like(tensor, value) for name, tensor in TinyModel(SMALL).state_dict().items()
        }
        torch.save({"shape": asdict(SMALL), "average": state}, path)
    for given, expected in ((paths[:1], 1.0), (paths, 2.5)):
        assert all((tensor == expected).all() for tensor in load_checkpoint(*given).state_dict().values())
    torch.save({"shape": asdict(replace(SMALL, layers=1)), "average": {}}, paths[1])
    with pytest.raises(ValueError, match="different networks"):
        load_checkpoint(*paths)


def _one_row(part: int = 0) -> list[Batch]:
    """Short batches: of each step of a group one row."""
    batches = make_batches(1, part, text_tokens.load())
    return [
        Batch(**{field.name: getattr(batch, field.name)[:1] for field in fields(Batch)}) for batch in batches
    ]


def test_a_resumed_run_goes_on_as_an_unbroken_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "RUNS", tmp_path)
    batches = _one_row()[:2]
    unbroken = train.Run("unbroken", seed=3)
    losses = [unbroken.learn(batch, 1.0)[0] for batch in batches]
    broken = train.Run("broken", seed=3)
    broken.learn(batches[0], 1.0)
    broken.save()
    resumed = train.Run("broken", seed=99)
    assert (resumed.step, resumed.tokens) == (1, broken.tokens)
    assert resumed.learn(batches[1], 1.0)[0] == pytest.approx(losses[1], rel=1e-3)
    assert losses[1] < losses[0]
    for ours, theirs in zip(resumed.average.parameters(), unbroken.average.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-2, atol=1e-3)


def _learn_together(rank: int, folder: Path) -> None:
    """One of two workers: a step on its own batch, and the weights after it."""
    torch.set_num_threads(1)
    train.RUNS = folder
    workers = train.Workers.meet(2, rank, folder / "meeting")
    run = train.Run(f"worker{rank}", 3, workers=workers)
    run.learn(_one_row(rank)[0], 1.0)
    assert workers.agree(float(rank)) == 0.0
    torch.save(run.model.state_dict(), folder / f"after{rank}.pt")


def test_two_workers_step_as_one_that_has_both_of_their_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spawn = torch.multiprocessing.get_context("spawn")
    together = [spawn.Process(target=_learn_together, args=(rank, tmp_path)) for rank in (0, 1)]
    for process in together:
        process.start()
    for process in together:
        process.join(240)
        assert process.exitcode == 0
    first, second = (torch.load(tmp_path / f"after{rank}.pt") for rank in (0, 1))
    monkeypatch.setattr(train, "RUNS", tmp_path)
    alone = train.Run("alone", 3)
    before = copy.deepcopy(alone.model.state_dict())
    for rank in (0, 1):
        (train.batch_loss(alone.model, _one_row(rank)[0]) / 2).backward()
    torch.nn.utils.clip_grad_norm_(alone.model.parameters(), train.CLIP)
    alone.optimizers.step(1.0)
    for name, values in alone.model.state_dict().items():
        assert torch.equal(first[name], second[name]), name
        assert not torch.equal(first[name], before[name]), name
        step = (values - before[name]).norm()
        # The first step of AdamW goes by the gradients' signs alone, and sums in bfloat16 may turn that of a small one.
        assert (first[name] - values).norm() <= 0.3 * step, name


def test_a_run_begins_with_the_weights_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "RUNS", tmp_path)
    first = train.Run("first", seed=3)
    path = tmp_path / "exact.gguf"
    write_gguf(first.model, text_tokens.load(), path, gguf.GGMLQuantizationType.F32)
    second = train.Run("second", seed=4, start=path)
    for name, values in first.model.state_dict().items():
        assert torch.equal(values, second.model.state_dict()[name]), name
        assert torch.equal(values, second.average.state_dict()[name]), name
