"""
Amazon Transcribe and S3 on one port: jobs, objects, and the live socket.

Signatures are recomputed with botocore, and jobs are checked against the service model that it
brings along.
"""

import hashlib
import json
import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from functools import cache
from typing import ClassVar

from aiohttp import web
from attrs import define
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.eventstream import EventStreamBuffer
from botocore.loaders import Loader
from botocore.model import ServiceModel, Shape
from botocore.validate import ParamValidator

from junctor.core.audio.sniff import sniff
from junctor.core.audio.wav import read_wav_header
from tests.fakes.vendors.base import Handler, Refusal, VendorFake

REGION = "eu-west-1"
BUCKET = "recordings"
ACCESS_KEY = "AKIAFAKEFAKEFAKE"
WORDS = (("hello", 0.04, 0.4), ("from", 0.5, 0.9), ("amazon", 1.0, 1.4))
LEAK = "LEAK arn:aws:iam::123456789012:user/secret"
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, "
    r"SignedHeaders=([^,]+), Signature=([0-9a-f]{64})"
)
_LONGEST_AUDIO_EVENT = 32 * 1024


def coded(status: int, code: str, **headers: str) -> Refusal:
    """Return an error of Transcribe."""
    body = json.dumps({"__type": code, "Message": LEAK}).encode()
    return Refusal(status=status, body=body, headers=headers)


def xml(status: int, code: str, **headers: str) -> Refusal:
    """Return an error of S3."""
    body = f"<Error><Code>{code}</Code><Message>{LEAK}</Message></Error>"
    return Refusal(status=status, body=body.encode(), headers=headers)


@cache
def model() -> ServiceModel:
    return ServiceModel(Loader().load_service_model("transcribe", "service-2"), "transcribe")


def misfits(value: object, shape: Shape, at: str = "") -> Iterator[str]:
    """Yield what is unknown to the model, or not one of its enumerated or patterned strings."""
    match value:
        case dict() if shape.type_name == "structure":
            yield from (f"{at}.{name} is unknown" for name in value if name not in shape.members)
            for name in shape.members.keys() & value.keys():
                yield from misfits(value[name], shape.members[name], f"{at}.{name}")
        case list():
            for inner in value:
                yield from misfits(inner, shape.member, f"{at}[]")
        case str():
            pattern = shape.metadata.get("pattern", ".*").rstrip("$")
            if value not in (getattr(shape, "enum", None) or [value]):
                yield f"{at} is not one of the model's"
            elif not re.fullmatch(pattern, value):
                yield f"{at} does not match {pattern}"
        case _:
            pass


@define
class FakeJob:
    """A job under way."""

    asked: dict[str, object]
    looks: int
    """Looks until it is done."""
    status: str = "IN_PROGRESS"
    reason: str = ""


