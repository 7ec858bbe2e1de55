"""Every error of the tree, in every contract: a status, an envelope, and nothing that is secret."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from litestar import Router, get
from litestar.exceptions import HTTPException, NotAuthorizedException

from junctor.conf.settings import Settings
from junctor.core.errors import (
    AllCandidatesFailedError,
    AuthenticationError,
    BodyTooLargeError,
    ClientGoneError,
    ConcurrencyLimitedError,
    ConfigError,
    ContextLengthError,
    DeadlineExceededError,
    ForbiddenError,
    InsufficientBalanceError,
    InternalError,
    InvalidRequestError,
    JunctorError,
    MediaError,
    MethodNotAllowedError,
    NoCandidateError,
    NotConfiguredError,
    NotFoundError,
    OverloadedError,
    PictureError,
    PluginError,
    ProviderAnswerError,
    ProviderAuthError,
    ProviderBusyError,
    ProviderContextError,
    ProviderError,
    ProviderQuotaError,
    ProviderRateLimitedError,
    ProviderRejectedError,
    ProviderRestingError,
    ProviderTimeoutError,
    ProviderUnavailableError,
    RateLimitedError,
    RequestError,
    SaturatedError,
    TooLargeError,
    TooLongError,
    UnknownModelError,
    UnsupportedOptionError,
)
from junctor.core.faces import ERROR_FACE, ErrorFace, ErrorFaces, ErrorRow
from junctor.core.hooks import hookimpl
from junctor.core.net.guard import UrlError
from junctor.routers.app import create_app
from junctor.routers.chat.errors import CHAT_FACE
from junctor.routers.errors import as_junctor_error
from junctor.routers.ltx_video.errors import LTX_FACE
from junctor.routers.openai.errors import OPENAI_FACE
from junctor.routers.speech_to_text.errors import STT_FACE
from junctor.routers.thai_asr.errors import THAI_ASR_FACE
from tests.fakes.plugins import Offering, plugins

UPSTREAM = "upstream said sk-proj-AbCdEfGh1234567890 at /srv/models/x.bin"

SAMPLES: tuple[JunctorError, ...] = (
    JunctorError("odd"),
    RequestError("odd"),
    InvalidRequestError("bad", param="language"),
    ContextLengthError(needed=9, limit=8),
    UnsupportedOptionError("no words", param="timestamp_granularities"),
    PictureError("not a picture"),
    UrlError("not there", reason="address", param="callback_url"),
    MediaError("not audio"),
    TooLargeError(limit_bytes=10),
    BodyTooLargeError(limit_bytes=10),
    TooLongError(limit_seconds=10),
    UnknownModelError("nope", ["one"]),
    AuthenticationError("no key"),
    ForbiddenError("not yours"),
    NotFoundError("no path"),
    MethodNotAllowedError("no method"),
    RateLimitedError(limit=5, retry_after=2.2),
    ConcurrencyLimitedError(limit=5),
    InsufficientBalanceError("empty"),
    ClientGoneError("gone"),
    ProviderError(UPSTREAM, provider="fake"),
    ProviderTimeoutError(UPSTREAM, provider="fake"),
    ProviderUnavailableError(UPSTREAM, provider="fake"),
    ProviderRateLimitedError(UPSTREAM, provider="fake"),
    ProviderQuotaError(UPSTREAM, provider="fake"),
    ProviderAuthError(UPSTREAM, provider="fake"),
    ProviderRejectedError(UPSTREAM, provider="fake"),
    ProviderContextError(UPSTREAM, provider="fake"),
    ProviderAnswerError(UPSTREAM, provider="fake"),
    ProviderBusyError(UPSTREAM, provider="fake"),
    ProviderRestingError(UPSTREAM, provider="fake"),
    NoCandidateError([f"fake:one ({UPSTREAM})"], temporary=True),
    SaturatedError([f"fake:one ({UPSTREAM})"]),
    AllCandidatesFailedError([ProviderTimeoutError(UPSTREAM, provider="fake")]),
    DeadlineExceededError(seconds=3),
    OverloadedError("full"),
    InternalError(),
    ConfigError(UPSTREAM, file="/etc/junctor.toml", key="x"),
    PluginError(UPSTREAM),
    NotConfiguredError(UPSTREAM),
)
FACES = create_app(Settings(), plugins=plugins(Settings(), fake=Offering())).state["error_faces"]


def tree(kind: type[JunctorError] = JunctorError) -> Iterator[type[JunctorError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from tree(child)


def test_every_class_has_a_sample():
    """A new error cannot be forgotten here, and so in no contract."""
    assert {type(one) for one in SAMPLES} == {
        kind for kind in tree() if kind.__module__.startswith("junctor.")
    }


def test_the_known_contracts_are_crossed():
    """The faces are those of the application itself."""
    assert {"openai", "shared", "speech-to-text", "thai_asr", "llm", "ltx_video"} == {
        face.contract for face in FACES.all()
    }


def is_whole(face: ErrorFace, body: dict[str, Any]) -> bool:
    """Whether an envelope has all that its contract promises."""
    if face.contract in {THAI_ASR_FACE.contract, LTX_FACE.contract}:
        return bool(body["error"] and body["code"]) and body["request_id"] == "r1"
    if face.contract != STT_FACE.contract:
        detail = body["error"]
        return bool(detail["message"] and detail["type"]) and detail["request_id"] == "r1"
    if "error" in body:
        return set(body) == {"error"} and bool(body["error"])
    return bool(body["message"] and body["detail"]["code"]) and "r1" in body["detail"].values()


@pytest.mark.parametrize("face", FACES.all(), ids=lambda face: face.contract)
@pytest.mark.parametrize("error", SAMPLES, ids=lambda error: type(error).__name__)
def test_error_in_contract(error: JunctorError, face: ErrorFace) -> None:
    """Who is to blame decides the hundred; the envelope is whole, and tells no secret."""
    refusal = face.refuse(error, request_id="r1")
    body = face.envelope(refusal).decode()
    comes_too_soon = {
        STT_FACE.contract: (OverloadedError, ProviderBusyError),
        CHAT_FACE.contract: (SaturatedError,),
    }
    blames_caller = isinstance(error, (RequestError, *comes_too_soon.get(face.contract, ())))

    assert (refusal.status // 100 == 4) == blames_caller
    assert is_whole(face, msgspec.json.decode(body))
    assert not any(secret in body for secret in ("sk-proj", "AbCd", "/srv", "/etc"))


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (RateLimitedError(limit=5, retry_after=2.2), "3"),
        (ConcurrencyLimitedError(limit=5), "1"),
        (OverloadedError("full"), "1"),
        (NoCandidateError([], temporary=True), "5"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_retry_after(error, seconds):
    """What passes by itself says when, in whole seconds."""
    refusal = OPENAI_FACE.refuse(error, request_id="")

    assert {"retry-after": seconds} == dict(refusal.headers)


@pytest.mark.parametrize(
    "error",
    [InsufficientBalanceError("empty"), NoCandidateError([], temporary=False)],
    ids=lambda error: type(error).__name__,
)
def test_hopeless_errors_stop_retries(error):
    """The openai SDKs retry 429 and 5xx unless they are told not to."""
    refusal = OPENAI_FACE.refuse(error, request_id="")

    assert {"x-should-retry": "false"} == dict(refusal.headers)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidRequestError),
        (401, AuthenticationError),
        (403, ForbiddenError),
        (404, NotFoundError),
        (405, MethodNotAllowedError),
        (413, TooLargeError),
        (415, InvalidRequestError),
        (500, InternalError),
        (503, InternalError),
    ],
)
def test_litestars_own_exceptions(status, kind):
    """What the framework raises becomes an error of the tree."""
    error = as_junctor_error(HTTPException(detail="x", status_code=status))

    assert kind is type(error)


def test_defect_is_not_told():
    """An exception of ours that is a defect says nothing about itself."""
    error = as_junctor_error(ValueError("secret"))

    assert "secret" not in str(error)


def row_face(contract: str) -> ErrorFace:
    return ErrorFace(
        contract=contract,
        rows={JunctorError: ErrorRow(418, "odd")},
        envelope=lambda refusal: refusal.message.encode(),
    )


@pytest.mark.parametrize(
    ("path", "contract"),
    [
        ("/v1/tts", "speech"),
        ("/v1/tts/more", "speech"),
        ("/v1/tts2", "default"),
        ("/", "default"),
        ("", "default"),
    ],
)
def test_longest_prefix_decides(path, contract):
    """A path has the face of the longest prefix that ends at a slash."""
    faces = ErrorFaces(
        default=row_face("default"),
        by_prefix={"/v1": row_face("default"), "/v1/tts": row_face("speech")},
    )

    assert contract == faces.of(path).contract


@get("/")
async def refuse() -> None:
    raise NotAuthorizedException("no")


class Teapot:
    """A plugin that brings a contract with a face of its own."""

    @hookimpl
    def junctor_routers(self):
        return [Router("/tea", route_handlers=[refuse], opt={ERROR_FACE: row_face("tea")})]


def test_plugin_contract_joins():
    """A plugin's router brings its face along, for 404 and 405 under its path too."""
    settings = Settings()
    app = create_app(settings, plugins=plugins(settings, tea=Teapot()))

    assert "tea" == app.state["error_faces"].of("/tea/nowhere").contract
