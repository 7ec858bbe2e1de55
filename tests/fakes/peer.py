"""A peer that answers and talks as a test tells it, and fails on command as every fake vendor."""

from collections.abc import Awaitable, Callable, Mapping
from typing import ClassVar

from aiohttp import web

from tests.fakes.vendors.base import Refusal, VendorFake

Talk = Callable[[web.WebSocketResponse], Awaitable[None]]


class Peer(VendorFake):
    """Any path over HTTP gives `answer`; over WebSocket, `talk` is called once it is open."""

    refusals: ClassVar[Mapping[str, Refusal]] = {
        "rate-limited": Refusal(status=429, body=b"LEAK", headers={"Retry-After": "7"}),
        "error": Refusal(status=500, body=b"LEAK"),
        "unavailable": Refusal(status=503, body=b"LEAK"),
        "unauthorized": Refusal(status=401, body=b"LEAK"),
        "quota": Refusal(status=402, body=b"LEAK"),
        "locale": Refusal(status=400, body=b'{"LEAK": "unsupported"}'),
        "redirect": Refusal(status=307, body=b"", headers={"Location": "/elsewhere"}),
        "impostor": Refusal(
            status=101,
            body=b"",
            headers={
                "Upgrade": "websocket",
                "Connection": "upgrade",
                "Sec-WebSocket-Accept": "LEAK",
            },
        ),
        "endless": Refusal(status=403, body=b"LEAK" * 100_000),
    }

    def __init__(self, talk: Talk | None = None, *, answer: bytes = b"{}") -> None:
        super().__init__()
        self.talk = talk
        self.answer = answer
        self.content_type = "application/json"

    def routes(self) -> list[web.AbstractRouteDef]:
        """Return one route for everything."""
        return [web.route("*", "/{path:.*}", self._served)]

    async def _served(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() != "websocket":
            return web.Response(body=self.answer, content_type=self.content_type)
        socket = await self.upgraded(request)
        if self.talk is not None:
            await self.talk(socket)
        while await self.received(socket) is not None:
            pass
        return socket