class AmazonFake(VendorFake):
    """Transcribe at `/`, S3 in path style, and the live socket."""

    VENDOR: ClassVar[str] = "aws"
    MODEL: ClassVar[str] = "transcribe"
    refusals: ClassVar[Mapping[str, Refusal]] = {
        "rate-limited": coded(429, "LimitExceededException", **{"Retry-After": "7"}),
        "throttled": coded(400, "ThrottlingException"),
        "error": coded(500, "InternalFailureException"),
        "unavailable": coded(503, "ServiceUnavailableException"),
        "unauthorized": coded(400, "UnrecognizedClientException"),
        "expired": coded(400, "ExpiredTokenException"),
        "denied": coded(400, "com.amazonaws.transcribe#AccessDeniedException"),
        "signature": coded(400, "InvalidSignatureException"),
        "quota": coded(400, "SubscriptionRequiredException"),
        "locale": coded(400, "BadRequestException"),
        "conflict": coded(409, "ConflictException"),
    }
    s3_refusals: ClassVar[Mapping[str, Refusal]] = {
        "rate-limited": xml(503, "SlowDown", **{"Retry-After": "7"}),
        "error": xml(500, "InternalError"),
        "unavailable": xml(503, "ServiceUnavailable"),
        "unauthorized": xml(403, "InvalidAccessKeyId"),
        "expired": xml(400, "ExpiredToken"),
        "denied": xml(403, "AccessDenied"),
        "signature": xml(403, "SignatureDoesNotMatch"),
        "quota": xml(403, "AccountProblem"),
        "no-bucket": xml(404, "NoSuchBucket"),
        "elsewhere": xml(301, "PermanentRedirect"),
    }

    def __init__(self) -> None:
        super().__init__()
        self.objects: dict[str, bytes] = {}
        self.jobs: dict[str, FakeJob] = {}
        self.started: list[dict[str, object]] = []
        """What each job was asked, first to last."""
        self.looks = 2
        """Looks at a job until it is done."""
        self.endless_above: int | None = None
        """Bytes of a recording from which its job does not end."""
        self.failure = ""
        """Why every job fails."""
        self.broken_result = b""
        """What is put in place of the result."""
        self.live_exception = ""
        """The exception that ends a live stream at its first audio."""
        self.live_seconds = 0.0
        """Audio heard on the last socket."""

    def settings_table(self) -> dict[str, object]:
        return {
            "access_key_id": ACCESS_KEY,
            "secret_access_key": self.KEY,
            "region": REGION,
            "bucket": BUCKET,
            "base_url": self.url,
            "s3_url": self.url,
            "stream_url": self.socket_url,
            "poll": 0.005,
        }

    def routes(self) -> list[web.AbstractRouteDef]:
        return [
            web.post("/", self._operation),
            web.get("/stream-transcription-websocket", self._live),
            web.put(f"/{BUCKET}/{{key:.+}}", self._put),
            web.get(f"/{BUCKET}/{{key:.+}}", self._get),
            web.delete(f"/{BUCKET}/{{key:.+}}", self._delete),
        ]

    def refusal(self, name: str, request: web.Request) -> Refusal | None:
        if request.path == "/" or request.path.startswith("/stream"):
            return self.refusals.get(name)
        if name in self.refusals and name not in self.s3_refusals:
            self.script.appendleft(name)  # only Transcribe can say this
        return self.s3_refusals.get(name)

    async def _broken(
        self, fault: str, request: web.Request, handler: Handler
    ) -> web.StreamResponse:
        if request.method in {"PUT", "DELETE"} and fault in {"drip", "cut", "malformed"}:
            if request.method == "PUT":
                self.script.appendleft(fault)  # an answer without a body cannot be bad like this
            return await handler(request)
        return await super()._broken(fault, request, handler)

    def _refused(self, refusal: Refusal) -> web.Response:
        return web.Response(status=refusal.status, body=refusal.body)

    async def _is_signed(self, request: web.Request, service: str) -> bool:
        """Recompute the signature over what arrived."""
        found = _AUTHORIZATION.fullmatch(request.headers.get("Authorization", ""))
        if found is None:
            return self.check(False, "no SigV4 authorization")
        key, day, region, scope, names, signature = found.groups()
        body, stamp = await request.read(), request.headers.get("X-Amz-Date", "")
        headers = {name: request.headers.get(name, "") for name in names.split(";")}
        asked = AWSRequest(
            request.method, f"http://{request.host}{request.raw_path}", headers, body
        )
        asked.context["timestamp"] = stamp
        kind = S3SigV4Auth if service == "s3" else SigV4Auth
        auth = kind(Credentials(ACCESS_KEY, self.KEY), service, REGION)
        again = auth.signature(auth.string_to_sign(asked, auth.canonical_request(asked)), asked)
        wanted = {"host", "x-amz-date"}
        wanted |= {"x-amz-content-sha256"} if service == "s3" else {"content-type", "x-amz-target"}
        digest = request.headers.get("X-Amz-Content-SHA256", hashlib.sha256(body).hexdigest())
        return (
            self.check((key, region, scope) == (ACCESS_KEY, REGION, service), "wrong scope")
            and self.check(stamp.startswith(day), "two dates")
            and self.check(wanted <= set(names.split(";")), f"{wanted} must be signed")
            and self.check(digest == hashlib.sha256(body).hexdigest(), "another body was signed")
            and self.check(again == signature, "wrong signature")
        )

    async def _put(self, request: web.Request) -> web.Response:
        if not await self._is_signed(request, "s3"):
            return self._refused(xml(403, "SignatureDoesNotMatch"))
        self.objects[request.match_info["key"]] = await request.read()
        return web.Response()

    async def _get(self, request: web.Request) -> web.Response:
        if not await self._is_signed(request, "s3"):
            return self._refused(xml(403, "SignatureDoesNotMatch"))
        found = self.objects.get(request.match_info["key"])
        return self._refused(xml(404, "NoSuchKey")) if found is None else web.Response(body=found)

    async def _delete(self, request: web.Request) -> web.Response:
        if not await self._is_signed(request, "s3"):
            return self._refused(xml(403, "SignatureDoesNotMatch"))
        self.objects.pop(request.match_info["key"], None)
        return web.Response(status=204)

    async def _operation(self, request: web.Request) -> web.Response:
        if not await self._is_signed(request, "transcribe"):
            return self._refused(coded(400, "InvalidSignatureException"))
        kind = request.headers.get("Content-Type")
        self.check(kind == "application/x-amz-json-1.1", f"content type {kind}")
        service, _, name = request.headers.get("X-Amz-Target", "").partition(".")
        self.check(service == "Transcribe", "wrong target")
        asked = json.loads(await request.read())
        shape = model().operation_model(name).input_shape
        report = ParamValidator().validate(asked, shape)
        if not self.check(not report.has_errors(), report.generate_report()):
            return self._refused(coded(400, "BadRequestException"))
        wrong = list(misfits(asked, shape))
        if not self.check(not wrong, f"{name}: {wrong}"):
            return self._refused(coded(400, "BadRequestException"))
        if name == "StartTranscriptionJob":
            return self._start(asked)
        job = self.jobs.get(asked["TranscriptionJobName"])
        if job is None:
            return self._refused(coded(400, "BadRequestException"))
        return self._look(job) if name == "GetTranscriptionJob" else self._drop(job)

    def _start(self, asked: dict[str, object]) -> web.Response:
        self.started.append(asked)
        name = str(asked["TranscriptionJobName"])
        is_right = self.check(name not in self.jobs, "job name taken")
        media = asked["Media"]
        assert isinstance(media, dict)
        key = str(media["MediaFileUri"]).removeprefix(f"s3://{BUCKET}/")
        is_right &= self.check(key in self.objects, "no such recording in the bucket")
        is_right &= self._is_language_right(asked)
        settings = asked.get("Settings", {})
        assert isinstance(settings, dict)
        is_right &= self.check(
            settings.get("ShowSpeakerLabels", False) == ("MaxSpeakerLabels" in settings),
            "speakers need their number",
        )
        if not is_right:
            return self._refused(coded(400, "BadRequestException"))
        recording = self.objects[key]
        is_slow = self.endless_above is not None and len(recording) > self.endless_above
        job = FakeJob({**asked, "key": key}, looks=1 << 30 if is_slow else self.looks)
        job.reason = self.failure or self._complaint(recording, str(asked.get("MediaFormat")))
        self.jobs[name] = job
        return self._told(job)

    def _is_language_right(self, asked: dict[str, object]) -> bool:
        ways = {"LanguageCode", "IdentifyLanguage", "IdentifyMultipleLanguages"} & set(asked)
        options = asked.get("LanguageOptions", [])
        assert isinstance(options, list)
        dialects = {str(tag).partition("-")[0] for tag in options}
        return (
            self.check(len(ways) == 1, "one way to tell the language")
            and self.check(len(options) != 1, "two options or none")
            and self.check(not options or "IdentifyLanguage" in ways, "options without detection")
            and self.check(len(dialects) == len(options), "two dialects of a language")
        )

    def _complaint(self, recording: bytes, media_format: str) -> str:
        found = sniff(recording)
        if found is None or {"m4a": "mp4"}.get(found.extension, found.extension) != media_format:
            return f"{LEAK}: The media format provided does not match the detected media format."
        if media_format == "wav":
            header = read_wav_header(recording)
            if header is None or header.frames < header.format.rate / 2:
                return f"{LEAK}: Invalid file size: file size too small."
        return ""

    def _look(self, job: FakeJob) -> web.Response:
        job.looks -= 1
        if job.status == "IN_PROGRESS" and job.asked["key"] not in self.objects:
            job.status, job.reason = "FAILED", "The recording is gone."
        elif job.status == "IN_PROGRESS" and job.looks <= 0:
            job.status = "FAILED" if job.reason else "COMPLETED"
        if job.status == "COMPLETED":
            self.objects[str(job.asked["OutputKey"])] = self.broken_result or self._result(job)
        return self._told(job)

    def _drop(self, job: FakeJob) -> web.Response:
        self._look(job)
        if job.status == "IN_PROGRESS":
            return self._refused(coded(400, "BadRequestException"))
        del self.jobs[str(job.asked["TranscriptionJobName"])]
        return web.Response(body=b"")

    def _told(self, job: FakeJob) -> web.Response:
        told: dict[str, object] = {
            "TranscriptionJobName": job.asked["TranscriptionJobName"],
            "TranscriptionJobStatus": job.status,
            "CreationTime": 1795219200.123,
        }
        if job.status == "FAILED":
            told["FailureReason"] = job.reason
        if "LanguageCode" in job.asked:
            told["LanguageCode"] = job.asked["LanguageCode"]
        elif job.status == "COMPLETED":
            told |= {"LanguageCode": "en-IN", "IdentifiedLanguageScore": 0.97}
        return web.json_response(
            {"TranscriptionJob": told}, content_type="application/x-amz-json-1.1"
        )

    def _result(self, job: FakeJob) -> bytes:
        has_speakers = "Settings" in job.asked
        return result(job.asked["TranscriptionJobName"], has_speakers=has_speakers)

    async def _live(self, request: web.Request) -> web.StreamResponse:
        if not self._is_presigned(request) or not self._is_query_right(request):
            return web.Response(status=403, text=LEAK)
        socket = await self.upgraded(request)
        buffer, heard = EventStreamBuffer(), 0
        while isinstance(message := await self.received(socket), bytes):
            buffer.add_data(message)
            for event in buffer:
                self._check_audio(event)
                heard += len(event.payload)
                self.listen(event.payload)
                self.live_seconds = heard / 32_000
                if self.live_exception:
                    await socket.send_bytes(frame("exception", self.live_exception, b"{}"))
                    await socket.close()
                else:
                    await self._hear(socket, heard / 32_000, is_over=not event.payload)
        return socket

    async def _hear(self, socket: web.WebSocketResponse, end: float, *, is_over: bool) -> None:
        if self.hears:
            text = "Hello." if is_over else "hello"
            await socket.send_bytes(heard_event(text, 0.0, end, partial=not is_over))
        if is_over:
            await socket.close()

    def _is_presigned(self, request: web.Request) -> bool:
        query = request.query
        signed_url, _, signature = request.raw_path.partition("&X-Amz-Signature=")
        asked = AWSRequest("GET", f"http://{request.host}{signed_url}")
        asked.context["timestamp"] = query.get("X-Amz-Date", "")
        auth = SigV4Auth(Credentials(ACCESS_KEY, self.KEY), "transcribe", REGION)
        again = auth.signature(auth.string_to_sign(asked, auth.canonical_request(asked)), asked)
        day = query.get("X-Amz-Date", "")[:8]
        scope = f"{ACCESS_KEY}/{day}/{REGION}/transcribe/aws4_request"
        return (
            self.check(query.get("X-Amz-Credential") == scope, "wrong scope")
            and self.check(int(query.get("X-Amz-Expires", "999")) <= 300, "valid for too long")
            and self.check(query.get("X-Amz-SignedHeaders") == "host", "host must be signed")
            and self.check(again == signature, "wrong signature")
        )

    def _is_query_right(self, request: web.Request) -> bool:
        query = {name: text for name, text in request.query.items() if name[:6] != "X-Amz-"}
        options = query.get("language-options", "").split(",")
        return (
            self.check(query.pop("media-encoding", "") == "pcm", "not PCM")
            and self.check(query.pop("sample-rate", "") == "16000", "not 16 kHz")
            and self.check(query.pop("show-speaker-label", "true") == "true", "not a boolean")
            and self.check(
                set(query) in ({"language-code"}, {"identify-language", "language-options"}),
                f"one way to tell the language, not {query}",
            )
            and self.check("language-code" in query or len(options) > 1, "two options at least")
        )

    def _check_audio(self, event: "EventStreamBuffer") -> None:
        self.check(
            event.headers
            == {
                ":content-type": "application/octet-stream",
                ":event-type": "AudioEvent",
                ":message-type": "event",
            },
            f"headers {event.headers}",
        )
        self.check(len(event.payload) <= _LONGEST_AUDIO_EVENT, "too long an event")
        self.check(len(event.payload) % 2 == 0, "half a sample")


