"""Completions, embeddings and tokens, without a server."""

from __future__ import annotations

import asyncio
import base64
import typing
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pydantic", reason="needs the server extra")

from scripted_llm import replaying
from scripted_text import ScriptedTextLLM, scripted_text

from candlewick.core.errors import InvalidRequestError, ModelNotFoundError
from candlewick.openai import OpenAIAdapter
from candlewick.openai.embedding import EmbeddingRequest
from candlewick.openai.merged import merged
from candlewick.openai.text_completion import TextCompletionRequest

PROMPT: dict[str, Any] = {"model": "scripted", "prompt": "Once"}


@pytest.fixture(scope="module")
def llm() -> ScriptedTextLLM:
    return scripted_text()


@pytest.fixture(scope="module")
def adapter(llm: ScriptedTextLLM) -> OpenAIAdapter:
    return OpenAIAdapter(llm)


@pytest.mark.parametrize(
    ("module", "name", "ours"),
    [
        ("openai.types.completion_create_params", "CompletionCreateParamsStreaming", TextCompletionRequest),
        ("openai.types.embedding_create_params", "EmbeddingCreateParams", EmbeddingRequest),
    ],
)
def test_every_field_of_the_official_client_is_known(module: str, name: str, ours: Any) -> None:
    official = set(typing.get_type_hints(getattr(pytest.importorskip(module), name)))
    assert official - set(ours.model_fields) - set(ours.refused) == set()


async def test_every_prompt_has_its_choices(adapter: OpenAIAdapter, llm: ScriptedTextLLM) -> None:
    answer = await adapter.completion(PROMPT | {"prompt": ["One", "Two"], "n": 2, "seed": -1, "stop": "x"})
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2, 3]
    assert {choice["text"] for choice in answer["choices"]} == {" and so on"}
    assert {choice["finish_reason"] for choice in answer["choices"]} == {"stop"}
    size = len(llm.tokenizer.encode(" and so on"))
    usage = answer["usage"]
    assert usage
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (6, 4 * size)
    assert usage["prompt_tokens_details"] == {"cached_tokens": 2}
    prompts = [prompt for prompt, _ in llm.prompts[-2:]]
    params = llm.prompts[-1][1]
    assert prompts == ["One", "Two"]
    assert (params.max_tokens, params.n, params.seed, params.stop) == (16, 2, 2**64 - 1, ("x",))


async def test_echo_and_token_ids(adapter: OpenAIAdapter, llm: ScriptedTextLLM) -> None:
    ids = llm.tokenizer.encode("Once upon")
    for prompt in ("Once upon", ids, [ids]):
        answer = await adapter.completion(PROMPT | {"prompt": prompt, "echo": True})
        assert [choice["text"] for choice in answer["choices"]] == ["Once upon and so on"]


async def test_chunks_add_up_to_the_plain_answer(adapter: OpenAIAdapter) -> None:
    request = PROMPT | {"prompt": ["a", "b"], "n": 2, "echo": True}
    plain = await adapter.completion(request)
    texts = dict.fromkeys(range(4), "")
    reasons: dict[int, Any] = {}
    chunks = [
        chunk
        async for chunk in adapter.stream_completion(
            request | {"stream": True, "stream_options": {"include_usage": True}}
        )
    ]
    for chunk in chunks[:-1]:
        assert chunk["usage"] is None
        for choice in chunk["choices"]:
            texts[choice["index"]] += choice["text"]
            reasons[choice["index"]] = choice["finish_reason"]
    assert texts == {choice["index"]: choice["text"] for choice in plain["choices"]}
    assert set(reasons.values()) == {"stop"}
    assert (chunks[-1]["choices"], chunks[-1]["usage"]) == ([], plain["usage"])
    assert len({chunk["id"] for chunk in chunks}) == 1


async def test_logprobs_have_the_protocols_old_form(adapter: OpenAIAdapter) -> None:
    (choice,) = (await adapter.completion(PROMPT | {"logprobs": 2}))["choices"]
    logprobs = choice["logprobs"]
    assert logprobs is not None
    assert "".join(logprobs["tokens"]) == choice["text"]
    assert logprobs["token_logprobs"] == [-0.5] * len(logprobs["tokens"])
    assert all(
        top[token] == -0.5 for top, token in zip(logprobs["top_logprobs"], logprobs["tokens"], strict=True)
    )
    for offset, token in zip(logprobs["text_offset"], logprobs["tokens"], strict=True):
        assert choice["text"].startswith(token, offset)


