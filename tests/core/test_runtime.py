import hashlib
from pathlib import Path

import pytest
from attrs import evolve
from msgspec.structs import replace

from junctor.conf.settings import Model, Settings, Storage, Team
from junctor.conf.settings import Telemetry as TelemetrySettings
from junctor.conf.settings import Tokens as TokenSettings
from junctor.core.audit import Transcription
from junctor.core.cards import Capability
from junctor.core.complaints import Complaints
from junctor.core.errors import ConfigError
from junctor.core.idempotency import Call
from junctor.core.plans import Wish
from junctor.core.runtime import Runtime
from junctor.core.telemetry import Telemetry
from junctor.core.testing.fakes import FakeTranscriber, fake_card
from tests.fakes.issuer import key_set
from tests.fakes.plugins import Offering, plugins

DONE = Transcription(
    request_id="r",
    team="acme",
    key_id="k",
    audio_sha256=hashlib.sha256(b"").hexdigest(),
    text="said",
    frames=1,
    rate=1,
    provider="p",
    model="m",
    language="en",
    outcome="ok",
    is_redacted=False,
)
CALL = Call(team="acme", key="k", digest=b"d", expires_at=9e9)


def runtime(folder: Path, **more: object) -> Runtime:
    settings = Settings(storage=Storage(data_dir=str(folder)), **more)  # type: ignore[arg-type]
    telemetry = Telemetry(TelemetrySettings())
    return Runtime(settings, plugins(settings), telemetry=telemetry, complaints=Complaints())


async def work() -> bytes:
    return b"answer"


async def test_stores_outlive_the_server(tmp_path: Path) -> None:
    """Content, remembered answers and the audit are there again after a restart."""
    async with runtime(tmp_path) as server:
        artefact = await server.artefacts.put(b"x", team="acme", name="x", expires_at=9e9)
        await server.idempotency.answer(CALL, work)
        server.audit.add(DONE)
    async with runtime(tmp_path) as server:
        data = await server.artefacts.get(artefact, team="acme")
        found = await server.idempotency.answer(CALL, work)
        rows = await server.audit.rows("acme", since=0)

    assert (data, found, len(rows)) == (b"x", (b"answer", True), 1)


async def test_bad_keys_stop_the_start(tmp_path: Path) -> None:
    """Keys for tokens that cannot be read are a wrong setting, not a surprise at night."""
    with pytest.raises(ConfigError, match=r"tokens\.jwks"):
        await runtime(tmp_path, tokens=TokenSettings(jwks="/no/such/file")).open()


async def test_bad_keys_do_not_come_by_a_reload(tmp_path: Path) -> None:
    """A reload with keys that cannot be read changes nothing."""
    good = TokenSettings(jwks=key_set("one"))
    async with runtime(tmp_path, tokens=good) as server:
        storage = server.settings.storage
        with pytest.raises(ConfigError, match=r"tokens\.jwks"):
            await server.reload(Settings(storage=storage, tokens=TokenSettings(jwks="{")))

        assert server.settings.tokens is good


async def test_a_changed_pool_serves_at_once(tmp_path: Path) -> None:
    """A reload is enough, and what is under way at its members stays known."""
    cards = [evolve(fake_card(f"q@{n}", provider="v"), replica_of="q") for n in (1, 2)]
    more = [fake_card("q", provider="w")]
    served = Offering(FakeTranscriber("v", cards=cards), FakeTranscriber("w", cards=more))
    settings = Settings(
        storage=Storage(data_dir=str(tmp_path)), models={"best": Model(pool=("v:q",))}
    )
    loaded = plugins(settings, fake=served)
    asked = Wish(capability=Capability.CHAT, model="best")
    telemetry = Telemetry(TelemetrySettings())
    async with Runtime(settings, loaded, telemetry=telemetry, complaints=Complaints()) as server:
        server.health.gate("v:q@1", Capability.CHAT).enter()
        before = server._eras[-1].snapshot.planner.plan(asked)
        await server.reload(replace(settings, models={"best": Model(pool=("v:q@1", "w:q"))}))
        after = server._eras[-1].snapshot.planner.plan(asked)

    assert [one.card.name for one in before.candidates] == ["v:q@2", "v:q@1"]
    assert [one.card.name for one in after.candidates] == ["w:q", "v:q@1"]


async def test_replicas_are_listed_as_one_model(tmp_path: Path) -> None:
    """By the bare id that they share, and for a team that may use it."""
    cards = [evolve(fake_card(f"q@{n}", provider="v"), replica_of="q") for n in (1, 2)]
    settings = Settings(storage=Storage(data_dir=str(tmp_path)))
    loaded = plugins(settings, fake=Offering(FakeTranscriber("v", cards=cards)))
    telemetry = Telemetry(TelemetrySettings())
    async with Runtime(settings, loaded, telemetry=telemetry, complaints=Complaints()) as server:
        (listed,) = server._eras[-1].snapshot.public_models
        found = [
            server._eras[-1].snapshot.models_for(Team(allowed_models=(one,)))
            for one in ("v:q", "x")
        ]

    assert (listed.name, len(listed.cards)) == ("q", 2)
    assert found == [[listed], []]
