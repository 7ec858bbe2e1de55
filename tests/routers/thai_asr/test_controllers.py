"""`GET /api/thai-asr/config` and `POST /api/thai-asr/sessions`."""

import re
from pathlib import Path
from typing import Any

import pytest

from junctor.conf.settings import Model, Server, Team, ThaiAsr
from tests.fakes.listeners import Listener
from tests.fakes.server import Served
from tests.routers.thai_asr.clients import LEGACY, PREFIX, Ear, asked, client, house, session

TEAM = Team(requests_per_minute=120, concurrency=3, audio_seconds_per_day=3600.0)


async def test_config(tmp_path: Path) -> None:
    """All fields of the seed's example, and no other."""
    async with house(tmp_path, Ear("ear"), team_defaults=TEAM) as served:
        answer = (await asked(served, f"{PREFIX}/config")).json()

    [note] = answer.pop("notes")
    assert note
    assert answer == {
        "language": "th",
        "mode": "benchmark_spike",
        "backend": "persistent_decoder",
        "engine": "ear",
        "defaults": {
            "sample_rate": 16000,
            "frame_ms": 20,
            "stream_chunk_ms": 80,
            "partial_interval_ms": 40,
            "min_decode_audio_ms": 240,
            "decode_window_ms": 1600,
            "vad": True,
        },
        "tenant": {"team_id": "acme", "team_name": "acme", "key_prefix": served.key.split("_")[1]},
        "limits": {
            "requests_per_minute": 120,
            "concurrent_sessions": 3,
            "daily_audio_seconds": 3600,
            "today_audio_seconds_used": 0,
        },
    }


@pytest.mark.asyncio(loop_scope="module")
async def test_limits_without_a_bound(home: Served) -> None:
    """A team that may speak all day has null."""
    answer = (await asked(home, f"{PREFIX}/config")).json()

    assert answer["limits"]["daily_audio_seconds"] is None


async def test_seconds_of_today(tmp_path: Path) -> None:
    """What sessions used is counted, those under way included."""
    async with house(tmp_path, Listener("ear")) as served:
        async with client(served, sample_rate=8000) as one:
            await one.start()
            await one.say(bytes(16_000 * 3), size=16_000)
            under_way = (await asked(served, f"{PREFIX}/config")).json()
            await one.end()
        await one.read()
        over = (await asked(served, f"{PREFIX}/config")).json()
        [*_, entry, _last] = await served.entries()

    assert under_way["limits"]["today_audio_seconds_used"] in {1, 2, 3}
    assert over["limits"]["today_audio_seconds_used"] == 3
    assert entry.contract == "thai_asr"


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("prefix", [PREFIX, LEGACY])
async def test_session(home: Served, prefix: str) -> None:
    """All fields of the seed's example; the socket is under the prefix that was called."""
    answer = await session(home, prefix, sample_rate=8000, benchmark_label="mine")

    session_id = answer.pop("session_id")
    assert re.fullmatch(r"[0-9a-f]{32}", session_id)
    assert answer == {
        "mode": "benchmark_spike",
        "language": "th",
        "engine": "ear",
        "backend": "persistent_decoder",
        "ws_url": f"ws{home.url[4:]}{prefix}/stream?session_id={session_id}",
        "config": {
            "sample_rate": 8000,
            "frame_ms": 20,
            "partial_interval_ms": 40,
            "min_decode_audio_ms": 240,
            "decode_window_ms": 1600,
            "vad": True,
            "benchmark_label": "mine",
        },
        "sla_targets": {
            "speech_detected_p95_ms": 60,
            "first_partial_p95_ms": 250,
            "final_after_eou_p95_ms": 800,
        },
        "tenant": {"team_id": "acme", "team_name": "acme", "key_prefix": home.key.split("_")[1]},
    }


@pytest.mark.parametrize(
    ("public_url", "base"),
    [
        ("https://speech.example.com", "wss://speech.example.com"),
        ("http://10.0.0.7:81/speech", "ws://10.0.0.7:81/speech"),
    ],
)
async def test_the_public_url(tmp_path: Path, public_url: str, base: str) -> None:
    """Behind a proxy the operator says how clients reach the server."""
    server = Server(port=0, public_url=public_url)
    async with house(tmp_path, Ear("ear"), server=server) as served:
        answer = await session(served, LEGACY)

    assert answer["ws_url"] == f"{base}{LEGACY}/stream?session_id={answer['session_id']}"


