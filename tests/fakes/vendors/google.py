"""Google's two services and its token endpoint, after the proto of Speech-to-Text v2 and Gemini's types."""

import base64
import json
from binascii import Error as BinasciiError
from collections.abc import Mapping
from functools import cache
from typing import Annotated, ClassVar, Literal, TypeVar

import jwt
import msgspec
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from msgspec import Meta, Struct, field

from tests.fakes.vendors.base import Refusal, VendorFake, seconds_of, spread
from tests.fakes.vendors.google_chat import Chat, Talk, complaint, is_chat

TEXT = "Hello world this is Google"
PROJECT = "the-project"
EMAIL = "robot@the-project.iam.gserviceaccount.com"
TOKEN = "ya29.token-of-the-fake"
STATIC_TOKEN = "ya29.token-from-elsewhere"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_TAG = r"[a-z]{2,3}(-[A-Z][a-z]{3})?(-([A-Z]{2}|\d{3}))?"
Tag = Annotated[str, Meta(pattern=rf"^{_TAG}$")]
TagOrAuto = Annotated[str, Meta(pattern=rf"^(auto|{_TAG})$")]
T = TypeVar("T")


class Strict(Struct, rename="camel", forbid_unknown_fields=True, omit_defaults=True):
    """A part of a request; what the documentation does not name is refused."""


class Nothing(Strict):
    pass


class Prompt(Strict):
    custom_prompt: str


class Features(Strict):
    enable_automatic_punctuation: bool = False
    enable_word_time_offsets: bool = False
    enable_word_confidence: bool = False
    diarization_config: Nothing | None = None
    custom_prompt_config: Prompt | None = None


class Config(Strict):
    auto_decoding_config: Nothing
    model: Literal["chirp_3", "chirp_2", "long", "short"]
    language_codes: Annotated[list[TagOrAuto], Meta(min_length=1)]
    features: Features


class Recognize(Strict):
    config: Config
    content: str


class Blob(Strict):
    mime_type: Annotated[
        str, Meta(pattern="^audio/(wav|mp3|aiff|aac|ogg|flac|mpeg|m4a|l16|opus|alaw|mulaw|webm)$")
    ]
    data: str


class Part(Strict):
    text: str | None = None
    inline_data: Blob | None = None


class Content(Strict):
    role: Literal["user"]
    parts: Annotated[list[Part], Meta(min_length=1, max_length=2)]


class Transcription(Strict):
    language_codes: list[Tag] = field(default_factory=list)
    word_timestamp: bool = False
    diarization: bool = False
    mode: Literal["VERBATIM", "SMART"] = "VERBATIM"


class Generation(Strict):
    audio_transcription_config: Transcription | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    response_mime_type: Literal["application/json"] | None = None
    response_schema: dict[str, object] | None = None


class Generate(Strict):
    contents: Annotated[list[Content], Meta(min_length=1, max_length=1)]
    generation_config: Generation = field(default_factory=Generation)


def rpc(status: int, code: str, *details: object, **headers: str) -> Refusal:
    """Return a `google.rpc.Status` as JSON."""
    error = {"code": status, "message": f"LEAK {code}", "status": code, "details": details}
    return Refusal(status=status, body=json.dumps({"error": error}).encode(), headers=headers)


def detail(kind: str, **fields: object) -> dict[str, object]:
    return {"@type": f"type.googleapis.com/google.rpc.{kind}", **fields}


