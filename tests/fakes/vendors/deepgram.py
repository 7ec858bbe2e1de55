"""Deepgram on loopback, as its OpenAPI and AsyncAPI documents of 2026-07-22 say it is."""

import json
from collections.abc import Mapping, Sequence
from typing import ClassVar

from aiohttp import web

from junctor.plugins.remote.vendor import tags
from tests.fakes.vendors.base import Refusal, VendorFake, seconds_of, spread

MODELS = frozenset({
    "nova-3", "nova-3-general", "nova-3-medical", "nova-2", "nova-2-general", "nova", "enhanced",
    "base",
})  # fmt: skip
FLUX = frozenset({"flux-general-en", "flux-general-multi"})
DETECTED = tags(
    "bg ca cs da de de-CH el en es et fi fr hi hu id it ja ko lt lv ms nl nl-BE no pl pt ro ru sk "
    "sv th tr uk vi zh true false"
)
BOOLEAN = frozenset({"true", "false"})
BATCH: dict[str, frozenset[str] | None] = {
    "model": MODELS,
    "language": None,
    "detect_language": DETECTED,
    "diarize_model": frozenset({"latest", "v1", "v2"}),
    "smart_format": BOOLEAN,
    "punctuate": BOOLEAN,
    "utterances": BOOLEAN,
}
"""Parameters of a recording and their values; None for any."""
LIVE: dict[str, frozenset[str] | None] = {
    "model": MODELS,
    "language": None,
    "encoding": frozenset({"linear16"}),
    "sample_rate": frozenset({"16000"}),
    "channels": frozenset({"1"}),
    "interim_results": BOOLEAN,
    "endpointing": None,
    "smart_format": BOOLEAN,
    "diarize_model": frozenset({"latest", "v1"}),
}
TURNS: dict[str, frozenset[str] | None] = {
    "model": FLUX,
    "language_hint": tags("de en es fr hi it ja nl pt ru"),
    "encoding": frozenset({"linear16"}),
    "sample_rate": frozenset({"16000"}),
}
SECOND = 32_000
"""Bytes of live audio."""


def legacy(status: int, code: str, **headers: str) -> Refusal:
    """Return an error of the older shape."""
    body = {"err_code": code, "err_msg": f"LEAK {code}", "request_id": "r-1"}
    return Refusal(status=status, body=json.dumps(body).encode(), headers=headers)


def modern(status: int, category: str) -> Refusal:
    """Return an error of the newer shape."""
    body = {"category": category, "message": "LEAK", "details": "LEAK", "request_id": "r-1"}
    return Refusal(status=status, body=json.dumps(body).encode())


