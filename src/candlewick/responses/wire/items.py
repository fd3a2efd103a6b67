"""Items: what conversations are made of on the wire. Reads those of a request into their normal form.

The normal form is that in which items are stored and told: with an id, a type, a status, and content as a list
of parts. Owns what a valid item is; refuses to know what it means to a model (``messages.py``).
Source: ``openai.types.responses.response_input_item`` and ``response_item``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from candlewick.chat.messages import parse_arguments
from candlewick.core.errors import InvalidRequestError
from candlewick.responses.wire.ids import new_id
from candlewick.responses.wire.sealed import unseal

Item = dict[str, Any]

ROLES = ("user", "system", "developer", "assistant")
_TEXT_PARTS = ("input_text", "output_text", "text", "refusal")
_NO_TEXT_PARTS = ("input_image", "input_file", "input_video", "input_audio", "computer_screenshot")


def read_input(value: object, where: str = "input") -> list[Item]:
    """The items of a request's ``input``: text is one message by the user.

    Raises:
        InvalidRequestError: an item is malformed or of a kind that can't be used; the place is named.
    """
    if value is None:
        return []
    if isinstance(value, str):
        return [user_message(value)]
    if not isinstance(value, list):
        _refuse(where, value, "text or a list of items")
    return [read_item(item, f"{where}[{index}]") for index, item in enumerate(value)]


def read_item(value: object, where: str) -> Item:
    """One item in its normal form; a fresh id if it has none.

    Raises:
        InvalidRequestError: as for :func:`read_input`.
    """
    if not isinstance(value, Mapping):
        _refuse(where, value, "an item object")
    kind = value.get("type")
    if kind is None:
        kind = "message" if "role" in value else "item_reference" if "id" in value else None
    reader = _READERS.get(kind) if isinstance(kind, str) else None
    if reader is None:
        _refuse(f"{where}.type", kind, f"one of {', '.join(_READERS)}: other items can't be used here")
    item = reader(value, where)
    item_id = _optional_text(value, "id", where)
    return (
        {"id": item_id or new_id(kind), "type": kind, **item} if kind in _WITH_ID else {"type": kind, **item}
    )


def user_message(text: str) -> Item:
    return {
        "id": new_id("message"),
        "type": "message",
        "role": "user",
        "content": [{"type": "input_text", "text": text}],
        "status": "completed",
    }


def text_of(parts: list[dict[str, Any]]) -> str:
    """The text of content parts in their normal form."""
    return "".join(part.get("text", part.get("refusal", "")) for part in parts)


def output_text(text: str, logprobs: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """A part of an answer."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": logprobs or []}


def _message(value: Mapping[str, Any], where: str) -> Item:
    role = value.get("role")
    if role not in ROLES:
        _refuse(f"{where}.role", role, f"one of {', '.join(ROLES)}")
    content = value.get("content")
    if isinstance(content, str):
        content = [{"type": "input_text", "text": content}]
    if not isinstance(content, list):
        _refuse(f"{where}.content", content, "text or a list of parts")
    parts = [_text_part(part, f"{where}.content[{index}]") for index, part in enumerate(content)]
    if role == "assistant":
        told = [
            {"type": "refusal", "refusal": text} if is_refusal else output_text(text)
            for text, is_refusal in parts
        ]
    else:
        told = [{"type": "input_text", "text": text} for text, _ in parts]
    item = {"role": role, "content": told, "status": _status(value, where)}
    if value.get("phase") in ("commentary", "final_answer"):
        item["phase"] = value["phase"]
    return item


def _text_part(part: object, where: str) -> tuple[str, bool]:
    """The text, and whether it is a refusal."""
    if not isinstance(part, Mapping):
        _refuse(where, part, "a part such as {'type': 'input_text', 'text': …}")
    kind = part.get("type")
    if kind in _NO_TEXT_PARTS:
        raise InvalidRequestError(
            f"{where}: the models here read text only, got a part of type {kind!r}", where
        )
    if kind not in _TEXT_PARTS:
        _refuse(f"{where}.type", kind, f"one of {', '.join(_TEXT_PARTS)}")
    name = "refusal" if kind == "refusal" else "text"
    return _text(part, name, where), kind == "refusal"


def _function_call(value: Mapping[str, Any], where: str) -> Item:
    return {
        "call_id": _text(value, "call_id", where),
        "name": _text(value, "name", where),
        "arguments": _arguments(value, where),
        "status": _status(value, where),
    }


def _function_call_output(value: Mapping[str, Any], where: str) -> Item:
    output = value.get("output")
    if isinstance(output, list):
        texts = [_text_part(part, f"{where}.output[{index}]")[0] for index, part in enumerate(output)]
        output = [{"type": "input_text", "text": text} for text in texts]
    elif not isinstance(output, str):
        _refuse(f"{where}.output", output, "text or a list of parts")
    return {"call_id": _text(value, "call_id", where), "output": output, "status": _status(value, where)}


