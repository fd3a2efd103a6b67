"""``/v1/sessions``: conversations that last, for the chat page and for scripts."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict

from candlewick.openai.errors import error_reply
from candlewick.openai.fields import parse_fields
from candlewick.server.access import owner_of
from candlewick.server.json_body import read_json_object
from candlewick.server.services import Services
from candlewick.server.sse import HEARTBEAT, EventStream, Frames, frame
from candlewick.sessions import Entry, Published, Session, SessionManager, SessionSettings, transcript

JSON = dict[str, Any]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class NewSession(_Body):
    """Both may be left out; ``settings`` are those of :class:`~candlewick.sessions.SessionSettings`."""

    title: str = ""
    settings: JSON = {}


class ChangedSession(_Body):
    title: str | None = None
    settings: JSON | None = None


class Words(_Body):
    text: str


class Verdict(_Body):
    approved: bool


class ForkFrom(_Body):
    """By default the end of the shown branch."""

    entry: str | None = None


def routes(services: Services) -> APIRouter:
    router = APIRouter(prefix="/sessions", tags=["sessions"])
    max_bytes = services.config.max_body_bytes

    def manager() -> SessionManager:
        return services.sessions

    async def opened(request: Request, id: str) -> Session:
        return await manager().open(id, owner_of(request))

    @router.get("")
    async def list_sessions(
        request: Request,
        search: Annotated[str, Query(max_length=200)] = "",
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> JSON:
        """The latest first; of a search, those in which all its words stand."""
        return {"data": await manager().list(owner_of(request), search=search, limit=limit)}

    @router.post("", status_code=201)
    async def create_session(request: Request) -> JSON:
        """A new conversation."""
        body = parse_fields(NewSession, await read_json_object(request, max_bytes))
        session = await manager().create(
            owner=owner_of(request), title=body.title, settings=SessionSettings.from_json(body.settings)
        )
        return session.summary()

    @router.post("/import", status_code=201)
    async def import_session(request: Request) -> JSON:
        """A conversation from an exported file, or from ``messages`` in OpenAI's form."""
        read = transcript.from_json(await read_json_object(request, max_bytes))
        session = await manager().create(
            owner=owner_of(request),
            title=read.title,
            settings=read.settings,
            entries=read.entries,
            head=read.head,
        )
        return session.summary()

    @router.get("/{id}")
    async def read_session(request: Request, id: str) -> JSON:
        """The whole conversation, all branches included."""
        return (await opened(request, id)).snapshot()

    @router.patch("/{id}")
    async def change_session(request: Request, id: str) -> JSON:
        """Another title, or other settings; what is left out stays."""
        body = parse_fields(ChangedSession, await read_json_object(request, max_bytes))
        session = await opened(request, id)
        if body.settings is not None:
            await session.change_settings(body.settings)
        if body.title is not None:
            await session.rename(body.title)
        return session.summary()

    @router.delete("/{id}", status_code=204)
    async def delete_session(request: Request, id: str) -> None:
        """Stops its answer, too."""
        await manager().delete(id, owner_of(request))

    @router.post("/{id}/messages", status_code=202)
    async def send(request: Request, id: str) -> JSON:
        """Say something, and have it answered; the answer comes as events."""
        body = parse_fields(Words, await read_json_object(request, max_bytes))
        return _begun(await (await opened(request, id)).send(body.text))

    @router.post("/{id}/entries/{entry}/edit", status_code=202)
    async def edit(request: Request, id: str, entry: str) -> JSON:
        """Say something else there, on a branch of its own, and have it answered."""
        body = parse_fields(Words, await read_json_object(request, max_bytes))
        return _begun(await (await opened(request, id)).edit(entry, body.text))

    @router.post("/{id}/entries/{entry}/answer", status_code=202)
    async def answer_again(request: Request, id: str, entry: str) -> JSON:
        """Another answer beside this one."""
        return _begun(await (await opened(request, id)).answer_again(entry))

    @router.post("/{id}/entries/{entry}/show", status_code=204)
    async def show(request: Request, id: str, entry: str) -> None:
        """Switch to the branch through this entry."""
        await (await opened(request, id)).show(entry)

    @router.post("/{id}/stop", status_code=204)
    async def stop(request: Request, id: str) -> None:
        """End the answer that is being written; what is written stays."""
        await (await opened(request, id)).stop()

    @router.post("/{id}/approvals/{call_id}", status_code=204)
    async def decide(request: Request, id: str, call_id: str) -> None:
        """Whether a tool call that waits for it may be made."""
        body = parse_fields(Verdict, await read_json_object(request, max_bytes))
        (await opened(request, id)).decide(call_id, approved=body.approved)

    @router.post("/{id}/fork", status_code=201)
    async def fork(request: Request, id: str) -> JSON:
        """A new conversation that begins with this one's, up to an entry."""
        body = parse_fields(ForkFrom, await read_json_object(request, max_bytes))
        return (await manager().fork(id, body.entry, owner_of(request))).summary()

    @router.get("/{id}/export", response_class=Response)
    async def export(request: Request, id: str, format: Literal["json", "markdown"] = "json") -> Response:
        """A file: JSON that can be imported again, or the shown branch as Markdown."""
        session = await opened(request, id)
        name = f'attachment; filename="{session.id}.{"json" if format == "json" else "md"}"'
        headers = {"Content-Disposition": name, "Cache-Control": "no-store"}
        if format == "json":
            return Response(transcript.write_json(session), 200, headers, "application/json")
        return Response(transcript.to_markdown(session), 200, headers, "text/markdown")

    @router.get(
        "/{id}/events",
        responses={200: {"description": "The events.", "content": {"text/event-stream": {}}}},
        response_class=Response,
    )
    async def events(request: Request, id: str) -> Response:
        """What happens, from now on or behind ``Last-Event-ID``, to the end of the session."""
        session = await opened(request, id)
        last_id = request.headers.get("last-event-id")
        return await EventStream.begin(request, _frames(session.listen(last_id)), error_frame)

    return router


async def _frames(events: AsyncGenerator[Published | None, None]) -> Frames:
    async with aclosing(events):
        async for event in events:
            yield HEARTBEAT if event is None else frame(event.data, event.name, event.id)


def error_frame(error: Exception) -> bytes:
    """The last event of a stream that failed."""
    return frame(error_reply(error).body, "failure")


def _begun(answer: Entry) -> JSON:
    return {"entry": answer.id, "question": answer.parent_id}
