"""Bad media, failing providers and a failing database, over HTTP: answered, and charged rightly."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from junctor.conf.settings import Breaker, Limits, Model, Policy, Storage
from junctor.core.errors import ProviderUnavailableError
from junctor.core.testing.clips import silent_clip
from junctor.core.testing.fakes import Fail, FakeTranscriber, Hang, Say, fake_card
from junctor.plugins.remote import openai
from tests.fakes.server import Served, server_settings, serving
from tests.fakes.upstream import Upstream
from tests.media import make_bomb, make_media, make_silent_video, make_wav
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")
SECOND = silent_clip(1.0).data
DOWN = ProviderUnavailableError("down", provider="fake")
HURRIED = Policy(attempts_per_candidate=1)


async def post(
    server: Served, data: bytes, *, name: str = "a.wav", kind: str = "audio/wav"
) -> tuple[int, dict[str, Any], Any]:
    """Upload a file; return status, body and headers."""
    form = aiohttp.FormData()
    form.add_field("file", data, filename=name, content_type=kind)
    async with (
        aiohttp.ClientSession(server.url, headers=server.authorization) as http,
        http.post("/v1/audio/transcriptions", data=form) as answer,
    ):
        return answer.status, await answer.json(), answer.headers


async def charged(server: Served) -> float:
    """Return the seconds of audio that were charged so far."""
    return sum(entry.seconds for entry in await server.entries())


@pytest_asyncio.fixture(name="own", loop_scope="module")
async def _own(tmp_path: Path) -> AsyncIterator[Served]:
    """Serve without a word of its own that could be charged from another test."""
    async with serving(server_settings(tmp_path), FakeTranscriber(then=Say("hi"))) as server:
        yield server


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"RIFF",
        b"This is no audio at all. " * 99,
        make_wav(b""),
        make_media("mp3")[:40],
        make_silent_video(),
    ],
    ids=["empty", "stub", "text", "no-samples", "cut-to-nothing", "no-audio-track"],
)
async def test_what_is_no_audio_is_the_callers_mistake(own: Served, data: bytes) -> None:
    """400 with a sentence, and nothing is charged."""
    status, body, _ = await post(own, data)

    assert (status, body["error"]["param"]) == (400, "file")
    assert body["error"]["message"]
    assert await charged(own) == 0


@pytest.mark.parametrize("kind", ["wav", "mp3", "m4a", "ogg", "flac", "webm", "mp4"])
async def test_a_wrong_claim_about_the_type_does_no_harm(own: Served, kind: str) -> None:
    """What the bytes are counts, whatever name and type they are sent under."""
    status, body, _ = await post(own, make_media(kind, 2.0), name="a.txt", kind="image/png")

    assert (status, body["text"]) == (200, "hi")
    assert await charged(own) == pytest.approx(2.0, abs=0.12)


@pytest.mark.parametrize("kind", ["wav", "flac", "mp3"])
async def test_truncated_audio_is_served_and_charged_for_what_is_there(
    own: Served, kind: str
) -> None:
    """Half a file is half as long, not broken and not the length that its header claims."""
    whole = make_media(kind, 4.0)
    status, _, _ = await post(own, whole[: len(whole) // 2])

    assert status == 200
    assert 1.0 < await charged(own) < 3.2


async def test_ten_hours_in_a_tiny_file_are_refused(own: Served) -> None:
    """400 while decoding, long before ten hours are in memory."""
    bomb = make_bomb(36_000)
    status, body, _ = await post(own, bomb, name="a.flac")

    assert len(bomb) < 1_000_000
    assert (status, "3600 seconds" in body["error"]["message"]) == (400, True)
    assert await charged(own) == 0


async def test_a_provider_that_hangs_meets_the_deadline(tmp_path: Path) -> None:
    """504 at the deadline, its work cancelled, nothing charged."""
    fake = FakeTranscriber(then=Hang())
    settings = server_settings(tmp_path, limits=Limits(request_timeout=0.3))
    async with serving(settings, fake) as server:
        status, body, headers = await post(server, SECOND)
        call = await fake.settled()

        assert (status, call.outcome, await charged(server)) == (504, "cancelled", 0)
        assert body["error"]["request_id"] == headers["x-request-id"]


async def test_every_provider_failing_names_the_request(tmp_path: Path) -> None:
    """502 with the request's id, and nothing charged."""
    fake = FakeTranscriber(then=Fail(DOWN))
    async with serving(server_settings(tmp_path, policy=HURRIED), fake) as server:
        status, body, headers = await post(server, SECOND)

        assert (status, await charged(server)) == (502, 0)
        assert body["error"]["request_id"] == headers["x-request-id"]


