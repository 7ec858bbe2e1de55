"""Azure Speech's fast transcription, after the REST definition of api-version 2025-10-15."""

import json
from collections.abc import Mapping
from email import message_from_bytes
from typing import Annotated, ClassVar, Literal

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from tests.fakes.vendors.base import Refusal, VendorFake, seconds_of

TEXT = "Good afternoon. This is Sam."
NOT_FAST = frozenset({"kn-IN", "gu-IN", "or-IN", "pa-IN", "as-IN", "fr-CA", "el-GR"})


class Strict(Struct, rename="camel", forbid_unknown_fields=True):
    """A part of `definition`; what the documentation does not name is refused."""


class Options(Strict):
    timestamps: Literal["word", "segment", "none"] = "none"
    transcribe_style: Literal["verbatim", "clean"] = "verbatim"


class Enhanced(Strict):
    enabled: Literal[True]
    task: Literal["transcribe", "translate"] = "transcribe"
    target_language: Literal["de", "en", "es", "fr", "it", "ko", "ja", "pt", "zh"] | None = None
    prompt: list[Annotated[str, Meta(max_length=4096)]] | None = None
    model: Literal["MAI-Transcribe-2", "MAI-Transcribe-1.5"] | None = None
    model_options: Options | None = None


class Diarization(Strict):
    enabled: bool
    max_speakers: Annotated[int, Meta(ge=2, le=35)] | None = None


class Definition(Strict):
    locales: list[str] | None = None
    diarization: Diarization | None = None
    profanity_filter_mode: Literal["None", "Removed", "Tags", "Masked"] | None = None
    enhanced_mode: Enhanced | None = None


def core(status: int, code: str, **headers: str) -> Refusal:
    """Return an error in the shape of Azure Core."""
    error = {"code": code, "message": f"LEAK {code}", "details": [], "innererror": {}}
    return Refusal(status=status, body=json.dumps({"error": error}).encode(), headers=headers)


def plain(status: int, code: str, inner: str) -> Refusal:
    """Return an error in the older shape of the same service."""
    body = {"code": code, "message": f"LEAK {code}", "innerError": {"code": inner, "message": ""}}
    return Refusal(status=status, body=json.dumps(body).encode())


class RefusedError(Exception):
    """A request that the vendor refuses: the name of the refusal, and why."""


VOLUME = {"code": "403", "message": "LEAK Out of call volume quota. Quota will be replenished."}


