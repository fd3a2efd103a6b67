"""From a request to a conversation that can be run: its context, its messages, its options.

Owns what a request goes on from. Refuses to know how it runs and where its outcome is kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from candlewick.chat.llm import AsyncLLM
from candlewick.chat.messages import Message, Tool
from candlewick.chat.transcript import Transcript
from candlewick.core.errors import ContextOverflowError, InvalidRequestError
from candlewick.responses.api.server_access import ServerAccess
from candlewick.responses.options import ConversationOptions
from candlewick.responses.records import Context, ConversationStore, ResponseStore
from candlewick.responses.wire.items import Item, read_input
from candlewick.responses.wire.messages import Dialogue, to_dialogue
from candlewick.responses.wire.request import InputFields, ResponseRequest
from candlewick.responses.wire.tool_definitions import ToolRequest, read_tools

LEAST_ANSWER_TOKENS = 64
"""Room for an answer that ``truncation: auto`` keeps when the request names none."""


@dataclass(frozen=True)
class Prepared:
    """A request after everything that it names has been found."""

    request: InputFields
    tools: ToolRequest
    input_items: tuple[Item, ...]
    context: Context

    @cached_property
    def dialogue(self) -> Dialogue:
        """The whole conversation, as messages; made once, since long ones take a while.

        Raises:
            InvalidRequestError: calls and their results do not match.
        """
        return self._to_dialogue((*self.context.items, *self.input_items))

    def past(self) -> Dialogue:
        """What was said before this request, as messages; calls at its end may wait for their outputs."""
        return self._to_dialogue(self.context.items, is_past=True)

    @property
    def listed_servers(self) -> dict[str, list[str]]:
        """Names of the tools of each server that the conversation has told of, as the servers call them."""
        return {
            item["server_label"]: [tool["name"] for tool in item["tools"]]
            for item in (*self.context.items, *self.input_items)
            if item["type"] == "mcp_list_tools" and item["error"] is None
        }

    def transcript(self) -> Transcript | None:
        """The tokens that the conversation goes on from, if they are known."""
        if self.context.token_ids is None:
            return None
        reasoning = self.request.reasoning
        keeps_thinking = reasoning is not None and reasoning.context == "all_turns"
        return Transcript(self.context.token_ids, self.past().num_messages_answered, keeps_thinking)

    def offered_functions(self) -> list[Tool]:
        """The functions that the model is told of."""
        allowed = self.tools.allowed
        if self.tools.choice == "none":
            return []
        return [tool for tool in self.tools.functions if allowed is None or tool.name in allowed]

    def _to_dialogue(self, items: Sequence[Item], *, is_past: bool = False) -> Dialogue:
        taken = Counter(tool.name for tool in self.tools.functions)
        for names in self.listed_servers.values():
            taken.update(names)

        def tool_name(label: str, name: str) -> str:
            """As a conversation's toolbox calls tools of servers."""
            return name if taken[name] <= 1 else f"{label}__{name}"

        return to_dialogue(items, self.request.instructions, tool_name, is_past=is_past)


async def read_items(value: object, where: str, owner: str, responses: ResponseStore) -> list[Item]:
    """Items of a request, those that it names by reference among them.

    Raises:
        InvalidRequestError: one is malformed. NotFoundError: there is none of an id.
    """
    return [
        await responses.find_item(item["id"], owner) if item["type"] == "item_reference" else item
        for item in read_input(value, where)
    ]


async def find_context(
    previous_response_id: str | None,
    conversation_id: str | None,
    owner: str,
    responses: ResponseStore,
    conversations: ConversationStore,
) -> Context:
    """What a response goes on from: an earlier one, a conversation, or nothing.

    Raises:
        NotFoundError: there is no such response or conversation. InvalidRequestError: it did not come to its end.
    """
    if previous_response_id is not None:
        return await responses.context(previous_response_id, owner)
    if conversation_id is not None:
        return await conversations.context(conversation_id, owner)
    return Context()


async def prepare(
    request: InputFields,
    owner: str,
    responses: ResponseStore,
    conversations: ConversationStore,
    recent: Mapping[str, Context] | None = None,
) -> Prepared:
    """Find what a request names; in ``recent`` by the ids of responses, before it is looked for in the store.

    Raises:
        InvalidRequestError: a field is wrong, or calls and their results do not match.
        NotFoundError: there is no such response, conversation or item.
    """
    tools = read_tools(request.tools, request.tool_choice)
    items = await read_items(request.input, "input", owner, responses)
    previous = request.previous_response_id
    if previous is not None and previous in (recent or {}):
        context = (recent or {})[previous]
    else:
        context = await find_context(previous, request.conversation_id, owner, responses, conversations)
    prepared = Prepared(request, tools, tuple(items), context)
    if not prepared.dialogue.messages:
        raise InvalidRequestError("there is nothing to answer: give at least one item", "input")
    return prepared


def conversation_options(
    prepared: Prepared, request: ResponseRequest, access: ServerAccess
) -> ConversationOptions:
    """How the conversation runs.

    Raises:
        InvalidRequestError: a server may not be used.
    """
    uses, extra = access.admit(prepared.tools)
    return ConversationOptions(
        servers=uses,
        extra_servers=extra,
        params=request.generation_params(),
        thinking=request.thinking(),
        template_variables=request.template_variables(),
        client_tools=prepared.offered_functions(),
        tool_choice=prepared.tools.choice,
        parallel_tool_calls=request.parallel_tool_calls is not False,
        max_tool_calls=request.max_tool_calls,
        approvals=prepared.dialogue.approvals,
        transcript=prepared.transcript(),
    )


def truncate(
    llm: AsyncLLM, messages: Sequence[Message], tools: Sequence[Tool], max_tokens: int | None
) -> list[Message]:
    """The messages without the oldest turns, so that they and an answer fit into the context.

    Instructions at the beginning stay. Takes a while: call it outside the event loop.

    Raises:
        ContextOverflowError: the last turn alone is too long.
    """
    room = llm.engine.max_context - (max_tokens or LEAST_ANSWER_TOKENS)
    kept = list(messages)
    start = next(
        (i for i, message in enumerate(kept) if message.role not in ("system", "developer")), len(kept)
    )
    while (needed := llm.count_tokens(kept, tools)) > room:
        turns = [i for i, message in enumerate(kept) if message.role == "user" and i > start]
        if not turns:
            raise ContextOverflowError(
                f"the last turn needs {needed} tokens, and {room} fit beside an answer: make it shorter",
                "input",
            )
        del kept[start : turns[0]]
    return kept


def truncated_options(options: ConversationOptions, kept: int, given: int) -> ConversationOptions:
    """Options for messages of which some were left out: what was said before is another text now."""
    return options if kept == given else replace(options, transcript=None)
