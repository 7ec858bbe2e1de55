"""One realtime socket to Sarvam, from `session.begin` to `session.end`."""

import asyncio
import base64
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

import msgspec
from attrs import define

from junctor.core.errors import ProviderError, ProviderTimeoutError
from junctor.core.net import Socket
from junctor.core.transcripts import LiveEvent, LiveFinal, LivePartial
from junctor.plugins.remote.live import BYTES_PER_SECOND, conversation, rechunked
from junctor.plugins.remote.sarvam.wire import fault_of, tag_of, unavailable
from junctor.plugins.remote.vendor import nonsense, read

CHUNK_SECONDS = 0.1
_NO_STATUS = 500


class Event(msgspec.Struct):
    """A message of the vendor; which fields it has depends on `event`."""

    event: str
    text: str = ""
    language: str | None = None
    start_s: float | None = None
    end_s: float | None = None
    code: str = ""
    is_fatal: bool = True
    status_code: int | None = None


@define
class Session:
    """What is said and heard on one open socket."""

    _socket: Socket
    _sent: int = 0
    """Bytes of audio."""
    _told: float = 0.0
    """End of the last final, seconds."""
    _is_over: bool = False
    """Whether all audio is sent."""

    async def begin(self, within: float) -> None:
        """
        Wait until it takes audio, at most `within` seconds.

        Raises:
            ProviderError: it does not.

        """
        target = self._socket.target
        try:
            async with asyncio.timeout(within):
                message = await self._socket.receive()
        except ProviderError:
            raise
        except TimeoutError as exc:
            raise ProviderTimeoutError(
                f"{target.provider} did not begin the session in time.",
                provider=target.provider,
                model=target.model,
            ) from exc
        if message is None:
            raise unavailable(target, "closed the session before it began")
        if self._read(message).event != "session.begin":
            raise nonsense(target)

    async def events(self, audio: AsyncIterator[bytes]) -> AsyncGenerator[LiveEvent, None]:
        """
        Send the audio, and yield what is heard until the session ends.

        Raises:
            ProviderError: it ended too soon, or told an error.

        """
        async with (
            aclosing(rechunked(audio, seconds=CHUNK_SECONDS)) as chunks,
            aclosing(self._messages(chunks)) as messages,
        ):
            async for message in messages:
                event = self._read(message)
                if event.event == "session.end":
                    self._check_over()
                    return
                heard = self._heard(event)
                if heard is not None:
                    yield heard

    def _check_over(self) -> None:
        if not self._is_over:
            raise unavailable(self._socket.target, "ended the session before the audio did")

    def _messages(self, chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        return conversation(self._socket, chunks, say=self._say, finish=self._finish)

    async def _say(self, chunk: bytes) -> None:
        self._sent += len(chunk)
        encoded = base64.b64encode(chunk).decode()
        await self._socket.send_json({"event": "audio_input", "audio": encoded})

    async def _finish(self) -> None:
        self._is_over = True
        await self._socket.send_json({"event": "flush"})
        await self._socket.send_json({"event": "end"})

    def _read(self, message: bytes) -> Event:
        target = self._socket.target
        event = read(message, Event, target)
        if event.event == "error" and event.is_fatal:
            raise fault_of(target, event.code, event.status_code or _NO_STATUS)
        return event

    def _heard(self, event: Event) -> LivePartial | LiveFinal | None:
        text, language = event.text.strip(), tag_of(event.language)
        if event.event == "transcript.partial":
            return LivePartial(text=text, language=language)
        if event.event != "transcript.final" or not text:
            return None
        start = self._told if event.start_s is None else max(self._told, event.start_s)
        end = self._sent / BYTES_PER_SECOND if event.end_s is None else event.end_s
        self._told = max(start, end)
        return LiveFinal(text=text, start=start, end=self._told, language=language)
