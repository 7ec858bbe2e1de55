"""From the body of a request to what a job is asked."""

import re
from collections.abc import Mapping
from hashlib import sha256
from secrets import randbelow

import msgspec
from msgspec import Struct

from junctor.contracts.ltx_video import EXPECTED, MODEL, Aspect, GenerationRequest, Resolution
from junctor.core.cards import Capability
from junctor.core.errors import InvalidRequestError
from junctor.core.gateway import chosen
from junctor.core.plans import Choice, Wish
from junctor.core.tickets import Ticket
from junctor.core.video.sizes import MAX_SEED

MAX_KEY = 200
"""Characters of an idempotency key."""

_decoder = msgspec.json.Decoder(GenerationRequest)
_PATH = re.compile(r" - at `\$\.?(?P<path>[^`]*)`$")
_MISSING = re.compile(r"missing required field `(?P<name>\w+)`")


class Asked(Struct, frozen=True, kw_only=True):
    """What a request asks for, with its defaults; the picture apart."""

    model: str
    prompt: str
    duration: int
    """Seconds."""
    aspect_ratio: Aspect
    resolution: Resolution
    seed: int


def read_generation(body: bytes) -> tuple[GenerationRequest, Asked]:
    """
    Check a body, and fill in what it leaves out.

    Raises:
        InvalidRequestError: it is not JSON, or a field is wrong; `param` names it.

    """
    try:
        wire = _decoder.decode(body)
    except msgspec.ValidationError as exc:
        raise _refused(str(exc)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise InvalidRequestError(f"The body is not valid JSON: {exc}.") from None
    except RecursionError:
        raise InvalidRequestError("The body is nested too deeply.") from None
    if not wire.prompt.strip():
        raise InvalidRequestError("The field 'prompt' is empty.", param="prompt")
    return wire, Asked(
        model=wire.model or MODEL,
        prompt=wire.prompt.strip(),
        duration=wire.duration or 5,
        aspect_ratio=_aspect_of(wire),
        resolution=wire.resolution or "720p",
        seed=_seed_of(wire.seed),
    )


def _aspect_of(wire: GenerationRequest) -> Aspect:
    snake, camel = wire.aspect_ratio, wire.camel_aspect_ratio
    if snake is not None and camel is not None and snake != camel:
        raise InvalidRequestError(
            "The fields 'aspect_ratio' and 'aspectRatio' disagree. Send one of them.",
            param="aspect_ratio",
        )
    return snake or camel or "16:9"


def _seed_of(seed: int | None) -> int:
    """Return a seed that engines take: drawn where none is given, else bounded."""
    if seed is None or seed < 0:
        return randbelow(MAX_SEED + 1)
    return min(seed, MAX_SEED)


def _refused(told: str) -> InvalidRequestError:
    """Return the error of a field, in the words of the decoder, which names the path."""
    found = _PATH.search(told)
    path = found["path"] if found else ""
    reason = told[: found.start()] if found else told
    missing = _MISSING.search(reason)
    if missing:
        path = f"{path}.{missing['name']}" if path else missing["name"]
    if not path:
        return InvalidRequestError(f"The body is not what is expected here: {reason}.")
    wanted = EXPECTED.get(path)
    reason = f"{reason}; expected {wanted}" if wanted else reason
    return InvalidRequestError(f"The field {path!r} is not valid: {reason}.", param=path)


def idempotency_key(headers: Mapping[str, str]) -> str | None:
    """
    Return the header `Idempotency-Key`; None without one.

    Raises:
        InvalidRequestError: it is too long, or not printable.

    """
    key = headers.get("idempotency-key", "").strip()
    if len(key) > MAX_KEY or not key.isprintable():
        raise InvalidRequestError(
            f"The header 'Idempotency-Key' has to be of 1 to {MAX_KEY} printable characters.",
            param="Idempotency-Key",
        )
    return key or None


def digest_of(body: bytes) -> str:
    """Return what makes two requests with one idempotency key the same: every byte of the body."""
    return sha256(body).hexdigest()


def wish_of(asked: Asked, ticket: Ticket) -> Wish:
    """Return what a job needs of a model."""
    return Wish(
        capability=Capability.GENERATE_VIDEO,
        seconds=asked.duration,
        **chosen(ticket, Choice(model=asked.model)),
    )
