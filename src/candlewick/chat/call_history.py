"""Past calls, put otherwise for templates that can't say them as they are.

Works on messages as the dictionaries that templates read. Refuses to know how a template was found to lack
something.
"""

from __future__ import annotations

from typing import Any

Messages = list[dict[str, Any]]


def with_ids_that_name(messages: Messages) -> Messages:
    """Every call's id, and the ids of results, as ``functions.name:number``.

    Kimi's templates show the id alone, so the function's name must be part of it.
    """
    new_ids: dict[str, str] = {}
    number = 0
    renamed: Messages = []
    for message in messages:
        calls = []
        for call in message.get("tool_calls", ()):
            new_ids[call["id"]] = f"functions.{call['function']['name']}:{number}"
            number += 1
            calls.append(call | {"id": new_ids[call["id"]]})
        fields = message | ({"tool_calls": calls} if calls else {})
        if (call_id := fields.get("tool_call_id")) is not None:
            fields["tool_call_id"] = new_ids.get(call_id, call_id)
        renamed.append(fields)
    return renamed


def with_one_call_a_message(messages: Messages) -> Messages:
    """Messages of several calls as several messages, each followed by its result where there is one.

    gpt-oss's templates show the first call of a message only.
    """
    divided: Messages = []
    rest = list(messages)
    while rest:
        message = rest.pop(0)
        calls = message.get("tool_calls", ())
        if len(calls) < 2:
            divided.append(message)
            continue
        results: Messages = []
        while rest and rest[0]["role"] == "tool":
            results.append(rest.pop(0))
        for index, call in enumerate(calls):
            first = message if index == 0 else {"role": message["role"], "content": None}
            divided.append(first | {"tool_calls": [call]})
            answers = [result for result in results if result.get("tool_call_id") == call["id"]]
            divided += answers
            results = [result for result in results if result not in answers]
        divided += results
    return divided