def result(name: object, *, has_speakers: bool = False) -> bytes:
    """Return a result file as the developer guide shows it."""
    label = {"speaker_label": "spk_0"} if has_speakers else {}
    items: list[dict[str, object]] = [
        {
            "id": at, "type": "pronunciation", "start_time": str(start), "end_time": str(end),
            "alternatives": [{"confidence": "0.99", "content": word}], **label,
        }
        for at, (word, start, end) in enumerate(WORDS)
    ]  # fmt: skip
    mark = {"confidence": "0.0", "content": "."}
    items.append({"id": 3, "type": "punctuation", "alternatives": [mark], **label})
    results: dict[str, object] = {
        "transcripts": [{"transcript": "hello from amazon."}],
        "items": items,
        "language_code": "en-US",
    }
    if has_speakers:
        results["speaker_labels"] = {"speakers": 1, "segments": []}
    return json.dumps(
        {"jobName": name, "accountId": "1", "status": "COMPLETED", "results": results}
    ).encode()


def frame(kind: str, name: str, payload: bytes) -> bytes:
    """Return a message of the server in the event-stream encoding."""
    headers = {
        ":message-type": kind,
        f":{kind}-type": name,
        ":content-type": "application/json",
    }
    packed = b"".join(
        struct.pack("!B", len(key))
        + key.encode()
        + struct.pack("!BH", 7, len(text))
        + text.encode()
        for key, text in headers.items()
    )
    start = struct.pack("!II", 16 + len(packed) + len(payload), len(packed))
    whole = start + struct.pack("!I", zlib.crc32(start)) + packed + payload
    return whole + struct.pack("!I", zlib.crc32(whole))


def heard_event(text: str, start: float, end: float, *, partial: bool = False) -> bytes:
    """Return a `TranscriptEvent`."""
    word, mark = text.rstrip("."), text[len(text.rstrip(".")) :]
    items: list[dict[str, object]] = [
        {
            "Content": word, "StartTime": start, "EndTime": end, "Type": "pronunciation",
            "VocabularyFilterMatch": False, "Confidence": 0.9, "Speaker": None,
        }
    ]  # fmt: skip
    if mark:
        items.append({"Content": mark, "StartTime": end, "EndTime": end, "Type": "punctuation"})
    heard = {
        "ResultId": "r1",
        "StartTime": start,
        "EndTime": end,
        "IsPartial": partial,
        "Alternatives": [{"Transcript": text, "Items": items, "Entities": []}],
    }
    payload = json.dumps({"Transcript": {"Results": [heard]}}).encode()
    return frame("event", "TranscriptEvent", payload)
