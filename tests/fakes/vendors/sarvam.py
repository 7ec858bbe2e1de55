"""Sarvam AI, as its documentation and the types of its SDK 0.1.39 have it (November 2026)."""

import base64
from itertools import pairwise
from typing import ClassVar

import msgspec
from aiohttp import web
from attrs import Factory, define

from junctor.core.audio.decode import decode
from junctor.core.errors import MediaError
from tests.fakes.vendors.base import Refusal, VendorFake

LANGUAGES = frozenset(
    "unknown hi-IN bn-IN kn-IN ml-IN mr-IN od-IN pa-IN ta-IN te-IN en-IN gu-IN as-IN ur-IN ne-IN "  # noqa: SIM905
    "kok-IN ks-IN sd-IN sa-IN sat-IN mni-IN brx-IN mai-IN doi-IN".split()
)
MODES = frozenset({"transcribe", "translate", "verbatim", "translit", "codemix"})
MODELS = frozenset({"saaras:v3", "saaras:v4"})
LIVE_MODELS = frozenset({"saaras:v3-realtime", "saaras:v4"})
SOCKET = "/speech-to-text-realtime/ws"
JOBS = "/speech-to-text/job/v1"


def _refusal(status: int, code: str, headers: dict[str, str] | None = None) -> Refusal:
    error = {"message": "LEAK what went wrong", "code": code, "request_id": "LEAK-1"}
    body = msgspec.json.encode({"error": error})
    return Refusal(status=status, body=body, headers=headers or {})


@define
class Job:
    """A job as the vendor keeps it."""

    parameters: dict[str, object]
    files: dict[str, bytes] = Factory(dict)
    is_started: bool = False
    asked: int = 0