class DeepgramFake(VendorFake):
    """`/v1/listen` over HTTP and WebSocket, `/v2/listen` over WebSocket."""

    VENDOR: ClassVar[str] = "deepgram"
    MODEL: ClassVar[str] = "nova-3"
    refusals: ClassVar[Mapping[str, Refusal]] = {
        "rate-limited": legacy(429, "TOO_MANY_REQUESTS", **{"Retry-After": "7"}),
        "error": Refusal(status=500, body=b"LEAK Internal Server Error"),
        "unavailable": modern(503, "SERVICE_UNAVAILABLE"),
        "unauthorized": legacy(401, "INVALID_AUTH"),
        "quota": legacy(402, "ASR_PAYMENT_REQUIRED"),
        "locale": legacy(400, "Bad Request"),
        "forbidden": modern(403, "INSUFFICIENT_PERMISSIONS"),
        "missing": modern(404, "NOT_FOUND"),
        "too-large": legacy(413, "PAYLOAD_TOO_LARGE"),
        "slow": legacy(504, "GATEWAY_TIMEOUT"),
    }

    def __init__(self) -> None:
        super().__init__()
        self.text = "Hello from upstream."
        self.language = "en"
        self.changes: dict[str, object] = {}
        """What replaces the top of the next answers."""
        self.said: list[str] = []
        """Text frames of the live client."""
        self.heard = 0
        """Bytes of live audio."""
        self.greets: dict[str, object] = {
            "type": "Connected", "request_id": "r-1", "sequence_id": 0,
        }  # fmt: skip
        """What Flux says first."""
        self.farewell: tuple[int, bytes] = (1000, b"")
        """How a live conversation ends, when the client has said CloseStream."""
        self.tells: list[dict[str, object]] | None = None
        """Messages that come as soon as audio does, instead of the honest ones."""

    def settings_table(self) -> dict[str, object]:
        """Return the table that points the plugin here."""
        return {"api_key": self.KEY, "base_url": self.url, "stream_url": self.socket_url}

    def routes(self) -> list[web.AbstractRouteDef]:
        """Return Deepgram's paths."""
        return [
            web.post("/v1/listen", self._recording),
            web.get("/v1/listen", self._live),
            web.get("/v2/listen", self._turns),
        ]

    def _refusal(self, name: str) -> web.Response:
        refusal = self.refusals[name]
        return web.Response(status=refusal.status, body=refusal.body)

    def _is_known(self, request: web.Request, known: Mapping[str, frozenset[str] | None]) -> bool:
        """Check key and parameters as Deepgram does."""
        checks = [
            self.check(name in known, f"no parameter {name}")
            and self.check(
                (values := known[name]) is None or value in values, f"{name} cannot be {value}"
            )
            for name, value in request.query.items()
        ]
        checks.extend(
            self.check(len(request.query.getall(name)) == 1, f"{name} twice")
            for name in {*request.query} - {"detect_language", "language_hint"}
        )
        is_both = "language" in request.query and "detect_language" in request.query
        checks.append(self.check(not is_both, "both language and detect_language"))
        return all(checks) and self.check("model" in request.query, "no model")

    def _is_ours(self, request: web.Request) -> bool:
        given = request.headers.get("Authorization", "")
        return self.check(given == f"Token {self.KEY}", "wrong key")

    async def _recording(self, request: web.Request) -> web.Response:
        if not self._is_ours(request):
            return self._refusal("unauthorized")
        body = await request.read()
        kind = request.headers.get("Content-Type", "")
        is_good = self.check(kind.startswith("audio/"), f"content type {kind}")
        seconds = seconds_of(body)
        is_audio = self.check(seconds > 0, "corrupt or unsupported data")
        if not (self._is_known(request, BATCH) and is_good and is_audio):
            return self._refusal("locale")
        return web.json_response({**self._answer(request, seconds), **self.changes})

    def _answer(self, request: web.Request, seconds: float) -> dict[str, object]:
        words = self._words(seconds, speaks="diarize_model" in request.query)
        alternative: dict[str, object] = {
            "transcript": self.text, "confidence": 0.98, "words": words,
        }  # fmt: skip
        channel: dict[str, object] = {"alternatives": [alternative]}
        if "detect_language" in request.query:
            channel |= {"detected_language": self.language, "language_confidence": 0.97}
        if request.query.get("language") == "multi":
            alternative["languages"] = [self.language]
        results: dict[str, object] = {"channels": [channel]}
        if request.query.get("utterances") == "true":
            utterance = {
                "id": "u-1", "start": 0.0, "end": seconds, "confidence": 0.9, "channel": 0,
                "transcript": self.text, "words": words,
            }  # fmt: skip
            if "diarize_model" in request.query:
                utterance["speaker"] = 0
            results["utterances"] = [utterance]
        metadata = {
            "transaction_key": "deprecated", "request_id": "r-1", "sha256": "0",
            "created": "2026-01-01T00:00:00.000Z", "duration": seconds, "channels": 1,
            "models": ["m-1"],
            "model_info": {"m-1": {"name": "general-nova-3", "version": "1", "arch": "nova-3"}},
        }  # fmt: skip
        return {"metadata": metadata, "results": results}

    def _words(self, seconds: float, *, speaks: bool) -> list[dict[str, object]]:
        more = {"speaker": 0, "speaker_confidence": 0.8} if speaks else {}
        return [
            {
                "word": word.lower().strip("."), "start": start, "end": end, "confidence": 0.99,
                "punctuated_word": word, **more,
            }
            for word, start, end in spread(self.text, seconds)
        ]  # fmt: skip

    async def _live(self, request: web.Request) -> web.StreamResponse:
        if not self._is_ours(request):
            return self._refusal("unauthorized")
        if not self._is_known(request, LIVE):
            return self._refusal("locale")
        socket = await self.upgraded(request)
        await self._listen(socket, self._results)
        end = {"type": "Metadata", "request_id": "r-1", "duration": self.heard / SECOND}
        await socket.send_json({**end, "channels": 1, "created": "", "sha256": ""})
        await socket.close(code=self.farewell[0], message=self.farewell[1])
        return socket

    async def _turns(self, request: web.Request) -> web.StreamResponse:
        if not self._is_ours(request):
            return self._refusal("unauthorized")
        if not self._is_known(request, TURNS):
            return self._refusal("locale")
        socket = await self.upgraded(request)
        await socket.send_json(self.greets)
        await self._listen(socket, self._turn_infos)
        await socket.close(code=self.farewell[0], message=self.farewell[1])
        return socket

    async def _listen(self, socket: web.WebSocketResponse, honest: object) -> None:
        """Take audio until CloseStream, telling after the first of it what there is to tell."""
        assert callable(honest)
        messages: Sequence[dict[str, object]] = []
        while (message := await self.received(socket)) is not None:
            if isinstance(message, str):
                self.said.append(json.loads(message)["type"])
                self.changed()
                if self.said[-1] == "CloseStream":
                    break
                continue
            self.heard += len(message)
            self.listen(message)
            self.changed()
            if not messages:
                messages = honest(interim=True) if self.tells is None else self.tells
                for one in messages:
                    await socket.send_json(one)
        if self.tells is None and self.heard:
            for one in honest(interim=False):
                await socket.send_json(one)

    def _results(self, *, interim: bool) -> list[dict[str, object]]:
        """Return what is heard at once, or the last words, which cover all the audio."""
        end = self.heard / SECOND
        said = self.text if self.hears else ""
        text = " ".join(said.split()[:1]) if interim else said
        alternative = {
            "transcript": text, "confidence": 0.98, "languages": [self.language],
            "words": self._words(end, speaks=False) if said else [],
        }  # fmt: skip
        result = {
            "type": "Results", "channel_index": [0, 1], "start": 0.0, "duration": end,
            "is_final": not interim, "speech_final": not interim, "from_finalize": False,
            "channel": {"alternatives": [alternative]},
            "metadata": {"request_id": "r-1", "model_info": {}, "model_uuid": "m-1"},
        }  # fmt: skip
        started = {"type": "SpeechStarted", "channel": [0], "timestamp": 0.0}
        ended = {"type": "UtteranceEnd", "channel": [0, 1], "last_word_end": end}
        return [started, result] if interim else [result, ended]

    def _turn_infos(self, *, interim: bool) -> list[dict[str, object]]:
        end = self.heard / SECOND
        info = {
            "type": "TurnInfo", "request_id": "r-1", "sequence_id": 1, "turn_index": 0,
            "audio_window_start": 0.0, "audio_window_end": end, "end_of_turn_confidence": 0.5,
            "languages": [self.language],
            "words": [
                {"word": word, "confidence": 0.9, "start": start, "end": end}
                for word, start, end in spread(self.text, end)
            ],
        }  # fmt: skip
        if interim:
            return [
                {**info, "event": "StartOfTurn", "transcript": ""},
                {**info, "event": "Update", "transcript": self.text.split()[0]},
            ]
        return [{**info, "event": "EndOfTurn", "transcript": self.text}]
