"""
`/uploads/generations/ltx23/…`: the files of jobs, whole or in ranges.

There is no key to be asked for: a player sends none. A name holds 128 random bits, is told only to
the team, and the file is gone when its time is over.
"""

import asyncio
import re
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Final

from attrs import frozen
from litestar import Router, route
from litestar.di import NamedDependency
from litestar.enums import HttpMethod
from litestar.params import FromPath
from litestar.types import ASGIApp, Receive, Scope, Send
from msgspec import Struct

from junctor.core.artefacts import Content
from junctor.core.errors import NotFoundError
from junctor.core.faces import ERROR_FACE
from junctor.core.runtime import Runtime
from junctor.core.stalls import within
from junctor.core.visits import current_visit
from junctor.routers.answers import Answer, Http
from junctor.routers.ltx_video.errors import LTX_FACE
from junctor.routers.ltx_video.work import CONTRACT, PICTURE, VIDEO

PATH: Final = "/uploads/generations/ltx23"
NAME: Final = re.compile(r"ltx23_(?:av_\d{8}_([0-9a-f]{32})\.mp4|in_\d{8}_([0-9a-f]{32})\.png)")
RANGE: Final = re.compile(r"bytes=(\d{0,15})-(\d{0,15})")
SEND_SECONDS: Final = 60.0
"""Time that a client has to take one piece; then it is left."""
CACHE_SECONDS: Final = 3600
"""For which browsers may keep a file, at most: one that is deleted is shown no longer."""
GONE: Final = "There is no such file: it has expired, was deleted, or never was."


def video_path(artefact: str, made_at: int) -> str:
    """Return where a video is; `made_at` in microseconds since 1970, UTC."""
    return f"{PATH}/ltx23_av_{_day(made_at)}_{artefact}.mp4"


def picture_path(artefact: str, made_at: int) -> str:
    """Return where the picture of a job is; likewise."""
    return f"{PATH}/ltx23_in_{_day(made_at)}_{artefact}.png"


def _day(micros: int) -> str:
    return datetime.fromtimestamp(micros / 1e6, UTC).strftime("%Y%m%d")


@frozen
class Span:
    """A stretch of a file: from a byte on, so many."""

    start: int
    size: int
    is_part: bool = True
    """Whether it was asked for as a range."""


def span_of(header: str, size: int) -> Span | None:
    """
    Return what a `Range` asks of a file (RFC 9110, section 14); None where it lies outside.

    Args:
        header: the header's value; without one, or with one that is not understood (several
            ranges, say), the whole file is meant.
        size: of the file, bytes.

    """
    whole = Span(0, size, is_part=False)
    found = RANGE.fullmatch(header.strip())
    if found is None or not (found[1] or found[2]):
        return whole
    if not found[1]:  # the last so many bytes
        last = min(int(found[2]), size)
        return Span(size - last, last) if last else None
    start = int(found[1])
    if found[2] and int(found[2]) < start:
        return whole
    end = min(int(found[2]), size - 1) if found[2] else size - 1
    return Span(start, end - start + 1) if start < size else None


class FileAnswer(Struct, frozen=True, kw_only=True, eq=False):
    """A file, or a part of it, sent piece by piece; without pieces its headers alone."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    pieces: AsyncGenerator[bytes, None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  # ASGI
        """Send it; a client that takes nothing for long is left."""
        if self.pieces is None:
            await self._begin(send)
        else:
            async with aclosing(self.pieces) as pieces:
                first = await anext(pieces, b"")  # a failure before it has a status of its own
                await self._begin(send)
                await _taken(send, first)
                async for piece in pieces:
                    await _taken(send, piece)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _begin(self, send: Send) -> None:
        await send(
            {"type": "http.response.start", "status": self.status, "headers": list(self.headers)}
        )


async def _taken(send: Send, piece: bytes) -> None:
    soon = asyncio.get_running_loop().time() + SEND_SECONDS
    await within(
        soon, lambda: send({"type": "http.response.body", "body": piece, "more_body": True})
    )


@route("/{name:str}", http_method=[HttpMethod.GET, HttpMethod.HEAD])
async def show_file(
    request: Http, runtime: NamedDependency[Runtime], name: FromPath[str]
) -> ASGIApp:
    """Send a file, or the range of it that is asked for."""
    visit = current_visit()
    visit.contract, visit.operation = CONTRACT, "file"
    found = NAME.fullmatch(name)
    if found is None:
        raise NotFoundError(GONE)
    kind, media_type = (VIDEO, "video/mp4") if found[1] else (PICTURE, "image/png")
    content = await runtime.artefacts.public(found[1] or found[2], name=kind)
    return answer_of(request, content, media_type)


def answer_of(request: Http, content: Content, media_type: str) -> ASGIApp:
    """Return the answer to a request for a file."""
    etag = f'"{content.sha256[:32]}"'
    age = max(0, min(CACHE_SECONDS, int(content.expires_at - time.time())))
    headers = [
        ("accept-ranges", "bytes"),
        ("cache-control", f"private, max-age={age}, immutable"),
        ("cross-origin-resource-policy", "cross-origin"),
        ("etag", etag),
        ("x-content-type-options", "nosniff"),
    ]
    known = request.headers.get("if-none-match", "")
    if etag in known or known.strip() == "*":
        return FileAnswer(status=304, headers=_encoded(headers))
    takes_parts = request.method == "GET" and request.headers.get("if-range", etag) == etag
    span = span_of(request.headers.get("range", "") if takes_parts else "", content.size)
    if span is None:
        headers.append(("content-range", f"bytes */{content.size}"))
        return Answer(body=b"", media_type=media_type, status=416, headers=headers)
    if span.is_part:
        end = span.start + span.size - 1
        headers.append(("content-range", f"bytes {span.start}-{end}/{content.size}"))
    headers += [("content-type", media_type), ("content-length", str(span.size))]
    return FileAnswer(
        status=206 if span.is_part else 200,
        headers=_encoded(headers),
        pieces=None if request.method == "HEAD" else content.read(span.start, span.size),
    )


def _encoded(headers: list[tuple[str, str]]) -> tuple[tuple[bytes, bytes], ...]:
    return tuple((name.encode(), value.encode()) for name, value in headers)


def router() -> Router:
    """Return the path of the files."""
    return Router(PATH, route_handlers=[show_file], opt={ERROR_FACE: LTX_FACE})