@pytest.mark.asyncio(loop_scope="module")
async def test_a_proxy_that_says_https(home: Served) -> None:
    """A proxy on this machine is believed, and no browser opens `ws:` from a secure page."""
    answer = await asked(
        home, f"{PREFIX}/sessions", json={}, more_headers={"x-forwarded-proto": "https"}
    )

    assert answer.json()["ws_url"].startswith("wss://127.0.0.1")


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("content", "param"),
    [
        (b'{"sample_rate": 7999}', "sample_rate"),
        (b'{"vad": "yes"}', "vad"),
        (b"sample_rate=8000", None),
        (b"[]", None),
        (b"{" + b" " * 100_000 + b"}", None),
    ],
)
async def test_what_makes_no_session(home: Served, content: bytes, param: str | None) -> None:
    """400, and the field at fault is named."""
    answer = await asked(home, f"{PREFIX}/sessions", content=content)

    body = answer.json()
    assert (answer.status_code, body["code"], body.get("param")) == (400, "invalid_request", param)
    assert set(body) - {"param"} == {"error", "code", "request_id"}


@pytest.mark.asyncio(loop_scope="module")
async def test_an_empty_body_has_all_defaults(home: Served) -> None:
    """So does one without a content type."""
    answer = await asked(home, f"{PREFIX}/sessions", content=b"")

    assert answer.json()["config"]["sample_rate"] == 16_000


async def ways(served: Served) -> list[Any]:
    return [
        await asked(served, f"{PREFIX}/config"),
        await asked(served, f"{LEGACY}/sessions", json={}),
    ]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("key", ["", "jn_abcdefgh_" + "x" * 40])
async def test_without_a_key(home: Served, key: str) -> None:
    """401 on both, in the contract's envelope."""
    config = await asked(home, f"{PREFIX}/config", key=key)
    opened = await asked(home, f"{PREFIX}/sessions", key=key, json={})

    assert (config.status_code, opened.status_code) == (401, 401)
    assert config.json()["code"] == opened.json()["code"] == "unauthorized"


@pytest.mark.asyncio(loop_scope="module")
async def test_bearer(home: Served) -> None:
    """The other contracts' header is good here too."""
    answer = await asked(home, f"{PREFIX}/config", key="", more_headers=home.authorization)

    assert answer.status_code == 200


async def test_requests_per_minute(tmp_path: Path) -> None:
    """Config and session count alike; the third is refused, and told when to come again."""
    team = Team(requests_per_minute=2)
    async with house(tmp_path, Ear("ear"), team_defaults=team) as served:
        first, second = await ways(served)
        third = await asked(served, f"{PREFIX}/config")

    assert (first.status_code, second.status_code, third.status_code) == (200, 200, 429)
    assert (third.json()["code"], int(third.headers["retry-after"]) > 0) == ("rate_limited", True)


async def test_requests_at_once(tmp_path: Path) -> None:
    """A socket is a request under way."""
    async with (
        house(tmp_path, Listener("ear"), team_defaults=Team(concurrency=1)) as served,
        client(served) as one,
    ):
        await one.until("ready")
        answers = await ways(served)

    assert {(one.status_code, one.json()["code"]) for one in answers} == {
        (429, "concurrency_limited")
    }


@pytest.mark.parametrize(
    ("settings", "status", "code"),
    [
        ({"models": {"thai-asr": Model(chain=("gone:one",))}}, 503, "unavailable"),
        ({"models": {}}, 503, "unavailable"),
        ({"thai_asr": ThaiAsr(model="fake:none")}, 503, "unavailable"),
        ({"team_defaults": Team(allowed_models=("other",))}, 403, "forbidden"),
    ],
)
async def test_nobody_can_serve(
    tmp_path: Path, settings: dict[str, Any], status: int, code: str
) -> None:
    """503: the caller chose nothing, so the caller is not to blame."""
    async with house(tmp_path, Ear("ear"), **settings) as served:
        answers = await ways(served)

    assert {(one.status_code, one.json()["code"]) for one in answers} == {(status, code)}


async def test_too_many_wait(tmp_path: Path) -> None:
    """503, and later there is room again."""
    bounds = ThaiAsr(max_sessions=1)
    async with house(tmp_path, Ear("ear"), thai_asr=bounds) as served:
        await session(served)
        answer = await asked(served, f"{PREFIX}/sessions", json={})

    assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
    assert "retry-after" in answer.headers


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("path", "more", "status"),
    [("/nowhere", {}, 404), ("/config", {"json": {}}, 405), ("/sessions", {}, 405)],
)
@pytest.mark.parametrize("prefix", [PREFIX, LEGACY])
async def test_paths_that_are_not(
    home: Served, prefix: str, path: str, more: dict[str, Any], status: int
) -> None:
    """In the contract's envelope, too."""
    answer = await asked(home, prefix + path, **more)

    assert (answer.status_code, set(answer.json())) == (status, {"error", "code", "request_id"})
