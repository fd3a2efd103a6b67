"""An AI gateway: your own FastAPI application, with your own rules for who may ask, and Candlewick mounted in it.

uvicorn ai_gateway:gateway
"""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from candlewick import AsyncLLM
from candlewick.server import create_app

TEAMS = {"key-of-the-moon-team": "moon", "key-of-the-sun-team": "sun"}

llm = AsyncLLM()
gateway = FastAPI(title="Gateway")
requests_by_team: dict[str, int] = dict.fromkeys(TEAMS.values(), 0)


@gateway.middleware("http")
async def admit(request: Request, call_next):
    """Let in only teams that we know, and count what they ask."""
    if request.url.path.startswith("/ai/"):
        team = TEAMS.get(request.headers.get("authorization", "").removeprefix("Bearer "))
        if team is None:
            return JSONResponse(
                {"error": {"message": "which team are you?", "type": "forbidden"}}, status_code=403
            )
        requests_by_team[team] += 1
    return await call_next(request)


@gateway.get("/usage")
def usage() -> dict[str, int]:
    """How many requests each team has made."""
    return requests_by_team


gateway.mount("/ai", create_app(llm, allowed_hosts=["*"]))
