"""What the live adapters share: audio goes out in a task while messages come in."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import TypeVar

from junctor.core.errors import ProviderError, ProviderTimeoutError, ProviderUnavailableError
from junctor.core.net import Socket

T = TypeVar("T")

BYTES_PER_SECOND = 32_000
"""Of the audio that live providers get: 16-bit mono at 16,000 Hz."""
LAST_WORDS_WITHIN = 15.0
"""Longest silence of the upstream once the audio has ended, seconds."""
GREETS_WITHIN = 10.0
"""Time from the open connection to the upstream's first message, seconds."""
_EXPLAINS_WITHIN = 1.0
"""Time in which an upstream that takes no more audio may still say why, seconds."""


async def rechunked(audio: AsyncIterator[bytes], *, seconds: float) -> AsyncGenerator[bytes, None]:
    """Yield the same audio in chunks of `seconds`; the last one may be shorter."""
    size = round(seconds * BYTES_PER_SECOND) // 2 * 2
    held = bytearray()
    async for chunk in audio:
        held += chunk
        while len(held) >= size:
            yield bytes(held[:size])
            del held[:size]
    if held:
        yield bytes(held)


async def never_silent(
    audio: AsyncIterator[bytes], *, seconds: float
) -> AsyncGenerator[bytes, None]:
    """Yield the same audio, and an empty chunk each time that none came for `seconds`."""
    chunks = aiter(audio)
    while True:
        coming = asyncio.ensure_future(anext(chunks, None))
        try:
            while not (await asyncio.wait({coming}, timeout=seconds))[0]:
                yield b""
            chunk = coming.result()
        finally:
            await _ended(coming)
            del coming
        if chunk is None:
            return
        yield chunk


async def greeting(socket: Socket, *, within: float = GREETS_WITHIN) -> bytes:
    """
    Return the first message of an upstream that says when it is ready.

    Raises:
        ProviderTimeoutError: it said nothing for `within` seconds.
        ProviderUnavailableError: it closed the connection instead.

    """
    try:
        async with asyncio.timeout(within):
            message = await socket.receive()
    except TimeoutError as exc:
        if isinstance(exc, ProviderError):
            raise
        raise ProviderTimeoutError(
            f"{socket.target.provider} did not say that it is ready in time.",
            provider=socket.target.provider,
            model=socket.target.model,
        ) from exc
    if message is None:
        raise _closed(socket)
    return message


async def conversation(
    socket: Socket,
    audio: AsyncIterator[bytes],
    *,
    say: Callable[[bytes], Awaitable[None]],
    finish: Callable[[], Awaitable[None]],
    last_words: float = LAST_WORDS_WITHIN,
) -> AsyncGenerator[bytes, None]:
    """
    Send all audio in a task of its own, and yield the upstream's messages until it closes.

    Args:
        socket: open, and ready for audio.
        audio: what is to be sent; what it raises, this raises.
        say: sends one chunk.
        finish: says that no more will come.
        last_words: longest silence of the upstream once the audio has ended, seconds.

    Raises:
        ProviderError: the connection broke or was closed before the audio had ended, or the last
            words did not come in time.

    """
    speaking = asyncio.create_task(_spoken(audio, say, finish))
    try:
        while (message := await _heard(socket, speaking, last_words)) is not None:
            yield message
        if not speaking.done():
            raise _closed(socket)
        speaking.result()
    finally:
        await _ended(speaking)
        del speaking  # an error knows this frame: keep none of the two alive by the other


async def _spoken(
    audio: AsyncIterator[bytes],
    say: Callable[[bytes], Awaitable[None]],
    finish: Callable[[], Awaitable[None]],
) -> None:
    async for chunk in audio:
        await say(chunk)
    await finish()


async def _heard(socket: Socket, speaking: "asyncio.Task[None]", last_words: float) -> bytes | None:
    """Return the next message, None when the upstream has closed."""
    listening = asyncio.ensure_future(socket.receive())
    try:
        await asyncio.wait({listening, speaking}, return_when=asyncio.FIRST_COMPLETED)
        if not listening.done():
            fault = speaking.exception()
            if fault is not None and not isinstance(fault, ProviderError):
                raise fault
            patience = last_words if fault is None else _EXPLAINS_WITHIN
            await asyncio.wait({listening}, timeout=patience)
        if not listening.done():
            speaking.result()
            raise _silent(socket)
        return listening.result()
    finally:
        await _ended(listening)
        fault = None
        del listening, speaking


async def _ended(task: "asyncio.Future[T]") -> None:
    """Cancel a task and wait for its end; how it ended has been told, or matters no more."""
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()


def _closed(socket: Socket) -> ProviderUnavailableError:
    return ProviderUnavailableError(
        f"{socket.target.provider} closed the connection before all was said.",
        provider=socket.target.provider,
        model=socket.target.model,
    )


def _silent(socket: Socket) -> ProviderTimeoutError:
    return ProviderTimeoutError(
        f"{socket.target.provider} did not give its last words in time.",
        provider=socket.target.provider,
        model=socket.target.model,
    )
