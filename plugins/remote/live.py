"""What the live adapters share: audio goes out in a task while messages come in."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing

from junctor.core.errors import ProviderTimeoutError
from junctor.core.net import Socket

BYTES_PER_SECOND = 32_000
"""Of the audio that live providers get: 16-bit mono at 16,000 Hz."""
LAST_WORDS_WITHIN = 15.0
"""Time from the end of the audio to the upstream's last message, seconds."""


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


async def conversation(
    socket: Socket,
    audio: AsyncIterator[bytes],
    *,
    say: Callable[[bytes], Awaitable[None]],
    finish: Callable[[], Awaitable[None]],
) -> AsyncGenerator[bytes, None]:
    """
    Send all audio in a task of its own, and yield the upstream's messages until it closes.

    Args:
        socket: open, and ready for audio.
        audio: what is to be sent.
        say: sends one chunk.
        finish: says that no more will come.

    Raises:
        ProviderError: the connection broke, or the last words did not come in time.

    """

    async def speak() -> None:
        async for chunk in audio:
            await say(chunk)
        await finish()

    speaking = asyncio.create_task(speak())
    try:
        async with aclosing(_heard(socket, speaking)) as messages:
            async for message in messages:
                yield message
    finally:
        speaking.cancel()
        await asyncio.gather(speaking, return_exceptions=True)


async def _heard(socket: Socket, speaking: "asyncio.Task[None]") -> AsyncGenerator[bytes, None]:
    while True:
        listening = asyncio.ensure_future(socket.receive())
        try:
            await asyncio.wait({listening, speaking}, return_when=asyncio.FIRST_COMPLETED)
            if not listening.done():
                speaking.result()  # raises what broke the sending
                await asyncio.wait({listening}, timeout=LAST_WORDS_WITHIN)
            if not listening.done():
                raise _silent(socket)
            message = listening.result()
        finally:
            listening.cancel()
        if message is None:
            return
        yield message


def _silent(socket: Socket) -> ProviderTimeoutError:
    return ProviderTimeoutError(
        f"{socket.target.provider} did not give its last words in time.",
        provider=socket.target.provider,
        model=socket.target.model,
    )
