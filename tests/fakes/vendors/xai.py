"""xAI on loopback, as its REST reference and speech-to-text guide say it is."""

import email
import email.policy
import json
from collections.abc import Mapping
from typing import ClassVar

from aiohttp import web

from junctor.plugins.remote.vendor import tags
from tests.fakes.vendors.base import Refusal, VendorFake, seconds_of, spread

MODELS = frozenset({"grok-voice-transcribe-2.0", "grok-voice-transcribe-1.0"})
LANGUAGES = tags("ar cs da nl en fil fr de hi id it ja ko mk ms fa pl pt ro ru es sv th tr vi")
BOOLEAN = frozenset({"true", "false"})
FIELDS: dict[str, frozenset[str]] = {
    "model": MODELS,
    "language": LANGUAGES,
    "format": BOOLEAN,
    "diarize": BOOLEAN,
    "filler_words": BOOLEAN,
}
LIVE: dict[str, frozenset[str]] = {
    "model": MODELS,
    "language": LANGUAGES,
    "encoding": frozenset({"pcm", "mulaw", "alaw", "opus"}),
    "sample_rate": frozenset({"8000", "16000", "22050", "24000", "44100", "48000"}),
    "interim_results": BOOLEAN,
    "endpointing": frozenset(map(str, range(5001))),
    "diarize": BOOLEAN,
}
SECOND = 32_000
"""Bytes of live audio."""
CREDITS = (
    "LEAK Your team has either used all available credits or reached its monthly spending limit."
)


def refusal(status: int, code: str, error: str, **headers: str) -> Refusal:
    """Return an error in xAI's flat shape."""
    body = json.dumps({"code": code, "error": error}).encode()
    return Refusal(status=status, body=body, headers=headers)


