"""The whole house: official client, HTTP, adapter, chat layer, engine and kernels on the built-in model."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

openai = pytest.importorskip("openai")
pytest.importorskip("candlewick._kernels", reason="needs the native module")

HI: Any = [{"role": "user", "content": "Hello!"}]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    from running_server import running

    from candlewick.chat.llm import AsyncLLM
    from candlewick.server import create_app

    llm = AsyncLLM("builtin", num_threads=1)
    with running(create_app(llm)) as base:
        yield base
    asyncio.run(llm.close())


@pytest.fixture
def completions(address: str) -> Any:
    return openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0, timeout=60).chat.completions


def engine(address: str) -> Any:
    return httpx.get(f"{address}/health").json()["engine"]


def test_plain_and_streamed_answers_are_the_same(completions: Any) -> None:
    fields: Any = {"model": "builtin", "messages": HI, "seed": 7, "temperature": 1, "max_tokens": 40}
    plain = completions.create(**fields)
    chunks = list(completions.create(**fields, stream=True, stream_options={"include_usage": True}))
    deltas = [chunk.choices[0].delta for chunk in chunks[:-1]]
    message = plain.choices[0].message
    assert "".join(delta.content or "" for delta in deltas) == message.content
    thinking = "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas)
    assert thinking == (getattr(message, "reasoning_content", None) or "")
    assert chunks[-2].choices[0].finish_reason == plain.choices[0].finish_reason
    assert chunks[-1].usage.completion_tokens == plain.usage.completion_tokens > 0


def test_thinking_can_be_turned_off(completions: Any) -> None:
    fields: Any = {"model": "builtin", "messages": HI, "temperature": 0, "max_tokens": 60}
    quiet = completions.create(**fields, reasoning_effort="none")
    assert not getattr(quiet.choices[0].message, "reasoning_content", None)
    assert quiet.choices[0].message.content


def test_logprobs_are_probabilities(completions: Any) -> None:
    answer = completions.create(
        model="builtin", messages=HI, temperature=0, max_tokens=20, logprobs=True, top_logprobs=3,
        reasoning_effort="none",
    )  # fmt: skip
    tokens = answer.choices[0].logprobs.content
    assert tokens
    assert all(token.logprob <= 0 and len(token.top_logprobs) == 3 for token in tokens)
    assert all(token.logprob == pytest.approx(token.top_logprobs[0].logprob) for token in tokens)
    spelled = b"".join(bytes(token.bytes) for token in tokens).decode("utf-8", "replace")
    assert spelled.strip() == answer.choices[0].message.content.strip()


def test_several_choices(completions: Any) -> None:
    answer = completions.create(model="builtin", messages=HI, n=3, seed=1, temperature=1, max_tokens=12)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert answer.usage.completion_tokens <= 3 * 12


def test_a_prompt_beyond_the_context_is_refused(completions: Any) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        completions.create(model="builtin", messages=[{"role": "user", "content": "word " * 100_000}])
    assert caught.value.code == "context_length_exceeded"


def test_a_client_that_leaves_frees_the_engine(address: str, completions: Any) -> None:
    stream = completions.create(
        model="builtin", messages=HI, stream=True, max_tokens=1500, extra_body={"ignore_eos": True}
    )
    next(iter(stream))
    stream.close()
    waiting = threading.Event()
    deadline = time.monotonic() + 20
    while engine(address)["running"]:
        assert time.monotonic() < deadline
        waiting.wait(0.01)
    assert engine(address)["blocks_used"] == 0


async def test_many_clients_at_once(address: str) -> None:
    async with openai.AsyncOpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as client:
        fields: Any = {"model": "builtin", "messages": HI, "temperature": 1, "max_tokens": 8, "seed": 5}
        answers = await asyncio.gather(*(client.chat.completions.create(**fields) for _ in range(24)))
    assert len({answer.choices[0].message.content for answer in answers}) == 1


texts = st.text(max_size=12) | st.sampled_from(["<think>", "</think>", "<tool_call>", "<|im_end|>"])
contents = (
    texts | st.none() | st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": texts}), max_size=2)
)
calls = st.fixed_dictionaries(
    {
        "id": texts,
        "type": st.just("function"),
        "function": st.fixed_dictionaries({"name": texts, "arguments": texts | st.just('{"a": 1}')}),
    }
)
messages = st.fixed_dictionaries(
    {
        "role": st.sampled_from(["system", "developer", "user", "assistant", "tool", "robot"]),
        "content": contents,
    },
    optional={
        "tool_calls": st.lists(calls, max_size=2),
        "tool_call_id": texts,
        "name": texts,
        "reasoning": texts,
    },
)
tools = st.fixed_dictionaries(
    {
        "type": st.just("function"),
        "function": st.fixed_dictionaries(
            {"name": texts},
            optional={"description": texts, "parameters": st.dictionaries(texts, texts, max_size=2)},
        ),
    }
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    conversation=st.lists(messages, min_size=1, max_size=4),
    offered=st.none() | st.lists(tools, max_size=2),
    thinking=st.sampled_from([None, True, False]),
)
def test_no_conversation_makes_it_fail(address: str, conversation: Any, offered: Any, thinking: Any) -> None:
    body = {"model": "builtin", "messages": conversation, "max_tokens": 2, "tools": offered}
    answer = httpx.post(
        f"{address}/v1/chat/completions", json=body | {"enable_thinking": thinking}, timeout=60
    )
    assert answer.status_code in (200, 400), answer.text


def test_prompts_are_continued_through_the_official_client(address: str) -> None:
    client = openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0, timeout=60)
    asked = {"model": "builtin", "prompt": ["Once upon", "Two"], "max_tokens": 6, "temperature": 0}
    asked["extra_body"] = {"ignore_eos": True}
    plain = client.completions.create(**asked, logprobs=1)
    assert [choice.index for choice in plain.choices] == [0, 1]
    assert all(len(choice.logprobs.tokens) == 6 for choice in plain.choices)
    texts = ["", ""]
    for chunk in client.completions.create(**asked, stream=True):
        for choice in chunk.choices:
            texts[choice.index] += choice.text
    assert texts == [choice.text for choice in plain.choices]
    tokens = httpx.post(f"{address}/v1/tokenize", json={"messages": HI}).json()
    again = client.completions.create(model="builtin", prompt=tokens["tokens"], max_tokens=1)
    assert again.usage.prompt_tokens == tokens["count"]


def test_embeddings_through_the_official_client(address: str) -> None:
    client = openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0, timeout=60)
    texts = ["A cat sat.", "A dog ran."]
    encoded = client.embeddings.create(model="builtin", input=texts)  # the client asks for base64
    plain = client.embeddings.create(model="builtin", input=texts, encoding_format="float")
    for one, other in zip(encoded.data, plain.data, strict=True):
        assert one.embedding == pytest.approx(other.embedding)
        assert sum(number**2 for number in one.embedding) == pytest.approx(1, abs=1e-4)
    assert plain.usage.prompt_tokens > 0
    with pytest.raises(openai.BadRequestError, match="dimensions"):
        client.embeddings.create(model="builtin", input="x", dimensions=1)
