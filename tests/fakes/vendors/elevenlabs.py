"""ElevenLabs as its documents describe it: speech to text, recorded and realtime."""

import json
from base64 import b64decode
from collections.abc import Mapping
from email import message_from_bytes
from typing import ClassVar

from aiohttp import web
from attrs import define, field

from tests.fakes.vendors.base import Refusal, VendorFake, seconds_of, spread

TEXT = "With a soft whispery accent"
BOOLEAN = {"true", "false"}
CODES = {"en", "hi", "th", "no", "de", "ta"}
FIELDS: Mapping[str, set[str]] = {
    "model_id": {"scribe_v1", "scribe_v2", "scribe_v2_medical", "scribe_v3"},
    "timestamps_granularity": {"none", "word", "character"},
    "tag_audio_events": BOOLEAN,
    "language_code": CODES,
    "secondary_language_codes": CODES,
    "diarize": BOOLEAN,
    "temperature": {"0.5", "1", "2"},
}
LIVE_FIELDS: Mapping[str, set[str]] = {
    "model_id": {"scribe_v2_realtime", "scribe_v2_realtime_turbo", "scribe_v2_realtime_lite"},
    "audio_format": {"pcm_16000"},
    "commit_strategy": {"vad", "manual"},
    "include_timestamps": BOOLEAN,
    "include_language_detection": BOOLEAN,
    "language_code": CODES,
    "secondary_languages": CODES,
    "enable_logging": BOOLEAN,
}
CHUNK = {"message_type", "audio_base_64", "commit", "sample_rate"}
BYTES_PER_SECOND = 32_000
SHORTEST = 0.3


def refusal(status: int, name: str, *, key: str = "status", **headers: str) -> Refusal:
    body = {"detail": {key: name, "message": f"LEAK {name}"}}
    return Refusal(status=status, body=json.dumps(body).encode(), headers=headers)


@define
class Session:
    """A live session as it went."""

    query: list[tuple[str, str]]
    audio: bytearray = field(factory=bytearray)
    uncommitted: int = 0
    commits: int = 0


