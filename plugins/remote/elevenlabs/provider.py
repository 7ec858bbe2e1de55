"""The provider: one request for a recording, a socket for live speech."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing

from junctor.conf.settings import Seconds
from junctor.core.errors import (
    ProviderAuthError,
    ProviderError,
    ProviderQuotaError,
    ProviderRateLimitedError,
)
from junctor.core.net import RelayAnswer, Target, Upload, form_body, retry_after
from junctor.core.requests import LiveRequest, TranscribeRequest
from junctor.core.transcripts import LiveEvent, LiveReady, Transcript
from junctor.plugins.remote.elevenlabs import live, wire
from junctor.plugins.remote.elevenlabs.cards import CARDS, NAME, expected, written
from junctor.plugins.remote.live import conversation, rechunked
from junctor.plugins.remote.vendor import Vendor, VendorSettings, fitted, read

_CODES: dict[str, tuple[type[ProviderError], str]] = {
    "invalid_api_key": (ProviderAuthError, "refused our credentials; check its api_key"),
    "quota_exceeded": (ProviderQuotaError, "says our credits are used up; top it up"),
    "too_many_concurrent_requests": (ProviderRateLimitedError, "asks us to slow down"),
    "system_busy": (ProviderRateLimitedError, "asks us to slow down"),
}
"""What its errors call themselves, whatever their status: a wrong key may be 400 or 401."""


class ElevenLabsSettings(VendorSettings, frozen=True, kw_only=True):
    """`[plugins.elevenlabs]`."""

    zero_retention: bool = False
    """Ask that nothing be kept or logged there; enterprise accounts only."""
    closing_grace: Seconds = 1.0
    """Time in which a live session's last final may be followed by another; a first may take 8."""


class ElevenLabs(Vendor):
    """ElevenLabs' server."""

    NAME = NAME
    BASE_URL = "https://api.elevenlabs.io"
    STREAM_URL = "wss://api.elevenlabs.io"

    def __init__(self, settings: ElevenLabsSettings) -> None:
        super().__init__(settings, CARDS)
        self._closing_grace = settings.closing_grace
        self._retention = [("enable_logging", "false")] if settings.zero_retention else []

    def headers(self) -> Mapping[str, str]:
        """Return the key."""
        return {"xi-api-key": self._settings.api_key.reveal()}

    def fault(self, target: Target, answer: RelayAnswer) -> ProviderError:
        """Return our error; the code in its body says more than the status."""
        found = _CODES.get(wire.code_of(answer.body))
        if found is None:
            return super().fault(target, answer)
        error, sentence = found
        is_wait = error is ProviderRateLimitedError
        return error(
            f"{NAME} {sentence} (HTTP {answer.status}).",
            provider=NAME,
            model=target.model,
            retry_after=retry_after(answer.headers) if is_wait else None,
        )

    async def transcribe(self, request: TranscribeRequest, /) -> Transcript:
        """
        Write down a recording.

        Raises:
            ProviderError: it failed; the subclass says how.
            MediaError: the recording had to be re-encoded and cannot be decoded.

        """
        card, target = self.target(request.model)
        fields = [
            ("model_id", card.id),
            ("timestamps_granularity", "word"),
            ("tag_audio_events", "false"),
        ]
        if request.language is not None:
            fields.append(("language_code", written(request.language, card, target)))
        elif card.id == "scribe_v3":  # the only one that takes hints
            codes = expected(request.allowed_languages, card, target)
            fields += [("secondary_language_codes", code) for code in codes]
        if request.diarization:
            fields.append(("diarize", "true"))
        if request.temperature:
            fields.append(("temperature", f"{request.temperature:g}"))
        clip = await fitted(request.audio, card, target)
        extension = clip.media_type.rpartition("/")[2].removeprefix("x-")
        upload = Upload(data=clip.data, filename=f"audio.{extension}", media_type=clip.media_type)
        answer = await self.ask(
            "POST",
            "/v1/speech-to-text",
            target,
            query=self._retention,
            body=form_body(fields, upload),
        )
        return wire.transcript(read(answer, wire.Answer, target), request)

    async def live_transcribe(
        self, request: LiveRequest, audio: AsyncIterator[bytes], /
    ) -> AsyncGenerator[LiveEvent, None]:
        """
        Write down speech while it is spoken; a final is what was said up to a pause.

        Raises:
            ProviderError: it cannot go on; the subclass says why.

        """
        card, target = self.target(request.model)
        query = [*live.query(request, card, target), *self._retention]
        path = "/v1/speech-to-text/realtime"
        async with self.socket(target, query=query, path=path) as socket:
            session = live.Session(socket, request, grace=self._closing_grace)
            await session.begin(within=self._settings.connections.connect_timeout)
            yield LiveReady()
            async with (
                aclosing(rechunked(audio, seconds=live.CHUNK_SECONDS)) as chunks,
                aclosing(
                    conversation(
                        socket,
                        chunks,
                        say=session.say,
                        finish=session.finish,
                        last_words=8 * self._closing_grace,
                    )
                ) as messages,
            ):
                while (message := await session.next_of(messages)) is not None:
                    for event in session.heard(message):
                        yield event
                    if session.is_over:
                        break
            session.check_end()