class SarvamFake(VendorFake):
    """Sarvam's three ways: at once, by job, and over the realtime socket."""

    VENDOR = "sarvam"
    MODEL = "saaras:v4"
    refusals: ClassVar[dict[str, Refusal]] = {
        "rate-limited": _refusal(429, "rate_limit_exceeded_error", {"Retry-After": "7"}),
        "error": _refusal(500, "internal_server_error"),
        "unavailable": _refusal(503, "rate_limit_exceeded_error"),
        "unauthorized": _refusal(403, "invalid_api_key_error"),
        "quota": _refusal(429, "insufficient_quota_error"),
        "locale": _refusal(400, "invalid_request_error"),
        "model-call": _refusal(500, "model_call_error"),
        "gateway-timeout": _refusal(504, "gateway_timeout_error"),
        "billing-down": _refusal(503, "billing_service_unavailable_error"),
        "authentication": _refusal(400, "authentication_error"),
        "unprocessable": _refusal(422, "unprocessable_entity_error"),
        "too-large": _refusal(413, "invalid_request_error"),
        "missing": _refusal(404, "not_found_error"),
    }

    def __init__(self) -> None:
        super().__init__()
        self.answer: dict[str, object] = {
            "request_id": None,
            "transcript": "नमस्ते दुनिया",
            "timestamps": None,
            "language_code": "hi-IN",
            "language_probability": 0.97,
        }
        self.jobs: dict[str, Job] = {}
        self.states = ["Pending", "Running", "Completed"]
        """What a job is at each question; the last one stays."""
        self.detail: dict[str, object] = {
            "inputs": [{"file_name": "audio.wav", "file_id": "0"}],
            "outputs": [{"file_name": "0.json", "file_id": "1"}],
            "state": "Success",
            "error_message": None,
        }
        self.link_host = ""
        """Where links of jobs point; empty for this server."""
        self.link_status = 201
        self.heard = bytearray()
        """Audio of the realtime socket."""
        self.greeting: dict[str, object] | None = {"event": "session.begin", "request_id": "r-1"}
        self.instead: list[dict[str, object]] | int | None = None
        """What the socket sends after the first audio instead of results, or its close code."""

    def settings_table(self) -> dict[str, object]:
        """Return the table that points the plugin here."""
        return {
            "api_key": self.KEY,
            "base_url": self.url,
            "stream_url": f"{self.socket_url}{SOCKET}",
            "poll_interval": 0.02,
        }

    def routes(self) -> list[web.AbstractRouteDef]:
        """Return the paths of the API, and of the storage of jobs."""
        return [
            web.post("/speech-to-text", self._at_once),
            web.post(JOBS, self._create),
            web.post(f"{JOBS}/upload-files", self._upload_links),
            web.post(f"{JOBS}/download-files", self._download_links),
            web.post(f"{JOBS}/{{job}}/start", self._start),
            web.get(f"{JOBS}/{{job}}/status", self._status),
            web.put("/storage/{job}/{name}", self._put),
            web.get("/storage/{job}/{name}", self._get),
            web.get(SOCKET, self._talk),
        ]

    def _refuse(self, name: str) -> web.Response:
        refusal = self.refusals[name]
        return web.Response(
            status=refusal.status, body=refusal.body, content_type="application/json"
        )

    def _has_key(self, request: web.Request) -> bool:
        given = request.headers.get("api-subscription-key")
        return self.check(given == self.KEY, f"wrong key {given!r}")

    def _judge(self, wanted: dict[str, object], *, is_job: bool = False) -> bool:
        """Check the parameters that both ways have."""
        known = {"model", "language_code", "mode", "with_timestamps"}
        known |= {"with_diarization", "num_speakers"} if is_job else set()
        flags = {wanted[name] for name in ("with_timestamps", "with_diarization") if name in wanted}
        return (
            self.check(wanted.keys() <= known, f"unknown fields {wanted.keys() - known}")
            and self.check(wanted.get("model") in MODELS, "no such model")
            and self.check(wanted.get("language_code", "unknown") in LANGUAGES, "no such language")
            and self.check(wanted.get("mode", "transcribe") in MODES, "no such mode")
            and self.check(flags <= ({True} if is_job else {"true", "false"}), "not a boolean")
        )

    async def _at_once(self, request: web.Request) -> web.Response:
        if not self._has_key(request):
            return self._refuse("unauthorized")
        fields, file = _form(await request.read(), request.headers["Content-Type"])
        if not self._judge(fields):
            return self._refuse("locale")
        seconds = _seconds(file)
        if not self.check(seconds is not None and seconds <= 30, f"audio of {seconds} s"):
            return self._refuse("locale")
        answer = self.answer
        if fields.get("with_timestamps") == "true" and not answer["timestamps"]:
            answer = {**answer, "timestamps": _phrases(str(answer["transcript"]), seconds or 0)}
        return web.json_response(answer)

    async def _create(self, request: web.Request) -> web.Response:
        if not self._has_key(request):
            return self._refuse("unauthorized")
        wanted = (await request.json())["job_parameters"]
        if not self._judge(wanted, is_job=True):
            return self._refuse("locale")
        name = f"job/{len(self.jobs)}"  # to be quoted in paths
        self.jobs[name] = Job(wanted)
        return web.json_response(
            {
                "job_id": name,
                "job_state": "Accepted",
                "storage_container_type": "Azure",
                "job_parameters": wanted,
            }
        )

    def _link(self, job: str, name: str) -> dict[str, object]:
        host = self.link_host or self.url
        return {"file_url": f"{host}/storage/{job.replace('/', '-')}/{name}?sig=LEAK"}

    async def _upload_links(self, request: web.Request) -> web.Response:
        return await self._links(request, "upload_urls")

    async def _download_links(self, request: web.Request) -> web.Response:
        return await self._links(request, "download_urls")

    async def _links(self, request: web.Request, key: str) -> web.Response:
        if not self._has_key(request):
            return self._refuse("unauthorized")
        document = await request.json()
        job = document["job_id"]
        if not self.check(job in self.jobs and len(document["files"]) == 1, "no such job"):
            return self._refuse("missing")
        links = {name: self._link(job, name) for name in document["files"]}
        return web.json_response(
            {
                "job_id": job,
                "job_state": "Accepted",
                key: links,
                "storage_container_type": "Azure",
            }
        )

    def _found(self, request: web.Request) -> Job:
        return self.jobs[request.match_info["job"].replace("-", "/")]

    async def _put(self, request: web.Request) -> web.Response:
        data = await request.read()
        kind = request.headers.get("x-ms-blob-type")
        self.check(kind == "BlockBlob", "no blob type")
        self.check(_seconds(data) is not None, "not audio")
        if self.link_status == 201:
            self._found(request).files[request.match_info["name"]] = data
        return web.Response(status=self.link_status, body=b"LEAK")

    async def _start(self, request: web.Request) -> web.Response:
        job = self._found(request)
        if not self.check(bool(job.files) and not job.is_started, "nothing to start"):
            return self._refuse("locale")
        job.is_started = True
        return web.json_response(self._state(request, "Pending"))

    async def _status(self, request: web.Request) -> web.Response:
        job = self._found(request)
        self.check(job.is_started and self._has_key(request), "not started")
        state = self.states[min(job.asked, len(self.states) - 1)]
        job.asked += 1
        return web.json_response(self._state(request, state))

    def _state(self, request: web.Request, state: str) -> dict[str, object]:
        is_over = state in {"Completed", "Failed"}
        return {
            "job_state": state,
            "created_at": "2026-11-20T00:00:00Z",
            "updated_at": "2026-11-20T00:00:01Z",
            "job_id": request.match_info["job"],
            "storage_container_type": "Azure",
            "error_message": "LEAK" if state == "Failed" else "",
            "job_details": [self.detail] if is_over and self.detail else None,
        }

    async def _get(self, request: web.Request) -> web.Response:
        job = self._found(request)
        self.check(request.match_info["name"] == "0.json", "no such result")
        seconds = _seconds(next(iter(job.files.values()))) or 0.0
        answer = dict(self.answer)
        if job.parameters.get("with_timestamps"):
            answer["timestamps"] = _phrases(str(answer["transcript"]), seconds)
        if job.parameters.get("with_diarization"):
            answer["diarized_transcript"] = _diarized(str(answer["transcript"]), seconds)
        return web.json_response(answer)

    async def _talk(self, request: web.Request) -> web.StreamResponse:
        if not self._has_key(request):
            return self._refuse("unauthorized")
        query = dict(request.query)
        self.check(query.get("language_code") in {"auto", "or-IN", *LANGUAGES}, "no such language")
        self.check(query.get("language_code") not in {"unknown", "od-IN"}, "no such language here")
        self.check(query.get("model") in LIVE_MODELS, "no such model")
        self.check(query.get("encoding") == "linear16", "no such encoding")
        self.check(query.get("sample_rate") in {"8000", "16000"}, "no such rate")
        socket = await self.upgraded(request)
        if self.greeting is not None:
            await socket.send_json(self.greeting)
        while (message := await self.received(socket)) is not None:
            event = msgspec.json.decode(message, type=dict[str, str])
            if not await self._hear(socket, event):
                break
        return socket

    async def _hear(self, socket: web.WebSocketResponse, event: dict[str, str]) -> bool:
        match event.pop("event"):
            case "audio_input" if self.check(event.keys() == {"audio"}, "odd audio"):
                return await self._listen(socket, base64.b64decode(event["audio"], validate=True))
            case "flush":
                seconds = len(self.heard) / 32_000
                final = {
                    "event": "transcript.final",
                    "utterance_idx": 1,
                    "text": "last words",
                    "language": "od-IN",
                    "start_s": None,
                    "end_s": None,
                }
                if self.hears:
                    await socket.send_json(final)
                self.check(seconds > 0, "nothing was said")
            case "end":
                await socket.send_json(
                    {"event": "session.end", "request_id": "r-1", "audio_duration_s": 1.0}
                )
                await socket.close()
                return False
            case other:
                self.check(False, f"no such event {other}")
        return True

    async def _listen(self, socket: web.WebSocketResponse, audio: bytes) -> bool:
        is_first, self.heard = not self.heard, self.heard + audio
        self.listen(audio)
        self.changed()
        if not is_first:
            return True
        if isinstance(self.instead, int):
            await socket.close(code=self.instead, message=b"LEAK")
            return False
        for event in self.instead or (_EVENTS if self.hears else ()):
            await socket.send_json(event)
        return True


