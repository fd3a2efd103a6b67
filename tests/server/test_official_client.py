"""The official client against a real server: plain, streamed, sync and async."""

from __future__ import annotations

from typing import Any

import pytest
from scripted_llm import Pause, ScriptedLLM, replaying, text_answer, thinking_answer, tool_answer

from candlewick.chat.events import Error, ResponseToken, Start
from candlewick.core.errors import ContextOverflowError, EngineClosed, EngineFailed, EngineOverloaded

openai = pytest.importorskip("openai")

HI: Any = [{"role": "user", "content": "hi"}]
TOOLS: Any = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]


def client(address: str, **options: Any) -> Any:
    return openai.OpenAI(
        base_url=f"{address}/v1", **{"api_key": "none", "max_retries": 0, "timeout": 20} | options
    )


def test_models(serve: Any) -> None:
    models = client(serve(replaying(), model_names=["a/b", "c"])).models
    assert [model.id for model in models.list()] == ["a/b", "c"]
    assert models.retrieve("a/b").owned_by == "candlewick"
    with pytest.raises(openai.NotFoundError, match="a/b, c"):
        models.retrieve("d")


def test_plain(serve: Any) -> None:
    chat = client(serve(replaying(*thinking_answer(["hm"], "Hel", "lo")))).chat.completions
    answer = chat.create(model="scripted", messages=HI, max_completion_tokens=9, user="me")
    assert answer.choices[0].message.content == "Hello"
    assert answer.choices[0].message.reasoning_content == "hm"
    assert answer.usage.completion_tokens_details.reasoning_tokens == 1
    assert answer.usage.prompt_tokens_details.cached_tokens == 3


def test_streamed(serve: Any) -> None:
    chat = client(serve(replaying(*thinking_answer(["hm"], "Hel", "lo")))).chat.completions
    chunks = list(
        chat.create(model="scripted", messages=HI, stream=True, stream_options={"include_usage": True})
    )
    assert "".join(c.choices[0].delta.content or "" for c in chunks[:-1]) == "Hello"
    assert "".join(getattr(c.choices[0].delta, "reasoning", None) or "" for c in chunks[:-1]) == "hm"
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage.total_tokens == 8


def test_the_accumulating_stream_helper_gathers_tool_calls(serve: Any) -> None:
    llm = replaying(*tool_answer(("c1", "weather", ['{"city"', ':"Ulm"}']), ("c2", "weather", ["{}"])))
    with client(serve(llm)).chat.completions.stream(model="scripted", messages=HI, tools=TOOLS) as stream:
        events = [event.type for event in stream]
        message = stream.get_final_completion().choices[0].message
    assert events.count("tool_calls.function.arguments.done") == 2
    assert [(call.id, call.function.arguments) for call in message.tool_calls] == [
        ("c1", '{"city":"Ulm"}'),
        ("c2", "{}"),
    ]


async def test_async(serve: Any) -> None:
    address = serve(replaying(*text_answer("Hel", "lo")))
    async with openai.AsyncOpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as asynchronous:
        answer = await asynchronous.chat.completions.create(model="scripted", messages=HI)
        assert answer.choices[0].message.content == "Hello"
        stream = await asynchronous.chat.completions.create(model="scripted", messages=HI, stream=True)
        assert "".join([chunk.choices[0].delta.content or "" async for chunk in stream]) == "Hello"


@pytest.mark.parametrize(
    ("error", "raised", "code"),
    [
        (
            ContextOverflowError("900 tokens do not fit", "messages"),
            openai.BadRequestError,
            "context_length_exceeded",
        ),
        (EngineOverloaded("full"), openai.RateLimitError, "engine_overloaded"),
        (EngineClosed("closed"), openai.InternalServerError, "engine_closed"),
        (EngineFailed("broken"), openai.InternalServerError, "engine_failed"),
        (ZeroDivisionError("secret"), openai.InternalServerError, "internal_error"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_errors_before_the_first_word_have_their_status(
    serve: Any, error: Exception, raised: type[Exception], code: str, stream: bool
) -> None:
    with pytest.raises(raised) as caught:
        client(serve(replaying(error))).chat.completions.create(model="scripted", messages=HI, stream=stream)
    assert caught.value.code == code
    assert "secret" not in str(caught.value)


def test_a_wrong_field_is_a_400_that_names_it(serve: Any) -> None:
    llm = replaying(*text_answer("a"))
    chat = client(serve(llm)).chat.completions
    with pytest.raises(openai.BadRequestError) as caught:
        chat.create(model="scripted", messages=HI, extra_body={"temprature": 1})
    assert caught.value.param == "temprature"
    with pytest.raises(openai.NotFoundError) as caught:
        chat.create(model="gpt-4o", messages=HI)
    assert caught.value.code == "model_not_found"
    assert llm.calls == []


@pytest.mark.parametrize("failure", [Error("step failed", "EngineFailed"), EngineFailed("step failed")])
def test_an_error_midway_reaches_the_client(serve: Any, failure: Any) -> None:
    llm = replaying(Start("a", "m"), ResponseToken("x"), failure)
    texts = []
    with pytest.raises(openai.APIError, match="step failed") as caught:  # noqa: PT012
        for chunk in client(serve(llm)).chat.completions.create(model="scripted", messages=HI, stream=True):
            texts.append(chunk.choices[0].delta.content)  # noqa: PERF401
    assert texts == ["", "x"]
    assert caught.value.code == "engine_failed"


def test_overload_is_retried_by_the_client(serve: Any) -> None:
    answers = iter([[EngineOverloaded("full")], text_answer("ok")])
    llm = ScriptedLLM(lambda call: next(answers))
    retrying = client(serve(llm), max_retries=1)
    assert retrying.chat.completions.create(model="scripted", messages=HI).choices[0].message.content == "ok"


def test_closing_the_stream_cancels_the_generation(serve: Any) -> None:
    llm = replaying(Start("a", "m"), ResponseToken("x"), Pause())
    stream = client(serve(llm)).chat.completions.create(model="scripted", messages=HI, stream=True)
    assert next(iter(stream)).choices[0].delta.role == "assistant"
    assert llm.paused.wait(10)
    stream.close()
    assert llm.ended.wait(10)
    assert (llm.running, llm.cancelled) == (0, 1)


@pytest.mark.parametrize("stream", [False, True])
def test_giving_up_before_the_first_word_cancels_the_generation(serve: Any, stream: bool) -> None:
    llm = replaying(Pause())
    impatient = client(serve(llm), timeout=0.3)
    with pytest.raises(openai.APITimeoutError):
        impatient.chat.completions.create(model="scripted", messages=HI, stream=stream)
    assert llm.ended.wait(10)
    assert (llm.running, llm.cancelled) == (0, 1)


def test_keys(serve: Any) -> None:
    address = serve(replaying(*text_answer("a")), api_keys=["one", "zwei-ü"])
    for key in ("one",):
        assert client(address, api_key=key).chat.completions.create(model="scripted", messages=HI)
    with pytest.raises(openai.AuthenticationError) as caught:
        client(address, api_key="on").models.list()
    assert caught.value.code == "invalid_api_key"
