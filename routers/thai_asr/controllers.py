"""`GET /config` and `POST /sessions`: what a client asks before it speaks."""

import asyncio
from urllib.parse import urlsplit

import msgspec
from litestar import Router, get, post
from litestar.di import NamedDependency
from litestar.types import ASGIApp

from junctor.contracts.thai_asr import ConfigAnswer, SessionAnswer
from junctor.core.credentials import credential_of
from junctor.core.dispatch import Deadline
from junctor.core.errors import DeadlineExceededError
from junctor.core.faces import ERROR_FACE
from junctor.core.gateway import Gateway
from junctor.routers.answers import Answer, Http, ticket_headers
from junctor.routers.thai_asr.errors import THAI_ASR_FACE
from junctor.routers.thai_asr.messages import MAX_BODY_BYTES, config_of_body
from junctor.routers.thai_asr.renderings import limits_of, tenant_of
from junctor.routers.thai_asr.serving import CONTRACT, engine_of
from junctor.routers.thai_asr.sessions import sessions_of
from junctor.routers.thai_asr.stream import stream

PREFIXES = ("/api/thai-asr", "/v2/asr/low-latency/th")
"""The canonical one and the legacy one; what is under one is under the other."""
NOTES = (
    "All sessions share one decoder, and latency fields are measured, those of waiting included.",
)


@get("/config")
async def show_config(request: Http, gateway: NamedDependency[Gateway]) -> ASGIApp:
    """Tell the defaults, and the limits of the key's team."""
    ticket = await gateway.admit(
        contract=CONTRACT, operation="config", credential=credential_of(request.headers)
    )
    async with ticket:
        answer = ConfigAnswer(
            engine=engine_of(gateway, ticket),
            notes=NOTES,
            tenant=tenant_of(ticket.principal),
            limits=limits_of(gateway, ticket.principal),
        )
        return Answer(body=msgspec.json.encode(answer), headers=ticket_headers(ticket))


@post("/sessions", status_code=200)
async def open_session(request: Http, gateway: NamedDependency[Gateway]) -> ASGIApp:
    """Let a session wait for its socket, and tell where that is."""
    ticket = await gateway.admit(
        contract=CONTRACT, operation="session", credential=credential_of(request.headers)
    )
    async with ticket:
        config = config_of_body(await _body(request, ticket.deadline))
        engine = engine_of(gateway, ticket)
        settings = ticket.snapshot.settings
        sessions = sessions_of(request.app)
        session_id = sessions.add(ticket.principal.team, config, settings.thai_asr)
        answer = SessionAnswer(
            session_id=session_id,
            engine=engine,
            ws_url=ws_url(request, settings.server.public_url, session_id),
            config=config,
            tenant=tenant_of(ticket.principal),
        )
        return Answer(body=msgspec.json.encode(answer), headers=ticket_headers(ticket))


def ws_url(request: Http, public_url: str, session_id: str) -> str:
    """
    Return where the socket of a session is, under the prefix that was called.

    Args:
        request: of the session.
        public_url: `server.public_url`; empty for where the request came to.
        session_id: goes into the query.

    """
    base = urlsplit(public_url or str(request.base_url))
    scheme = "wss" if base.scheme == "https" else "ws"
    prefix = request.scope["path"].rstrip("/").removesuffix("/sessions")
    root = base.path.rstrip("/")
    return f"{scheme}://{base.netloc}{root}{prefix}/stream?session_id={session_id}"


async def _body(request: Http, deadline: Deadline) -> bytes:
    """Return the body, or enough of it to see that it is too long."""
    body = bytearray()
    try:
        async with asyncio.timeout_at(deadline.at):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    break
    except TimeoutError as exc:
        raise DeadlineExceededError(seconds=deadline.seconds) from exc
    return bytes(body)


def routers() -> list[Router]:
    """Return all paths of this contract, once under each prefix."""
    handlers = [show_config, open_session, stream]
    return [
        Router(prefix, route_handlers=handlers, opt={ERROR_FACE: THAI_ASR_FACE})
        for prefix in PREFIXES
    ]