RETRY = detail("RetryInfo", retryDelay="37.5s")
DAY = {"quotaMetric": "LEAK", "quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}
MINUTE = {"quotaMetric": "LEAK", "quotaId": "GenerateRequestsPerMinutePerProjectPerModel"}
NO_TOKEN = {"error": "invalid_grant", "error_description": "LEAK Invalid JWT Signature."}


@cache
def key_pair() -> tuple[str, rsa.RSAPublicKey]:
    """Return the private key of the service account as PEM, and its public key."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return pem.decode(), private.public_key()


class RefusedError(Exception):
    """A request that the vendor refuses: the name of the refusal, and why."""


class GoogleFake(VendorFake):
    """Hears somebody say `TEXT`, whatever is sent."""

    VENDOR: ClassVar[str] = "google"
    MODEL: ClassVar[str] = "gemini-3.5-transcribe"
    refusals: ClassVar[Mapping[str, Refusal]] = {
        "rate-limited": rpc(429, "RESOURCE_EXHAUSTED", **{"Retry-After": "7"}),
        "minute": rpc(
            429, "RESOURCE_EXHAUSTED", detail("QuotaFailure", violations=[MINUTE]), RETRY
        ),
        "error": rpc(500, "INTERNAL"),
        "unavailable": rpc(503, "UNAVAILABLE"),
        "deadline": rpc(504, "DEADLINE_EXCEEDED"),
        "unauthorized": rpc(
            400,
            "INVALID_ARGUMENT",
            detail("ErrorInfo", reason="API_KEY_INVALID", domain="googleapis.com"),
            detail("LocalizedMessage", locale="en-US", message="LEAK"),
        ),
        "token": rpc(401, "UNAUTHENTICATED"),
        "forbidden": rpc(403, "PERMISSION_DENIED"),
        "quota": rpc(429, "RESOURCE_EXHAUSTED", detail("QuotaFailure", violations=[DAY]), RETRY),
        "billing": rpc(403, "PERMISSION_DENIED", detail("ErrorInfo", reason="BILLING_DISABLED")),
        "locale": rpc(400, "INVALID_ARGUMENT"),
        "missing": rpc(404, "NOT_FOUND"),
        "too-large": rpc(413, "INVALID_ARGUMENT"),
        "grant": Refusal(status=400, body=json.dumps(NO_TOKEN).encode()),
        "odd": Refusal(status=502, body=b"<html>LEAK"),
    }

    def __init__(self) -> None:
        super().__init__()
        self.recognized: Recognize | None = None
        """The last request to Speech-to-Text."""
        self.generated: Generate | None = None
        """The last request to Gemini."""
        self.answer: object = None
        """What to answer instead of the honest answer."""
        self.expires_in = 3599
        """How long tokens last, seconds."""
        self.talk = Talk()
        """What Gemini says in chats."""
        self.asked: Chat | None = None
        """The last request to chat."""
        self.granted = 0
        """Tokens given so far; each is another one."""

    def settings_table(self) -> dict[str, object]:
        """Return the plugin's table that leads here, for both services."""
        return {
            "api_key": self.KEY,
            "base_url": self.url,
            "access_token": STATIC_TOKEN,
            "project": PROJECT,
        }

    def key_file(self, **changed: object) -> str:
        """Return the JSON key of the service account."""
        key = {
            "type": "service_account",
            "project_id": PROJECT,
            "private_key_id": "key-1",
            "private_key": key_pair()[0],
            "client_email": EMAIL,
            "token_uri": f"{self.url}/token",
        }
        return json.dumps({**key, **changed})

    def refusal(self, name: str, request: web.Request) -> Refusal | None:
        is_speech = request.path.startswith("/v2/")
        return super().refusal("token" if name == "unauthorized" and is_speech else name, request)

    def routes(self) -> list[web.AbstractRouteDef]:
        return [
            web.post("/token", self._token),
            web.post(
                "/v2/projects/{project}/locations/{location}/recognizers/_:recognize",
                self._recognize,
            ),
            web.post(r"/v1beta/models/{model:[a-z0-9.-]+}:generateContent", self._generate),
            web.post(r"/v1beta/models/{model:[a-z0-9.-]+}:streamGenerateContent", self._stream),
        ]

    async def _token(self, request: web.Request) -> web.Response:
        form = await request.post()
        try:
            claims = jwt.decode(
                str(form.get("assertion")),
                key_pair()[1],
                algorithms=["RS256"],
                audience=f"{self.url}/token",
                options={"require": ["iss", "scope", "aud", "exp", "iat"]},
            )
        except jwt.InvalidTokenError as error:
            return self._refused("grant", f"assertion: {error}")
        lifetime = claims["exp"] - claims["iat"]
        if (claims["iss"], claims["scope"]) != (EMAIL, SCOPE) or not 0 < lifetime <= 3600:
            return self._refused("grant", f"claims {claims}")
        kind = "urn:ietf:params:oauth:grant-type:jwt-bearer"
        if form.get("grant_type") != kind or "Authorization" in request.headers:
            return self._refused("grant", "not a JWT grant")
        self.granted += 1
        token = f"{TOKEN}-{self.granted}"
        return web.json_response(
            {"access_token": token, "expires_in": self.expires_in, "token_type": "Bearer"}
        )

    async def _recognize(self, request: web.Request) -> web.Response:
        try:
            body, seconds = await self._recognition(request)
        except RefusedError as error:
            return self._refused(*error.args)
        self.recognized = body
        return web.json_response(self.answer or recognition(body.config, seconds))

    async def _recognition(self, request: web.Request) -> tuple[Recognize, float]:
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        known = {STATIC_TOKEN, f"{TOKEN}-{self.granted}"}
        if kind != "Bearer" or token not in known or "x-goog-api-key" in request.headers:
            raise RefusedError("token", "the token is wrong")
        if request.match_info["project"] != PROJECT:
            raise RefusedError("forbidden", "the project is wrong")
        body = decoded(await request.read(), Recognize)
        config, seconds = body.config, length(body.content)
        if seconds > 60.5:
            raise RefusedError("locale", "too long for a synchronous recognition")
        homes = {"chirp_3": {"us", "eu"}, "chirp_2": {"us-central1", "europe-west4"}}
        if request.match_info["location"] not in homes.get(config.model, {"global", "us", "eu"}):
            raise RefusedError("locale", "the model is not there")
        if config.language_codes == ["auto"] and not config.model.startswith("chirp"):
            raise RefusedError("locale", "only chirp finds languages")
        if config.features.custom_prompt_config and config.model != "chirp_3":
            raise RefusedError("locale", "only chirp_3 takes a prompt")
        return body, seconds

    async def _generate(self, request: web.Request) -> web.Response:
        model = request.match_info["model"]
        if is_chat(model, await request.read()):
            refusal = await self._refusal_of_chat(request, model)
            return refusal or web.json_response(self.answer or self.talk.whole(model))
        try:
            body, seconds = await self._generation(request)
        except RefusedError as error:
            return self._refused(*error.args)
        self.generated = body
        return web.json_response(self.answer or generation(body.generation_config, seconds))

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        model = request.match_info["model"]
        if request.query.get("alt") != "sse":
            return self._refused("locale", "a stream without alt=sse is an array")
        if refusal := await self._refusal_of_chat(request, model):
            return refusal
        return await self.talk.streamed(request, model)

    async def _refusal_of_chat(self, request: web.Request, model: str) -> web.Response | None:
        if request.headers.get("x-goog-api-key") != self.KEY:
            return self._refused("unauthorized", "the key is wrong")
        try:
            self.asked = decoded(await request.read(), Chat)
        except RefusedError as error:
            return self._refused(*error.args)
        problem = complaint(self.asked, model)
        return self._refused("locale", problem) if problem else None

    async def _generation(self, request: web.Request) -> tuple[Generate, float]:
        if request.headers.get("x-goog-api-key") != self.KEY or "Authorization" in request.headers:
            raise RefusedError("unauthorized", "the key is wrong")
        body = decoded(await request.read(), Generate)
        blobs = [one.inline_data for one in body.contents[0].parts if one.inline_data]
        texts = [one.text for one in body.contents[0].parts if one.text]
        config = body.generation_config.audio_transcription_config
        model = request.match_info["model"]
        if len(blobs) != 1:
            raise RefusedError("locale", "no recording")
        if model == "gemini-3.5-transcribe":
            if texts or body.generation_config.response_schema:
                raise RefusedError("locale", "developer instruction is not enabled")
        elif not texts or config is not None:
            raise RefusedError("locale", "a general model is told in words")
        return body, length(blobs[0].data)

    def _refused(self, name: str, problem: str) -> web.Response:
        self.check(is_right=False, problem=problem)
        refusal = self.refusals[name]
        return web.Response(
            status=refusal.status, body=refusal.body, content_type="application/json"
        )


def decoded(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise RefusedError("locale", str(error)) from error


def length(content: str) -> float:
    """Return the length of a recording in base64, seconds."""
    try:
        seconds = seconds_of(base64.b64decode(content, validate=True))
    except BinasciiError as error:
        raise RefusedError("locale", str(error)) from error
    if not seconds:
        raise RefusedError("locale", "the audio cannot be decoded")
    return seconds


def offset(seconds: float) -> str | None:
    return f"{seconds:.3f}s" if seconds else None


def stripped(fields: dict[str, object]) -> dict[str, object]:
    """Leave out what protobuf leaves out."""
    return {key: value for key, value in fields.items() if value not in (None, "", [])}


def recognition(config: Config, seconds: float) -> dict[str, object]:
    """Return the documented answer of Speech-to-Text."""
    timed = config.features.enable_word_time_offsets
    words = [
        stripped(
            {
                "startOffset": offset(start) if timed else None,
                "endOffset": offset(end) if timed else None,
                "word": word,
                "confidence": 0.9 if config.features.enable_word_confidence else None,
            }
        )
        for word, start, end in spread(TEXT, seconds)
    ]
    code = config.language_codes[0].lower()
    result = {
        "alternatives": [
            stripped({"transcript": TEXT, "confidence": 0.93, "words": words if timed else None})
        ],
        "resultEndOffset": offset(seconds),
        "languageCode": "en-us" if code == "auto" else code,
    }
    billed = {"requestId": "r", "totalBilledDuration": f"{round(seconds)}s"}
    return {"results": [result], "metadata": billed}


def generation(config: Generation, seconds: float) -> dict[str, object]:
    """Return the documented answer of Gemini."""
    if config.response_schema is not None:
        written = json.dumps({"language": "en-us", "transcript": TEXT})
        part: dict[str, object] = {"text": written}
    else:
        asked = config.audio_transcription_config or Transcription()
        part = {"text": TEXT}
        if asked.word_timestamp or asked.diarization:
            part["audioTranscription"] = spoken(asked, seconds)
    content = {"role": "model", "parts": [part]}
    return {
        "candidates": [{"content": content, "finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2},
        "modelVersion": "fake",
    }


def spoken(asked: Transcription, seconds: float) -> dict[str, object]:
    words = [
        stripped({"word": word, "startOffset": offset(start), "endOffset": offset(end)})
        for word, start, end in spread(TEXT, seconds)
    ]
    return stripped(
        {
            "text": TEXT,
            "speakerLabel": "spk_1" if asked.diarization else None,
            "languageCode": (asked.language_codes or ["en-US"])[0],
            "words": words if asked.word_timestamp else None,
        }
    )
