"""Which models may guess for which, and what that takes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from candlewick.core.config import EngineConfig
from candlewick.core.engine import InferenceEngine
from candlewick.core.errors import InvalidRequestError, ModelLoadError
from candlewick.core.gguf import GGUFFile
from candlewick.core.memory_needs import memory_needs
from candlewick.core.model_source import resolve_model
from candlewick.core.params import GenerationParams
from candlewick.core.speculation.draft_file import require_same_vocabulary
from core.scripted_runner import ByteTokenizer, ScriptedRunner

gguf = pytest.importorskip("gguf", reason="gguf writes the model file")

POOL = EngineConfig(num_threads=1, kv_cache_bytes=2**22)


def file_with(path: Path, tokens: list[str]) -> GGUFFile:
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_token_list(tokens)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return GGUFFile.open(path)


@pytest.mark.parametrize(
    ("tokens", "complaint"),
    [
        (["a", "b"], "has 2 tokens, not 3"),
        (["a", "b", "c", "d"], "has 4 tokens, not 3"),
        (["a", "x", "c"], "token 1 is 'x', not 'b'"),
    ],
)
def test_another_vocabulary_is_refused_and_the_difference_named(
    tokens: list[str], complaint: str, tmp_path: Path
) -> None:
    with file_with(tmp_path / "model.gguf", ["a", "b", "c"]) as file:
        require_same_vocabulary(file, file)
        with (
            file_with(tmp_path / "draft.gguf", tokens) as draft_file,
            pytest.raises(ModelLoadError) as caught,
        ):
            require_same_vocabulary(draft_file, file)
    assert complaint in str(caught.value)
    assert "draft.gguf" in str(caught.value)
    assert "vocabulary of model.gguf" in str(caught.value)


def test_the_builtin_model_takes_no_stranger(tmp_path: Path) -> None:
    file_with(tmp_path / "draft.gguf", ["a", "b", "c"]).close()
    with pytest.raises(ModelLoadError, match=r"draft\.gguf: tokenizer\.ggml\.tokens"):
        InferenceEngine.load("builtin", EngineConfig(draft_model=tmp_path / "draft.gguf"))


def test_a_runner_with_other_tokens_is_refused() -> None:
    draft_runner = ScriptedRunner()
    draft_runner.vocab_size = 7
    with pytest.raises(InvalidRequestError, match="it has 7 tokens, not 259"):
        InferenceEngine(ScriptedRunner(), ByteTokenizer(), None, draft_runner)  # type: ignore[arg-type]


def test_who_forbids_guessing_gives_no_draft_model() -> None:
    with pytest.raises(InvalidRequestError, match="speculation=None forbids guessing"):
        EngineConfig(draft_model="small.gguf", speculation=None)


def test_the_memory_of_a_draft_model_is_counted() -> None:
    alone = memory_needs("builtin", POOL)
    weights = memory_needs("builtin", EngineConfig(draft_model="builtin", kv_cache_bytes=2**22)) - alone
    assert weights > 2**22 * 0.9
    assert weights - 2**22 < alone


def test_the_builtin_model_guesses_for_itself() -> None:
    pytest.importorskip("candlewick._kernels", reason="the native module is not built")
    params = GenerationParams(max_tokens=40, temperature=0.8, seed=1, ignore_eos=True)
    answers = []
    for draft_model in (None, resolve_model("builtin")):
        config = EngineConfig(num_threads=1, kv_cache_bytes=2**22, draft_model=draft_model)
        with InferenceEngine.load("builtin", config) as engine:
            answers.append(
                engine.submit(engine.tokenizer.encode("Once upon a time"), params).result()[0].token_ids
            )
            assert draft_model is None or engine.stats().draft_tokens > 0
    assert answers[0] == answers[1]


@pytest.mark.parametrize("fails", ["the draft model", "the engine"])
def test_what_was_loaded_is_let_go_of_when_something_fails(
    fails: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Servers keep the error, and its trace would keep the weights."""
    pytest.importorskip("candlewick._kernels", reason="the native module is not built")
    from candlewick.core import engine
    from candlewick.core.native_runner import NativeRunner
    from candlewick.core.speculation import draft_file

    closed: list[NativeRunner] = []
    close = NativeRunner.close

    def fail(*_: object, **__: object) -> NativeRunner:
        raise MemoryError("no room")

    def note(runner: NativeRunner) -> None:
        closed.append(runner)
        close(runner)

    if fails == "the engine":
        monkeypatch.setattr(engine, "EngineThread", fail)
    else:
        monkeypatch.setattr(draft_file, "load_draft_runner", fail)
    monkeypatch.setattr(NativeRunner, "close", note)
    with pytest.raises(MemoryError):
        InferenceEngine.load("builtin", replace(POOL, draft_model="builtin"))
    assert len(closed) == (2 if fails == "the engine" else 1)
