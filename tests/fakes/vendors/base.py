"""
What every fake vendor is: a real HTTP server on loopback, honest by default and bad on command.

A fake checks each request against the vendor's documentation and answers with the vendor's own
documented examples; a request that the vendor would refuse is refused, and noted in `problems`.
Before that, the next entry of `script` decides how the request is treated.
"""

import asyncio
import io
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import ClassVar, Self

from aiohttp import WSMsgType, web
from attrs import define, frozen

DRIP_SECONDS = 0.05

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@frozen(kw_only=True)
class Refusal:
    """A documented error of the vendor; its texts begin with LEAK, for they must not reach callers."""

    status: int
    body: bytes
    headers: Mapping[str, str] = {}


@define
class Seen:
    """A request as it came."""

    method: str
    path: str
    query: list[tuple[str, str]]
    headers: Mapping[str, str]
    body: bytes


TRANSPORT_FAULTS = frozenset({"reset", "hang", "drip", "cut", "malformed"})
"""`reset` drops the connection, `hang` never answers, `drip` sends the right answer one byte at a
time for ever longer than anyone waits, `cut` ends in the middle of the body, `malformed` answers
200 with broken JSON."""

REFUSALS = (
    "rate-limited",  # 429 with Retry-After: 7
    "error",  # 500
    "unavailable",  # 503
    "unauthorized",  # the key is wrong, as the vendor says it
    "quota",  # 402, or however the vendor says that the credits are gone
    "locale",  # 400: the language is not supported, as the vendor says it
)
"""What every fake has in `refusals`, in the vendor's own documented shape."""


def seconds_of(audio: bytes) -> float:
    """Decode a recording and return its length, seconds; 0 where it cannot be decoded."""
    import av

    try:
        with av.open(io.BytesIO(audio), "r") as container:
            frames = [(one.samples, one.sample_rate) for one in container.decode(audio=0)]
    except (av.FFmpegError, IndexError):
        return 0.0
    return sum(samples / rate for samples, rate in frames)


def spread(text: str, seconds: float) -> list[tuple[str, float, float]]:
    """Return the words of a text with start and end, evenly over that time, seconds."""
    words = text.split()
    each = seconds / max(1, len(words))
    return [(word, at * each, (at + 0.8) * each) for at, word in enumerate(words)]


