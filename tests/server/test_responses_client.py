"""``/v1/responses`` with the official client, over real HTTP, and every event and object checked strictly."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import httpx
import pytest
from scripted_llm import (
    Pause,
    Script,
    ScriptedLLM,
    replaying,
    text_answer,
    thinking_answer,
    tool_answer,
)
from strict_wire import check_conversation_item, check_item, check_order

import openai
from candlewick.chat.events import Complete, Error, ResponseToken, Start, TokenLogprob
from candlewick.core.errors import ContextOverflowError, EngineOverloaded
from candlewick.core.usage import Usage

pytest.importorskip("sqlalchemy", reason="needs the store extra")

WEATHER: Any = {"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}}
CALL = tool_answer(("c1", "weather", ['{"city"', ':"Ulm"}']))


def in_turns(*answers: Script) -> ScriptedLLM:
    """A model that gives these answers one after the other."""
    left = iter(answers)
    return ScriptedLLM(lambda call: next(left))


@pytest.fixture
def client(serve: Callable[..., str]) -> Callable[..., Any]:
    return lambda llm, **options: openai.OpenAI(
        base_url=f"{serve(llm)}/v1", **{"api_key": "none", "max_retries": 0, "timeout": 20} | options
    )


def raw_events(responses: Any, **fields: Any) -> list[dict[str, Any]]:
    """The events of a stream as they came over the wire, checked."""
    http = httpx.Client(base_url=str(responses._client.base_url), timeout=20)
    with http.stream(
        "POST", "responses", json={"model": "scripted", "input": "hi", "stream": True} | fields
    ) as reply:
        events = list(read_sse(reply.iter_lines()))
    check_order(events)
    return events


def read_sse(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """The events, each under its own name, and the mark at the end."""
    name, ended = None, False
    for line in lines:
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line == "data: [DONE]":
            ended = True
        elif line.startswith("data: "):
            event = json.loads(line.removeprefix("data: "))
            assert event["type"] == name
            yield event
    assert ended


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in events]


def test_plain(client: Any) -> None:
    llm = replaying(*thinking_answer(["hm", "!"], "Hel", "lo"))
    response = client(llm).responses.create(model="scripted", input="hi", instructions="Be kind.", user="me")
    assert response.output_text == "Hello"
    reasoning, message = response.output
    assert (reasoning.type, reasoning.content[0].text, reasoning.summary) == ("reasoning", "hm!", [])
    assert (message.role, message.status) == ("assistant", "completed")
    assert response.status == "completed"
    assert response.usage.input_tokens_details.cached_tokens == 3
    assert response.usage.output_tokens_details.reasoning_tokens == 2
    assert [(message.role, message.content) for message in llm.calls[0].messages] == [
        ("system", "Be kind."),
        ("user", "hi"),
    ]


def test_streamed_in_the_right_order(client: Any) -> None:
    responses = client(replaying(*thinking_answer(["hm", "!"], "\n", "Hel", "lo"))).responses
    assert kinds(raw_events(responses, reasoning={"summary": "auto"})) == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "reasoning_summary_part.added",
        "reasoning_text.delta",
        "reasoning_summary_text.delta",
        "reasoning_text.delta",
        "reasoning_summary_text.delta",
        "reasoning_text.done",
        "content_part.done",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]


def test_the_strict_stream_helper(client: Any) -> None:
    llm = in_turns([*thinking_answer(["hm"], "I'll look.")[:-1], *CALL[1:]])
    with client(llm).responses.stream(model="scripted", input="hi", tools=[WEATHER]) as stream:
        events = list(stream)
        response = stream.get_final_response()
    assert [item.type for item in response.output] == ["reasoning", "message", "function_call"]
    assert response.output[2].arguments == '{"city":"Ulm"}'
    assert response.output[2].call_id == "c1"
    assert [event.type for event in events].count("response.function_call_arguments.done") == 1
    assert response.status == "completed"


async def test_the_async_client(serve: Any) -> None:
    address = serve(replaying(*text_answer("Hel", "lo")))
    async with openai.AsyncOpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as asynchronous:
        assert (await asynchronous.responses.create(model="scripted", input="hi")).output_text == "Hello"
        stream = await asynchronous.responses.create(model="scripted", input="hi", stream=True)
        deltas = [event.delta async for event in stream if event.type == "response.output_text.delta"]
        assert deltas == ["Hel", "lo"]


def test_a_call_and_its_output_by_previous_response_id(client: Any) -> None:
    llm = in_turns(CALL, text_answer("Rain."))
    responses = client(llm).responses
    first = responses.create(model="scripted", input="Weather?", tools=[WEATHER])
    output = {"type": "function_call_output", "call_id": first.output[0].call_id, "output": "rain"}
    second = responses.create(
        model="scripted", input=[output], previous_response_id=first.id, tools=[WEATHER]
    )
    assert second.output_text == "Rain."
    assert second.previous_response_id == first.id
    user, assistant, tool = llm.calls[1].messages
    assert (user.content, tool.content, tool.tool_call_id) == ("Weather?", "rain", "c1")
    assert [(call.id, call.name, call.arguments) for call in assistant.tool_calls] == [
        ("c1", "weather", '{"city":"Ulm"}')
    ]


def test_the_same_with_the_items_sent_back_and_nothing_stored(client: Any) -> None:
    llm = in_turns([*thinking_answer(["hm"])[:-1], *CALL[1:]], text_answer("Rain."))
    responses = client(llm).responses
    first = responses.create(
        model="scripted",
        input="Weather?",
        tools=[WEATHER],
        store=False,
        include=["reasoning.encrypted_content"],
    )
    items = [item.to_dict() for item in first.output]
    assert items[0]["encrypted_content"]
    items[0]["content"] = None
    output = {
        "type": "function_call_output",
        "call_id": "c1",
        "output": [{"type": "input_text", "text": "rain"}],
    }
    conversation = [{"role": "user", "content": "Weather?"}, *items, output]
    second = responses.create(model="scripted", input=conversation, store=False)
    assert second.output_text == "Rain."
    assert llm.calls[1].messages[1].reasoning == "hm"
    for response in (first, second):
        with pytest.raises(openai.NotFoundError) as caught:
            responses.retrieve(response.id)
        assert caught.value.code == "not_found"


def test_forks(client: Any) -> None:
    llm = ScriptedLLM(lambda call: text_answer(f"{len(call.messages)}"))
    responses = client(llm).responses
    root = responses.create(model="scripted", input="a")
    left = responses.create(model="scripted", input="b", previous_response_id=root.id)
    right = responses.create(model="scripted", input="c", previous_response_id=root.id)
    last = responses.create(model="scripted", input="d", previous_response_id=right.id, instructions="New.")
    assert [r.output_text for r in (root, left, right, last)] == ["1", "3", "3", "6"]
    assert [m.content for m in llm.calls[3].messages] == ["New.", "a", "1", "c", "3", "d"]


def test_retrieve_list_and_delete(client: Any) -> None:
    responses = client(replaying(*text_answer("Hello"))).responses
    items: Any = [{"role": "user", "content": f"{number}"} for number in range(5)]
    made = responses.create(model="scripted", input=items, metadata={"k": "v"})
    assert responses.retrieve(made.id) == made
    page = responses.input_items.list(made.id, limit=2)
    assert page.has_more
    for item in page.data:
        check_item(item.to_dict())
    assert [item.content[0].text for item in page] == ["4", "3", "2", "1", "0"]  # the client turns the pages
    assert responses.input_items.list(made.id, order="asc").data[0].content[0].text == "0"
    child = responses.create(model="scripted", input="more", previous_response_id=made.id)
    assert responses.delete(made.id) is None
    for id in (made.id, "resp_none"):
        with pytest.raises(openai.NotFoundError):
            responses.retrieve(id)
    assert responses.retrieve(child.id).output_text == "Hello"
    with pytest.raises(openai.NotFoundError, match=made.id):
        responses.create(model="scripted", input="and?", previous_response_id=child.id)


def test_background_polled(client: Any) -> None:
    llm = replaying(*text_answer("Hello"))
    responses = client(llm).responses
    response = responses.create(model="scripted", input="hi", background=True)
    assert response.status in ("queued", "in_progress", "completed")
    assert llm.ended.wait(10)
    while response.status != "completed":
        response = responses.retrieve(response.id)
    assert response.output_text == "Hello"
    assert responses.cancel(response.id).status == "completed"


def test_background_cancelled(client: Any) -> None:
    llm = replaying(Start("a", "m"), ResponseToken("Hel"), Pause())
    responses = client(llm).responses
    response = responses.create(model="scripted", input="hi", background=True)
    assert llm.paused.wait(10)
    running = responses.retrieve(response.id)
    assert running.status == "in_progress"
    cancelled = responses.cancel(response.id)
    assert llm.ended.wait(10)
    assert (cancelled.status, cancelled.output_text, cancelled.output[0].status) == (
        "cancelled",
        "Hel",
        "incomplete",
    )
    assert responses.retrieve(response.id) == cancelled
    with pytest.raises(openai.BadRequestError, match="is cancelled"):
        responses.create(model="scripted", input="more", previous_response_id=response.id)
    plain = client(replaying(*text_answer("a"))).responses
    with pytest.raises(openai.BadRequestError, match="does not run in the background"):
        plain.cancel(plain.create(model="scripted", input="hi").id)


def test_a_stream_is_resumed(client: Any) -> None:
    responses = client(replaying(*thinking_answer(["hm"], "Hel", "lo"))).responses
    stream = responses.create(
        model="scripted", input="hi", background=True, stream=True, reasoning={"effort": "low"}
    )
    seen = []
    for event in stream:
        seen.append(event)
        if event.type == "response.reasoning_text.delta":
            stream.close()
            break
    last = seen[-1].sequence_number
    response_id = seen[0].response.id
    rest = list(responses.retrieve(response_id, stream=True, starting_after=last))
    check_order([event.to_dict() for event in (*seen, *rest)])
    again = list(responses.retrieve(response_id, stream=True))
    assert [event.to_dict() for event in again] == [event.to_dict() for event in (*seen, *rest)]
    with responses.stream(response_id=response_id, starting_after=last) as resumed:
        assert [event.sequence_number for event in resumed] == [event.sequence_number for event in rest]
    unstreamed = responses.create(model="scripted", input="hi")
    with pytest.raises(openai.BadRequestError, match="can't be streamed"):
        responses.retrieve(unstreamed.id, stream=True)


def test_cut_at_its_length(client: Any) -> None:
    answer = [Start("a", "m"), ResponseToken("Hel"), Complete("length", Usage(3, 1))]
    llm = replaying(*answer)
    responses = client(llm).responses
    response = responses.create(model="scripted", input="hi", max_output_tokens=1)
    assert llm.calls[0].params.max_tokens == 1
    assert (response.status, response.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert response.output[0].status == "incomplete"
    assert kinds(raw_events(responses))[-1] == "incomplete"


def test_failures(client: Any) -> None:
    with pytest.raises(openai.RateLimitError):
        client(replaying(EngineOverloaded("full"))).responses.create(model="scripted", input="hi")
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError) as caught:
            client(replaying(ContextOverflowError("too long", "messages"))).responses.create(
                model="scripted", input="hi", stream=stream
            )
        assert caught.value.code == "context_length_exceeded"
    responses = client(
        replaying(Start("a", "m"), ResponseToken("Hel"), Error("broken", "EngineFailed"))
    ).responses
    response = responses.create(model="scripted", input="hi")
    assert (response.status, response.error.code, response.error.message) == (
        "failed",
        "server_error",
        "broken",
    )
    assert responses.retrieve(response.id).output_text == "Hel"
    assert kinds(raw_events(responses))[-1] == "failed"
    background = client(replaying(EngineOverloaded("full"))).responses
    response = background.create(model="scripted", input="hi", background=True)
    while response.status != "failed":
        response = background.retrieve(response.id)
    assert response.error.code == "rate_limit_exceeded"


def test_leaving_a_stream_stops_the_model_unless_it_runs_in_the_background(client: Any) -> None:
    llm = replaying(Start("a", "m"), ResponseToken("x"), Pause())
    responses = client(llm).responses
    with responses.create(model="scripted", input="hi", stream=True) as stream:
        response_id = next(iter(stream)).response.id
        assert llm.paused.wait(10)
    assert llm.ended.wait(10)
    while (response := responses.retrieve(response_id)).status == "in_progress":
        pass
    assert (response.status, response.output_text) == ("cancelled", "x")


def test_log_probabilities(client: Any) -> None:
    top = (TokenLogprob("a", (97,), -0.1), TokenLogprob("b", (98,), -2.0))
    token = TokenLogprob("a", (97,), -0.1, top)
    llm = replaying(Start("a", "m"), ResponseToken("a", (token,)), Complete("stop", Usage(1, 1)))
    responses = client(llm).responses
    asked = {"top_logprobs": 2, "include": ["message.output_text.logprobs"]}
    response = responses.create(model="scripted", input="hi", **asked)
    assert llm.calls[0].params.logprobs == 2
    assert [other.token for other in response.output[0].content[0].logprobs[0].top_logprobs] == ["a", "b"]
    raw_events(responses, **asked)


def test_conversations(client: Any) -> None:
    llm = ScriptedLLM(lambda call: text_answer(f"{len(call.messages)}"))
    openai_client = client(llm)
    conversations, responses = openai_client.conversations, openai_client.responses
    conversation = conversations.create(metadata={"a": "b"}, items=[{"role": "user", "content": "Before."}])
    assert conversations.retrieve(conversation.id).metadata == {"a": "b"}
    assert conversations.update(conversation.id, metadata={"a": "c"}).metadata == {"a": "c"}
    first = responses.create(model="scripted", input="One?", conversation=conversation.id)
    second = responses.create(model="scripted", input="Two?", conversation={"id": conversation.id})
    assert first.conversation.id == conversation.id
    assert [m.content for m in llm.calls[1].messages] == ["Before.", "One?", "2", "Two?"]
    items = list(conversations.items.list(conversation.id, order="asc", limit=2))
    for item in items:
        check_conversation_item(item.to_dict())
    assert [item.content[0].text for item in items] == ["Before.", "One?", "2", "Two?", "4"]
    added = conversations.items.create(conversation.id, items=[{"role": "developer", "content": "Hm."}])
    assert conversations.items.retrieve(added.data[0].id, conversation_id=conversation.id).role == "developer"
    conversations.items.delete(added.data[0].id, conversation_id=conversation.id)
    assert len(list(conversations.items.list(conversation.id))) == 5
    assert conversations.delete(conversation.id).deleted
    with pytest.raises(openai.NotFoundError):
        conversations.items.list(conversation.id)
    with pytest.raises(openai.NotFoundError):
        responses.create(model="scripted", input="Three?", conversation=conversation.id)
    assert responses.retrieve(second.id).output_text == "4"


def test_item_references(client: Any) -> None:
    llm = ScriptedLLM(lambda call: text_answer("Hello"))
    responses = client(llm).responses
    first = responses.create(model="scripted", input="hi")
    reference = {"type": "item_reference", "id": first.output[0].id}
    responses.create(
        model="scripted",
        input=[{"role": "user", "content": "hi"}, reference, {"role": "user", "content": "?"}],
    )
    assert [m.content for m in llm.calls[1].messages] == ["hi", "Hello", "?"]
    with pytest.raises(openai.NotFoundError):
        responses.create(model="scripted", input=[{"type": "item_reference", "id": "msg_none"}])


@pytest.mark.parametrize(
    ("fields", "parameter"),
    [
        ({"temprature": 1}, "temprature"),
        ({"input": None}, "input"),
        ({"input": [{"type": "message", "role": "robot", "content": "x"}]}, "input[0].role"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "data:"}]}]},
            "input[0].content[0]",
        ),
        ({"input": [{"type": "function_call_output", "call_id": "c9", "output": "x"}]}, "input"),
        (
            {"input": [{"type": "function_call", "call_id": "c9", "name": "weather", "arguments": "{}"}]},
            "input",
        ),
        (
            {"input": [{"type": "reasoning", "summary": [], "encrypted_content": "gAAA"}]},
            "input[0].encrypted_content",
        ),
        ({"input": [{"type": "computer_call"}]}, "input[0].type"),
        ({"tools": [{"type": "file_search"}]}, "tools[0].type"),
        ({"tools": [{"type": "function", "function": {"name": "x"}}]}, "tools[0].function"),
        ({"tools": [WEATHER, WEATHER]}, "tools[1].function.name"),
        ({"tools": [WEATHER], "tool_choice": {"type": "function", "name": "other"}}, "tool_choice"),
        ({"tool_choice": "required"}, "tool_choice"),
        (
            {"tools": [{"type": "mcp", "server_label": "x", "server_url": "https://x.example/mcp"}]},
            "tools[0].server_url",
        ),
        ({"include": ["nothing"]}, "include"),
        ({"metadata": {"k": "v" * 513}}, "metadata"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"conversation": "conv_1", "previous_response_id": "resp_1"}, "conversation"),
        ({"background": True, "store": False}, "store"),
        ({"temperature": -1}, "temperature"),
        ({"reasoning": {"effort": "huge"}}, "reasoning.effort"),
    ],
)
def test_wrong_fields_are_named(client: Any, fields: dict[str, Any], parameter: str) -> None:
    llm = replaying(*text_answer("a"))
    with pytest.raises(openai.BadRequestError) as caught:
        client(llm).responses.create(model="scripted", input="hi", extra_body=fields)
    assert caught.value.param == parameter
    assert llm.calls == []


def test_keys_see_their_own_only(serve: Any) -> None:
    address = serve(ScriptedLLM(lambda call: text_answer("a")), api_keys=["ann k1", "bob k2"])
    ann, bob = (openai.OpenAI(base_url=f"{address}/v1", api_key=key, max_retries=0) for key in ("k1", "k2"))
    made = ann.responses.create(model="scripted", input="hi")
    conversation = ann.conversations.create(items=[{"role": "user", "content": "hi"}])
    assert ann.responses.retrieve(made.id).id == made.id
    item = {"type": "item_reference", "id": made.output[0].id}
    for forbidden in (
        lambda: bob.responses.retrieve(made.id),
        lambda: bob.responses.delete(made.id),
        lambda: bob.responses.cancel(made.id),
        lambda: bob.responses.input_items.list(made.id),
        lambda: bob.responses.create(model="scripted", input="hi", previous_response_id=made.id),
        lambda: bob.responses.create(model="scripted", input="hi", conversation=conversation.id),
        lambda: bob.responses.create(model="scripted", input=[item]),
        lambda: bob.conversations.retrieve(conversation.id),
        lambda: bob.conversations.items.list(conversation.id),
    ):
        with pytest.raises(openai.NotFoundError):
            forbidden()
