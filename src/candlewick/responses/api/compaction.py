"""Compaction: a long conversation as one item that says what matters in it.

The model itself writes the summary. What was said as system or developer stays word for word.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from candlewick.chat.llm import AsyncLLM
from candlewick.chat.messages import Message
from candlewick.core.params import GenerationParams
from candlewick.responses.api.preparation import Prepared, truncate
from candlewick.responses.wire.ids import new_id
from candlewick.responses.wire.response import usage_to_json
from candlewick.responses.wire.sealed import seal

MAX_SUMMARY_TOKENS = 1024
_TASK = (
    "Summarise our conversation so far for yourself, so that you can go on with it: what was asked, what is known, "
    "what was decided and done, what is still open. Names, numbers and exact words that matter stay as they are."
)


async def compact(llm: AsyncLLM, prepared: Prepared) -> dict[str, Any]:
    """The compacted conversation, as the wire's object.

    Raises:
        ContextOverflowError: even the last turn does not fit into the context.
    """
    messages = list(prepared.dialogue.messages)
    rules = [m.content for m in messages if m.role in ("system", "developer") and m.content]
    if prepared.request.instructions:
        rules = rules[1:]  # the request's own are told with each request
    limit = min(MAX_SUMMARY_TOKENS, llm.engine.max_context // 4)
    asked = [*messages, Message(role="user", content=_TASK)]
    kept = await asyncio.to_thread(truncate, llm, asked, (), limit)
    answer = await llm.answer(kept, params=GenerationParams(max_tokens=limit), thinking="no_think")
    text = "\n\n".join([*rules, f"Summary of the conversation so far:\n{answer.text.strip()}"])
    return {
        "id": new_id("response"),
        "object": "response.compaction",
        "created_at": int(time.time()),
        "output": [{"id": new_id("compaction"), "type": "compaction", "encrypted_content": seal(text)}],
        "usage": usage_to_json(answer.usage),
    }
