"""WebSockets over the pool: how they open, what they carry, and every way they end."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
import uvloop
from aiohttp import web

from junctor.core.errors import (
    ProviderAnswerError,
    ProviderAuthError,
    ProviderError,
    ProviderQuotaError,
    ProviderRateLimitedError,
    ProviderRejectedError,
    ProviderTimeoutError,
    ProviderUnavailableError,
)
from junctor.core.net import Pool, PoolLimits, RelayAnswer, Socket, Target
from tests.fakes.peer import Peer
from tests.fakes.upstream import refused_url
from tests.waiting import patience

KEY = "sk-very-secret"
TARGET = Target("vendor", "model-1")

Closed = Callable[[web.WebSocketResponse], Awaitable[None]]


def to(pool: Pool, peer: Peer, *, within: float = 2.0) -> AbstractAsyncContextManager[Socket]:
    """Open a socket to a peer."""
    return pool.relay.socket(
        f"{peer.socket_url}/live", headers={"X-Key": KEY}, target=TARGET, within=within
    )


@asynccontextmanager
async def talking(talk: Closed | None = None) -> AsyncIterator[tuple[Socket, Peer]]:
    """Open a socket to a peer that does that, with a quick heartbeat."""
    pool = Pool(PoolLimits(heartbeat=0.2))
    await pool.open()
    async with Peer(talk) as peer:
        async with to(pool, peer) as socket:
            yield socket, peer
        await pool.close()


def transport_of(socket: web.WebSocketResponse) -> asyncio.Transport:
    """Return what is below a peer's socket."""
    assert socket._req is not None
    assert socket._req.transport is not None
    return socket._req.transport


async def deaf(socket: web.WebSocketResponse, until: asyncio.Event) -> None:
    """Read nothing, pings included, until then."""
    transport = transport_of(socket)
    transport.pause_reading()
    await until.wait()
    transport.resume_reading()


async def test_carries_bytes_and_documents():
    """Bytes and JSON arrive as such, and messages of both kinds come back as bytes."""
    arrived: list[object] = []

    async def talk(socket: web.WebSocketResponse) -> None:
        arrived.extend([await socket.receive_bytes(), await socket.receive_json()])
        await socket.send_str("สวัสดี")
        await socket.send_bytes(b"\0\1")

    async with talking(talk) as (socket, peer):
        await socket.send_bytes(b"\2\3")
        await socket.send_json({"type": "end"})
        came = [await socket.receive(), await socket.receive()]

    assert [b"\2\3", {"type": "end"}] == arrived
    assert ["สวัสดี".encode(), b"\0\1"] == came
    assert KEY == peer.seen[0].headers["X-Key"]


@pytest.mark.parametrize(
    ("refusal", "error", "wait"),
    [
        ("unauthorized", ProviderAuthError, None),
        ("quota", ProviderQuotaError, None),
        ("locale", ProviderRejectedError, None),
        ("rate-limited", ProviderRateLimitedError, 7.0),
        ("error", ProviderUnavailableError, None),
        ("unavailable", ProviderUnavailableError, None),
        ("impostor", ProviderAnswerError, None),
        ("endless", ProviderAuthError, None),
        ("malformed", ProviderAnswerError, None),
        ("reset", ProviderUnavailableError, None),
        ("hang", ProviderTimeoutError, None),
    ],
)
async def test_refused_upgrade(pool, caplog, refusal, error, wait):
    """A peer that does not upgrade is told by its status; nothing of its text or our key shows."""
    async with Peer() as peer:
        peer.always = refusal
        with pytest.raises(error) as caught:
            async with to(pool, peer, within=patience(error)):
                pass
    logging.getLogger("test").error("failed", exc_info=caught.value)
    told = f"{caught.value!r} {caught.value.__cause__!r} {caplog.text}"

    assert ("vendor", "model-1", wait) == (
        caught.value.provider,
        caught.value.model,
        caught.value.retry_after,
    )
    assert not any(secret in told for secret in (KEY, "LEAK", "127.0.0.1"))


async def test_the_adapter_reads_the_refusal(pool):
    """Status, headers and body of a refusal are given to whoever knows what they mean."""
    answers: list[RelayAnswer] = []

    def fault(target: Target, answer: RelayAnswer) -> ProviderError:
        answers.append(answer)
        return ProviderQuotaError("no credits", provider=target.provider)

    async with Peer() as peer:
        peer.script.append("locale")
        with pytest.raises(ProviderQuotaError, match="no credits"):
            async with pool.relay.socket(
                peer.url, headers={}, target=TARGET, within=2.0, fault=fault
            ):
                pass

    assert [(400, b'{"LEAK": "unsupported"}')] == [(one.status, one.body) for one in answers]


async def test_redirects_are_not_followed(pool):
    """A redirect would carry the key elsewhere, so it refuses the upgrade."""
    async with Peer() as peer:
        peer.script.append("redirect")
        with pytest.raises(ProviderRejectedError, match="redirects"):
            async with to(pool, peer):
                pass

    assert ["/live"] == [seen.path for seen in peer.seen]


