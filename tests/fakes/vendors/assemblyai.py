"""AssemblyAI as its documents describe it: upload, transcript jobs, sentences, the v3 socket."""

import json
from collections.abc import Mapping
from typing import ClassVar
from uuid import uuid4

import msgspec
from aiohttp import web
from attrs import define, field

from tests.fakes.vendors.base import Refusal, VendorFake, seconds_of, spread

TEXT = "Smoke from hundreds of wildfires"
WORDS = TEXT.split()
FIELDS: Mapping[str, type] = {
    "audio_url": str,
    "speech_models": list,
    "language_code": str,
    "language_detection": bool,
    "language_detection_options": dict,
    "speaker_labels": bool,
    "prompt": str,
    "temperature": float,
}
MODELS = {"universal-3-5-pro", "universal-2"}
LIVE_FIELDS: Mapping[str, set[str]] = {
    "sample_rate": {"16000"},
    "encoding": {"pcm_s16le"},
    "format_turns": {"true", "false"},
    "language_detection": {"true", "false"},
    "speaker_labels": {"true", "false"},
    "speech_model": {
        "universal-3-6-pro",
        "universal-streaming-english",
        "universal-streaming-multilingual",
        "whisper-rt",
    },
}
BYTES_PER_MS = 32


def complaint(text: str) -> bytes:
    return json.dumps({"error": f"LEAK {text}"}).encode()


@define
class Job:
    """A transcript under way."""

    wish: dict[str, object]
    audio: bytes
    seconds: float
    polls: int = 0
    is_stuck: bool = False


@define
class Session:
    """A live session as it went."""

    query: dict[str, str]
    audio: bytearray = field(factory=bytearray)
    said: list[object] = field(factory=list)