def _reasoning(value: Mapping[str, Any], where: str) -> Item:
    item: Item = {
        "summary": _parts(value.get("summary"), "summary_text", f"{where}.summary"),
        "content": _parts(value.get("content"), "reasoning_text", f"{where}.content"),
        "status": _status(value, where),
    }
    sealed = value.get("encrypted_content")
    if sealed is not None:
        text = unseal(sealed, f"{where}.encrypted_content")
        item["encrypted_content"] = sealed
        item["content"] = item["content"] or [{"type": "reasoning_text", "text": text}]
    return item


def _mcp_list_tools(value: Mapping[str, Any], where: str) -> Item:
    tools = value.get("tools")
    if not isinstance(tools, list):
        _refuse(f"{where}.tools", tools, "a list of tools")
    return {"server_label": _text(value, "server_label", where), "tools": tools, "error": value.get("error")}


def _mcp_call(value: Mapping[str, Any], where: str) -> Item:
    error = value.get("error")
    if error is not None and not isinstance(error, str | Mapping):
        _refuse(f"{where}.error", error, "text or an error object")
    return {
        "server_label": _text(value, "server_label", where),
        "name": _text(value, "name", where),
        "arguments": _arguments(value, where),
        "output": _optional_text(value, "output", where),
        "error": error,
        "approval_request_id": _optional_text(value, "approval_request_id", where),
        "status": "failed" if error is not None else "completed",
    }


def _mcp_approval_request(value: Mapping[str, Any], where: str) -> Item:
    if not value.get("id"):
        _refuse(f"{where}.id", value.get("id"), "the id of the request")
    return {
        "server_label": _text(value, "server_label", where),
        "name": _text(value, "name", where),
        "arguments": _arguments(value, where),
    }


def _mcp_approval_response(value: Mapping[str, Any], where: str) -> Item:
    approve = value.get("approve")
    if not isinstance(approve, bool):
        _refuse(f"{where}.approve", approve, "true or false")
    return {
        "approval_request_id": _text(value, "approval_request_id", where),
        "approve": approve,
        "reason": _optional_text(value, "reason", where),
    }


def _compaction(value: Mapping[str, Any], where: str) -> Item:
    unseal(value.get("encrypted_content"), f"{where}.encrypted_content")
    return {"encrypted_content": value["encrypted_content"]}


def _item_reference(value: Mapping[str, Any], where: str) -> Item:
    return {"id": _text(value, "id", where)}


_READERS: dict[str, Callable[[Mapping[str, Any], str], Item]] = {
    "message": _message,
    "function_call": _function_call,
    "function_call_output": _function_call_output,
    "reasoning": _reasoning,
    "mcp_list_tools": _mcp_list_tools,
    "mcp_call": _mcp_call,
    "mcp_approval_request": _mcp_approval_request,
    "mcp_approval_response": _mcp_approval_response,
    "compaction": _compaction,
    "item_reference": _item_reference,
}
_WITH_ID = _READERS.keys() - {"item_reference"}


def _parts(value: object, kind: str, where: str) -> list[dict[str, str]]:
    if value is None:
        return []
    if not isinstance(value, list):
        _refuse(where, value, "a list of parts")
    parts = []
    for index, part in enumerate(value):
        if not isinstance(part, Mapping) or not isinstance(part.get("text"), str):
            _refuse(f"{where}[{index}]", part, f"a part such as {{'type': '{kind}', 'text': …}}")
        parts.append({"type": kind, "text": part["text"]})
    return parts


def _arguments(value: Mapping[str, Any], where: str) -> str:
    arguments = _text(value, "arguments", where)
    parse_arguments(arguments, f"{where}.arguments")
    return arguments


def _status(value: Mapping[str, Any], where: str) -> str:
    status = value.get("status")
    if status not in (None, "in_progress", "completed", "incomplete"):
        _refuse(f"{where}.status", status, "in_progress, completed or incomplete")
    return status or "completed"


def _text(value: Mapping[str, Any], name: str, where: str) -> str:
    text = value.get(name)
    if not isinstance(text, str):
        _refuse(f"{where}.{name}", text, "text")
    return text


def _optional_text(value: Mapping[str, Any], name: str, where: str) -> str | None:
    return None if value.get(name) is None else _text(value, name, where)


def _refuse(where: str, value: object, expected: str) -> NoReturn:
    shown = repr(value)
    raise InvalidRequestError(
        f"{where} must be {expected}, got {shown if len(shown) <= 200 else shown[:200] + '…'}", where
    )
