"""Which models may guess for which, and what that takes."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from candlewick.core.config import EngineConfig
from candlewick.core.engine import InferenceEngine
from candlewick.core.errors import InvalidRequestError, ModelLoadError
from candlewick.core.gguf import GGUFFile
from candlewick.core.memory_needs import memory_needs
from candlewick.core.model_source import resolve_model
from candlewick.core.params import GenerationParams
from candlewick.core.speculation.draft_file import require_same_vocabulary
from candlewick.core.speculation.draft_model import DraftModel
from candlewick.core.speculation.prompt_lookup import PromptLookup
from candlewick.core.tokenizer.vocabulary import TOKENS_KEY, TYPES_KEY, TokenType
from core.scripted_runner import ByteTokenizer, ScriptedRunner

gguf = pytest.importorskip("gguf", reason="gguf writes the model file")

POOL = EngineConfig(num_threads=1, kv_cache_bytes=2**22)


def file_with(path: Path, tokens: list[str], unused: Collection[str] = ()) -> GGUFFile:
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_token_list(tokens)
    writer.add_token_types([TokenType.UNUSED if token in unused else TokenType.NORMAL for token in tokens])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return GGUFFile.open(path)


@pytest.mark.parametrize(
    ("tokens", "complaint"),
    [
        (["a", "b"], "token 2 is no token, not 'c'"),
        (["a", "b", "[PAD2]"], "token 2 is no token, not 'c'"),
        (["a", "b", "c", "d"], "token 3 is 'd', not no token"),
        (["a", "b", "c", "[PAD3]", "d"], "token 4 is 'd', not no token"),
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


@pytest.mark.parametrize(
    "more", [["[PAD3]"], ["[PAD3]", "[PAD4]"], ["<unused>"], ["<unused>", "[PAD4]", "<none>"]]
)
def test_vocabularies_may_differ_in_padding(more: list[str], tmp_path: Path) -> None:
    def padded(name: str, more: list[str]) -> GGUFFile:
        return file_with(tmp_path / name, ["a", "b", "c", *more], unused=["<unused>", "<none>"])

    with (
        padded("a.gguf", more) as longer,
        padded("b.gguf", []) as bare,
        padded("c.gguf", ["[PAD3]"]) as other,
    ):
        for one, another in ((longer, bare), (bare, longer), (longer, other), (other, longer)):
            require_same_vocabulary(one, another)


def padded_builtin(path: Path, num_more: int, twin: str) -> Path:
    """The built-in model with padding that is as likely to be drawn as the token ``twin``."""
    reader = gguf.GGUFReader(resolve_model("builtin"))
    writer = gguf.GGUFWriter(str(path), "smollm3")
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name == "general.architecture":
            continue
        value = field.contents()
        if name == TOKENS_KEY:
            row = value.index(twin)
            value += [f"[PAD{len(value) + number}]" for number in range(num_more)]
        elif name == TYPES_KEY:
            value += [TokenType.USER_DEFINED] * num_more
        elif name == "smollm3.vocab_size":
            value += num_more
        writer.add_key_value(name, value, field.types[0], field.types[-1] if len(field.types) > 1 else None)
    for tensor in reader.tensors:
        data = tensor.data
        if tensor.name == "token_embd.weight":
            data = np.concatenate([data, np.repeat(data[row : row + 1], num_more, axis=0)])
        writer.add_tensor(tensor.name, data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize(("model_more", "draft_more"), [(0, 5), (5, 0), (37, 5)])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_draft_model_with_other_padding_guesses_as_the_same_model(
    model_more: int, draft_more: int, temperature: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("candlewick._kernels", reason="the native module is not built")
    guessed: list[int] = []
    found: list[int] = []  # what the text said before is guessed without a draft model

    def note(self: DraftModel, *args: Any) -> dict[Any, list[int]]:
        guesses = guess(self, *args)
        guessed.extend(token_id for each in guesses.values() for token_id in each)
        return guesses

    def note_found(self: PromptLookup, most: int) -> list[int]:
        guesses = look_up(self, most)
        found.extend(guesses)
        return guesses

    guess, look_up = DraftModel.guess, PromptLookup.guess
    monkeypatch.setattr(DraftModel, "guess", note)
    monkeypatch.setattr(PromptLookup, "guess", note_found)
    monkeypatch.setattr(DraftModel, "round_seconds", lambda self, num_sequences: 0.0)
    model = padded_builtin(tmp_path / "model.gguf", model_more, "Ġ")
    draft_model = padded_builtin(tmp_path / "draft.gguf", draft_more, "Ġ")
    params = GenerationParams(
        max_tokens=60, temperature=temperature, seed=1, ignore_eos=True, repetition_penalty=1.1, logprobs=2
    )
    answers = []
    for config in (replace(POOL, speculation=None), replace(POOL, draft_model=draft_model)):
        with InferenceEngine.load(model, config) as engine:
            last = engine.vocab_size - 1  # padding, if there is some
            prompt = [*engine.tokenizer.encode("Once upon a time"), last]
            (choice,) = engine.submit(prompt, params).result()
            answers.append([(output.token_id, output.logprob) for output in choice.outputs])
    assert answers[0] == answers[1]
    assert any(token_id >= 2048 for token_id, _ in answers[0]) == bool(model_more)
    stats = engine.stats()
    assert stats.accepted_draft_tokens > 0
    assert len(guessed) + len(found) >= stats.draft_tokens
    assert max(guessed) < min(2048 + model_more, 2048 + draft_more)


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
