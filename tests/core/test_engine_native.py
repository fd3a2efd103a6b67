"""Over the native kernels, too: the same tokens and log-probabilities, to the bit, whatever else goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scripted_runner import VOCAB_SIZE, ByteTokenizer

from candlewick.core.config import EngineConfig
from candlewick.core.engine import ChoiceResult, InferenceEngine
from candlewick.core.errors import EngineFailed, ModelLoadError
from candlewick.core.gguf import GGUFFile
from candlewick.core.params import GenerationParams

pytest.importorskip("candlewick._kernels", reason="the native module is not built")
gguf = pytest.importorskip("gguf", reason="gguf writes the model file")

NUM_LAYERS, HIDDEN, NUM_HEADS, NUM_KV_HEADS, FEED_FORWARD, CONTEXT = 2, 64, 4, 2, 96, 256
BLOCK_BYTES = 2 * NUM_LAYERS * HIDDEN // NUM_HEADS * NUM_KV_HEADS * 16 * 2

Bits = list[tuple[int, float, tuple[tuple[int, float], ...]]]


def write_model(path: Path, tensor_type: str, poisoned_token: int | None = None) -> Path:
    """A llama with random weights, large enough that its answers are not all alike; one token may be NaN."""
    rng = np.random.default_rng(5)
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(NUM_LAYERS)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(NUM_HEADS)
    writer.add_head_count_kv(NUM_KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(HIDDEN // NUM_HEADS)
    writer.add_vocab_size(VOCAB_SIZE)
    kind = gguf.GGMLQuantizationType[tensor_type]
    kv_width = HIDDEN // NUM_HEADS * NUM_KV_HEADS
    matrices = {"token_embd": (VOCAB_SIZE, HIDDEN)}
    norms = ["output_norm"]
    for layer in range(NUM_LAYERS):
        norms += [f"blk.{layer}.attn_norm", f"blk.{layer}.ffn_norm"]
        for name, shape in {
            "attn_q": (HIDDEN, HIDDEN),
            "attn_k": (kv_width, HIDDEN),
            "attn_v": (kv_width, HIDDEN),
            "attn_output": (HIDDEN, HIDDEN),
            "ffn_gate": (FEED_FORWARD, HIDDEN),
            "ffn_up": (FEED_FORWARD, HIDDEN),
            "ffn_down": (HIDDEN, FEED_FORWARD),
        }.items():
            matrices[f"blk.{layer}.{name}"] = shape
    for name in norms:
        writer.add_tensor(f"{name}.weight", np.ones(HIDDEN, dtype=np.float32))
    for name, shape in matrices.items():
        values = rng.normal(0, 0.3, shape).astype(np.float32)
        if name == "token_embd" and poisoned_token is not None:
            values[poisoned_token] = np.nan
        writer.add_tensor(f"{name}.weight", gguf.quants.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def new_engine(path: Path, *, num_blocks: int = 200, **config: Any) -> InferenceEngine:
    from candlewick.core.native_runner import NativeRunner

    settings = EngineConfig(kv_cache_bytes=num_blocks * BLOCK_BYTES, **config)
    with GGUFFile.open(path) as file:
        runner = NativeRunner.load(file, settings)
    return InferenceEngine(runner, ByteTokenizer(), settings)  # type: ignore[arg-type]


def bits(choice: ChoiceResult) -> Bits:
    return [(output.token_id, output.logprob, output.top_logprobs) for output in choice.outputs]  # type: ignore[misc]


def requests() -> list[tuple[list[int], GenerationParams]]:
    rng = np.random.default_rng(1)
    shared = rng.integers(0, 256, 50).tolist()
    return [
        (
            (shared if i % 3 else []) + rng.integers(0, 256, 3 + 9 * i).tolist(),
            GenerationParams(
                temperature=[0.0, 0.8, 1.2][i % 3],
                top_p=0.95,
                repetition_penalty=1.1,
                presence_penalty=0.5,
                seed=i,
                max_tokens=30,
                ignore_eos=True,
                logprobs=2,
            ),
        )
        for i in range(9)
    ]


def run_together(engine: InferenceEngine) -> list[Bits]:
    generations = [engine.submit(*request) for request in requests()]
    return [bits(generation.result()[0]) for generation in generations]


@pytest.fixture(scope="module", params=["F32", "Q8_0"])
def model_path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "random.gguf", request.param)


@pytest.fixture(scope="module")
def alone(model_path: Path) -> list[Bits]:
    """Each request's answer on an engine that guesses nothing and where nothing has run before it."""
    answers = []
    for request in requests():
        with new_engine(model_path, num_threads=1, speculation=None) as engine:
            answers.append(bits(engine.submit(*request).result()[0]))
    assert len({tuple(answer) for answer in answers}) == len(answers), "the answers must tell requests apart"
    return answers


@pytest.mark.parametrize("num_threads", [1, 2])
@pytest.mark.parametrize("max_step_tokens", [5, 64])
def test_in_a_crowd_with_a_cold_and_a_warm_cache(
    model_path: Path, alone: list[Bits], num_threads: int, max_step_tokens: int
) -> None:
    with new_engine(model_path, num_threads=num_threads, max_step_tokens=max_step_tokens) as engine:
        assert run_together(engine) == alone
        num_hits = engine.stats().prefix_hit_tokens
        assert run_together(engine) == alone
        assert engine.stats().prefix_hit_tokens > 2 * num_hits


