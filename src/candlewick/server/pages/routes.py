"""The pages, and what they load: HTML, static files, and a stream of what is new in a conversation."""

from __future__ import annotations

import asyncio
import secrets
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qs

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from pygments.formatters import HtmlFormatter
from starlette.exceptions import HTTPException

from candlewick.core.errors import SessionNotFound
from candlewick.server.pages.compressed_stream import CompressedEventStream
from candlewick.server.pages.conversation_view import ConversationView, ConversationViews
from candlewick.server.pages.entrance import COOKIE, TICKET_SECONDS, Entrance
from candlewick.server.pages.status import StatusPage
from candlewick.server.pages.templates import Templates
from candlewick.server.routes.sessions import error_frame
from candlewick.server.services import Services
from candlewick.server.sse import HEARTBEAT, Frames, frame
from candlewick.sessions import Session, SessionSettings
from candlewick.sessions.broadcaster import HEARTBEAT_SECONDS

PATCH_SECONDS = 0.06
"""Between two patches of a page: quicker is seen by nobody."""
WORK_SHARE = 4
"""A patch that took long to make is followed by a pause so many times as long."""
MAX_LOGIN_BYTES = 10_000
_STATIC_TYPES = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}


def routes(services: Services, entrance: Entrance) -> APIRouter:
    router = APIRouter(include_in_schema=False)
    templates = Templates()
    views = ConversationViews(templates)
    status = StatusPage(services, templates)

    def page(request: Request, template: str, http_status: int = 200, **values: Any) -> Response:
        nonce = secrets.token_urlsafe(16)
        root = request.scope.get("root_path", "")
        html = templates.render(template, nonce=nonce, root=root, **values)
        return HTMLResponse(html, http_status, _headers(nonce))

    def who(request: Request) -> str | None:
        return entrance.owner(request)

    def to_login(request: Request) -> Response:
        return RedirectResponse(f"{request.scope.get('root_path', '')}/login", 303)

    async def chat(request: Request, owner: str, session: Session | None) -> Response:
        number, nodes = await views.of(session).nodes() if session else (0, [])
        return page(
            request,
            "chat.html",
            title=session.title if session else "",
            session=session.id if session else None,
            current=session.id if session else None,
            since=session.broadcaster.id_of(number) if session else None,
            conversation="".join(node.to_html() for node in nodes),
            settings=(session.settings if session else SessionSettings()).to_json(),
            sessions=_with_days(await services.sessions.list(owner)),
            models=[{"name": model.name} for model in services.models.statuses()],
            tool_servers=services.tool_servers.labels,
            signed_in=entrance.doorkeeper.wants_key,
        )

    @router.get("/")
    async def new_conversation(request: Request) -> Response:
        owner = who(request)
        return to_login(request) if owner is None else await chat(request, owner, None)

    @router.get("/chat/{id}")
    async def conversation(request: Request, id: str) -> Response:
        owner = who(request)
        if owner is None:
            return to_login(request)
        try:
            session = await services.sessions.open(id, owner)
        except SessionNotFound:
            return page(request, "missing.html", 404)
        return await chat(request, owner, session)

    @router.get("/chat/{id}/view")
    async def view(request: Request, id: str, since: str = "") -> Response:
        """What is new in a conversation, as HTML; events of the name ``patch``."""
        session = await services.sessions.open(id, _required(who(request)))
        last_id = request.headers.get("last-event-id") or since
        patches = _patches(session, views.of(session), last_id)
        return await CompressedEventStream.begin(request, patches, error_frame)

    @router.get("/page/sessions")
    async def session_list(request: Request, search: str = "", current: str = "") -> Response:
        """The items of the session list."""
        found = await services.sessions.list(_required(who(request)), search=search[:200])
        root = request.scope.get("root_path", "")
        html = templates.render(
            "partials/sessions.html", sessions=_with_days(found), search=search, current=current, root=root
        )
        return HTMLResponse(html, headers=_NO_STORE)

    @router.get("/page/models")
    async def models(request: Request) -> Response:
        """Which models there are, how far they are loaded, and how long their context is."""
        _required(who(request))
        contexts = {model.name: model.llm.engine.max_context for model in services.models.loaded()}
        return JSONResponse(
            [
                {
                    "name": model.name,
                    "state": model.state,
                    "progress": model.progress,
                    "stage": model.stage,
                    "max_context": contexts.get(model.name),
                }
                for model in services.models.statuses()
            ],
            headers=_NO_STORE,
        )

    @router.get("/login")
    async def login_page(request: Request) -> Response:
        return page(request, "login.html") if who(request) is None else RedirectResponse(_home(request), 303)

    @router.post("/login")
    async def login(request: Request) -> Response:
        entrance.require_own_page(request)
        owner = entrance.doorkeeper.owner(await _posted_key(request))
        if owner is None:
            return page(request, "login.html", 401, wrong=True)
        answer = RedirectResponse(_home(request), 303)
        answer.set_cookie(
            COOKIE,
            entrance.tickets.write(owner),
            max_age=TICKET_SECONDS,
            path=_home(request),
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="strict",
        )
        return answer

    @router.post("/logout")
    async def logout(request: Request) -> Response:
        entrance.require_own_page(request)
        answer = RedirectResponse(f"{request.scope.get('root_path', '')}/login", 303)
        answer.delete_cookie(COOKIE, path=_home(request))
        return answer

    @router.get("/status")
    async def status_page(request: Request) -> Response:
        if who(request) is None:
            return to_login(request)
        return page(request, "status.html", body=status.body())

    @router.get("/page/status")
    async def status_body(request: Request) -> Response:
        """The changing part of the status page."""
        _required(who(request))
        return HTMLResponse(status.body(), headers=_NO_STORE)

    @router.get("/static/{name}")
    async def static(name: str) -> Response:
        content = _static(name)
        if content is None:
            raise HTTPException(404, f"there is no file {name!r}")
        # Small files of our own: asking whether they changed would take as long as sending them.
        media_type = _STATIC_TYPES[name.rpartition(".")[2]]
        return Response(content, headers={"Cache-Control": "max-age=300", **_SAFE}, media_type=media_type)

    return router