class XAIFake(VendorFake):
    """`/v1/stt` over HTTP and WebSocket."""

    VENDOR: ClassVar[str] = "xai"
    MODEL: ClassVar[str] = "grok-voice-transcribe-2.0"
    refusals: ClassVar[Mapping[str, Refusal]] = {
        "rate-limited": refusal(
            429, "Some resource has been exhausted", "LEAK slow down", **{"Retry-After": "7"}
        ),
        "error": refusal(500, "Internal error", "LEAK"),
        "unavailable": refusal(503, "The service is currently unavailable", "LEAK"),
        "unauthorized": refusal(
            400,
            "Client specified an invalid argument",
            "Incorrect API key provided: LEAK. You can obtain an API key from the console.",
        ),
        "no-credentials": refusal(401, "Unauthenticated", "LEAK"),
        "quota": refusal(429, "Some resource has been exhausted", CREDITS),
        "quota-403": refusal(403, "The caller does not have permission", CREDITS),
        "forbidden": refusal(403, "The caller does not have permission", "LEAK"),
        "locale": refusal(400, "Client specified an invalid argument", "LEAK unsupported"),
        "too-large": refusal(413, "Payload too large", "LEAK"),
        "fetch": refusal(502, "Bad gateway", "LEAK"),
        "plain": Refusal(status=400, body=b"LEAK \xff"),
    }

    def __init__(self) -> None:
        super().__init__()
        self.text = "Hello from upstream"
        self.language = "en"
        self.changes: dict[str, object] = {}
        """What replaces parts of the next answers."""
        self.form: dict[str, list[str]] = {}
        """Fields of the last form."""
        self.upload: tuple[str, str, bytes] = ("", "", b"")
        """Name, type and bytes of its file."""
        self.heard = 0
        """Bytes of live audio."""
        self.said: list[str] = []
        """Types of the live client's messages."""
        self.greets: dict[str, object] = {"type": "transcript.created", "id": "t-1"}
        self.tells: list[dict[str, object]] | None = None
        """Messages that come as soon as audio does, instead of the honest ones; then it closes."""

    def settings_table(self) -> dict[str, object]:
        """Return the table that points the plugin here."""
        return {
            "api_key": self.KEY,
            "base_url": f"{self.url}/v1",
            "stream_url": f"{self.socket_url}/v1/stt",
        }

    def routes(self) -> list[web.AbstractRouteDef]:
        """Return xAI's paths."""
        return [web.post("/v1/stt", self._recording), web.get("/v1/stt", self._live)]

    def _refused(self, name: str) -> web.Response:
        found = self.refusals[name]
        return web.Response(status=found.status, body=found.body, content_type="application/json")

    def _stranger(self, request: web.Request) -> web.Response | None:
        """Return what one without our key is answered."""
        given = request.headers.get("Authorization", "")
        if not self.check(given.startswith("Bearer "), "no credentials"):
            return self._refused("no-credentials")
        if not self.check(given == f"Bearer {self.KEY}", "wrong key"):
            return self._refused("unauthorized")
        return None

    def _is_known(self, given: Mapping[str, list[str]], known: dict[str, frozenset[str]]) -> bool:
        checks = [
            self.check(name in known and len(values) == 1, f"no single parameter {name}")
            and self.check(values[0] in known[name], f"{name} cannot be {values[0]}")
            for name, values in given.items()
        ]
        is_told = "format" not in given or "language" in given
        return all([*checks, self.check(is_told, "format without language")])

    async def _recording(self, request: web.Request) -> web.Response:
        if (stranger := self._stranger(request)) is not None:
            return stranger
        is_form = self._read_form(request.headers.get("Content-Type", ""), await request.read())
        if not (is_form and self._is_known(self.form, FIELDS)):
            return self._refused("locale")
        seconds = seconds_of(self.upload[2])
        if not self.check(seconds > 0, "unsupported format"):
            return self._refused("locale")
        answer = {"text": self.text, "language": self.language, "duration": seconds}
        words = self._words(seconds, speaks=self.form.get("diarize") == ["true"])
        return web.json_response({**answer, "words": words, **self.changes})

    def _read_form(self, kind: str, body: bytes) -> bool:
        """Read a form whose last part is the file, as xAI wants it."""
        if not self.check(kind.startswith("multipart/form-data"), f"content type {kind}"):
            return False
        document = b"Content-Type: " + kind.encode() + b"\r\n\r\n" + body
        parts = list(email.message_from_bytes(document, policy=email.policy.HTTP).iter_parts())
        names = [str(part.get_param("name", header="content-disposition")) for part in parts]
        self.form = {}
        for name, part in zip(names[:-1], parts[:-1], strict=True):
            value = part.get_payload(decode=True)
            assert isinstance(value, bytes)
            self.form.setdefault(name, []).append(value.decode())
        data = parts[-1].get_payload(decode=True)
        assert isinstance(data, bytes)
        self.upload = (str(parts[-1].get_filename()), parts[-1].get_content_type(), data)
        return self.check(names[-1] == "file", "the file is not the last part")

    def _words(self, seconds: float, *, speaks: bool = False) -> list[dict[str, object]]:
        more = {"speaker": 0} if speaks else {}
        return [
            {"text": word, "start": start, "end": end, "confidence": 0.9, **more}
            for word, start, end in spread(self.text, seconds)
        ]

    async def _live(self, request: web.Request) -> web.StreamResponse:
        if (stranger := self._stranger(request)) is not None:
            return stranger
        query = {name: request.query.getall(name) for name in request.query}
        if not self._is_known(query, LIVE):
            return self._refused("locale")
        socket = await self.upgraded(request)
        await socket.send_json(self.greets)
        while (message := await self.received(socket)) is not None:
            if isinstance(message, str):
                self.said.append(json.loads(message)["type"])
                break
            first, self.heard = not self.heard, self.heard + len(message)
            self.listen(message)
            if first and self.hears and self.tells is None:
                await socket.send_json(self._partial(self.text.split()[0]))
        for one in self._last() if self.tells is None else self.tells:
            await socket.send_json(one)
        await socket.close()
        return socket

    def _partial(self, text: str, *, is_over: bool = False) -> dict[str, object]:
        end = self.heard / SECOND
        return {
            "type": "transcript.partial", "text": text, "is_final": is_over,
            "speech_final": is_over, "start": 0.0, "duration": end,
            "words": self._words(end) if is_over else [],
        }  # fmt: skip

    def _last(self) -> list[dict[str, object]]:
        end = self.heard / SECOND
        if not self.hears:
            return [{"type": "transcript.done", "text": "", "duration": end, "words": []}]
        done = {"type": "transcript.done", "text": self.text, "duration": end}
        return [self._partial(self.text, is_over=True), {**done, "words": self._words(end)}]
