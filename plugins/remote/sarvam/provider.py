"""Sarvam as a provider: answers at once, jobs, and speech under way."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from typing import Literal, TypeVar
from urllib.parse import quote

from junctor.conf.settings import Seconds
from junctor.core.audio import Clip
from junctor.core.cards import Capability, ModelCard
from junctor.core.errors import ProviderAuthError, ProviderError, ProviderRejectedError
from junctor.core.net import Body, RelayAnswer, Target, Upload, form_body, json_body
from junctor.core.requests import LiveRequest, TranscribeRequest
from junctor.core.transcripts import LiveEvent, LiveReady, Transcript
from junctor.plugins.remote.sarvam import wire
from junctor.plugins.remote.sarvam.cards import CARDS, EXTENSIONS, NAME
from junctor.plugins.remote.sarvam.session import Session
from junctor.plugins.remote.vendor import (
    Vendor,
    VendorSettings,
    fitted,
    nonsense,
    polled,
    read,
    rejected,
)

T = TypeVar("T")
Wanted = Mapping[str, str | bool]

AT_ONCE_SECONDS = 30.0
"""Longest audio that is answered without a job."""
_JOBS = "/speech-to-text/job/v1"


class SarvamSettings(VendorSettings, frozen=True, kw_only=True):
    """`[plugins.sarvam]`."""

    poll_interval: Seconds = 3.0
    """Time between two questions after a job; the vendor wants no less than 3 seconds."""
    stream_type: Literal["fast", "balanced", "simulated"] = "fast"
    """How soon the realtime socket tells partial results."""


class Sarvam(Vendor):
    """Transcribes, translates to English, and follows speech under way."""

    NAME = NAME
    BASE_URL = "https://api.sarvam.ai"
    STREAM_URL = "wss://api.sarvam.ai/speech-to-text-realtime/ws"
    LINK_HOSTS = ("blob.core.windows.net", "storage.googleapis.com")

    def __init__(self, settings: SarvamSettings, cards: Sequence[ModelCard] = CARDS) -> None:
        super().__init__(settings, cards)
        self._poll_interval = settings.poll_interval
        self._stream_type = settings.stream_type

    def headers(self) -> Mapping[str, str]:
        """Return the header that carries the key."""
        return {"api-subscription-key": self._settings.api_key.reveal()}

    def fault(self, target: Target, answer: RelayAnswer) -> ProviderError:
        """Return our error for an answer whose status is not 2xx."""
        return wire.fault_of(target, wire.error_code(answer.body), answer.status, answer.headers)

    async def transcribe(self, request: TranscribeRequest, /) -> Transcript:
        """
        Write down a recording, by a job where it is long or its speakers are to be told apart.

        Raises:
            ProviderError: it failed; the subclass says how.
            MediaError: the recording had to be re-encoded and cannot be decoded.

        """
        card, target = self._fit(request.model, Capability.TRANSCRIBE)
        if request.word_timestamps:
            raise rejected(target, "gives no word times")
        wanted = wire.parameters_of(request, card, target)
        clip = await fitted(request.audio, card, target)
        ask = (
            self._by_job if request.diarization or clip.seconds > AT_ONCE_SECONDS else self._at_once
        )
        answer = read(await ask(clip, wanted, target), wire.Answer, target)
        return wire.transcript_of(answer, request, target)

    async def live_transcribe(
        self, request: LiveRequest, audio: AsyncIterator[bytes], /
    ) -> AsyncGenerator[LiveEvent, None]:
        """
        Follow speech under way over the realtime socket.

        Raises:
            ProviderError: it failed; the subclass says how.

        """
        card, target = self._fit(request.model, Capability.LIVE_TRANSCRIBE)
        if request.word_timestamps or request.diarization:
            raise rejected(target, "gives neither word times nor speakers in live speech")
        query = {
            "language_code": wire.code_of(card, request.language, target) or "auto",
            "model": card.id,
            "stream_type": self._stream_type,
            "encoding": "linear16",
            "sample_rate": "16000",
            "endpointing": "vad",
            "return_timestamps": "true",
        }
        async with self.socket(target, query=query.items()) as socket:
            session = Session(socket)
            await session.begin(self._settings.connections.connect_timeout)
            yield LiveReady()
            async with aclosing(session.events(audio)) as events:
                async for event in events:
                    yield event

    def _fit(self, model: str, capability: Capability) -> tuple[ModelCard, Target]:
        card, target = self.target(model)
        if capability not in card.capabilities:
            raise rejected(target, f"does not offer {capability} with {card.id}")
        return card, target

    async def _at_once(self, clip: Clip, wanted: Wanted, target: Target) -> bytes:
        fields = ((name, "true" if value is True else str(value)) for name, value in wanted.items())
        upload = Upload(data=clip.data, filename=_name_of(clip), media_type=clip.media_type)
        return await self.ask("POST", "/speech-to-text", target, body=form_body(fields, upload))

    async def _by_job(self, clip: Clip, wanted: Wanted, target: Target) -> bytes:
        """Upload, start, wait and fetch; a job cannot be called off, it ends by itself."""
        name = _name_of(clip)
        job = (await self._tell("", {"job_parameters": wanted}, wire.Job, target)).job_id
        files = {"job_id": job, "files": [name]}
        links = await self._tell("/upload-files", files, wire.Uploads, target)
        await self._stored(links.upload_urls, name, target, clip)
        path = f"{_JOBS}/{quote(job, safe='')}"
        await self.ask("POST", f"{path}/start", target)

        async def check() -> str | None:
            body = await self.ask("GET", f"{path}/status", target)
            return wire.output_of(read(body, wire.Status, target), target)

        within = self._settings.timeout
        output = await polled(check, every=self._poll_interval, within=within, target=target)
        files = {"job_id": job, "files": [output]}
        found = await self._tell("/download-files", files, wire.Downloads, target)
        return await self._stored(found.download_urls, output, target)

    async def _tell(
        self, path: str, document: Mapping[str, object], kind: type[T], target: Target
    ) -> T:
        body = await self.ask("POST", f"{_JOBS}{path}", target, body=json_body(document))
        return read(body, kind, target)

    async def _stored(
        self, links: Mapping[str, wire.Link], name: str, target: Target, clip: Clip | None = None
    ) -> bytes:
        """Put the recording into the job's storage, or fetch the result; the key stays here."""
        if name not in links:
            raise nonsense(target)
        url = links[name].file_url
        try:
            if clip is None:
                return await self.ask("GET", url, target)
            body = Body(parts=(clip.data,), content_type=clip.media_type)
            return await self.ask(
                "PUT", url, target, body=body, headers={"x-ms-blob-type": "BlockBlob"}
            )
        except (ProviderAuthError, ProviderRejectedError) as exc:
            raise wire.unavailable(target, "gave a link to its storage that fails") from exc


def _name_of(clip: Clip) -> str:
    return f"audio.{EXTENSIONS.get(clip.media_type, 'wav')}"
