"""An engine over the native kernels: what :mod:`candlewick.core.verification` does not try."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from random_engine import Bits, bits, new_engine, write_model

from candlewick.core.engine import InferenceEngine
from candlewick.core.errors import EngineFailed, ModelLoadError
from candlewick.core.gguf import GGUFFile
from candlewick.core.params import GenerationParams
from candlewick.core.speculation.draft_model import DraftModel

pytest.importorskip("candlewick._kernels", reason="the native module is not built")
pytest.importorskip("gguf", reason="gguf writes the model file")


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


def repetitive_requests() -> list[tuple[list[int], GenerationParams]]:
    """A random model repeats nothing by itself; a reward for repetition makes it do so, on and off."""
    return [
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


@pytest.mark.parametrize("has_draft_model", [False, True])
def test_with_right_and_wrong_guesses(
    model_path: Path, tmp_path: Path, has_draft_model: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = repetitive_requests()
    draft_path = None
    if has_draft_model:
        draft_path = write_model(tmp_path / "draft.gguf", "Q4_0")
        # It is as slow as the model, and would soon be left alone.
        monkeypatch.setattr(DraftModel, "round_seconds", lambda self, num_sequences: 0.0)
    with new_engine(model_path, speculation=None) as engine:
        expected = [bits(engine.submit(*request).result()[0]) for request in asked]
        num_steps = engine.stats().steps
        assert engine.stats().draft_tokens == 0
    with new_engine(model_path, draft_path=draft_path) as engine:
        assert [bits(engine.submit(*request).result()[0]) for request in asked] == expected
        stats = engine.stats()
        assert stats.draft_tokens > stats.accepted_draft_tokens > 0
        assert stats.steps == num_steps - stats.accepted_draft_tokens
        generations = [engine.submit(*request) for request in asked]
        assert [bits(generation.result()[0]) for generation in generations] == expected
    with new_engine(model_path, draft_path=draft_path, num_blocks=12, max_step_tokens=9) as engine:
        # So many that some run at once however late they are submitted.
        generations = [engine.submit(*request) for request in 4 * asked]
        assert [bits(generation.result()[0]) for generation in generations] == 4 * expected
        stats = engine.stats()
        assert stats.preemptions > 0
        assert stats.accepted_draft_tokens > 0


def test_a_model_that_guesses_for_itself_is_always_right(
    model_path: Path, alone: list[Bits], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its keys and values are computed in other batches, and it draws the same tokens by the same numbers."""
    monkeypatch.setattr(DraftModel, "round_seconds", lambda self, num_sequences: 0.0)
    with new_engine(model_path, draft_path=model_path) as engine:
        assert run_together(engine) == alone
        stats = engine.stats()
        assert stats.draft_tokens == stats.accepted_draft_tokens > 0.5 * stats.generated_tokens


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


def poison(path: Path, token_id: int) -> Path:
    """Make one token's embedding NaN."""
    with GGUFFile.open(path) as file:
        tensor = file.tensors["token_embd.weight"]
    row_bytes = tensor.num_bytes // tensor.shape[0]
    with path.open("r+b") as raw:
        raw.seek(tensor.offset + token_id * row_bytes)
        raw.write(np.full(row_bytes // 4, np.nan, dtype="<f4").tobytes())
    return path


def test_nan_in_the_weights_fails_the_request_that_meets_it_and_no_other(tmp_path: Path) -> None:
    poisoned_token = 77
    params = GenerationParams(max_tokens=20, temperature=0, ignore_eos=True)
    path = poison(write_model(tmp_path / "model.gguf", "F32"), poisoned_token)
    with new_engine(path, num_blocks=8) as engine:
        sound = [engine.submit([1, 2, 3, i], params) for i in range(4)]
        poisoned = engine.submit([1, 2, poisoned_token, 4], params)
        with pytest.raises(EngineFailed, match="no finite logit"):
            poisoned.result()
        expected = [generation.result() for generation in sound]
        assert engine.health().status == "ready"
        # Blocks that held NaN are used again without harm.
        again = [engine.submit([1, 2, 3, i], params).result() for i in range(4)]
    assert [r[0].token_ids for r in again] == [r[0].token_ids for r in expected]


def test_nan_in_a_draft_model_costs_its_guesses_and_nothing_else(
    model_path: Path, alone: list[Bits], tmp_path: Path
) -> None:
    draft_path = write_model(tmp_path / "draft.gguf", "F32")
    for token_id in range(256):
        poison(draft_path, token_id)
    with new_engine(model_path, draft_path=draft_path) as engine:
        assert run_together(engine) == alone