async def _patches(session: Session, view: ConversationView, last_id: str) -> Frames:
    """What a page lacks, whenever something happened, never more often than pages are drawn."""
    broadcaster = session.broadcaster
    since = broadcaster.number_of(last_id)
    clock = asyncio.get_running_loop().time
    while True:
        begun = clock()
        patch = await view.patch(since)
        since = patch.number
        state = {
            "session": session.summary(),
            "pace": session.pace(),
            "context": _context_used(session),
            "slots": patch.slots,
            "html": patch.html,
        }
        yield frame(state, "patch", broadcaster.id_of(since))
        await asyncio.sleep(max(PATCH_SECONDS, WORK_SHARE * (clock() - begun)))
        while not await broadcaster.beyond(since, HEARTBEAT_SECONDS):
            if broadcaster.is_closed:
                yield frame({}, "gone")
                return
            yield HEARTBEAT


def _with_days(sessions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each with the heading below which it stands, by this machine's clock."""
    today = date.today()
    days = [(today - date.fromtimestamp(session["updated_at"])).days for session in sessions]
    return [{**session, "day": _day(ago)} for session, ago in zip(sessions, days, strict=True)]


def _day(days_ago: int) -> str:
    if days_ago <= 1:
        return "Today" if days_ago <= 0 else "Yesterday"
    return "The last week" if days_ago <= 7 else "Earlier"


def _context_used(session: Session) -> int | None:
    figures = [entry.figures for entry in session.tree.path() if entry.figures]
    return figures[-1].context_tokens if figures else None


def _required(owner: str | None) -> str:
    if owner is None:
        raise HTTPException(401, "sign in again")
    return owner


async def _posted_key(request: Request) -> str:
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_LOGIN_BYTES:
            raise HTTPException(413, "this is no key")
    return parse_qs(body.decode("utf-8", "replace")).get("key", [""])[0].strip()


def _home(request: Request) -> str:
    return f"{request.scope.get('root_path', '')}/"


@cache
def _static(name: str) -> bytes | None:
    if name == "code.css":
        return _code_colours().encode()
    known = {file.name: file for file in (files("candlewick.server.pages") / "static").iterdir()}
    return known[name].read_bytes() if name in known else None


def _code_colours() -> str:
    """Colours of code for light and dark screens, each legible on the page's ground."""
    light = HtmlFormatter(style="xcode", nobackground=True).get_style_defs(".code code")
    dark = HtmlFormatter(style="github-dark", nobackground=True).get_style_defs(".code code")
    return f"{light}\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}\n"


def _headers(nonce: str) -> dict[str, str]:
    """What a page may do: run its own scripts, talk to its own server, and nothing else."""
    policy = (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types candlewick"
    )
    return {"Content-Security-Policy": policy, **_NO_STORE, **_SAFE}


_NO_STORE = {"Cache-Control": "no-store"}
_SAFE = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