class AssemblyAIFake(VendorFake):
    """`jobs` are those not deleted; `failure` fails all jobs, `live` says how sessions go."""

    VENDOR: ClassVar[str] = "assemblyai"
    MODEL: ClassVar[str] = "universal-2"
    refusals: ClassVar[Mapping[str, Refusal]] = {
        "rate-limited": Refusal(
            status=429, body=complaint("Too many requests"), headers={"Retry-After": "7"}
        ),
        "error": Refusal(status=500, body=complaint("Internal Server Error")),
        "unavailable": Refusal(status=503, body=b""),
        "gateway": Refusal(status=504, body=b""),
        "unauthorized": Refusal(status=401, body=complaint("Authentication error, API token")),
        "forbidden": Refusal(status=403, body=complaint("Cannot access uploaded file")),
        "missing": Refusal(status=404, body=complaint("Not found")),
        "quota": Refusal(
            status=400, body=complaint("Your current account balance is negative. Please top up")
        ),
        "locale": Refusal(status=400, body=complaint("language_code is not supported")),
    }

    def __init__(self) -> None:
        super().__init__()
        self.uploads: dict[str, bytes] = {}
        self.jobs: dict[str, Job] = {}
        self.wishes: list[dict[str, object]] = []
        self.polls = 1
        """Questions that are answered with `processing`."""
        self.stuck_above: int | None = None
        """Bytes of a recording whose job is never done."""
        self.failure = ""
        self.answer: dict[str, object] = {}
        """What differs from the honest transcript."""
        self.live = "ok"
        self.sessions: list[Session] = []

    def settings_table(self) -> dict[str, object]:
        """Return the table that points the plugin at this server."""
        return {
            "api_key": self.KEY,
            "base_url": self.url,
            "stream_url": self.socket_url,
            "poll_interval": 0.01,
        }

    def routes(self) -> list[web.AbstractRouteDef]:
        return [
            web.post("/v2/upload", self._upload),
            web.post("/v2/transcript", self._create),
            web.get("/v2/transcript/{id}", self._get),
            web.get("/v2/transcript/{id}/sentences", self._sentences),
            web.delete("/v2/transcript/{id}", self._delete),
            web.get("/v3/ws", self._talk),
        ]

    def _is_known(self, request: web.Request) -> bool:
        return self.check(
            request.headers.get("Authorization") == self.KEY, "wrong or missing Authorization"
        )

    def _refused(self, name: str) -> web.Response:
        refusal = self.refusals[name]
        return web.Response(status=refusal.status, body=refusal.body)

    async def _upload(self, request: web.Request) -> web.Response:
        if not self._is_known(request):
            return self._refused("unauthorized")
        is_binary = request.content_type == "application/octet-stream"
        if not self.check(is_binary, f"upload is {request.content_type}"):
            return self._refused("locale")
        url = f"{self.url}/upload/{uuid4()}"
        self.uploads[url] = await request.read()
        return web.json_response({"upload_url": url})

    async def _create(self, request: web.Request) -> web.Response:
        if not self._is_known(request):
            return self._refused("unauthorized")
        wish = await request.json()
        self.wishes.append(wish)
        if not self.check(self._is_documented(wish), f"undocumented wish {wish}"):
            return self._refused("locale")
        audio = self.uploads[wish["audio_url"]]
        id_ = str(uuid4())
        self.jobs[id_] = Job(wish, audio, seconds_of(audio))
        self.jobs[id_].is_stuck = self.stuck_above is not None and len(audio) > self.stuck_above
        self.changed()
        return web.json_response({"id": id_, "status": "queued", "audio_url": wish["audio_url"]})

    def _is_documented(self, wish: dict[str, object]) -> bool:
        models = wish.get("speech_models")
        options = wish.get("language_detection_options", {})
        return (
            all(isinstance(value, FIELDS.get(name, ())) for name, value in wish.items())
            and wish.get("audio_url") in self.uploads
            and isinstance(models, list)
            and bool(models)
            and set(models) <= MODELS
            and isinstance(options, dict)
            and set(options) <= {"expected_languages", "fallback_language", "code_switching"}
            and ("language_code" in wish) != ("language_detection" in wish)
        )

    async def _get(self, request: web.Request) -> web.Response:
        if not self._is_known(request):
            return self._refused("unauthorized")
        job = self.jobs.get(request.match_info["id"])
        if job is None:
            return self._refused("missing")
        job.polls += 1
        base = {"id": request.match_info["id"], "audio_url": job.wish["audio_url"]}
        if job.is_stuck or job.polls <= self.polls:
            return web.json_response({**base, "status": "processing", "text": None, "words": None})
        failure = self.failure or ("" if job.seconds else "Transcoding failed. No audio found")
        if failure:
            return web.json_response({**base, "status": "error", "error": f"LEAK {failure}"})
        return web.json_response({**base, **self._completed(job), **self.answer})

    def _completed(self, job: Job) -> dict[str, object]:
        words = self._words(job)
        whole = {"text": TEXT, "start": 0, "end": words[-1]["end"], "confidence": 0.9}
        is_labelled = job.wish.get("speaker_labels", False)
        return {
            "status": "completed",
            "text": TEXT,
            "confidence": 0.96,
            "audio_duration": int(job.seconds),
            "language_code": job.wish.get("language_code", "en_us"),
            "language_confidence": None if "language_code" in job.wish else 0.99,
            "words": words,
            "utterances": [{**whole, "speaker": "A", "words": words}] if is_labelled else None,
        }

    def _words(self, job: Job) -> list[dict[str, object]]:
        return [
            {
                "text": text,
                "start": int(1000 * start),
                "end": int(1000 * end),
                "confidence": 0.97,
                "speaker": "A" if job.wish.get("speaker_labels") else None,
            }
            for text, start, end in spread(TEXT, job.seconds)
        ]

    async def _sentences(self, request: web.Request) -> web.Response:
        if not self._is_known(request):
            return self._refused("unauthorized")
        words = self._words(self.jobs[request.match_info["id"]])
        halves = (words[:2], words[2:])
        sentences = [
            {
                "text": " ".join(str(word["text"]) for word in half),
                "start": half[0]["start"],
                "end": half[-1]["end"],
                "confidence": 0.9,
                "words": half,
                "speaker": None,
            }
            for half in halves
        ]
        answer = {"id": request.match_info["id"], "confidence": 0.9, "sentences": sentences}
        return web.json_response({**answer, "audio_duration": 1})

    async def _delete(self, request: web.Request) -> web.Response:
        if not self._is_known(request):
            return self._refused("unauthorized")
        job = self.jobs.pop(request.match_info["id"])
        del self.uploads[str(job.wish["audio_url"])]
        self.changed()
        deleted = {"id": request.match_info["id"], "audio_url": "http://deleted_by_user"}
        return web.json_response({**deleted, "status": "completed", "text": "Deleted by user."})

    async def _talk(self, request: web.Request) -> web.StreamResponse:
        session = Session(dict(request.query))
        self.sessions.append(session)
        if not self._is_known(request):
            return self._refused("unauthorized")
        self.check(self._is_session(session.query), f"undocumented query {session.query}")
        socket = await self.upgraded(request)
        kind, _, code = self.live.partition(":")
        if kind == "refuse":
            error = {"type": "Error", "error_code": int(code), "error": "LEAK no"}
            await socket.send_json(error)
        if kind in {"refuse", "close"}:
            await socket.close(code=int(code), message=b"LEAK no")
        if kind == "mute":
            await self.received(socket)
        if kind in {"refuse", "close", "mute"}:
            return socket
        await socket.send_json({"type": "Begin", "id": str(uuid4()), "expires_at": 1_800_000_000})
        await self._listen(socket, session)
        return socket

    def _is_session(self, query: dict[str, str]) -> bool:
        codes = msgspec.json.decode(query.get("language_codes", "[]"), type=list[str])
        others = {name: value for name, value in query.items() if name != "language_codes"}
        return (
            all(value.lower() in LIVE_FIELDS.get(name, ()) for name, value in others.items())
            and {"sample_rate", "encoding", "speech_model"} <= set(others)
            and all(code.islower() for code in codes)
        )

    async def _listen(self, socket: web.WebSocketResponse, session: Session) -> None:
        while (message := await self.received(socket)) is not None:
            if isinstance(message, str):
                session.said.append(json.loads(message))
                await self._end(socket, session)
                return
            is_fair = 50 * BYTES_PER_MS <= len(message) <= 1000 * BYTES_PER_MS
            session.audio += message
            self.listen(message)
            self.changed()
            if not self.check(is_fair, f"chunk of {len(message)} bytes"):
                await socket.close(code=3007)
            elif self.live.startswith("error:"):
                code = int(self.live.partition(":")[2])
                await socket.send_json({"type": "Error", "error_code": code, "error": "LEAK no"})
                await socket.close(code=code)
            elif self.live == "early":
                await socket.close()
            elif self.live != "silent" and self.hears:
                await socket.send_json(self._turn(session, said=1))

    def _turn(self, session: Session, *, said: int, **changes: object) -> dict[str, object]:
        words = [
            {
                "text": text,
                "start": 100 * place,
                "end": 100 * place + 80,
                "confidence": 0.9,
                "word_is_final": place < said,
            }
            for place, text in enumerate(WORDS[: said + 1])
        ]
        turn: dict[str, object] = {
            "type": "Turn",
            "turn_order": 0,
            "turn_is_formatted": False,
            "end_of_turn": False,
            "transcript": " ".join(WORDS[:said]),
            "end_of_turn_confidence": 0.4,
            "words": words,
            **changes,
        }
        if session.query.get("language_detection") == "true":
            turn |= {"language_code": "en", "language_confidence": 0.9}
        if session.query.get("speaker_labels") == "true":
            turn["speaker_label"] = "A"
        return turn

    async def _end(self, socket: web.WebSocketResponse, session: Session) -> None:
        if self.live in {"silent", "never"}:
            await self.received(socket)
            return
        ended = self._turn(session, said=len(WORDS), end_of_turn=True)
        if self.hears:
            await socket.send_json(ended)
        if self.hears and self.live != "unformatted":
            whole = f"{ended['transcript']}."
            await socket.send_json({**ended, "turn_is_formatted": True, "transcript": whole})
        seconds = len(session.audio) // (1000 * BYTES_PER_MS)
        await socket.send_json(
            {
                "type": "Heartbeat",
                "total_audio_received_ms": 1000 * seconds,
                "total_duration_ms": 1000 * seconds,
                "realtime_factor": 1.0,
            }
        )
        await socket.send_json(
            {
                "type": "Termination",
                "audio_duration_seconds": seconds,
                "session_duration_seconds": seconds,
            }
        )
        await socket.close()
