"""A client of chat that shows what came back byte by byte."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from io import BytesIO
from uuid import uuid4

import aiohttp
from attrs import define, field, frozen

from junctor.core.storage.entries import Entry
from tests.fakes.server import Served

PATHS = ("/v1/chat/completions", "/api/llm/v1/chat/completions")
HI = [{"role": "user", "content": "hi"}]


@frozen(kw_only=True)
class Reply:
    """A whole answer as it came."""

    status: int
    headers: Mapping[str, str]
    """Lookups ignore case."""
    body: bytes

    @property
    def json(self) -> dict[str, object]:
        """The body."""
        found: dict[str, object] = json.loads(self.body)
        return found

    @property
    def error(self) -> dict[str, object]:
        """What the envelope holds; all of it has to be there."""
        found = self.json["error"]
        assert isinstance(found, dict)
        assert found["message"]
        assert found["type"]
        assert found["request_id"] == self.headers["x-request-id"]
        return found

    @property
    def refused(self) -> tuple[int, object, object]:
        """Status, and type and code of the error."""
        return self.status, self.error["type"], self.error["code"]

    @property
    def events(self) -> list[bytes]:
        """What a stream's events hold."""
        assert self.body.endswith(b"\n\n")
        lines = self.body.split(b"\n\n")[:-1]
        assert all(line.startswith(b"data: ") for line in lines)
        return [line.removeprefix(b"data: ") for line in lines]

    @property
    def last_error(self) -> dict[str, object]:
        """The error that is the last event of a broken stream, which has no `[DONE]`."""
        assert b"[DONE]" not in self.body
        found = json.loads(self.events[-1])["error"]
        assert isinstance(found, dict)
        assert found["request_id"] == self.headers["x-request-id"]
        return found

    @property
    def text(self) -> str:
        """What the pieces of a stream say together."""
        told = [json.loads(one) for one in self.events if one != b"[DONE]"]
        choices = [choice for one in told for choice in one.get("choices", [])]
        return "".join(one["delta"].get("content") or "" for one in choices)


@define(eq=False)
class ChatClient:
    """Asks one server; every request has an id of its own."""

    server: Served
    http: aiohttp.ClientSession
    path: str = PATHS[0]
    last: str = field(default="", init=False)
    """Id of the last request."""

    def headers(self) -> dict[str, str]:
        """Return those of the next request."""
        self.last = uuid4().hex
        return {**self.server.authorization, "x-request-id": self.last}

    async def send(self, body: bytes, **headers: str) -> Reply:
        """Post a body as it is."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {"content-type": "application/json", **self.headers(), **given}
        async with self.http.post(self.path, data=BytesIO(body), headers=sent) as answer:
            data = await answer.read()
            return Reply(status=answer.status, headers=answer.headers, body=data)

    async def ask(self, **fields: object) -> Reply:
        """Ask "hi" of the model `chat`, with these fields over it."""
        return await self.send(document(**fields))

    @asynccontextmanager
    async def stream(self, **fields: object) -> AsyncIterator[aiohttp.ClientResponse]:
        """Open a stream, to be read as the test likes; leaving the block leaves the answer."""
        body, headers = document(stream=True, **fields), self.headers()
        async with self.http.post(self.path, data=body, headers=headers) as answer:
            assert answer.status == 200
            try:
                yield answer
            finally:
                answer.close()

    async def entries(self, request_id: str = "") -> list[Entry]:
        """Return the ledger's rows of one request, the last one's without an id."""
        wanted = request_id or self.last
        return [one for one in await self.server.entries() if one.request_id == wanted]

    async def charged(self) -> list[tuple[str, int, int]]:
        """Return outcome, prompt and completion tokens of the last request's rows."""
        return [
            (one.outcome, one.prompt_tokens, one.completion_tokens) for one in await self.entries()
        ]


def document(**fields: object) -> bytes:
    """Return a request's body; a field that is None is not in it."""
    whole = {"model": "chat", "messages": HI, **fields}
    return json.dumps({name: one for name, one in whole.items() if one is not None}).encode()


@asynccontextmanager
async def chatting(server: Served) -> AsyncIterator[ChatClient]:
    """Yield a client of that server."""
    async with aiohttp.ClientSession(server.url) as http:
        yield ChatClient(server, http)