_EVENTS: list[dict[str, object]] = [
    {"event": "vad.speech_start", "utterance_idx": 0, "confidence": 0.9},
    {"event": "transcript.partial", "utterance_idx": 0, "text": "नम", "language": "hi-IN"},
    {"event": "error", "code": "late", "is_fatal": False, "message": "LEAK"},
    {"event": "transcript.partial", "utterance_idx": 0, "text": "नमस्ते"},
    {"event": "vad.speech_end", "utterance_idx": 0},
    {
        "event": "transcript.final",
        "utterance_idx": 0,
        "text": "नमस्ते",
        "language": "hi-IN",
        "language_confidence": 0.9,
        "start_s": 0.05,
        "end_s": 0.15,
    },
]


def _phrases(text: str, seconds: float) -> dict[str, object]:
    words = text.split()
    edges = [round(place * seconds / len(words), 6) for place in range(len(words) + 1)]
    pairs = list(pairwise(edges))
    return {
        "words": words,
        "start_time_seconds": [start for start, _ in pairs],
        "end_time_seconds": [end for _, end in pairs],
    }


def _diarized(text: str, seconds: float) -> dict[str, object]:
    phrases = text.split()
    return {
        "entries": [
            {
                "transcript": phrase,
                "start_time_seconds": place * seconds / len(phrases),
                "end_time_seconds": (place + 1) * seconds / len(phrases),
                "speaker_id": str(place),
            }
            for place, phrase in enumerate(phrases)
        ]
    }


def _seconds(data: bytes) -> float | None:
    try:
        decoded = decode(data, max_seconds=7200)
    except MediaError:
        return None
    return decoded.frames / decoded.rate


def _form(body: bytes, content_type: str) -> tuple[dict[str, object], bytes]:
    """Return the fields of a multipart form, and its file."""
    boundary = content_type.partition("boundary=")[2].encode()
    fields: dict[str, object] = {}
    file = b""
    for part in body.split(b"--" + boundary)[1:-1]:
        head, _, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        name = head.partition(b'name="')[2].partition(b'"')[0].decode()
        if b"filename=" in head:
            assert name == "file"
            file = content.removesuffix(b"\r\n")
        else:
            fields[name] = content.removesuffix(b"\r\n").decode()
    return fields, file
