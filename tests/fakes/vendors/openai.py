"""OpenAI's transcription: files in one request, live speech over the realtime WebSocket."""

import json
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Mapping
from email import message_from_bytes
from email.message import Message
from typing import Annotated, ClassVar, Literal, cast

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from junctor.core.audio.sniff import sniff
from tests.fakes.vendors.base import Refusal, VendorFake, seconds_of, spread

TEXT = "hello from openai"
FORMATS = {
    "gpt-transcribe": {"json"},
    "gpt-4o-transcribe": {"json"},
    "gpt-4o-mini-transcribe": {"json"},
    "gpt-4o-transcribe-diarize": {"json", "text", "diarized_json"},
    "whisper-1": {"json", "text", "srt", "verbose_json", "vtt"},
}
DIARIZE = "gpt-4o-transcribe-diarize"
EXTENSIONS = {"flac", "mp3", "mp4", "mpeg", "mpga", "m4a", "ogg", "wav", "webm"}
FIELDS = {
    "model", "language", "languages[]", "keywords[]", "prompt", "response_format", "temperature",
    "include[]", "timestamp_granularities[]", "stream", "chunking_strategy",
}  # fmt: skip
LARGEST = 25 * 1024 * 1024
RATE = 24_000
SHORTEST_COMMIT = RATE * 2 // 10


class Strict(Struct, forbid_unknown_fields=True):
    """What the documentation does not name is refused."""


class Pcm(Strict):
    type: Literal["audio/pcm"]
    rate: Literal[24000]


class Transcription(Strict):
    model: Literal["gpt-live-transcribe", "gpt-realtime-whisper"]
    language: Annotated[str, Meta(pattern="^[a-z]{2,3}$")] | None = None
    languages: Annotated[list[str], Meta(min_length=1)] | None = None
    prompt: str | None = None
    delay: Literal["minimal", "low", "medium", "high", "xhigh"] | None = None


class Input(Strict):
    format: Pcm
    transcription: Transcription
    turn_detection: None
    noise_reduction: None = None


class Audio(Strict):
    input: Input


class LiveSession(Strict):
    type: Literal["transcription"]
    audio: Audio


class Update(Strict, tag="session.update"):
    session: LiveSession


class Append(Strict, tag="input_audio_buffer.append"):
    audio: str


class Commit(Strict, tag="input_audio_buffer.commit"):
    pass


class Clear(Strict, tag="input_audio_buffer.clear"):
    pass


Event = Update | Append | Commit | Clear


def coded(status: int, type_: str, code: str | None, **headers: str) -> Refusal:
    """Return an error in OpenAI's envelope."""
    error = {"message": f"LEAK {code}", "type": type_, "param": None, "code": code}
    return Refusal(status=status, body=json.dumps({"error": error}).encode(), headers=headers)


