"""What clients of Thai captions say, decoded: the fields of a session, messages, audio in base64."""

import re
from binascii import a2b_base64
from collections.abc import Mapping
from typing import Final

import msgspec
from attrs import frozen

from junctor.contracts.thai_asr import EXPECTED, MAX_MESSAGE_BYTES, Said, SessionConfig
from junctor.core.errors import InvalidRequestError

MAX_BODY_BYTES: Final = 64 * 1024
"""Of a body of `POST /sessions`."""
KNOWN_TYPES: Final = ("start", "audio", "flush", "end", "end_utterance", "reset")
"""What a client may say."""
DEFAULT_CONFIG: Final = SessionConfig()
_FIELD = re.compile(r"\$\.(\w+)")
_SHOWN = 100

_said = msgspec.json.Decoder(Said)
_object = msgspec.json.Decoder(dict[str, object])


@frozen(kw_only=True)
class Complaint:
    """A message of which nothing was taken, and why; the session goes on."""

    code: str
    error: str
    param: str | None = None


def config_of_body(body: bytes) -> SessionConfig:
    """
    Decode the body of `POST /sessions`; an empty one has all defaults.

    Raises:
        InvalidRequestError: it is not a JSON object, or a field is wrong; `param` names it.

    """
    if len(body) > MAX_BODY_BYTES:
        raise InvalidRequestError(f"The body has more than {MAX_BODY_BYTES} bytes.")
    if not body.strip():
        return DEFAULT_CONFIG
    try:
        fields = _object.decode(body)
    except msgspec.DecodeError as exc:
        raise InvalidRequestError("The body is not a JSON object.") from exc
    return config_of(fields, DEFAULT_CONFIG)


def config_of_start(text: str, waiting: SessionConfig) -> SessionConfig:
    """
    Return the config of a `start`, whose fields go over those that the session was asked with.

    Raises:
        InvalidRequestError: a field is wrong; `param` names it.

    """
    return config_of(_object.decode(text), waiting)


def config_of(fields: Mapping[str, object], base: SessionConfig) -> SessionConfig:
    """
    Put fields over a config; null is a field that was not given, unknown ones are ignored.

    Raises:
        InvalidRequestError: a field is wrong; `param` names it.

    """
    given = {name: fields[name] for name in EXPECTED if fields.get(name) is not None}
    try:
        return msgspec.convert({**msgspec.structs.asdict(base), **given}, SessionConfig)
    except msgspec.ValidationError as exc:
        found = _FIELD.search(str(exc))
        name = found.group(1) if found else ""
        shown = msgspec.json.encode(given.get(name)).decode()[:_SHOWN]
        raise InvalidRequestError(
            f"The field {name!r} is {shown}; expected {EXPECTED.get(name, 'something else')}.",
            param=name or None,
        ) from exc


def said_in(text: str) -> Said | Complaint:
    """Decode a text message."""
    if len(text) > MAX_MESSAGE_BYTES:
        return too_large()
    try:
        return _said.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError):
        error = "A text message is not a JSON object with the field 'type'."
        return Complaint(code="invalid_json", error=error)


def audio_in(said: Said) -> bytes | Complaint:
    """Return the samples of a message of the type `audio`."""
    try:
        if isinstance(said.audio_b64, str):
            return a2b_base64(said.audio_b64, strict_mode=True)
    except ValueError:
        pass
    error = "The field 'audio_b64' is not a string of base64."
    return Complaint(code="invalid_audio", error=error, param="audio_b64")


def checked(pcm: bytes | Complaint, *, is_first: bool) -> bytes | Complaint:
    """
    Return samples if nothing is wrong with them.

    Args:
        pcm: a message of audio.
        is_first: whether an utterance begins with it.

    """
    if isinstance(pcm, Complaint):
        return pcm
    if len(pcm) > MAX_MESSAGE_BYTES:
        return too_large()
    if is_first and pcm[:4] == b"RIFF" and pcm[8:12] == b"WAVE":
        return Complaint(
            code="wav_header",
            error="The audio begins like a WAV file; nothing of this message was taken. Send the "
            "samples alone, and their sample_rate in the message 'start'.",
        )
    if len(pcm) % 2:
        return Complaint(
            code="odd_length",
            error=f"A message of audio has whole samples of 2 bytes; this one has {len(pcm)} bytes, "
            "and nothing of it was taken.",
        )
    return pcm


def unknown_type(said: Said) -> Complaint:
    """Return what is said of a message that this contract does not have."""
    return Complaint(
        code="unknown_type",
        error=f"There is no message {said.type[:_SHOWN]!r}. There are {', '.join(KNOWN_TYPES)}.",
    )


def too_large() -> Complaint:
    """Return what is said of a message that is too large."""
    return Complaint(
        code="too_large",
        error=f"A message has more than {MAX_MESSAGE_BYTES} bytes; nothing of it was taken. Send "
        "audio in smaller pieces.",
    )
