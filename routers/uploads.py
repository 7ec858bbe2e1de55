"""Uploads: forms with one file, read as they arrive and never beyond their bounds."""

from collections.abc import Callable, Collection, Iterable
from typing import Protocol

from litestar.types import Receive

from junctor.core.dispatch import Deadline
from junctor.core.errors import BodyTooLargeError, DeadlineExceededError, TooLargeError
from junctor.core.presence import gone
from junctor.core.stalls import within
from junctor.routers.answers import Http
from junctor.routers.multipart import FILE, Form, FormParser, boundary_of

Headers = Iterable[tuple[bytes, bytes]]
Take = Callable[[bytes], object]
"""Takes a further piece of a body."""


class Account(Protocol):
    """What reading asks of an admitted request; `junctor.core.tickets.Ticket` has it."""

    @property
    def deadline(self) -> Deadline:
        """When all must be over."""

    def buffer(self, size: int) -> None:
        """Count `size` more bytes held, or raise OverloadedError."""


async def read_form(
    request: Http, account: Account, *, fields: Collection[str], limit: int, upload: str = FILE
) -> Form:
    """
    Read a form with one file.

    Args:
        request: its body must not have been read.
        account: counts the bytes held, and brings the deadline.
        fields: names of the text fields to keep; others are skipped.
        limit: largest body, bytes.
        upload: name of the part that holds the file.

    Raises:
        InvalidRequestError: not a form, malformed, or without a file.
        MediaError: the file is empty.
        TooLargeError: beyond `limit`; raised as soon as that is known.
        ClientGoneError: the client left in the middle.
        DeadlineExceededError: it came too slowly.
        OverloadedError: the process holds as many uploads as it may.

    """
    headers = dict(request.scope["headers"])
    length = headers.get(b"content-length", b"")
    if length.isdigit() and int(length) > limit:
        raise TooLargeError(limit_bytes=limit)
    boundary = boundary_of(headers.get(b"content-type", b"").decode("latin-1"))
    parser = FormParser(boundary, fields=fields, upload=upload)
    await _feed(parser.feed, request.receive, account, limit=limit)
    return parser.close()


async def read_body(headers: Headers, receive: Receive, account: Account, *, limit: int) -> bytes:
    """
    Read a body whole.

    Args:
        headers: as the ASGI scope has them.
        receive: the request's channel, not read yet.
        account: counts the bytes held, and brings the deadline.
        limit: largest body, bytes.

    Raises:
        BodyTooLargeError: beyond `limit`; raised as soon as that is known.
        ClientGoneError: the client left in the middle.
        DeadlineExceededError: it came too slowly.
        OverloadedError: the process holds as many uploads as it may.

    """
    pieces: list[bytes] = []
    length = next((value for name, value in headers if name == b"content-length"), b"")
    if length.isdigit() and int(length) > limit:
        raise BodyTooLargeError(limit_bytes=limit)
    try:
        await _feed(pieces.append, receive, account, limit=limit)
    except TooLargeError as exc:
        raise BodyTooLargeError(limit_bytes=limit) from exc
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


async def _feed(take: Take, receive: Receive, account: Account, *, limit: int) -> None:
    try:
        await within(account.deadline.at, lambda: _fed(take, receive, account, limit))
    except TimeoutError as exc:
        raise DeadlineExceededError(seconds=account.deadline.seconds) from exc


async def _fed(take: Take, receive: Receive, account: Account, limit: int) -> None:
    total = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise gone()
        piece = message["body"]
        total += len(piece)
        if total > limit:
            raise TooLargeError(limit_bytes=limit)
        if piece:
            account.buffer(len(piece))
            take(piece)
        if not message.get("more_body", False):
            return
