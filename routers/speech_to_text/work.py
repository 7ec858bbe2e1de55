"""The transcription of one request, whoever waits for it: its client, several, or a job."""

import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import msgspec
from attrs import define, field

from junctor.core.audio.clip import Clip
from junctor.core.audit import Transcription as Audited
from junctor.core.audit import audio_digest
from junctor.core.errors import NoCandidateError, UnsupportedOptionError
from junctor.core.pii import redacted
from junctor.core.presence import gone
from junctor.core.redaction import publishable
from junctor.core.runtime import Runtime
from junctor.core.tickets import Ticket
from junctor.core.transcripts import Transcript
from junctor.routers.multipart import Form
from junctor.routers.speech_to_text.forms import Asked
from junctor.routers.speech_to_text.renderings import transcription

CONTRACT = "speech-to-text"


@contextmanager
def unserved_named() -> Iterator[None]:
    """Tell a caller who asks for a provider that is not served here so, instead of failing."""
    try:
        yield
    except NoCandidateError as exc:
        if exc.temporary:
            raise
        raise UnsupportedOptionError(publishable(str(exc)), param="provider") from exc


@define(kw_only=True, eq=False)
class Work:
    """What a request asks for, and what it needs to be done."""

    runtime: Runtime
    ticket: Ticket
    upload: Form
    asked: Asked
    is_shared: bool = False
    """Whether it was begun for all who wait for its answer: then it settles its ticket itself."""
    _began: float = field(factory=time.monotonic)

    async def clip(self) -> Clip:
        """Return the recording, measured."""
        upload = self.upload
        return await self.runtime.gateway.open_clip(
            self.ticket, upload.data, filename=upload.filename
        )

    async def answer(self) -> msgspec.Struct:
        """Return the answer."""
        wanted = self.asked.request(await self.clip())
        with unserved_named():
            heard = await self.runtime.gateway.transcribe(self.ticket, wanted, self.asked.choice)
        return await self.rendered(heard)

    async def shared(self, make: Callable[[], Awaitable[bytes]]) -> bytes:
        """
        Return what `make` does, for everybody who waits; settles its own ticket.

        Raises:
            ClientGoneError: its own client had left before it began, and nothing may be served on
                its ticket; whoever else waits begins anew, on a ticket of their own.

        """
        if self.ticket.is_closed:
            raise gone()
        self.is_shared = True
        async with self.ticket:
            return await make()

    async def rendered(self, heard: Transcript) -> msgspec.Struct:
        """Return a transcript as this contract answers it, and note it in the audit."""
        shown = await redacted(heard) if self.asked.redaction else heard
        await self._note(shown)
        seconds = time.monotonic() - self._began
        return transcription(shown, self.asked, self.ticket, seconds=seconds)

    async def _note(self, shown: Transcript) -> None:
        ticket = self.ticket
        if not ticket.snapshot.settings.audit.enabled:
            return
        self.runtime.audit.add(
            Audited(
                request_id=ticket.request_id,
                team=ticket.principal.team,
                key_id=ticket.principal.key_id,
                audio_sha256=await audio_digest(self.upload.data),
                text=shown.text,
                frames=ticket.frames,
                rate=ticket.sample_rate,
                provider=ticket.provider or "",
                model=ticket.model or "",
                language=shown.language or "",
                outcome="ok",
                is_redacted=self.asked.redaction,
            )
        )