@pytest.mark.parametrize(
    ("fields", "parameter"),
    [
        ({"suffix": "x"}, "suffix"),
        ({"best_of": 3}, "best_of"),
        ({"echo": True, "logprobs": 1}, "echo"),
        ({"prompt": []}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": ["a", ""]}, "prompt"),
        ({"prompt": [1, "a"]}, "prompt"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"logprobs": 21}, "logprobs"),
        ({"temperatur": 1}, "temperatur"),
    ],
)
async def test_what_cant_be_honoured_is_named(
    adapter: OpenAIAdapter, fields: dict[str, Any], parameter: str
) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        await adapter.completion(PROMPT | fields)
    assert caught.value.parameter is not None
    assert caught.value.parameter.startswith(parameter)


async def test_a_stream_that_is_closed_stops_every_generation(
    adapter: OpenAIAdapter, llm: ScriptedTextLLM
) -> None:
    stream = adapter.stream_completion(PROMPT | {"prompt": ["a"] * 5, "stream": True})
    await anext(stream)
    await stream.aclose()
    assert llm.running == 0


async def test_the_first_error_of_merged_streams_ends_them_all() -> None:
    closed = []

    async def numbers(name: str, error: Exception | None) -> typing.AsyncGenerator[int, None]:
        try:
            yield 1
            if error:
                raise error
            while True:
                yield 2
                await asyncio.sleep(0)
        finally:
            closed.append(name)

    with pytest.raises(InvalidRequestError, match="oops"):
        async for _ in merged([numbers("a", None), numbers("b", InvalidRequestError("oops"))]):
            pass
    assert sorted(closed) == ["a", "b"]


async def test_embeddings_as_numbers_and_in_base64(adapter: OpenAIAdapter) -> None:
    request = {"model": "scripted", "input": ["two words", "x"]}
    plain = await adapter.embeddings(request)
    assert [entry["embedding"] for entry in plain["data"]] == [[9, 2, 1], [1, 1, 1]]
    assert plain["usage"] == {"prompt_tokens": 10, "total_tokens": 10}
    encoded = await adapter.embeddings(request | {"encoding_format": "base64", "dimensions": 3})
    vector = np.frombuffer(base64.b64decode(str(encoded["data"][0]["embedding"])), "<f4")
    assert vector.tolist() == [9, 2, 1]


@pytest.mark.parametrize(
    ("fields", "parameter"),
    [
        ({"input": []}, "input"),
        ({"input": ["a", ""]}, "input[1]"),
        ({"input": [1, 2]}, "input"),
        ({"input": "x", "dimensions": 2}, "dimensions"),
        ({"input": "x", "encoding_format": "hex"}, "encoding_format"),
    ],
)
async def test_embeddings_that_cant_be_had_are_named(
    adapter: OpenAIAdapter, fields: dict[str, Any], parameter: str
) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        await adapter.embeddings({"model": "scripted"} | fields)
    assert caught.value.parameter == parameter


async def test_tokens_there_and_back(adapter: OpenAIAdapter, llm: ScriptedTextLLM) -> None:
    tokens = await adapter.tokenize({"prompt": "Hello wörld", "return_token_strs": True})
    assert tokens["count"] == len(tokens["tokens"]) == len(tokens["token_strs"] or ())
    assert tokens["max_model_len"] == llm.max_context
    plain = await adapter.tokenize({"prompt": "Hello wörld", "add_special_tokens": False})
    assert (await adapter.detokenize({"tokens": plain["tokens"]}))["prompt"] == "Hello wörld"
    chat = await adapter.tokenize({"messages": [{"role": "user", "content": "Hi"}]})
    assert chat["tokens"] == llm.tokenizer.encode("Hi")
    with pytest.raises(InvalidRequestError, match="either prompt or messages"):
        await adapter.tokenize({})
    with pytest.raises(InvalidRequestError, match=r"token ids go from 0") as caught:
        await adapter.detokenize({"tokens": [1, 10**9]})
    assert caught.value.parameter == "tokens[1]"
    with pytest.raises(ModelNotFoundError):
        await adapter.detokenize({"tokens": [1], "model": "other"})


async def test_a_model_without_these_abilities_says_so() -> None:
    adapter = OpenAIAdapter(replaying())
    with pytest.raises(InvalidRequestError, match="continues no plain text"):
        await adapter.completion(PROMPT)
    with pytest.raises(InvalidRequestError, match="no embeddings"):
        await adapter.embeddings({"model": "scripted", "input": "x"})