class OpenAIFake(VendorFake):
    """Hears `TEXT` in every file, and what `turns` say in live speech."""

    VENDOR: ClassVar[str] = "openai"
    MODEL: ClassVar[str] = "gpt-transcribe"
    refusals: ClassVar[Mapping[str, Refusal]] = {
        "rate-limited": coded(429, "requests", "rate_limit_exceeded", **{"Retry-After": "7"}),
        "error": coded(500, "server_error", None),
        "unavailable": coded(503, "server_error", "unavailable"),
        "unauthorized": coded(401, "invalid_request_error", "invalid_api_key"),
        "quota": coded(429, "insufficient_quota", "insufficient_quota"),
        "locale": coded(400, "invalid_request_error", "unsupported_language"),
    }

    def __init__(self) -> None:
        super().__init__()
        self.turns: list[str] = []
        """What the turns of a live session say; `hello` where it is over."""
        self.bad_news: dict[str, object] = {}
        """An event that is sent in place of each completed turn."""
        self.is_backward = False
        """Whether the text of every turn comes after that of the next one."""
        self.updates: list[Update] = []
        """How sessions were set up."""
        self.live_bytes: list[int] = []
        """Length of each committed turn."""
        self.cleared = 0
        """How often audio was taken back."""

    def settings_table(self) -> dict[str, object]:
        provider = {
            "api_key": self.KEY,
            "base_url": f"{self.url}/v1",
            "realtime_url": f"{self.socket_url}/v1/realtime",
            "default_models": True,
        }
        return {"providers": {"openai": provider}}

    def routes(self) -> list[web.AbstractRouteDef]:
        return [
            web.post("/v1/audio/transcriptions", self._transcribe),
            web.get("/v1/realtime", self._realtime),
        ]

    def _refused(self, name: str, problem: str) -> web.Response:
        self.check(False, problem)
        refusal = self.refusals[name]
        return web.Response(
            status=refusal.status, body=refusal.body, content_type="application/json"
        )

    def _is_ours(self, request: web.Request) -> bool:
        return request.headers.get("Authorization") == f"Bearer {self.KEY}"

    async def _transcribe(self, request: web.Request) -> web.Response:
        if not self._is_ours(request):
            return self._refused("unauthorized", "the key is wrong")
        head = f"Content-Type: {request.headers.get('Content-Type')}\r\n\r\n".encode()
        parts = message_from_bytes(head + await request.read()).get_payload()
        fields: list[tuple[str, str]] = []
        audio, name = b"", ""
        for part in cast("list[Message]", parts if isinstance(parts, list) else []):
            content = cast("bytes", part.get_payload(decode=True))
            field = part.get_param("name", header="content-disposition")
            if field == "file":
                audio, name = content, part.get_filename() or ""
            else:
                fields.append((str(field), content.decode()))
        if problem := self._problem(fields, audio, name):
            return self._refused("locale", problem)
        return web.json_response(self._answer(fields, seconds_of(audio)))

    def _problem(self, fields: list[tuple[str, str]], audio: bytes, name: str) -> str:
        """Return what is wrong with a form; empty for nothing."""
        form = dict(fields)
        model, shape = form.get("model", ""), form.get("response_format", "json")
        several = "languages[]" in form
        found = sniff(audio)
        checks = {
            "unknown model": model in FORMATS,
            "unknown field": FIELDS.issuperset(form),
            f"no {shape} from {model}": shape in FORMATS.get(model, ()),
            "languages[] is for gpt-transcribe": several == (several and model == "gpt-transcribe"),
            "language is not for gpt-transcribe": "language" not in form or (model in FORMATS and model != "gpt-transcribe"),
            "granularities need verbose_json": "timestamp_granularities[]" not in form or shape == "verbose_json",
            "no prompt for speakers": model != DIARIZE or "prompt" not in form,
            "over 30 seconds without chunking": model != DIARIZE or form.get("chunking_strategy") == "auto",
            "a language is ISO 639-1": all(len(text) == 2 for field, text in fields if field.startswith("language")),
            "the file's extension": name.rpartition(".")[2] in EXTENSIONS,
            "the file is not audio": found is not None and seconds_of(audio) > 0,
            "the file is too large": len(audio) <= LARGEST,
        }  # fmt: skip
        return "; ".join(problem for problem, is_right in checks.items() if not is_right)

    def _answer(self, fields: list[tuple[str, str]], seconds: float) -> dict[str, object]:
        form = dict(fields)
        answer: dict[str, object] = {"text": TEXT}
        match form.get("response_format"):
            case "diarized_json":
                segment = {
                    "type": "transcript.text.segment", "id": "seg_001", "start": 0.0,
                    "end": seconds, "text": TEXT, "speaker": "A",
                }  # fmt: skip
                answer |= {"task": "transcribe", "duration": seconds, "segments": [segment]}
            case "verbose_json":
                answer |= self._verbose(fields, seconds)
            case _ if form["model"] == "gpt-transcribe":
                answer["languages"] = [{"code": form.get("languages[]", "en")}]
        return {**answer, "usage": {"type": "duration", "seconds": round(seconds)}}

    def _verbose(self, fields: list[tuple[str, str]], seconds: float) -> dict[str, object]:
        segment = {
            "id": 0, "seek": 0, "start": 0.0, "end": seconds, "text": f" {TEXT}", "tokens": [1],
            "temperature": 0.0, "avg_logprob": -0.28, "compression_ratio": 1.2,
            "no_speech_prob": 0.009,
        }  # fmt: skip
        answer: dict[str, object] = {"language": "english", "duration": seconds}
        answer["segments"] = [segment]
        if ("timestamp_granularities[]", "word") in fields:
            answer["words"] = [
                {"word": word, "start": start, "end": end}
                for word, start, end in spread(TEXT, seconds)
            ]
        return answer

    async def _realtime(self, request: web.Request) -> web.StreamResponse:
        if not self._is_ours(request) or request.query.get("intent") != "transcription":
            return self._refused("unauthorized", "the key or the intent is wrong")
        socket = await self.upgraded(request)
        await socket.send_json({"type": "session.created", "event_id": "e0", "session": {}})
        conversation = Conversation(self, socket)
        while isinstance(message := await self.received(socket), str):
            if not await conversation.takes(message):
                break
        await socket.close()
        return socket


