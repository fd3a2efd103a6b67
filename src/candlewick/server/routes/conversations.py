"""``/v1/conversations``: lists of items that responses read and add to."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from candlewick.openai.fields import parse_fields
from candlewick.openai.types import JSONObject
from candlewick.responses.wire.items import Item
from candlewick.responses.wire.request import check_metadata
from candlewick.server.access import owner_of
from candlewick.server.json_body import read_json_object
from candlewick.server.openapi import json_body
from candlewick.server.pagination import Page, page_of
from candlewick.server.routes.responses import Include
from candlewick.server.services import Services

MAX_NEW_ITEMS = 20
"""Items that one request may add."""

NewItems = Annotated[list[JSONObject], Field(max_length=MAX_NEW_ITEMS)]


class ConversationFields(BaseModel):
    """A new conversation."""

    model_config = ConfigDict(extra="forbid", strict=True)

    items: NewItems | None = None
    metadata: dict[str, str] | None = None


class ConversationUpdate(BaseModel):
    """Other metadata."""

    model_config = ConfigDict(extra="forbid", strict=True)

    metadata: dict[str, str] | None


class ConversationItems(BaseModel):
    """Items to add."""

    model_config = ConfigDict(extra="forbid", strict=True)

    items: Annotated[NewItems, Field(min_length=1)]


def routes(services: Services) -> APIRouter:
    router = APIRouter(tags=["conversations"])
    max_bytes = services.config.max_body_bytes

    @router.post("/conversations", openapi_extra=json_body(ConversationFields))
    async def create_conversation(request: Request) -> dict[str, Any]:
        """A new conversation, which may begin with items."""
        body = parse_fields(ConversationFields, await read_json_object(request, max_bytes))
        check_metadata(body.metadata)
        items = await services.responses.read_items(body.items, owner_of(request))
        return await services.responses.conversations.create(owner_of(request), body.metadata or {}, items)

    @router.get("/conversations/{conversation_id}")
    async def retrieve_conversation(request: Request, conversation_id: str) -> dict[str, Any]:
        """A conversation without its items."""
        return await services.responses.conversations.get(conversation_id, owner_of(request))

    @router.post("/conversations/{conversation_id}", openapi_extra=json_body(ConversationUpdate))
    async def update_conversation(request: Request, conversation_id: str) -> dict[str, Any]:
        """Give it other metadata."""
        body = parse_fields(ConversationUpdate, await read_json_object(request, max_bytes))
        check_metadata(body.metadata)
        store = services.responses.conversations
        return await store.update(conversation_id, owner_of(request), body.metadata or {})

    @router.delete("/conversations/{conversation_id}")
    async def delete_conversation(request: Request, conversation_id: str) -> dict[str, Any]:
        """Forget it and its items; responses that were made in it stay."""
        await services.responses.conversations.delete(conversation_id, owner_of(request))
        return {"id": conversation_id, "object": "conversation.deleted", "deleted": True}

    @router.get("/conversations/{conversation_id}/items")
    async def list_items(
        request: Request,
        conversation_id: str,
        after: str | None = None,
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
        order: Literal["asc", "desc"] = "desc",
        include: Include = None,
    ) -> Page:
        """Its items."""
        items = await services.responses.conversations.items(conversation_id, owner_of(request))
        return page_of(items, after, limit, order)

    @router.post("/conversations/{conversation_id}/items", openapi_extra=json_body(ConversationItems))
    async def add_items(request: Request, conversation_id: str, include: Include = None) -> Page:
        """Items at its end."""
        body = parse_fields(ConversationItems, await read_json_object(request, max_bytes))
        items = await services.responses.read_items(body.items, owner_of(request))
        await services.responses.conversations.add(conversation_id, owner_of(request), items)
        return page_of(items, None, MAX_NEW_ITEMS, "asc")

    @router.get("/conversations/{conversation_id}/items/{item_id}")
    async def retrieve_item(
        request: Request, conversation_id: str, item_id: str, include: Include = None
    ) -> Item:
        """One of its items."""
        return await services.responses.conversations.item(conversation_id, item_id, owner_of(request))

    @router.delete("/conversations/{conversation_id}/items/{item_id}")
    async def delete_item(request: Request, conversation_id: str, item_id: str) -> dict[str, Any]:
        """Take an item out; what is left of the conversation."""
        store = services.responses.conversations
        return await store.delete_item(conversation_id, item_id, owner_of(request))

    return router
