"""A prefix cache that survives a restart, and conversations that are carried from engine to engine."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from scripted_runner import ByteTokenizer, ScriptedRunner, direct

from candlewick.core.batch import BLOCK_SIZE
from candlewick.core.config import EngineConfig
from candlewick.core.engine import InferenceEngine
from candlewick.core.errors import EngineClosed, KvFileError
from candlewick.core.params import GenerationParams

PARAMS = GenerationParams(max_tokens=40, temperature=1, seed=3, ignore_eos=True)
PROMPT = [*range(100), *range(50)]


def new_engine(
    path: Path | None = None, *, num_blocks: int = 64, weights: str = "scripted"
) -> InferenceEngine:
    runner = ScriptedRunner(num_blocks=num_blocks)
    runner.weights = weights
    return InferenceEngine(runner, ByteTokenizer(), EngineConfig(kv_cache_path=path))  # type: ignore[arg-type]


def answer(engine: InferenceEngine, prompt: list[int]) -> tuple[list[int], int]:
    """The tokens, checked against the model's own, and how many of the prompt's were found."""
    (choice,) = engine.submit(prompt, PARAMS).result()
    assert list(choice.token_ids) == direct(prompt, PARAMS)
    return list(choice.token_ids), choice.usage.cached_tokens


def test_the_first_turn_after_a_restart_computes_what_a_warm_one_computes(tmp_path: Path) -> None:
    path = tmp_path / "cache.kv"
    with new_engine(path) as engine:
        first, cached = answer(engine, PROMPT)
        assert cached == 0
    next_turn = [*PROMPT, *first, *range(30)]
    with new_engine() as engine:
        answer(engine, PROMPT)
        before = engine.stats().computed_prompt_tokens
        _, warm = answer(engine, next_turn)
        num_computed_warm = engine.stats().computed_prompt_tokens - before
    with new_engine(path) as engine:
        _, restored = answer(engine, next_turn)
        assert engine.stats().computed_prompt_tokens == num_computed_warm == len(next_turn) - restored
    assert restored == warm == len(PROMPT) + len(first) - 1  # the token drawn last was never computed


def test_a_smaller_pool_takes_what_was_used_last(tmp_path: Path) -> None:
    path = tmp_path / "cache.kv"
    with new_engine(path) as engine:
        for start in range(4):
            answer(engine, [start] * 60)
    with new_engine(path, num_blocks=8) as engine:
        assert answer(engine, [3] * 60)[1] == 48
        assert answer(engine, [0] * 60)[1] == 0


def test_a_full_cache_keeps_its_order_over_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "cache.kv"
    with new_engine(path, num_blocks=24) as engine:
        for start in range(3):
            answer(engine, [start] * 60)
    with new_engine(path, num_blocks=24) as engine:
        answer(engine, [9] * 150)  # needs room: the conversation that was longest unused goes first
        assert answer(engine, [2] * 60)[1] == 48
        assert answer(engine, [0] * 60)[1] == 0


@pytest.mark.parametrize("damage", ["cut", "flip", "nonsense", "directory"])
def test_a_damaged_file_means_a_cold_cache_and_a_warning(
    damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "cache.kv"
    with new_engine(path) as engine:
        answer(engine, PROMPT)
    content = bytearray(path.read_bytes())
    if damage == "cut":
        path.write_bytes(content[: len(content) // 2 + 1])
    elif damage == "flip":
        content[len(content) // 2] ^= 64
        path.write_bytes(content)
    elif damage == "nonsense":
        path.write_bytes(b"GGUF")
    else:
        path.unlink()
        path.mkdir()
    with caplog.at_level(logging.WARNING), new_engine(path) as engine:
        _, cached = answer(engine, PROMPT)
        assert cached < len(PROMPT) // BLOCK_SIZE * BLOCK_SIZE
        engine._thread._scheduler.check_integrity()
    assert "starts without" in caplog.text
    assert str(path) in caplog.text


def test_other_weights_find_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "cache.kv"
    with new_engine(path) as engine:
        answer(engine, PROMPT)
    with new_engine(path, weights="others") as engine:
        assert answer(engine, PROMPT)[1] == 0
    assert "differs in weights" in caplog.text


def test_a_conversation_is_carried_to_another_engine(tmp_path: Path) -> None:
    path = tmp_path / "conversation.kv"
    with new_engine() as engine:
        tokens, _ = answer(engine, PROMPT)
        conversation = [*PROMPT, *tokens]
        answer(engine, [200] * 60)
        assert engine.save_kv(conversation, path) == (len(conversation) - 1) // BLOCK_SIZE * BLOCK_SIZE
        assert engine.save_kv([77], tmp_path / "none.kv") == 0
        assert not (tmp_path / "none.kv").exists()
    with new_engine() as engine:
        assert engine.load_kv(path) == (len(conversation) - 1) // BLOCK_SIZE * BLOCK_SIZE
        assert engine.load_kv(path) == 0
        assert answer(engine, [*conversation, 1])[1] == (len(conversation) - 1) // BLOCK_SIZE * BLOCK_SIZE
        assert answer(engine, [200] * 60)[1] == 0


def test_a_loaded_conversation_takes_the_place_of_older_ones(tmp_path: Path) -> None:
    path = tmp_path / "conversation.kv"
    with new_engine() as engine:
        answer(engine, PROMPT)
        engine.save_kv(PROMPT, path)
    with new_engine(num_blocks=16) as engine:
        answer(engine, [200] * 60)
        answer(engine, PROMPT[:40])
        answer(engine, [201] * 60)
        assert engine.stats().blocks_free < 9
        engine.load_kv(path)
        engine._thread._scheduler.check_integrity()
        assert answer(engine, PROMPT)[1] == 144


def test_a_damaged_conversation_is_refused_whole(tmp_path: Path) -> None:
    path = tmp_path / "conversation.kv"
    with new_engine() as engine:
        answer(engine, PROMPT)
        engine.save_kv(PROMPT, path)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    engine = new_engine()
    with pytest.raises(KvFileError, match="damaged block"):
        engine.load_kv(path)
    assert engine.stats().blocks_cached == 0
    engine.close()
    with pytest.raises(EngineClosed):
        engine.save_kv(PROMPT, path)