async def test_a_breaker_opens_lets_a_probe_through_and_closes(tmp_path: Path) -> None:
    """Two failures, then 503 without asking anybody, then a probe, then all is well."""
    fake = FakeTranscriber(script=[Fail(DOWN), Fail(DOWN)], then=Say("back"))
    breaker = Breaker(failures=2, open_for=0.4)
    settings = server_settings(tmp_path, policy=HURRIED, breaker=breaker)
    async with serving(settings, fake) as server:
        failed = [(await post(server, SECOND))[0] for _ in range(2)]
        status, _, headers = await post(server, SECOND)
        health = server.runtime.health
        asked = len(fake.calls)
        await until(lambda: "half-open" in {state.value for state in health.states().values()})
        again = [(await post(server, SECOND))[0] for _ in range(2)]

        assert (failed, status, asked, again) == ([502, 502], 503, 2, [200, 200])
        assert int(headers["retry-after"]) >= 1
        assert {state.value for state in health.states().values()} == {"closed"}
        assert await charged(server) == 2.0


async def test_the_database_may_go_while_serving(tmp_path: Path) -> None:
    """Known keys go on, unknown ones get 503; usage is there when the database is back."""
    storage = Storage(data_dir=str(tmp_path), key_cache_ttl=0.01, usage_interval=0.02)
    settings = server_settings(tmp_path, storage=storage)
    database = tmp_path / "junctor.db"
    async with serving(settings, FakeTranscriber(then=Say("hi"))) as server:
        before = (await post(server, SECOND))[0]
        await server.runtime.gateway.ledger.fold()
        kept = database.read_bytes()
        database.unlink()
        database.mkdir()
        during = [(await post(server, SECOND))[0] for _ in range(3)]
        stranger = Served(server.url, "jn_abcdefgh_" + "x" * 40, server.app)
        unknown = (await post(stranger, SECOND))[0]
        database.rmdir()
        database.write_bytes(kept)

        assert (before, during, unknown) == (200, [200] * 3, 503)
        assert await charged(server) == 4.0


async def test_a_client_that_leaves_cancels_the_call_at_the_vendor(tmp_path: Path) -> None:
    """The whole way: our client, our server, a vendor's connection; nothing is charged."""
    async with Upstream() as upstream:
        upstream.script("hang")
        vendor = {"base_url": upstream.base_url, "api_key": "k", "models": {"whisper-1": {}}}
        settings = server_settings(
            tmp_path,
            default_model="vendor:whisper-1",
            plugins={"openai": {"providers": {"vendor": vendor}}},
        )
        async with serving(settings, openai=openai) as server:
            task = asyncio.create_task(post(server, SECOND))
            await upstream.until(lambda: len(upstream.requests) == 1)
            task.cancel()
            await upstream.until(lambda: upstream.cancelled == 1)
            await until(lambda: server.runtime.gateway.load.requests == 0)

            assert [entry.outcome for entry in await server.entries()] == ["cancelled"]
            assert await charged(server) == 0


async def test_a_dead_vendor_does_not_slow_the_next_requests(tmp_path: Path) -> None:
    """It hangs twice and is left alone: from then on the healthy one answers at once."""
    dead = FakeTranscriber("dead", cards=[fake_card(provider="dead")], then=Hang())
    alive = FakeTranscriber("alive", cards=[fake_card("two", provider="alive")], then=Say("hi"))
    settings = server_settings(
        tmp_path,
        default_model="best",
        models={"best": Model(chain=("dead:one", "alive:two"))},
        policy=Policy(max_attempt=0.2, attempts_per_candidate=1),
        breaker=Breaker(failures=2, open_for=60),
    )
    async with serving(settings, dead, alive) as server:
        first = [(await post(server, SECOND))[0] for _ in range(2)]
        _, _, headers = await post(server, SECOND)

        assert (first, headers["x-junctor-attempts"], len(dead.calls)) == ([200, 200], "1", 2)
        assert await charged(server) == 3.0