async def test_nothing_listens(pool):
    """A port where nothing listens is unavailable, at once."""
    with pytest.raises(ProviderUnavailableError, match="refused the connection"):
        async with pool.relay.socket(refused_url(), headers={}, target=TARGET, within=2.0):
            pass


@pytest.mark.parametrize("code", [1000, 1001])
async def test_good_close(code):
    """A peer that closes in good order ends the messages; asking again gives the same."""

    async def talk(socket: web.WebSocketResponse) -> None:
        await socket.send_str("last")
        await socket.close(code=code, message=b"bye")

    async with talking(talk) as (socket, _):
        messages = [message async for message in socket.messages()]
        again = await socket.receive()

    assert ([b"last"], None) == (messages, again)
    assert (code, "bye") == (socket.close_code, socket.close_reason)


@pytest.mark.parametrize("code", [1002, 1008, 1011, 1013, 4000])
async def test_bad_close(code):
    """Any other close is a broken connection; code and reason are for the adapter to read."""
    async with talking(lambda socket: closed(socket, code)) as (socket, _):
        with pytest.raises(ProviderUnavailableError, match=f"close code {code}") as caught:
            await socket.receive()

    assert (code, "LEAK") == (socket.close_code, socket.close_reason)
    assert "LEAK" not in f"{caught.value!r} {socket!r}"


async def closed(socket: web.WebSocketResponse, code: int) -> None:
    await socket.close(code=code, message=b"LEAK")


@pytest.mark.parametrize("is_abrupt", [True, False])
async def test_dropped_line(is_abrupt):
    """A connection that ends without a close frame is broken, be it by reset or by FIN."""

    async def talk(socket: web.WebSocketResponse) -> None:
        transport_of(socket).abort() if is_abrupt else transport_of(socket).close()

    async with talking(talk) as (socket, _):
        with pytest.raises(ProviderUnavailableError, match="without a farewell"):
            await socket.receive()

    assert socket.close_code is None


@pytest.mark.parametrize("kind", ["too large", "malformed"])
async def test_senseless_message(kind):
    """A message over the limit, or no WebSocket frame at all, is an answer that makes no sense."""

    async def talk(socket: web.WebSocketResponse) -> None:
        data = b"\x82\x7f" + (1 << 30).to_bytes(8) if kind == "too large" else b"\xff\xff\xff\xff"
        transport_of(socket).write(data)

    async with talking(talk) as (socket, _):
        with pytest.raises(ProviderAnswerError, match="too large or malformed"):
            await socket.receive()


async def test_silent_line_is_found_out():
    """A peer that answers no ping is gone, though its connection stands."""

    found_out = asyncio.Event()
    async with talking(lambda socket: deaf(socket, found_out)) as (socket, _):
        with pytest.raises(ProviderTimeoutError):
            await asyncio.wait_for(socket.receive(), 2.0)
        found_out.set()


async def test_quiet_line_is_kept():
    """A peer that says nothing but answers pings is there."""
    async with talking() as (socket, peer):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(socket.receive(), 0.5)

        assert 1 == len(peer.sockets)


async def test_sending_to_one_who_left():
    """What is sent after the peer has gone fails as a broken connection."""
    async with talking(lambda socket: closed(socket, 1000)) as (socket, _):
        assert await socket.receive() is None
        for send in (socket.send_bytes(b"x"), socket.send_json({})):
            with pytest.raises(ProviderUnavailableError):
                await send


async def test_cancel_closes_the_socket(pool):
    """Cancelling the task that listens closes the connection."""
    async with Peer() as peer:

        async def listen() -> None:
            async with to(pool, peer) as socket:
                await socket.receive()

        task = asyncio.create_task(listen())
        await peer.until(lambda: len(peer.sockets) == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        await peer.until(lambda: not peer.sockets)


async def test_leaving_one_who_reads_nothing(pool):
    """A peer that reads nothing holds up neither the caller who leaves nor the memory behind it."""
    await left_deaf_peer(pool)


def test_leaving_one_who_reads_nothing_on_uvloop():
    """The same holds on the loop that the server runs on, whose transports are another kind."""

    async def run() -> None:
        pool = Pool()
        await pool.open()
        await left_deaf_peer(pool)
        await pool.close()

    uvloop.run(run())


async def left_deaf_peer(pool: Pool) -> None:
    """Shout at a peer that reads nothing, leave, and see that its connection is dropped."""
    left = asyncio.Event()
    async with Peer(lambda socket: deaf(socket, left)) as peer:

        async def shout() -> None:
            async with to(pool, peer) as socket:
                while True:
                    await socket.send_bytes(b"x" * 1_000_000)

        task = asyncio.create_task(shout())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(task), 0.3)
        task.cancel()
        await asyncio.wait([task], timeout=2.0)
        left.set()

        assert task.cancelled()
        await peer.until(lambda: not peer.sockets)


async def test_closing_the_pool_ends_what_is_open(pool):
    """A conversation that the pool's end cuts off fails as an error of ours."""
    async with Peer() as peer:

        async def listen() -> None:
            async with to(pool, peer) as socket:
                await socket.receive()

        task = asyncio.create_task(listen())
        await peer.until(lambda: len(peer.sockets) == 1)
        await pool.close()

        with pytest.raises(ProviderUnavailableError):
            await task
