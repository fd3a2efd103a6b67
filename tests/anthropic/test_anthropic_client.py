"""The official client against a real server: sync and async, plain and streamed, tools, errors."""

from __future__ import annotations

from typing import Any

import pytest
from scripted_llm import Call, Pause, ScriptedLLM, replaying, text_answer, thinking_answer, tool_answer
from scripted_text import scripted_text

from candlewick.chat.events import Error, ResponseToken, Start
from candlewick.core.errors import ContextOverflowError, EngineFailed, EngineOverloaded

anthropic = pytest.importorskip("anthropic")

ASKED: Any = {
    "model": "scripted",
    "max_tokens": 99,
    "messages": [{"role": "user", "content": "Weather in Ulm?"}],
}
TOOLS: Any = [
    {
        "name": "weather",
        "description": "The weather",
        "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
    }
]


def client(address: str, **options: Any) -> Any:
    return anthropic.Anthropic(
        base_url=address, **{"api_key": "none", "max_retries": 0, "timeout": 20} | options
    )


def sunny(call: Call) -> Any:
    """Calls the tool, and repeats its result."""
    last = call.messages[-1]
    if last["role"] == "tool":
        return text_answer("It is ", str(last["content"]), ".")
    return tool_answer(("c1", "weather", ['{"city"', ': "Ulm"}']))


def test_plain(serve: Any) -> None:
    message = client(serve(replaying(*thinking_answer(["hm"], "Hel", "lo")))).messages.create(
        **ASKED, thinking={"type": "enabled", "budget_tokens": 1024}
    )
    assert [(block.type) for block in message.content] == ["thinking", "text"]
    assert (message.content[0].thinking, message.content[1].text) == ("hm", "Hello")
    assert (message.stop_reason, message.usage.output_tokens) == ("end_turn", 3)
    assert message.usage.cache_read_input_tokens == 3


def test_streamed(serve: Any) -> None:
    with client(serve(replaying(*thinking_answer(["hm"], "Hel", "lo")))).messages.stream(**ASKED) as stream:
        kinds = [event.type for event in stream]
        message = stream.get_final_message()
    assert kinds[0] == "message_start"
    assert kinds[-1] == "message_stop"
    assert kinds.count("text") == 2
    assert [block.type for block in message.content] == ["thinking", "text"]
    assert message.content[1].text == "Hello"
    assert message.usage.input_tokens == 2


def test_a_conversation_with_a_tool(serve: Any) -> None:
    messages = client(serve(ScriptedLLM(sunny))).messages
    conversation = list(ASKED["messages"])
    for _ in range(2):
        with messages.stream(**ASKED | {"messages": conversation}, tools=TOOLS) as stream:
            answer = stream.get_final_message()
        if answer.stop_reason != "tool_use":
            break
        (call,) = answer.content
        assert (call.name, call.input) == ("weather", {"city": "Ulm"})
        conversation += [
            {"role": "assistant", "content": answer.content},
            {
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "sunny"}],
            },
        ]
    assert answer.content[0].text == "It is sunny."


def test_the_clients_own_tool_loop(serve: Any) -> None:
    @anthropic.beta_tool
    def weather(city: str) -> str:
        """The weather.

        Args:
            city: where
        """
        return f"fine in {city}"

    runner = client(serve(ScriptedLLM(sunny))).beta.messages.tool_runner(
        **ASKED, tools=[weather], thread=False
    )
    assert runner.until_done().content[0].text == "It is fine in Ulm."


async def test_async(serve: Any) -> None:
    address = serve(replaying(*text_answer("Hel", "lo")))
    async with anthropic.AsyncAnthropic(base_url=address, api_key="none", max_retries=0) as async_client:
        assert (await async_client.messages.create(**ASKED)).content[0].text == "Hello"
        async with async_client.messages.stream(**ASKED) as stream:
            assert "".join([text async for text in stream.text_stream]) == "Hello"


def test_tokens_are_counted(serve: Any) -> None:
    count = client(serve(scripted_text())).messages.count_tokens(
        model="scripted", messages=ASKED["messages"], system="Be brief."
    )
    assert count.input_tokens > 3


def test_keys_come_in_the_clients_own_header(serve: Any) -> None:
    address = serve(replaying(*text_answer("ok")), api_keys=["secret"])
    assert client(address, api_key="secret").messages.create(**ASKED).content[0].text == "ok"
    with pytest.raises(anthropic.AuthenticationError) as caught:
        client(address).messages.create(**ASKED)
    assert caught.value.body["error"]["type"] == "authentication_error"


@pytest.mark.parametrize(
    ("error", "kind", "name"),
    [
        (ContextOverflowError("too long"), anthropic.BadRequestError, "invalid_request_error"),
        (EngineOverloaded("full"), anthropic.RateLimitError, "rate_limit_error"),
        (EngineFailed("broken"), anthropic.InternalServerError, "api_error"),
        (ValueError("secret path"), anthropic.InternalServerError, "api_error"),
    ],
)
def test_errors_have_their_own_form(serve: Any, error: Exception, kind: Any, name: str) -> None:
    address = serve(replaying(error))
    for stream in (False, True):
        with pytest.raises(kind) as caught:
            client(address).messages.create(**ASKED, stream=stream)
        assert caught.value.body["type"] == "error"
        assert caught.value.body["error"]["type"] == name
        assert "secret" not in str(caught.value.body)


def test_wrong_requests_are_named(serve: Any) -> None:
    messages = client(serve(replaying(*text_answer("ok")))).messages
    with pytest.raises(anthropic.BadRequestError, match="temperature"):
        messages.create(**ASKED, extra_body={"temperature": 3})
    with pytest.raises(anthropic.NotFoundError, match="not served here"):
        messages.create(**ASKED | {"model": "claude-opus"})


def test_an_error_midway_is_the_last_event(serve: Any) -> None:
    llm = replaying(Start("a", "m"), ResponseToken("x"), Error("broken", "EngineFailed"))
    with (
        pytest.raises(anthropic.APIStatusError, match="broken"),
        client(serve(llm)).messages.stream(**ASKED) as stream,
    ):
        list(stream)


def test_a_client_that_goes_away_stops_its_answer(serve: Any) -> None:
    llm = replaying(Start("a", "m"), ResponseToken("x"), Pause())
    with client(serve(llm)).messages.stream(**ASKED) as stream:
        next(iter(stream.text_stream))
    assert llm.ended.wait(10)
    assert (llm.running, llm.cancelled) == (0, 1)
