"""What live adapters share: audio goes out while messages come in, and one failing ends the other."""

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from functools import partial

import pytest
from aiohttp import web

from junctor.core.errors import (
    ClientGoneError,
    ProviderAnswerError,
    ProviderTimeoutError,
    ProviderUnavailableError,
)
from junctor.core.net import Pool, PoolLimits, Socket, Target
from junctor.plugins.remote.live import conversation, greeting, never_silent, rechunked
from tests.fakes.peer import Peer

TARGET = Target("vendor", "model-1")


async def chunks(*sizes: int) -> AsyncIterator[bytes]:
    for size in sizes:
        yield b"\1" * size


@asynccontextmanager
async def talking(
    talk: Callable[[web.WebSocketResponse], Awaitable[None]], *, heartbeat: float = 20.0
) -> AsyncIterator[tuple[Socket, Peer]]:
    """Open a socket to a peer that does that."""
    pool = Pool(PoolLimits(heartbeat=heartbeat))
    await pool.open()
    async with Peer(talk) as peer:
        async with pool.relay.socket(peer.url, headers={}, target=TARGET, within=2.0) as socket:
            yield socket, peer
        await pool.close()


async def heard(
    socket: Socket, audio: AsyncIterator[bytes], *, last_words: float = 2.0
) -> list[bytes]:
    """Hold a conversation to its end."""
    talk = conversation(
        socket,
        audio,
        say=socket.send_bytes,
        finish=partial(socket.send_json, "end"),
        last_words=last_words,
    )
    async with aclosing(talk) as messages:
        return [message async for message in messages]


async def polite(socket: web.WebSocketResponse) -> None:
    """Answer each chunk by its size, and close after the end."""
    async for message in socket:
        if message.data == '"end"':
            await socket.send_str("last words")
            await socket.close()
        else:
            await socket.send_str(str(len(message.data)))


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ((3200, 3200), [3200, 3200]),
        ((2, 6400, 4), [3200, 3200, 6]),
        ((1000,), [1000]),
        ((), []),
        ((0, 3200), [3200]),
    ],
)
async def test_rechunked(sizes, expected):
    """Chunks of any size become chunks of a tenth of a second, and nothing is lost."""
    audio = [chunk async for chunk in rechunked(chunks(*sizes), seconds=0.1)]

    assert expected == [len(chunk) for chunk in audio]


async def test_never_silent():
    """While no audio comes, empty chunks do, and the audio itself is whole."""
    more = asyncio.Event()

    async def audio() -> AsyncIterator[bytes]:
        yield b"one"
        await more.wait()
        yield b"two"

    came: list[bytes] = []
    async for chunk in never_silent(audio(), seconds=0.02):
        came.append(chunk)
        if len(came) == 3:
            more.set()

    assert (b"one", b"", b"", b"two") == (*came[:3], came[-1])


async def test_never_silent_leaves_nothing_running():
    """Closed while it waits, it gives up the chunk it waited for, and the source is closed too."""
    ended = asyncio.Event()

    async def audio() -> AsyncIterator[bytes]:
        try:
            await asyncio.Event().wait()
            yield b""
        finally:
            ended.set()

    async with aclosing(never_silent(audio(), seconds=0.01)) as quiet:
        assert b"" == await anext(quiet)

    assert ended.is_set()


async def test_greeting():
    """The first message of an upstream that greets is returned."""

    async def greet(socket: web.WebSocketResponse) -> None:
        await socket.send_str("ready")

    async with talking(greet) as (socket, _):
        assert b"ready" == await greeting(socket)


async def test_no_greeting():
    """An upstream that is silent is given up, and so is one that closes instead."""

    async def leave(socket: web.WebSocketResponse) -> None:
        await socket.close()

    async with talking(silent) as (socket, _):
        with pytest.raises(ProviderTimeoutError, match="ready in time"):
            await greeting(socket, within=0.1)

    async with talking(leave) as (socket, _):
        with pytest.raises(ProviderUnavailableError, match="before all was said"):
            await greeting(socket)


async def test_dead_line_instead_of_a_greeting():
    """A connection that is found dead while its greeting is awaited fails as that."""
    found_out = asyncio.Event()

    async def deaf(socket: web.WebSocketResponse) -> None:
        assert socket._req is not None
        assert socket._req.transport is not None
        transport = socket._req.transport
        transport.pause_reading()
        await found_out.wait()
        transport.resume_reading()

    async with talking(deaf, heartbeat=0.1) as (socket, _):
        with pytest.raises(ProviderTimeoutError, match="did not answer"):
            await greeting(socket)
        found_out.set()


async def test_all_is_said_and_heard():
    """Every chunk is sent, the end is told, and messages come until the upstream closes."""
    async with talking(polite) as (socket, _):
        assert [b"10", b"20", b"last words"] == await heard(socket, chunks(10, 20))