class Conversation:
    """One realtime session."""

    def __init__(self, fake: OpenAIFake, socket: web.WebSocketResponse) -> None:
        self._fake = fake
        self._socket = socket
        self._buffer = 0
        self._turns = 0
        self._held: list[dict[str, object]] = []

    async def takes(self, message: str) -> bool:
        """Answer an event of the client; say whether it was a right one."""
        try:
            event: Event = msgspec.json.decode(message, type=Event)
        except msgspec.DecodeError as exc:
            self._fake.check(False, f"{exc}: {message[:200]}")
            return await self._complain("invalid_request_error", "unknown_parameter")
        match event:
            case Update():
                self._fake.updates.append(event)
                await self._send("session.updated", session={})
                return True
            case Append():
                return await self._append(event.audio)
            case Commit():
                return await self._commit()
            case Clear():
                self._buffer = 0
                self._fake.cleared += 1
                await self._send("input_audio_buffer.cleared")
                return True

    async def _append(self, audio: str) -> bool:
        try:
            pcm = b64decode(audio, validate=True)
        except Base64Error:
            return self._fake.check(False, "not Base64")
        self._buffer += len(pcm)
        return self._fake.check(
            bool(self._fake.updates) and len(pcm) % 2 == 0, "audio before the session, or odd"
        )

    async def _commit(self) -> bool:
        if not self._fake.check(self._buffer >= SHORTEST_COMMIT, "commit of under 100 ms"):
            return await self._complain("invalid_request_error", "input_audio_buffer_commit_empty")
        self._fake.live_bytes.append(self._buffer)
        self._buffer = 0
        item = {"item_id": f"item_{self._turns}"}
        said = self._fake.turns[self._turns] if self._turns < len(self._fake.turns) else "hello"
        self._turns += 1
        await self._send("input_audio_buffer.committed", previous_item_id=None, **item)
        if self._fake.bad_news:
            await self._socket.send_json(self._fake.bad_news)
            return True
        for word in said.split():
            await self._tell("delta", {**item, "content_index": 0, "delta": f" {word}"})
        usage = {"type": "duration", "seconds": 1}
        done = {**item, "content_index": 0, "transcript": said, "languages": [], "usage": usage}
        self._held.append(done)
        if not self._fake.is_backward or len(self._held) == 2:
            while self._held:
                await self._tell("completed", self._held.pop())
        return True

    async def _tell(self, what: str, event: Mapping[str, object]) -> None:
        await self._send(f"conversation.item.input_audio_transcription.{what}", **event)

    async def _send(self, type_: str, **event: object) -> None:
        await self._socket.send_json({"type": type_, "event_id": "e1", **event})

    async def _complain(self, type_: str, code: str) -> bool:
        await self._send("error", error={"type": type_, "code": code, "message": "LEAK"})
        return False