def test_with_right_and_wrong_guesses(model_path: Path) -> None:
    # A random model repeats nothing by itself; a reward for repetition makes it do so, on and off.
    asked = [
        (
            [i, 2, 3] * 7,
            GenerationParams(
                temperature=[0.0, 0.7][i % 2],
                repetition_penalty=0.3,
                max_tokens=60,
                seed=i,
                ignore_eos=True,
                logprobs=3,
            ),
        )
        for i in range(6)
    ]
    with new_engine(model_path, speculation=None) as engine:
        expected = [bits(engine.submit(*request).result()[0]) for request in asked]
        num_steps = engine.stats().steps
        assert engine.stats().draft_tokens == 0
    with new_engine(model_path) as engine:
        assert [bits(engine.submit(*request).result()[0]) for request in asked] == expected
        stats = engine.stats()
        assert stats.draft_tokens > stats.accepted_draft_tokens > 0
        assert stats.steps == num_steps - stats.accepted_draft_tokens
        generations = [engine.submit(*request) for request in asked]
        assert [bits(generation.result()[0]) for generation in generations] == expected
    with new_engine(model_path, num_blocks=12, max_step_tokens=9) as engine:
        generations = [engine.submit(*request) for request in asked]
        assert [bits(generation.result()[0]) for generation in generations] == expected
        stats = engine.stats()
        assert stats.preemptions > 0
        assert stats.accepted_draft_tokens > 0


@pytest.mark.parametrize("kv_cache_type", ["f32", "q8"])
def test_with_other_caches(model_path: Path, kv_cache_type: str) -> None:
    config = {"kv_cache_type": kv_cache_type, "num_blocks": 400}
    alone = []
    for request in requests()[::3]:
        with new_engine(model_path, num_threads=1, speculation=None, **config) as engine:
            alone.append(bits(engine.submit(*request).result()[0]))
    with new_engine(model_path, num_threads=2, max_step_tokens=11, **config) as engine:
        for _ in range(2):
            assert run_together(engine)[::3] == alone


def test_after_a_restart_with_the_cache_from_a_file(
    model_path: Path, alone: list[Bits], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "cache.kv"
    with new_engine(model_path, kv_cache_path=path) as engine:
        assert run_together(engine) == alone
        num_cached = engine.stats().blocks_cached
    with new_engine(model_path, kv_cache_path=path, num_threads=1) as engine:
        assert run_together(engine) == alone
        stats = engine.stats()
        assert stats.blocks_cached == num_cached
        assert stats.prefix_hit_tokens > 0.7 * stats.prompt_tokens
    with new_engine(model_path, kv_cache_path=path, kv_cache_type="f32") as engine:
        engine.submit(*requests()[0]).result()
        assert engine.stats().prefix_hit_tokens == 0
    assert "differs in cache, block_bytes" in caplog.text


def test_a_conversation_from_a_file(model_path: Path, alone: list[Bits], tmp_path: Path) -> None:
    prompt, params = requests()[8]
    with new_engine(model_path) as engine:
        assert bits(engine.submit(prompt, params).result()[0]) == alone[8]
        num_saved = engine.save_kv(prompt, tmp_path / "conversation.kv")
        assert num_saved == len(prompt) // 16 * 16
    with new_engine(model_path) as engine:
        assert engine.load_kv(tmp_path / "conversation.kv") == num_saved
        (choice,) = engine.submit(prompt, params).result()
        assert bits(choice) == alone[8]
        assert choice.usage.cached_tokens == (len(prompt) - 1) // 16 * 16


def test_a_model_file_that_changes_under_way_is_noticed(model_path: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(model_path.read_bytes())
    with new_engine(path) as engine:
        engine.submit(*requests()[0]).result()
        path.write_bytes(path.read_bytes() + bytes(32))
        with pytest.raises(ModelLoadError, match="has changed since it was loaded"):
            engine.save_kv(requests()[0][0], tmp_path / "conversation.kv")


def test_after_preemptions(model_path: Path, alone: list[Bits]) -> None:
    with new_engine(model_path, num_blocks=20) as engine:
        assert run_together(engine) == alone
        assert engine.stats().preemptions > 0


def test_beside_cancelled_neighbours(model_path: Path, alone: list[Bits]) -> None:
    with new_engine(model_path, num_blocks=40, max_step_tokens=40) as engine:
        neighbours = [engine.submit([i] * 60) for i in range(6)]
        generations = [engine.submit(*request) for request in requests()]
        for i, neighbour in enumerate(neighbours):
            for _, _ in zip(range(i), neighbour, strict=False):
                pass
            neighbour.cancel()
        assert [bits(generation.result()[0]) for generation in generations] == alone
        assert engine.stats().blocks_used == 0


def test_nan_in_the_weights_fails_the_request_that_meets_it_and_no_other(tmp_path: Path) -> None:
    poison = 77
    params = GenerationParams(max_tokens=20, temperature=0, ignore_eos=True)
    with new_engine(write_model(tmp_path / "model.gguf", "F32", poison), num_blocks=8) as engine:
        sound = [engine.submit([1, 2, 3, i], params) for i in range(4)]
        poisoned = engine.submit([1, 2, poison, 4], params)
        with pytest.raises(EngineFailed, match="no finite logit"):
            poisoned.result()
        expected = [generation.result() for generation in sound]
        assert engine.health().status == "ready"
        # Blocks that held NaN are used again without harm.
        again = [engine.submit([1, 2, 3, i], params).result() for i in range(4)]
    assert [r[0].token_ids for r in again] == [r[0].token_ids for r in expected]