async def test_messages_come_while_audio_goes_out():
    """A message is heard before the audio has ended."""
    heard_one = asyncio.Event()

    async def audio() -> AsyncIterator[bytes]:
        yield b"x" * 7
        await heard_one.wait()

    async with talking(polite) as (socket, _):
        talk = conversation(
            socket, audio(), say=socket.send_bytes, finish=partial(socket.send_json, "end")
        )
        async with aclosing(talk) as messages:
            first = await anext(messages)
            heard_one.set()
            rest = [message async for message in messages]

    assert (b"7", [b"last words"]) == (first, rest)


async def test_failing_audio_ends_the_listening():
    """What the audio raises is raised at once, though the upstream says nothing."""

    async def audio() -> AsyncIterator[bytes]:
        yield b"x"
        raise ClientGoneError("The client left.")

    async with talking(silent) as (socket, _):
        with pytest.raises(ClientGoneError):
            await asyncio.wait_for(heard(socket, audio()), 1.0)


async def silent(socket: web.WebSocketResponse) -> None:
    """Listen and say nothing."""


async def test_failing_sender_ends_the_listening():
    """When a chunk cannot be sent, listening ends with that error."""

    async def say(_: bytes) -> None:
        raise ProviderAnswerError("no such frame", provider="vendor")

    async with talking(silent) as (socket, _):
        talk = conversation(socket, chunks(1), say=say, finish=partial(socket.send_json, "end"))
        async with aclosing(talk) as messages:
            with pytest.raises(ProviderAnswerError, match="no such frame"):
                await anext(messages)


async def test_explanation_goes_before_the_broken_line():
    """When sending breaks, what the upstream said about it is heard first."""

    async def explain(socket: web.WebSocketResponse) -> None:
        await socket.send_str("too fast")
        await socket.close(code=1008, message=b"LEAK")

    async def audio() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 100_000
            await asyncio.sleep(0)

    came: list[bytes] = []

    async def listen(socket: Socket) -> None:
        talk = conversation(
            socket, audio(), say=socket.send_bytes, finish=partial(socket.send_json, "end")
        )
        async with aclosing(talk) as messages:
            async for message in messages:
                came.append(message)  # noqa: PERF401  # kept when it raises

    async with talking(explain) as (socket, _):
        with pytest.raises(ProviderUnavailableError):
            await listen(socket)

    assert [b"too fast"] == came


async def test_close_before_the_end_is_a_failure():
    """An upstream that closes in good order while audio is still to come has lost words."""
    endless = asyncio.Event()

    async def audio() -> AsyncIterator[bytes]:
        yield b"x"
        await endless.wait()

    async def leave(socket: web.WebSocketResponse) -> None:
        await socket.close()

    async with talking(leave) as (socket, _):
        with pytest.raises(ProviderUnavailableError, match="before all was said"):
            await heard(socket, audio())


async def test_last_words_have_their_time():
    """An upstream that says no more and does not close is given up."""
    async with talking(silent) as (socket, _):
        with pytest.raises(ProviderTimeoutError, match="last words"):
            await heard(socket, chunks(1), last_words=0.1)


async def test_pauses_of_speech_have_none():
    """As long as audio may come, an upstream may be silent for longer than that."""
    more = asyncio.Event()

    async def audio() -> AsyncIterator[bytes]:
        yield b"xx"
        await more.wait()

    async with talking(polite) as (socket, _):
        task = asyncio.create_task(heard(socket, audio(), last_words=0.1))
        await asyncio.wait([task], timeout=0.3)
        assert not task.done()
        more.set()

        assert [b"2", b"last words"] == await task


async def test_leaving_stops_the_speaker():
    """A caller who leaves ends the task that sends, and the audio's generator with it."""
    ended = asyncio.Event()

    async def audio() -> AsyncIterator[bytes]:
        try:
            yield b"x"
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with talking(polite) as (socket, _):
        talk = conversation(
            socket, audio(), say=socket.send_bytes, finish=partial(socket.send_json, "end")
        )
        async with aclosing(talk) as messages:
            assert b"1" == await anext(messages)

    assert ended.is_set()


async def test_failure_keeps_nothing_alive():
    """An error of a conversation, once dropped, leaves no circle that holds the audio."""

    async def audio() -> AsyncIterator[bytes]:
        yield b"x"
        raise ClientGoneError("The client left.")

    async with talking(silent) as (socket, _):
        gc.disable()
        try:
            spoken = audio()
            held = weakref.ref(spoken)
            with pytest.raises(ClientGoneError):
                await heard(socket, spoken)
            del spoken

            assert held() is None
        finally:
            gc.enable()