class VendorFake:
    """One vendor's server; `async with` it, and give `url` to the adapter as its base_url."""

    KEY: ClassVar[str] = "test-key-of-the-fake"
    VENDOR: ClassVar[str]
    """The plugin's name."""
    MODEL: ClassVar[str]
    """A model that writes English recordings down, or revises what another one wrote."""
    refusals: ClassVar[Mapping[str, Refusal]]

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.problems: list[str] = []
        """What was wrong with requests; a good adapter leaves it empty."""
        self.script: deque[str] = deque()
        """How the next requests are treated: a name of `refusals` or `TRANSPORT_FAULTS`, or `ok`."""
        self.always: str = "ok"
        """How requests are treated when the script is over."""
        self.aborted = 0
        """Requests whose client left before the answer."""
        self.sockets: set[web.WebSocketResponse] = set()
        """Conversations that go on."""
        self._socket_of: dict[int, web.WebSocketResponse] = {}
        self.talks = 0
        """Conversations that were begun."""
        self.needs_sound = False
        """Whether silence in live speech is told from words; most tests say their words in zeros."""
        self._has_sound = False
        self.slow_above: int | None = None
        """Bytes of a request body from which there is never an answer; None for no such bound."""
        self._waiting: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []
        self._runner: web.AppRunner | None = None
        self.url = ""

    def routes(self) -> list[web.AbstractRouteDef]:
        """Return the vendor's paths."""
        raise NotImplementedError

    def settings_table(self) -> dict[str, object]:
        """Return the plugin's table that leads here."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        app = web.Application(middlewares=[self._treated], client_max_size=1 << 30)
        app.add_routes(self.routes())
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for socket in tuple(self.sockets):
            await socket.close()
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def socket_url(self) -> str:
        """The same server, for WebSockets."""
        return self.url.replace("http", "ws", 1)

    @property
    def hears(self) -> bool:
        """Whether there is anything to be heard in the live speech so far."""
        return self._has_sound or not self.needs_sound

    def listen(self, audio: bytes) -> None:
        """Note whether a piece of live speech is more than silence."""
        self._has_sound = self._has_sound or any(audio)

    async def left(self) -> None:
        """Wait until a client has left: a request before its answer, or its one conversation."""
        await self.until(lambda: self.aborted == 1 or (bool(self.talks) and not self.sockets))

    def check(self, is_right: bool, problem: str) -> bool:
        """Note a problem where it is one; say whether all is well."""
        if not is_right:
            self.problems.append(problem)
        return is_right

    async def until(self, fact: Callable[[], bool], *, timeout: float = 20.0) -> None:  # noqa: ASYNC109
        """Wait until something is true of this server; TimeoutError when it never is."""
        if fact():
            return
        future = asyncio.get_running_loop().create_future()
        self._waiting.append((fact, future))
        async with asyncio.timeout(timeout):
            await future

    def changed(self) -> None:
        """Wake whoever waits for a fact that is now true."""
        for entry in [entry for entry in self._waiting if entry[0]()]:
            self._waiting.remove(entry)
            if not entry[1].done():
                entry[1].set_result(None)

    def refusal(self, name: str, request: web.Request) -> Refusal | None:
        """Return how a request is refused; override it where services of a vendor differ."""
        return self.refusals.get(name)

    @web.middleware
    async def _treated(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        is_socket = request.headers.get("Upgrade", "").lower() == "websocket"
        body = b"" if is_socket else await request.read()
        self.seen.append(
            Seen(request.method, request.path, list(request.query.items()), request.headers, body)
        )
        self.changed()
        treatment = self._treatment(len(body))
        if refusal := self.refusal(treatment, request):
            return web.Response(
                status=refusal.status,
                body=refusal.body,
                headers={"Content-Type": "application/json", **refusal.headers},
            )
        try:
            if treatment in TRANSPORT_FAULTS:
                return await self._broken(treatment, request, handler)
            return await handler(request)
        except asyncio.CancelledError:
            self.aborted += 1
            raise
        finally:
            self.sockets -= {self._socket_of.pop(id(request), None)}
            self.changed()

    def _treatment(self, size: int) -> str:
        if self.script:
            return self.script.popleft()
        if self.slow_above is not None and size > self.slow_above:
            return "hang"
        return self.always

    async def _broken(
        self, fault: str, request: web.Request, handler: Handler
    ) -> web.StreamResponse:
        match fault:
            case "hang":
                await asyncio.Event().wait()
            case "malformed":
                return web.Response(body=b'{"LEAK": ', content_type="application/json")
            case "drip" | "cut":
                return await self._piecewise(fault, request, await handler(request))
            case _:
                pass
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=500)

    async def _piecewise(
        self, fault: str, request: web.Request, honest: web.StreamResponse
    ) -> web.StreamResponse:
        body = honest.body if isinstance(honest, web.Response) else b""
        assert isinstance(body, bytes)
        answer = web.StreamResponse(status=honest.status)
        answer.content_type = honest.content_type
        answer.content_length = len(body)
        await answer.prepare(request)
        if fault == "cut":
            await answer.write(body[: len(body) // 2])
            assert request.transport is not None
            request.transport.close()
            return answer
        for place in range(len(body)):
            await answer.write(body[place : place + 1])
            await asyncio.sleep(DRIP_SECONDS * len(body))
        return answer

    async def upgraded(self, request: web.Request) -> web.WebSocketResponse:
        """Accept a WebSocket; the fake's handler talks from there on."""
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self._socket_of[id(request)] = socket
        self.sockets.add(socket)
        self.talks += 1
        self.changed()
        return socket

    @staticmethod
    async def received(socket: web.WebSocketResponse) -> bytes | str | None:
        """Return the next message of a client; None when it has closed."""
        message = await socket.receive()
        if message.type in {WSMsgType.BINARY, WSMsgType.TEXT}:
            return message.data  # type: ignore[no-any-return]  # bytes or str by its type
        return None
