"""Amazon Transcribe as a provider."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Mapping
from contextlib import aclosing
from typing import cast
from urllib.parse import urlencode

import msgspec
import structlog

from junctor.core.cards import Capability
from junctor.core.errors import (
    ProviderAuthError,
    ProviderError,
    ProviderQuotaError,
    ProviderRateLimitedError,
    ProviderRejectedError,
)
from junctor.core.net import Body, RelayAnswer, Target
from junctor.core.requests import LiveRequest, Task, TranscribeRequest
from junctor.core.transcripts import LiveEvent, LiveReady, Transcript
from junctor.plugins.remote.aws import wire
from junctor.plugins.remote.aws.cards import CARDS
from junctor.plugins.remote.aws.frames import PATH, Clock, Frames, audio_event, query_of
from junctor.plugins.remote.aws.settings import NAME, AWSSettings
from junctor.plugins.remote.aws.signing import Call, Signer, signer_of
from junctor.plugins.remote.live import conversation, never_silent, rechunked
from junctor.plugins.remote.vendor import Vendor, fitted, polled, rejected

_REFUSALS = (
    ProviderAuthError,
    ProviderQuotaError,
    ProviderRateLimitedError,
    ProviderRejectedError,
)
"""Errors after which we know that nothing was begun."""
_CLEAN_TRIES = 6
"""How often a job is asked to go; a running one refuses, and soon fails without its recording."""
_CALL_WITHIN = 10.0
"""Time for one call of the tidying, seconds."""
_CLOSE_WITHIN = 1.0
"""Time that closing leaves to the tidying under way, seconds."""
_CHUNK = 0.1
"""Length of one audio event, seconds; 50 to 200 ms are advised."""
_IDLE = 5.0
"""Time without audio after which silence is sent, seconds."""


class Amazon(Vendor):
    """
    Sends recordings through a bucket and jobs, and live speech over a WebSocket.

    Job and objects are deleted behind the request, whatever became of it.

    Args:
        settings: its table, checked.

    """

    NAME = NAME
    BASE_URL = ""

    def __init__(self, settings: AWSSettings) -> None:
        super().__init__(settings, CARDS)
        self._aws = settings
        self._signer: Signer | None = None
        self._tidying: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """
        Find the credentials and open the pool.

        Raises:
            NotConfiguredError: there are none, or botocore is not installed.

        """
        self._signer = await asyncio.to_thread(signer_of, self._aws)
        await super().start()

    async def close(self) -> None:
        """Give the tidying a moment, then close the pool."""
        if self._tidying:
            await asyncio.wait(self._tidying, timeout=_CLOSE_WITHIN)
        for task in self._tidying:
            task.cancel()
        await super().close()

    def headers(self) -> Mapping[str, str]:
        """Return none: each request is signed for itself."""
        return {}

    def fault(self, target: Target, answer: RelayAnswer) -> ProviderError:
        """Return our error by the code in the answer, since many come with HTTP 400."""
        return wire.fault(target, answer)

    async def transcribe(self, request: TranscribeRequest, /) -> Transcript:
        """
        Upload, start a job, wait for it, and read its result.

        Raises:
            ProviderError: it failed; the subclass says how.
            MediaError: the recording had to be re-encoded and cannot be decoded.

        """
        card, target = self.target(request.model)
        if Capability.TRANSCRIBE not in card.capabilities or request.task is Task.TRANSLATE:
            raise rejected(target, f"neither reads recordings with {card.id!r} nor translates")
        clip = await fitted(request.audio, card, target)
        job = wire.Job.of(clip, self._aws.prefix)
        document = wire.start_document(request, clip, job, bucket=self._aws.bucket, card=card)
        try:
            upload = Body(parts=(clip.data,), content_type=clip.media_type)
            await self._object("PUT", job.upload, target, upload)
            await self._begin(job, document, target)
            done = await self._done(job, target)
            result = await self._object("GET", job.output, target)
        finally:
            self._tidy_later(job, target)
        return wire.transcript(wire.decoded(result, wire.Heard, target), done, request)

    async def live_transcribe(
        self, request: LiveRequest, audio: AsyncIterator[bytes], /
    ) -> AsyncGenerator[LiveEvent, None]:
        """
        Write down speech while it is spoken; `junctor.core.providers.LiveTranscriber` says more.

        Raises:
            ProviderError: it cannot go on; the subclass says why.

        """
        card, target = self.target(request.model)
        query = urlencode(query_of(request, card, self._aws.live_languages))
        url = f"{self._stream_url}{PATH}?{query}"
        clock = Clock()
        signed = await asyncio.to_thread(self._ready().presigned, url)
        within = self._aws.connections.connect_timeout
        async with self._pool.relay.socket(
            signed, headers={}, target=target, within=within, fault=self.fault
        ) as socket:

            async def say(chunk: bytes) -> None:
                await socket.send_bytes(audio_event(clock.send(chunk)))

            async def finish() -> None:
                await socket.send_bytes(audio_event(b""))

            yield LiveReady()
            frames = Frames(target, request, clock)
            chunks = never_silent(rechunked(audio, seconds=_CHUNK), seconds=_IDLE)
            async with aclosing(conversation(socket, chunks, say=say, finish=finish)) as messages:
                async for message in messages:
                    for event in frames.feed(message):
                        yield event

    async def _begin(self, job: wire.Job, document: object, target: Target) -> None:
        job.may_exist = True
        try:
            answer = await self._job("StartTranscriptionJob", document, target)
        except _REFUSALS:
            job.may_exist = False
            raise
        wire.decoded(answer, wire.JobAnswer, target)

    async def _done(self, job: wire.Job, target: Target) -> wire.Detected:
        async def look() -> wire.Detected | None:
            name = {"TranscriptionJobName": job.name}
            body = await self._job("GetTranscriptionJob", name, target)
            found = wire.decoded(body, wire.JobAnswer, target).transcription_job
            if found.transcription_job_status == "FAILED":
                raise wire.failure(target, found)
            return found if found.transcription_job_status == "COMPLETED" else None

        return await polled(look, every=self._aws.poll, within=self._aws.timeout, target=target)

    def _tidy_later(self, job: wire.Job, target: Target) -> None:
        task = asyncio.create_task(self._tidy(job, target))
        self._tidying.add(task)
        task.add_done_callback(self._tidying.discard)

    async def _tidy(self, job: wire.Job, target: Target) -> None:
        """Delete the recording, then the job as soon as it is over, then what it wrote."""
        gone = [await self._is_gone(self._object("DELETE", job.upload, target))]
        if not job.may_exist:
            return
        name = {"TranscriptionJobName": job.name}
        for attempt in range(_CLEAN_TRIES):
            if await self._is_gone(self._job("DeleteTranscriptionJob", name, target)):
                break
            await asyncio.sleep(self._aws.poll * 2**attempt)
        gone.append(await self._is_gone(self._object("DELETE", job.output, target)))
        if not all(gone):
            structlog.get_logger().warning("objects-not-deleted", provider=NAME, job=job.name)

    async def _is_gone(self, deletion: Coroutine[object, object, bytes]) -> bool:
        try:
            async with asyncio.timeout(_CALL_WITHIN):
                await deletion
        except (ProviderError, TimeoutError):
            return False
        return True

    async def _job(self, operation: str, document: object, target: Target) -> bytes:
        """Ask Transcribe."""
        content = Body(
            parts=(msgspec.json.encode(document),), content_type="application/x-amz-json-1.1"
        )
        call = Call(
            service="transcribe",
            method="POST",
            url=f"{self._base_url}/",
            headers={"X-Amz-Target": f"Transcribe.{operation}"},
            body=content,
        )
        return await self._send(call, target)

    async def _object(
        self, method: str, key: str, target: Target, body: Body | None = None
    ) -> bytes:
        """Ask S3."""
        url = f"{self._aws.s3_url}/{key}"
        return await self._send(Call(service="s3", method=method, url=url, body=body), target)

    async def _send(self, call: Call, target: Target) -> bytes:
        headers = await asyncio.to_thread(self._ready().signed, call)
        answer = await self._pool.relay.request(
            call.method,
            call.url,
            headers=headers,
            body=call.body,
            target=target,
            within=self._aws.timeout,
        )
        if not 200 <= answer.status < 300:  # noqa: PLR2004
            raise self.fault(target, answer)
        return answer.body

    def _ready(self) -> Signer:
        return cast("Signer", self._signer)
