"""The provider: jobs for recordings, a socket for live speech."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from urllib.parse import quote

import msgspec
import structlog

from junctor.conf.settings import Seconds
from junctor.core.cards import Feature, ModelCard
from junctor.core.errors import (
    ProviderAnswerError,
    ProviderError,
    ProviderQuotaError,
    ProviderRejectedError,
    ProviderTimeoutError,
    ProviderUnavailableError,
)
from junctor.core.net import Body, RelayAnswer, Target, json_body
from junctor.core.requests import LiveRequest, TranscribeRequest
from junctor.core.transcripts import LiveEvent, LiveReady, Segment, Transcript, Word
from junctor.plugins.remote.assemblyai import live
from junctor.plugins.remote.assemblyai.cards import CARDS, NAME, expected, tag_of, written
from junctor.plugins.remote.live import conversation, rechunked
from junctor.plugins.remote.vendor import Vendor, VendorSettings, fitted, polled, read

_DELETED_WITHIN = 5.0
_FORGIVEN = 3
"""Questions of one job that may fail: the job goes on, and doing it again would cost again."""
_ITS_OWN_FAULT = ("server error", "internal error", "try again", "resubmit")
_log = structlog.get_logger(__name__)


class AssemblyAISettings(VendorSettings, frozen=True, kw_only=True):
    """`[plugins.assemblyai]`."""

    poll_interval: Seconds = 3.0
    """Longest pause between two questions whether a transcript is ready."""


class _Upload(msgspec.Struct):
    upload_url: str


class _Job(msgspec.Struct):
    id: str


class _Word(msgspec.Struct):
    text: str
    start: int
    end: int
    confidence: float | None = None
    speaker: str | None = None


class _Stretch(msgspec.Struct):
    """A sentence, or an utterance of one speaker; times in milliseconds."""

    text: str
    start: int
    end: int
    words: list[_Word] | None = None
    speaker: str | None = None


class _Sentences(msgspec.Struct):
    sentences: list[_Stretch]


class _Transcript(msgspec.Struct):
    status: str
    text: str | None = None
    confidence: float | None = None
    language_code: str | None = None
    language_confidence: float | None = None
    words: list[_Word] | None = None
    utterances: list[_Stretch] | None = None
    error: str | None = None


class _Complaint(msgspec.Struct):
    error: object = None


class AssemblyAI(Vendor):
    """
    AssemblyAI's server.

    What was uploaded, and the transcript made of it, is deleted there as soon as the transcript
    is read, the job has failed, or the request is cancelled.
    """

    NAME = NAME
    BASE_URL = "https://api.assemblyai.com"
    STREAM_URL = "wss://streaming.assemblyai.com"

    def __init__(self, settings: AssemblyAISettings) -> None:
        super().__init__(settings, CARDS)
        self._poll_interval = settings.poll_interval
        self._deletions: set[asyncio.Task[None]] = set()

    def headers(self) -> Mapping[str, str]:
        """Return the key; it is no bearer token."""
        return {"Authorization": self._settings.api_key.reveal()}

    async def close(self) -> None:
        """Close the pool when what is still to be deleted is gone."""
        await asyncio.gather(*self._deletions)
        await super().close()

    def fault(self, target: Target, answer: RelayAnswer) -> ProviderError:
        """Return our error; a negative balance is told by the text alone."""
        try:
            said = str(msgspec.json.decode(answer.body, type=_Complaint).error).lower()
        except (msgspec.DecodeError, UnicodeDecodeError):
            said = ""
        if "balance" in said and answer.status < 500:  # noqa: PLR2004
            return ProviderQuotaError(
                f"{NAME} says our credits are used up; top it up (HTTP {answer.status}).",
                provider=NAME,
                model=target.model,
            )
        return super().fault(target, answer)

    async def transcribe(self, request: TranscribeRequest, /) -> Transcript:
        """
        Upload the recording, start the job, ask until it is done, and delete all of it there.

        Raises:
            ProviderError: it failed; the subclass says how.
            MediaError: the recording had to be re-encoded and cannot be decoded.

        """
        card, target = self.target(request.model)
        options = _options(request, card, target)
        clip = await fitted(request.audio, card, target)
        body = Body(parts=(clip.data,), content_type="application/octet-stream")
        answer = await self.ask("POST", "/v2/upload", target, body=body)
        options["audio_url"] = read(answer, _Upload, target).upload_url
        # A task of its own: a job whose start was under way must be known to be deleted.
        starting = asyncio.create_task(self._started(options, target))
        try:
            path = await asyncio.shield(starting)
            found = await polled(
                partial(self._found, path, target, iter(range(_FORGIVEN))),
                every=self._poll_interval,
                within=self._settings.timeout,
                target=target,
            )
            stretches = found.utterances or []
            if request.segment_timestamps and found.text and not stretches:
                answer = await self.ask("GET", f"{path}/sentences", target)
                stretches = read(answer, _Sentences, target).sentences
        finally:
            self._forget(starting, target)
            del starting  # its error would know this frame, and this frame it: a circle
        return _transcript(found, stretches, request)

    async def live_transcribe(
        self, request: LiveRequest, audio: AsyncIterator[bytes], /
    ) -> AsyncGenerator[LiveEvent, None]:
        """
        Write down speech while it is spoken; a final is a turn of the conversation.

        Raises:
            ProviderError: it cannot go on; the subclass says why.

        """
        card, target = self.target(request.model)
        query = live.query(request, card, target)
        async with self.socket(target, query=query, path="/v3/ws") as socket:
            with live.told(socket):
                await live.begun(socket, within=self._settings.connections.connect_timeout)
                yield LiveReady()
                turns = live.Turns(request)
                async with (
                    aclosing(rechunked(audio, seconds=live.CHUNK_SECONDS)) as chunks,
                    aclosing(
                        conversation(
                            socket,
                            chunks,
                            say=partial(live.say, socket),
                            finish=partial(socket.send_json, {"type": "Terminate"}),
                        )
                    ) as messages,
                ):
                    async for message in messages:
                        for event in turns.heard(message, target):
                            yield event
                        if turns.is_over:
                            break
                for event in turns.rest(target):
                    yield event

    async def _started(self, options: dict[str, object], target: Target) -> str:
        """Start the job and return its path."""
        answer = await self.ask("POST", "/v2/transcript", target, body=json_body(options))
        return f"/v2/transcript/{quote(read(answer, _Job, target).id, safe='')}"

    async def _found(
        self, path: str, target: Target, forgiven: Iterator[int]
    ) -> _Transcript | None:
        try:
            found = read(await self.ask("GET", path, target), _Transcript, target)
        except (ProviderUnavailableError, ProviderTimeoutError, ProviderAnswerError):
            if next(forgiven, None) is None:
                raise
            return None
        if found.status == "error":
            return _without_speech(found, target)
        return found if found.status == "completed" else None

    def _forget(self, starting: "asyncio.Task[str]", target: Target) -> None:
        deletion = asyncio.create_task(self._deleted(starting, target))
        self._deletions.add(deletion)
        deletion.add_done_callback(self._deletions.discard)

    async def _deleted(self, starting: "asyncio.Task[str]", target: Target) -> None:
        try:
            async with asyncio.timeout(_DELETED_WITHIN):
                path = await starting
        except (ProviderError, TimeoutError):
            return  # there is no job, or none that we can know of
        try:
            async with asyncio.timeout(_DELETED_WITHIN):
                await self.ask("DELETE", path, target)
        except (ProviderError, TimeoutError) as error:
            _log.warning("recording not deleted upstream", provider=NAME, error=str(error))


def _options(request: TranscribeRequest, card: ModelCard, target: Target) -> dict[str, object]:
    options: dict[str, object] = {"speech_models": [card.id]}
    if request.language is not None:
        options["language_code"] = written(request.language, card, target)
    else:
        options["language_detection"] = True
        if codes := expected(request.allowed_languages, card, target):
            options["language_detection_options"] = {"expected_languages": codes}
    if request.diarization:
        options["speaker_labels"] = True
    if request.prompt and Feature.PROMPT in card.features:
        options["prompt"] = request.prompt
    if request.temperature:
        options["temperature"] = request.temperature
    return options


def _without_speech(found: _Transcript, target: Target) -> _Transcript:
    """
    Return an empty transcript where the job failed for want of speech.

    Raises:
        ProviderError: it failed for another reason.

    """
    said = (found.error or "").lower()
    if "no spoken audio" in said:
        return _Transcript(status="completed")
    if any(text in said for text in _ITS_OWN_FAULT):
        raise ProviderUnavailableError(
            f"{NAME} failed in the middle of the job.", provider=NAME, model=target.model
        )
    raise ProviderRejectedError(
        f"{NAME} cannot transcribe this recording.", provider=NAME, model=target.model
    )


def _transcript(
    found: _Transcript, stretches: Sequence[_Stretch], request: TranscribeRequest
) -> Transcript:
    detected = tag_of(found.language_code) if request.language is None else None
    return Transcript(
        text=(found.text or "").strip(),
        language=detected or request.language,
        language_confidence=found.language_confidence,
        confidence=found.confidence,
        words=_words(found.words),
        segments=tuple(
            Segment(
                text=one.text.strip(),
                start=one.start / 1000,
                end=one.end / 1000,
                words=_words(one.words),
                speaker=one.speaker,
            )
            for one in stretches
        ),
    )


def _words(words: Sequence[_Word] | None) -> tuple[Word, ...]:
    return tuple(
        Word(
            text=one.text.strip(),
            start=one.start / 1000,
            end=one.end / 1000,
            confidence=one.confidence,
            speaker=one.speaker,
        )
        for one in words or ()
        if one.text.strip()
    )
