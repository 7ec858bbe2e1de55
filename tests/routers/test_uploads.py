"""Forms are read within their bounds, whatever the pieces they come in."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from typing import cast

import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st
from litestar import Request
from litestar.types import Receive, Scope

from junctor.core.dispatch import Deadline
from junctor.core.errors import (
    ClientGoneError,
    DeadlineExceededError,
    InvalidRequestError,
    MediaError,
    OverloadedError,
    TooLargeError,
)
from junctor.routers.answers import Http
from junctor.routers.multipart import MAX_PARTS, Form
from junctor.routers.uploads import read_form

BOUNDARY = "b1946ac92492d234"
FIELDS = frozenset({"model", "prompt"})
AUDIO = b"RIFF\r\n--b1946ac9\r\n\x00\xff\r\n"


@define
class Bill:
    """Counts what is held, up to a bound."""

    most: int = 10**9
    seconds: float = 5.0
    held: int = 0
    deadline: Deadline = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.deadline = Deadline.after(self.seconds)

    def buffer(self, size: int) -> None:
        if self.held + size > self.most:
            raise OverloadedError("full")
        self.held += size


def part(head: str, content: bytes) -> bytes:
    return f"--{BOUNDARY}\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() + content


def body(*parts: tuple[str, bytes]) -> bytes:
    return b"".join(part(*one) + b"\r\n" for one in parts) + f"--{BOUNDARY}--\r\n".encode()


FILE = ('name="file"; filename="a.wav"', AUDIO)
MODEL = ('name="model"', b"whisper")


def request_of(headers: list[tuple[bytes, bytes]], receive: Receive) -> Http:
    scope = {"type": "http", "headers": headers, "path": "/", "method": "POST"}
    return Request(cast("Scope", scope), receive)


async def read(
    pieces: Iterable[bytes | None],
    *,
    bill: Bill | None = None,
    limit: int = 10**6,
    **headers: str,
) -> Form:
    """Read a body of these pieces; None stands for the client leaving."""
    messages = [
        {"type": "http.disconnect"}
        if one is None
        else {"type": "http.request", "body": one, "more_body": True}
        for one in pieces
    ] + [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive():
        await asyncio.sleep(0)
        return messages.pop(0) if messages else await asyncio.Event().wait()

    sent = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    raw = [(name.encode(), value.encode()) for name, value in sent.items()]
    return await read_form(request_of(raw, receive), bill or Bill(), fields=FIELDS, limit=limit)


async def test_file_and_texts():
    """File, name and wanted fields come back; the rest is left out."""
    form = await read([body(MODEL, FILE, ('name="other"', b"x"))])

    assert Form(data=AUDIO, filename="a.wav", texts={"model": ["whisper"]}) == form


@given(st.lists(st.integers(1, 40), max_size=30))
def test_pieces_do_not_matter(sizes):
    """However the network cuts a body, the form is the same."""
    whole = body(FILE, MODEL, ('name="prompt"', "สวัสดี".encode()))
    pieces, position = [], 0
    for size in sizes:
        pieces.append(whole[position : position + size])
        position += size
    form = asyncio.run(read([*pieces, whole[position:]]))

    assert (AUDIO, {"model": ["whisper"], "prompt": ["สวัสดี"]}) == (form.data, form.texts)


@given(st.binary(max_size=200))
def test_no_body_is_a_defect(junk):
    """Whatever is sent, it is a form or an error of the caller's."""
    with suppress(InvalidRequestError, MediaError):
        form = asyncio.run(read([junk, body(FILE)]))

        assert form.data == AUDIO


REFUSED = {
    "truncated": body(FILE)[:-9],
    "no-part": f"--{BOUNDARY}--\r\n".encode(),
    "no-file": body(MODEL),
    "file-as-text": body(('name="file"', b"RIFF")),
    "two-files": body(FILE, FILE),
    "no-disposition": f"--{BOUNDARY}\r\nX: y\r\n\r\nz\r\n--{BOUNDARY}--".encode(),
    "bad-header": f"--{BOUNDARY}\r\nnonsense\r\n\r\nz\r\n--{BOUNDARY}--".encode(),
    "not-utf8": body(FILE, ('name="model"', b"\xff\xfe")),
    "too-many-parts": body(*[MODEL] * (MAX_PARTS + 1)),
    "long-text": body(('name="prompt"', b"x" * 70_000), FILE),
    "empty-body": b"",
}


@pytest.mark.parametrize("content", REFUSED.values(), ids=REFUSED)
async def test_malformed(content):
    """A malformed body is the caller's mistake, never ours."""
    with pytest.raises(InvalidRequestError):
        await read([content])


@pytest.mark.parametrize(
    "content_type", ["", "application/json", "multipart/form-data", "multipart/mixed; boundary=x"]
)
async def test_not_a_form(content_type):
    """Another content type is refused before anything is read."""
    with pytest.raises(InvalidRequestError, match="multipart/form-data"):
        await read([], content_type=content_type)


async def test_empty_file():
    """A file of no bytes is no recording."""
    with pytest.raises(MediaError):
        await read([body(('name="file"; filename="a.wav"', b""))])


async def test_announced_size_is_refused_unread():
    """A length over the bound needs no look at the body: the client's leaving is never seen."""
    with pytest.raises(TooLargeError, match="100 bytes"):
        await read([None], limit=100, content_length="101")


async def test_size_is_refused_as_soon_as_it_is_passed():
    """A body without a length is cut off at the bound."""
    bill = Bill()
    with pytest.raises(TooLargeError):
        await read([b"--" + BOUNDARY.encode(), b"x" * 90, None], limit=100, bill=bill)

    assert bill.held == 18


async def test_bytes_are_accounted_for():
    """What is held counts against the process."""
    bill = Bill()
    content = body(FILE)
    await read([content], bill=bill)

    assert len(content) == bill.held


async def test_full_process():
    """When the process is full, the upload stops there."""
    with pytest.raises(OverloadedError):
        await read([body(FILE)], bill=Bill(most=10))


async def test_client_leaves():
    """A client that leaves in the middle is no malformed body."""
    with pytest.raises(ClientGoneError):
        await read([body(FILE)[:50], None])


async def test_slow_body():
    """A body that does not come ends with the deadline."""
    messages = asyncio.Event()

    async def receive():
        await messages.wait()

    headers = [(b"content-type", f"multipart/form-data; boundary={BOUNDARY}".encode())]
    with pytest.raises(DeadlineExceededError):
        await read_form(request_of(headers, receive), Bill(seconds=0.01), fields=FIELDS, limit=100)
