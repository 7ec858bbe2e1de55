"""What a line of the journal says: a request was admitted, or it is over."""

from collections.abc import Iterable
from typing import Literal

import msgspec
import structlog
from msgspec import UNSET, UnsetType, structs

from junctor.core.storage.entries import Entry

log = structlog.get_logger(__name__)


Media = Literal["audio_seconds", "video_seconds"]
"""What the frames of a request are: the unit that its entry is counted in."""


class Reserved(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    gc=False,
    omit_defaults=True,
    tag_field="kind",
    tag="reserve",
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
    charge_id: str = ""
    """The entry's id if anything is charged, the same in every run of a job; empty for `id`."""


class Settled(Entry, frozen=True, kw_only=True, gc=False, tag_field="kind", tag="settle"):
    """A request is over; complete by itself, whether or not its reservation is still there."""

    reservation: str | UnsetType = UNSET
    """Id of the reservation where the entry has another one; in the journal alone."""


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

    unit: Media = "audio_seconds"
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

    @property
    def is_charge(self) -> bool:
        """Whether anything was served."""
        return bool(self.frames or self.prompt_tokens or self.completion_tokens)


NOTHING = Served()


def settled(opened: Reserved, served: Served, *, outcome: str, at: int) -> Settled:
    """Return the end of a request; `at` is in microseconds since 1970, UTC."""
    frames, prompt, completion = served.frames, served.prompt_tokens, served.completion_tokens
    entry = Settled(
        id=opened.id,
        request_id=opened.request_id,
        team=opened.team,
        key_id=opened.key_id,
        contract=opened.contract,
        operation=opened.operation,
        model=served.model,
        provider=served.provider,
        unit="tokens" if not frames and (prompt or completion) else served.unit,
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
    if opened.charge_id and served.is_charge:
        return structs.replace(entry, id=opened.charge_id, reservation=opened.id)
    return entry


def printable(text: str) -> str:
    """Return text that every database takes: printable, 200 characters at most."""
    if len(text) <= TEXT_LENGTH and text.isprintable():
        return text
    return "".join(c if c.isprintable() else "?" for c in text[:TEXT_LENGTH])