class ElevenLabsFake(VendorFake):
    """`answer` differs from the honest one; `live` says how sessions go."""

    VENDOR: ClassVar[str] = "elevenlabs"
    MODEL: ClassVar[str] = "scribe_v2"
    refusals: ClassVar[Mapping[str, Refusal]] = {
        "rate-limited": refusal(429, "too_many_concurrent_requests", **{"Retry-After": "7"}),
        "busy": refusal(429, "system_busy"),
        "error": Refusal(status=500, body=b"LEAK Internal Server Error"),
        "unavailable": Refusal(status=503, body=b""),
        "unauthorized": refusal(401, "invalid_api_key"),
        "unauthorized-400": refusal(400, "invalid_api_key"),
        "unusual": refusal(401, "detected_unusual_activity"),
        "forbidden": refusal(403, "only_for_creator+"),
        "quota": refusal(401, "quota_exceeded"),
        "quota-400": refusal(400, "quota_exceeded"),
        "quota-code": refusal(429, "quota_exceeded", key="code"),
        "payment": Refusal(status=402, body=b""),
        "locale": refusal(400, "unsupported_language"),
        "media": refusal(400, "invalid_content"),
        "sentence": Refusal(status=400, body=b'{"detail": "LEAK sentence"}'),
        "fields": Refusal(
            status=422,
            body=b'{"detail": [{"loc": ["body", "model_id"], "msg": "LEAK", "type": "enum"}]}',
        ),
    }

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[dict[str, list[str]]] = []
        self.files: list[tuple[str, str, bytes]] = []
        """File name, media type and bytes of each recording."""
        self.answer: dict[str, object] = {}
        """What differs from the honest answer."""
        self.live = "ok"
        self.sessions: list[Session] = []

    def settings_table(self) -> dict[str, object]:
        """Return the table that points the plugin at this server."""
        return {
            "api_key": self.KEY,
            "base_url": self.url,
            "stream_url": self.socket_url,
            "closing_grace": 0.1,
        }

    def routes(self) -> list[web.AbstractRouteDef]:
        return [
            web.post("/v1/speech-to-text", self._transcribe),
            web.get("/v1/speech-to-text/realtime", self._talk),
        ]

    def _refused(self, name: str) -> web.Response:
        found = self.refusals[name]
        return web.Response(status=found.status, body=found.body)

    def _is_known(self, request: web.Request) -> bool:
        return self.check(
            request.headers.get("xi-api-key") == self.KEY, "wrong or missing xi-api-key"
        )

    async def _transcribe(self, request: web.Request) -> web.Response:
        if not self._is_known(request):
            return self._refused("unauthorized")
        query = [(name, value in BOOLEAN) for name, value in request.query.items()]
        self.check(query in ([], [("enable_logging", True)]), f"undocumented query {query}")
        form, audio = self._form(request.headers["Content-Type"], await request.read())
        if not self.check(self._is_documented(form), f"undocumented form {form}"):
            return self._refused("fields")
        seconds = seconds_of(audio)
        if seconds < 0.1:
            return self._refused("media")
        return web.json_response({**self._heard(form, seconds), **self.answer})

    def _form(self, content_type: str, body: bytes) -> tuple[dict[str, list[str]], bytes]:
        message = message_from_bytes(f"Content-Type: {content_type}\r\n\r\n".encode() + body)
        form: dict[str, list[str]] = {}
        audio = b""
        for part in message.walk():
            name = part.get_param("name", header="content-disposition")
            content = part.get_payload(decode=True)
            if not isinstance(name, str) or not isinstance(content, bytes):
                continue
            if name == "file":
                audio = content
                self.files.append((part.get_filename() or "", part.get_content_type(), content))
            else:
                form.setdefault(name, []).append(content.decode())
        self.forms.append(form)
        return form, audio

    def _is_documented(self, form: dict[str, list[str]]) -> bool:
        is_known = all(set(values) <= FIELDS.get(name, set()) for name, values in form.items())
        return is_known and "model_id" in form

    def _heard(self, form: dict[str, list[str]], seconds: float) -> dict[str, object]:
        code = form.get("language_code", ["eng"])[0]
        return {
            "language_code": code,
            "language_probability": 0.98,
            "text": TEXT,
            "words": self._words(0.0, seconds, is_diarized="diarize" in form),
            "channel_index": None,
            "additional_formats": None,
            "transcription_id": "t-1",
            "entities": None,
            "audio_duration_secs": seconds,
        }

    def _words(
        self, start: float, seconds: float, *, is_diarized: bool = False, text: str = TEXT
    ) -> list[dict[str, object]]:
        speaker = {"speaker_id": "speaker_0" if is_diarized else None}
        words: list[dict[str, object]] = []
        for word, first, last in spread(text, seconds):
            times = {"start": start + first, "end": start + last}
            words.append({"text": word, "type": "word", "logprob": -0.12, **times, **speaker})
            space = {"start": times["end"], "end": times["end"]}
            words.append({"text": " ", "type": "spacing", "logprob": 0.0, **space, **speaker})
        return words[:-1]

    async def _talk(self, request: web.Request) -> web.StreamResponse:
        if not self._is_known(request):
            return self._refused("unauthorized")
        session = Session(list(request.query.items()))
        self.sessions.append(session)
        self.check(self._is_session(session.query), f"undocumented query {session.query}")
        socket = await self.upgraded(request)
        how, _, name = self.live.partition(":")
        if how == "mute":
            await self.received(socket)
            return socket
        if how == "refuse":
            await socket.send_json({"message_type": name, "error": f"LEAK {name}"})
            await socket.close()
            return socket
        await socket.send_json(
            {
                "message_type": "session_started",
                "session_id": "s-1",
                "config": {"sample_rate": 16000, "audio_format": "pcm_16000"},
            }
        )
        while (message := await self.received(socket)) is not None:
            await self._hear(socket, session, json.loads(message))
        return socket

    def _is_session(self, query: list[tuple[str, str]]) -> bool:
        names = {name for name, _ in query}
        is_known = all(value in LIVE_FIELDS.get(name, set()) for name, value in query)
        return is_known and {"model_id", "audio_format"} <= names

    async def _hear(
        self, socket: web.WebSocketResponse, session: Session, chunk: dict[str, object]
    ) -> None:
        is_fair = set(chunk) - {"previous_text"} == CHUNK and chunk["sample_rate"] == 16000
        self.check(is_fair, f"undocumented chunk {sorted(chunk)}")
        audio = b64decode(str(chunk["audio_base_64"]), validate=True)
        session.audio += audio
        self.listen(audio)
        session.uncommitted += len(audio)
        self.changed()
        how, _, name = self.live.partition(":")
        match how:
            case "error":
                await socket.send_json({"message_type": name, "error": f"LEAK {name}"})
                await socket.close()
            case "typed":
                error = {"message_type": "error", "error_type": name, "error": "LEAK"}
                await socket.send_json(error)
            case "early":
                await socket.close()
            case "cut":
                assert socket._req is not None
                assert socket._req.transport is not None
                socket._req.transport.abort()
            case _:
                await self._answer(socket, session, is_commit=chunk["commit"] is True)

    async def _answer(
        self, socket: web.WebSocketResponse, session: Session, *, is_commit: bool
    ) -> None:
        if is_commit and session.uncommitted < SHORTEST * BYTES_PER_SECOND:
            await self._throttle(socket)
        elif is_commit and self.live in {"throttled", "lost"}:
            if self.live == "throttled":
                await self._throttle(socket)
            await socket.close()
        elif is_commit and self.live not in {"dumb", "unfinished"}:
            if self.live == "late":  # a pause was found before the end was said
                await self._commit(socket, session, "With a soft")
            await self._commit(socket, session, TEXT)
        elif self.hears and self.live not in {"quiet", "throttled", "dumb"} and not is_commit:
            partial = {"message_type": "partial_transcript", "text": "With a"}
            await socket.send_json(partial)
            if self.live == "pauses" and session.uncommitted > BYTES_PER_SECOND:
                await self._commit(socket, session, "With a soft")

    async def _throttle(self, socket: web.WebSocketResponse) -> None:
        sentence = "LEAK Commit request ignored: only 0.02s of uncommitted audio."
        await socket.send_json({"message_type": "commit_throttled", "error": sentence})

    async def _commit(self, socket: web.WebSocketResponse, session: Session, text: str) -> None:
        session.commits += 1
        end = len(session.audio) / BYTES_PER_SECOND
        length = session.uncommitted / BYTES_PER_SECOND
        session.uncommitted = 0
        text = "" if self.live == "quiet" or not self.hears else text
        await socket.send_json({"message_type": "committed_transcript", "text": text})
        is_detecting = ("include_language_detection", "true") in session.query
        words = self._words(end - length, length, text=text) if text else []
        timed = {"text": text, "language_code": "eng" if is_detecting else None, "words": words}
        await socket.send_json({"message_type": "committed_transcript_with_timestamps", **timed})
        if is_detecting:
            name = "final_transcript_with_timestamps"
            await socket.send_json({"message_type": name, **timed})