class AzureFake(VendorFake):
    """Hears two people say the two sentences of `TEXT`, whatever is sent."""

    VENDOR: ClassVar[str] = "azure"
    MODEL: ClassVar[str] = "fast-transcription"
    refusals: ClassVar[Mapping[str, Refusal]] = {
        "rate-limited": core(429, "429", **{"Retry-After": "7"}),
        "error": core(500, "InternalServerError"),
        "unavailable": core(503, "ServiceUnavailable"),
        "unauthorized": core(401, "401"),
        "quota": Refusal(status=403, body=json.dumps({"error": VOLUME}).encode()),
        "locale": plain(400, "InvalidRequest", "InvalidLocale"),
        "forbidden": core(403, "PermissionDenied"),
        "missing": core(404, "404"),
        "timeout": core(408, "Timeout"),
        "too-large": plain(413, "InvalidRequest", "FileTooLarge"),
        "media": plain(415, "UnsupportedMediaType", ""),
        "unprocessable": plain(422, "InvalidRequest", "InvalidAudioFormat"),
        "diarization": core(503, "diarization_unavailable"),
        "text": Refusal(status=502, body=b"LEAK bad gateway"),
        "empty": Refusal(status=504, body=b""),
    }

    def __init__(self) -> None:
        super().__init__()
        self.definition: Definition | None = None
        """The last one that was sent."""
        self.media_type = ""
        """That of the last audio part."""
        self.answer: object = None
        """What to answer instead of the honest answer."""

    def settings_table(self) -> dict[str, object]:
        """Return the plugin's table that leads here."""
        return {"api_key": self.KEY, "base_url": self.url}

    def routes(self) -> list[web.AbstractRouteDef]:
        return [web.post("/speechtotext/transcriptions:transcribe", self._transcribe)]

    async def _transcribe(self, request: web.Request) -> web.Response:
        try:
            definition, seconds = await self._checked(request)
        except RefusedError as error:
            name, problem = error.args
            self.check(is_right=False, problem=problem)
            refusal = self.refusals[name]
            return web.Response(status=refusal.status, body=refusal.body)
        self.definition = definition
        return web.json_response(self.answer or answer_to(definition, seconds))

    async def _checked(self, request: web.Request) -> tuple[Definition, float]:
        if request.headers.get("Ocp-Apim-Subscription-Key") != self.KEY:
            raise RefusedError("unauthorized", "the key is wrong")
        if list(request.query.items()) != [("api-version", "2025-10-15")]:
            raise RefusedError("missing", "the api-version is wrong")
        parts = await self._parts(request)
        if sorted(parts) != ["audio", "definition"]:
            raise RefusedError("unprocessable", f"parts {sorted(parts)}")
        seconds = seconds_of(parts["audio"])
        if not seconds:
            raise RefusedError("unprocessable", "the audio cannot be decoded")
        try:
            definition = msgspec.json.decode(parts["definition"], type=Definition)
        except msgspec.DecodeError as error:
            raise RefusedError("unprocessable", str(error)) from error
        if problem := problem_of(definition):
            raise RefusedError("locale", problem)
        return definition, seconds

    async def _parts(self, request: web.Request) -> dict[str, bytes]:
        head = f"Content-Type: {request.headers['Content-Type']}\r\n\r\n".encode()
        form = message_from_bytes(head + await request.read())
        self.check(form.get_content_type() == "multipart/form-data", "not a form")
        parts = {}
        for part in form.get_payload():
            name = str(part.get_param("name", header="content-disposition"))  # type: ignore[union-attr]
            parts[name] = part.get_payload(decode=True)  # type: ignore[union-attr]
            if name == "audio":
                self.media_type = part.get_content_type()  # type: ignore[union-attr]
        return parts  # type: ignore[return-value]


def problem_of(definition: Definition) -> str:
    """Say what the documentation forbids about a definition; empty for nothing."""
    locales, mode = definition.locales or [], definition.enhanced_mode
    if mode is None:
        is_known = all("-" in one and one not in NOT_FAST for one in locales)
        return "" if is_known else f"fast transcription takes no {locales}"
    if mode.task == "translate" and not mode.target_language:
        return "a translation needs its target"
    if mode.model is None:
        return "LLM speech takes no locales" if locales else ""
    if len(locales) > 1 or any("-" in one for one in locales):
        return f"MAI takes one language, not {locales}"
    is_new = mode.model == "MAI-Transcribe-2"
    options = mode.model_options or definition.diarization
    return "MAI-Transcribe-1.5 has no options" if options and not is_new else ""


def answer_to(definition: Definition, seconds: float) -> dict[str, object]:
    """Return the documented answer, laid into the length of the recording."""
    mode = definition.enhanced_mode
    options = mode.model_options if mode else None
    detail = (options.timestamps if options else "none") if mode and mode.model else "word"
    unit = int(seconds * 1000 / 8)
    phrases: list[dict[str, object]] = []
    for place, text in enumerate(TEXT.split(". ")):
        phrase: dict[str, object] = {"text": text, "confidence": 0 if mode else 0.9 + place / 20}
        if detail != "none":
            phrase |= {
                "offsetMilliseconds": unit * (1 + 3 * place),
                "durationMilliseconds": unit * 3,
            }
        if detail == "word":
            phrase["words"] = [
                {
                    "text": word,
                    "offsetMilliseconds": unit * (1 + 3 * place + at),
                    "durationMilliseconds": unit,
                }
                for at, word in enumerate(text.split())
            ]
        if definition.diarization:
            phrase["speaker"] = place + 1
        phrase["locale"] = (definition.locales or ["en-us"])[0]
        phrases.append(phrase)
    return {
        "durationMilliseconds": int(seconds * 1000),
        "combinedPhrases": [{"text": TEXT}],
        "phrases": phrases,
    }
