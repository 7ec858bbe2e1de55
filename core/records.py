"""What a line of the journal says: a request was admitted, or it is over."""

from collections.abc import Iterable

import msgspec
import structlog

from junctor.core.storage.entries import Entry

log = structlog.get_logger(__name__)


class Reserved(
    msgspec.Struct, frozen=True, kw_only=True, gc=False, tag_field="kind", tag="reserve"
):
    """A request was admitted."""

    id: str
    request_id: str
    team: str
    key_id: str
    contract: str
    operation: str
    created_at: int
    """Microseconds since 1970, UTC."""


class Settled(Entry, frozen=True, kw_only=True, gc=False, tag_field="kind", tag="settle"):
    """A request is over; complete by itself, whether or not its reservation is still there."""


Record = Reserved | Settled

encode = msgspec.json.Encoder().encode

TEXT_LENGTH = 200

_decoder = msgspec.json.Decoder(Record)


def decode(lines: Iterable[bytes]) -> list[Record]:
    """Return the records; what a later version wrote and this one cannot read is logged."""
    records: list[Record] = []
    for line in lines:
        try:
            records.append(_decoder.decode(line))
        except msgspec.DecodeError:
            log.exception("journal.unreadable_record")
    return records


class Served(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a request got, exactly, and what it costs."""

    frames: int = 0
    rate: int = 0
    """Frames in one second, Hz."""
    model: str = ""
    provider: str = ""
    cost: int = 0
    """Billionths of a US dollar."""
    attempts: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0


NOTHING = Served()


def settled(opened: Reserved, served: Served, *, outcome: str, at: int) -> Settled:
    """Return the end of a request; `at` is in microseconds since 1970, UTC."""
    frames, prompt, completion = served.frames, served.prompt_tokens, served.completion_tokens
    return Settled(
        id=opened.id,
        request_id=opened.request_id,
        team=opened.team,
        key_id=opened.key_id,
        contract=opened.contract,
        operation=opened.operation,
        model=served.model,
        provider=served.provider,
        unit="tokens" if not frames and (prompt or completion) else "audio_seconds",
        frames=frames,
        rate=served.rate,
        seconds=frames / served.rate if frames else 0.0,
        cost=served.cost,
        attempts=served.attempts,
        outcome=outcome,
        created_at=opened.created_at,
        settled_at=at,
        prompt_tokens=prompt,
        completion_tokens=completion,
    )


def printable(text: str) -> str:
    """Return text that every database takes: printable, 200 characters at most."""
    if len(text) <= TEXT_LENGTH and text.isprintable():
        return text
    return "".join(c if c.isprintable() else "?" for c in text[:TEXT_LENGTH])
