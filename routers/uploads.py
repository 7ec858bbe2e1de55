"""Uploads: forms with one file, read as they arrive and never beyond their bounds."""

import asyncio
from collections.abc import Collection
from typing import Protocol

from litestar.types import Receive

from junctor.core.dispatch import Deadline
from junctor.core.errors import DeadlineExceededError, TooLargeError
from junctor.core.presence import gone
from junctor.routers.answers import Http
from junctor.routers.multipart import FILE, Form, FormParser, boundary_of


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
    try:
        async with asyncio.timeout_at(account.deadline.at):
            await _feed(parser, request.receive, account, limit)
    except TimeoutError as exc:
        raise DeadlineExceededError(seconds=account.deadline.seconds) from exc
    return parser.close()


async def _feed(parser: FormParser, receive: Receive, account: Account, limit: int) -> None:
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
            parser.feed(piece)
        if not message.get("more_body", False):
            return
