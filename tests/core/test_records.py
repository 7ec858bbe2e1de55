"""What a line of the journal says, also one that an older version wrote."""

import msgspec
import pytest

from junctor.core.records import Reserved, Served, Settled, decode, encode, settled

OPENED = Reserved(
    id="1",
    request_id="r",
    team="acme",
    key_id="k",
    contract="openai",
    operation="chat",
    created_at=1,
)
OLDER = (
    b'{"kind":"settle","id":"1","request_id":"r","team":"acme","key_id":"k","contract":"openai",'
    b'"operation":"transcribe","model":"m","provider":"p","unit":"audio_seconds","frames":32000,'
    b'"rate":16000,"seconds":2.0,"cost":5,"attempts":1,"outcome":"ok","created_at":1,'
    b'"settled_at":2}'
)


def test_line_of_an_older_version() -> None:
    """A settlement from before there were tokens has none, and is whole."""
    (found,) = decode([OLDER])

    assert isinstance(found, Settled)
    assert (found.prompt_tokens, found.completion_tokens) == (0, 0)
    assert {**msgspec.json.decode(OLDER), "prompt_tokens": 0, "completion_tokens": 0} == (
        msgspec.json.decode(encode(found))
    )


def test_line_of_an_ordinary_request() -> None:
    """What only jobs have takes no room in it."""
    lines = encode(OPENED), encode(settled(OPENED, Served(frames=1, rate=1), outcome="ok", at=2))

    assert b"charge_id" not in lines[0]
    assert b"reservation" not in lines[1]


@pytest.mark.parametrize("served", [Served(frames=1, rate=1), Served(completion_tokens=1)])
def test_charge_has_its_own_id(served: Served) -> None:
    """The entry of a charge is known by it, and names the reservation that is over."""
    opened = msgspec.structs.replace(OPENED, charge_id="job:x")
    entry = settled(opened, served, outcome="ok", at=2)

    assert (entry.id, entry.reservation) == ("job:x", "1")
    assert decode([encode(opened), encode(entry)]) == [opened, entry]


def test_nothing_charged_keeps_the_id_of_its_reservation() -> None:
    """A run of a job that failed does not stand in the way of the one that is charged."""
    opened = msgspec.structs.replace(OPENED, charge_id="job:x")

    entry = settled(opened, Served(cost=5), outcome="failed", at=2)

    assert (entry.id, entry.reservation) == ("1", msgspec.UNSET)


@pytest.mark.parametrize(
    ("served", "unit"),
    [
        (Served(unit="video_seconds", frames=24, rate=24), "video_seconds"),
        (Served(unit="video_seconds", completion_tokens=3), "tokens"),
        (Served(prompt_tokens=3), "tokens"),
        (Served(completion_tokens=3), "tokens"),
        (Served(frames=1, rate=1, prompt_tokens=3), "audio_seconds"),
        (Served(), "audio_seconds"),
    ],
)
def test_unit(served: Served, unit: str) -> None:
    """The unit is that of tokens where nothing else was served, and a line keeps it all."""
    entry = settled(OPENED, served, outcome="ok", at=2)

    assert entry.unit == unit
    assert decode([encode(entry)]) == [entry]
