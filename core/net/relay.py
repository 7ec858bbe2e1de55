"""The quick door to the pool: a small interface, and every fault as an error of ours."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING

from attrs import define
from msgspec import Struct

from junctor.core.errors import ProviderAnswerError, ProviderError
from junctor.core.net.bodies import Body
from junctor.core.net.events import EventParser, EventTooLongError, ServerEvent
from junctor.core.net.faults import Target, provider_error, shown_cause, status_error
from junctor.core.net.sockets import Socket, opened
from junctor.core.net.wires import Client, CutError, Wire

if TYPE_CHECKING:
    import aiohttp

    from junctor.core.net.pool import PoolLimits

OK = range(200, 300)


class RelayAnswer(Struct, frozen=True, kw_only=True):
    """A whole answer, whatever its status."""

    status: int
    headers: Mapping[str, str]
    """Lookups ignore case."""
    body: bytes

    def checked(self, target: Target) -> bytes:
        """
        Return the body of a good answer.

        Raises:
            ProviderError: the status is not 2xx; the subclass says what it means.

        """
        if self.status not in OK:
            raise status_error(target, self.status, self.headers, self.body)
        return self.body


class RelayStream(Struct, eq=False):
    """An answer of which the head has arrived."""

    status: int
    headers: Mapping[str, str]
    """Lookups ignore case."""
    _wire: Wire | None
    _faults: tuple[type[Exception], ...]
    _target: Target
    _left: int

    @property
    def is_events(self) -> bool:
        """Whether the body is a stream of server-sent events."""
        return self.headers.get("Content-Type", "").startswith("text/event-stream")

    def close(self) -> None:
        """Give the connection back, or drop it where something is left on it."""
        wire, self._wire = self._wire, None  # which soon carries the answer to another
        if wire is not None:
            wire.close()

    async def check(self) -> None:
        """
        Let a good answer pass.

        Raises:
            ProviderError: the status is not 2xx; the subclass says what it means.

        """
        if self.status not in OK:
            raise status_error(self._target, self.status, self.headers, await self.read())

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """
        Yield bytes as they arrive, held back by nothing.

        Raises:
            ProviderError: the answer is cut off, is too long, or its time is up.

        """
        while chunk := await self.next():
            yield chunk

    async def next(self) -> bytes:
        """Return what has arrived and was not returned yet, b"" at the end; else as `chunks`."""
        if self._wire is None:
            raise provider_error(CutError(), self._target)
        try:
            chunk = await self._wire.next()
        except self._faults as exc:
            raise provider_error(exc, self._target) from shown_cause(exc)
        self._left -= len(chunk)
        if self._left < 0:
            raise _too_long(self._target)
        return chunk

    async def read(self) -> bytes:
        """Return the whole body; raises as `chunks` does."""
        first = await self.next()
        if self._wire is None or self._wire.at_end:
            return first
        pieces = [first]
        while chunk := await self.next():
            pieces.append(chunk)
        return b"".join(pieces)

    async def events(self) -> AsyncGenerator[ServerEvent, None]:
        """Yield server-sent events as they arrive; raises as `chunks` does."""
        parser = EventParser()
        async with aclosing(self.chunks()) as chunks:
            async for chunk in chunks:
                try:
                    events = parser.feed(chunk)
                except EventTooLongError as exc:
                    raise _too_long(self._target) from exc
                for event in events:
                    yield event


@define(eq=False)
class Relay:
    """
    Sends requests over kept connections and tells every fault as an error of ours.

    Cancelling the task, or leaving the block of `stream`, closes the upstream connection unless
    its answer was read to the end. Nothing is retried, but a request that went out on a kept
    connection which the peer was just closing goes out again on another.
    """

    _client: Client
    _session: "Callable[[], Awaitable[aiohttp.ClientSession]]"
    _limits: "PoolLimits"

    async def post(
        self, url: str, *, headers: Mapping[str, str], body: Body, target: Target, within: float
    ) -> RelayAnswer:
        """
        Post a body and return the answer, whatever its status.

        Args:
            url: absolute URL.
            headers: request headers; the content's type and length are added.
            body: what to send.
            target: whom errors name.
            within: time for all of it, seconds.

        Raises:
            ProviderError: there is no whole answer; the subclass says why.

        """
        return await self.request(
            "POST", url, headers=headers, body=body, target=target, within=within
        )

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        target: Target,
        within: float,
        body: Body | None = None,
    ) -> RelayAnswer:
        """Send a request with any method, and without a body where None; else as `post`."""
        answer = await self._send(method, url, headers, body, target=target, within=within)
        try:
            content = await answer.read()
        finally:
            answer.close()
        return RelayAnswer(status=answer.status, headers=answer.headers, body=content)

    @asynccontextmanager
    async def stream(
        self,
        url: str,
        *,
        headers: Mapping[str, str],
        target: Target,
        within: float,
        body: Body | None = None,
        method: str = "POST",
    ) -> AsyncIterator[RelayStream]:
        """Send a request and give the answer as it comes; arguments and errors as in `request`."""
        answer = await self._send(method, url, headers, body, target=target, within=within)
        try:
            yield answer
        finally:
            answer.close()

    @asynccontextmanager
    async def socket(
        self,
        url: str,
        *,
        headers: Mapping[str, str],
        target: Target,
        within: float,
        fault: Callable[[Target, RelayAnswer], ProviderError] | None = None,
    ) -> AsyncIterator[Socket]:
        """
        Open a WebSocket for the length of the block; redirects are not followed.

        Args:
            url: absolute `ws:`, `wss:`, `http:` or `https:` URL.
            headers: of the upgrade request.
            target: whom errors name.
            within: time to connect and upgrade, seconds.
            fault: tells the error of a refused upgrade; None goes by its HTTP status.

        Raises:
            ProviderError: it cannot be opened; the subclass says why.

        """
        session = await self._session()
        from junctor.core.net._aiohttp import UpgradeRefusedError

        try:
            async with opened(
                session,
                url,
                headers,
                target=target,
                within=within,
                heartbeat=self._limits.heartbeat,
            ) as socket:
                yield socket
        except UpgradeRefusedError as exc:
            answer = RelayAnswer(status=exc.status, headers=exc.headers, body=exc.body)
            raise (fault or _by_status)(target, answer) from exc

    async def _send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: Body | None,
        *,
        target: Target,
        within: float,
    ) -> RelayStream:
        try:
            wire = await self._client.send(method, url, headers=headers, body=body, within=within)
        except self._client.faults as exc:
            raise provider_error(exc, target) from shown_cause(exc)
        return RelayStream(
            status=wire.status,
            headers=wire.headers,
            _wire=wire,
            _faults=self._client.faults,
            _target=target,
            _left=self._limits.max_answer_bytes,
        )


def _by_status(target: Target, answer: RelayAnswer) -> ProviderError:
    return status_error(target, answer.status, answer.headers, answer.body)


def _too_long(target: Target) -> ProviderAnswerError:
    return ProviderAnswerError(
        f"{target.provider} sent an answer longer than is read; raise max_answer_bytes if it is "
        "expected.",
        provider=target.provider,
        model=target.model,
    )
