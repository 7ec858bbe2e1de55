"""The contract over plain HTTP: headers, refusals before the body, clients that leave."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from urllib.parse import urlsplit

import aiohttp
import pytest
import pytest_asyncio
from attrs import evolve
from structlog.testing import capture_logs
from structlog.typing import EventDict

from junctor.conf.settings import Limits, Model, Team
from junctor.core.cards import Capability
from junctor.core.errors import ProviderRejectedError, ProviderUnavailableError
from junctor.core.storage.entries import Entry
from junctor.core.testing.clips import silent_clip
from junctor.core.testing.fakes import Fail, FakeTranscriber, Hang, Say, fake_card
from tests.fakes.server import Served, server_settings, serving
from tests.waiting import until

AUDIO = silent_clip(2.0).data
PATH = "/v1/audio/transcriptions"
pytestmark = pytest.mark.asyncio(loop_scope="module")
DOWN = ProviderUnavailableError("down at 10.0.0.1", provider="fake")


def form(**fields: str) -> aiohttp.FormData:
    data = aiohttp.FormData()
    data.add_field("file", AUDIO, filename="a.wav", content_type="audio/wav")
    for name, value in fields.items():
        data.add_field(name, value)
    return data


@pytest_asyncio.fixture(name="http", loop_scope="module")
async def _http(server: Served) -> AsyncIterator[aiohttp.ClientSession]:
    async with session_for(server) as session:
        yield session


def session_for(server: Served) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(server.url, headers=server.authorization)


async def line_of(lines: Sequence[EventDict]) -> EventDict:
    """Wait for the request's line: it is written when all is settled."""
    await until(lambda: lines)
    return lines[0]


async def entry_of(server: Served, request_id: object) -> Entry:
    """Return the one entry of a request in the ledger."""
    [entry] = [one for one in await server.entries() if one.request_id == request_id]
    return entry


async def raw(server: Served, *lines: str, body: bytes = b"") -> tuple[int, bytes]:
    """Send a request by hand, and read its answer while the rest of the body never comes."""
    address = urlsplit(server.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    head = "\r\n".join((f"POST {PATH} HTTP/1.1", "host: x", *lines, "", ""))
    writer.write(head.encode() + body)
    answer = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    return int(answer.split()[1]), answer


async def test_headers_say_who_answered(http):
    """Provider, attempts, the rate limit and the request's id are on the answer."""
    async with http.post(PATH, data=form(), headers={"x-request-id": "mine-1"}) as answer:
        headers = answer.headers

    assert ("fake", "1", "mine-1") == (
        headers["x-junctor-provider"],
        headers["x-junctor-attempts"],
        headers["x-request-id"],
    )
    assert headers["x-ratelimit-limit-requests"] == "600"
    assert 0 < int(headers["x-ratelimit-remaining-requests"]) < 600
    assert headers["x-ratelimit-reset-requests"].endswith("s")


@pytest.mark.parametrize("sent", ["a b", "x" * 129, "<script>"])
async def test_insane_request_id_is_replaced(http, sent):
    """What could harm a log is not echoed."""
    async with http.post(PATH, data=form(), headers={"x-request-id": sent}) as answer:
        assert sent != answer.headers["x-request-id"]


async def test_key_in_the_other_header(server):
    """The key may come as x-api-key."""
    async with (
        aiohttp.ClientSession(server.url, headers={"x-api-key": server.key}) as session,
        session.get("/v1/models") as answer,
    ):
        assert answer.status == 200


async def test_fallback_shows_in_the_headers(tmp_path):
    """When the first of the chain fails, the second one answers, and says so."""
    first = FakeTranscriber("first", then=Fail(ProviderRejectedError("x", provider="first")))
    second = FakeTranscriber("second", then=Say("hi"))
    settings = server_settings(
        tmp_path, models={"whisper": Model(chain=("first:one", "second:one"))}
    )
    async with (
        serving(settings, first, second) as server,
        session_for(server) as http,
        http.post(PATH, data=form(model="whisper")) as answer,
    ):
        headers = answer.headers

    assert ("second", "2") == (headers["x-junctor-provider"], headers["x-junctor-attempts"])


async def test_line_says_what_failed_and_who_answered(tmp_path):
    """One line is enough at night: who failed, how, and who stepped in."""
    first = FakeTranscriber("first", then=Fail(ProviderRejectedError("x", provider="first")))
    second = FakeTranscriber("second", then=Say("hi"))
    settings = server_settings(
        tmp_path, models={"whisper": Model(chain=("first:one", "second:one"))}
    )
    async with serving(settings, first, second) as server, session_for(server) as http:
        with capture_logs() as lines:
            async with http.post(PATH, data=form(model="whisper")) as answer:
                await answer.read()
            line = await line_of(lines)

    assert ("second", ("first:one ProviderRejectedError",)) == (
        line["provider"],
        line["failed_attempts"],
    )


async def test_no_key_is_refused_before_the_body(server):
    """Whoever has no key cannot make the server read."""
    status, _ = await raw(
        server, "content-type: multipart/form-data; boundary=x", "content-length: 99999"
    )

    assert status == 401


async def test_announced_size_is_refused_before_the_body(server):
    """A length over the cap is refused without a byte of the body."""
    status, _ = await raw(
        server,
        f"authorization: Bearer {server.key}",
        "content-type: multipart/form-data; boundary=x",
        "content-length: 999999999999",
    )

    assert status == 413


async def test_chunked_body_is_cut_off_at_the_cap(tmp_path):
    """Without a length, the cap holds while reading: the body never ends here."""
    settings = server_settings(tmp_path, limits=Limits(max_upload_bytes=1000))
    async with serving(settings, FakeTranscriber()) as server:
        status, _ = await raw(
            server,
            f"authorization: Bearer {server.key}",
            "content-type: multipart/form-data; boundary=x",
            "transfer-encoding: chunked",
            body=b"fff\r\n--x\r\nContent-Disposition: form-data; name=file; filename=a\r\n\r\n"
            + b"0" * 2048,
        )

    assert status == 413


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"content-type": "multipart/form-data; boundary=x"}, b"nonsense"),
        ({"content-type": "multipart/form-data"}, b"--x--"),
        ({"content-type": "application/json"}, b"{}"),
        ({"content-type": "multipart/form-data; boundary=\xff"}, b"--x--"),
        ({}, b""),
    ],
    ids=["nonsense", "no-boundary", "json", "odd-boundary", "nothing"],
)
async def test_malformed_body(http, headers, body):
    """Malformed is the caller's mistake, never ours."""
    async with http.post(PATH, data=body, headers=headers) as answer:
        detail = (await answer.json())["error"]

    assert (400, "invalid_request_error") == (answer.status, detail["type"])


async def test_upstreams_words_stay_inside(tmp_path):
    """A failing provider is a server error, without the provider's own words."""
    fake = FakeTranscriber(then=Fail(DOWN))
    async with (
        serving(server_settings(tmp_path), fake) as server,
        session_for(server) as http,
        http.post(PATH, data=form()) as answer,
    ):
        body = await answer.text()

    assert answer.status == 502
    assert "10.0.0.1" not in body


async def test_client_leaves_while_waiting(server, fake):
    """The work stops, nothing is charged, and the log says why."""
    fake.script.append(Hang())
    with capture_logs() as lines:
        async with session_for(server) as http:
            request = asyncio.create_task(http.post(PATH, data=form()))
            await fake.called()
            request.cancel()
        call = await fake.settled()
        line = await line_of(lines)

    entry = await entry_of(server, line["request_id"])

    assert ("cancelled", "cancelled", 0) == (call.outcome, entry.outcome, entry.frames)
    assert (499, "ClientGoneError") == (line["status"], line["error"])


async def test_client_leaves_a_stream(server, fake):
    """A stream's client that leaves stops the work too."""
    fake.script.append(Hang(items=2))
    with capture_logs() as lines:
        async with session_for(server) as http:
            answer = await http.post(PATH, data=form(stream="true"))
            await answer.content.readline()
            answer.close()
        call = await fake.settled()
        line = await line_of(lines)

    entry = await entry_of(server, line["request_id"])

    assert ("cancelled", "ClientGoneError") == (call.outcome, line["error"])
    assert entry.outcome == "cancelled"


async def test_client_leaves_while_uploading(server):
    """Half an upload is neither an error of ours nor a charge."""
    address = urlsplit(server.url)
    with capture_logs() as lines:
        _, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(
            f"POST {PATH} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {server.key}\r\n"
            "content-type: multipart/form-data; boundary=x\r\ncontent-length: 5000\r\n\r\n--x".encode()
        )
        await writer.drain()
        await until(lambda: server.runtime.gateway.load.buffered)
        writer.close()
        line = await line_of(lines)

    assert ("ClientGoneError", 0) == (line["error"], server.runtime.gateway.load.buffered)


async def test_stream_refused_before_its_first_event(server, fake, http):
    """A failure before the first event has its own status, as any other."""
    fake.then = Fail(DOWN)
    async with http.post(PATH, data=form(stream="true")) as answer:
        detail = (await answer.json())["error"]

    assert (502, "all_providers_failed") == (answer.status, detail["code"])


async def test_stream_that_breaks(fake, http):
    """After the first event the error is an event, the last one, and the connection ends well."""
    fake.script.append(Fail(DOWN, items=1))
    async with http.post(PATH, data=form(stream="true")) as answer:
        events = [json.loads(line[6:]) for line in (await answer.read()).split(b"\n\n") if line]

    assert ["transcript.text.delta", None] == [event.get("type") for event in events]
    assert "provider_failed" == events[-1]["error"]["code"]
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"


async def test_stream_of_a_provider_that_cannot(tmp_path):
    """One that gives the whole text at once still gives a delta before the end."""
    card = evolve(fake_card(), capabilities=frozenset({Capability.TRANSCRIBE}))
    fake = FakeTranscriber(cards=[card], then=Say("good morning"))
    async with (
        serving(server_settings(tmp_path), fake) as server,
        session_for(server) as http,
        http.post(PATH, data=form(stream="true")) as answer,
    ):
        body = await answer.text()

    assert 1 == body.count('"delta":"good morning"')
    assert 1 == body.count('"text":"good morning"')


async def test_one_line_per_request(server, http):
    """An answer has one line with everything an operator asks for."""
    with capture_logs() as lines:
        async with http.post(PATH, data=form()) as answer:
            await answer.read()
        await line_of(lines)

    wanted = {
        "event": "request",
        "contract": "openai",
        "operation": "transcribe",
        "team": "acme",
        "provider": "fake",
        "model": "one",
        "attempts": 1,
        "status": 200,
        "audio_seconds": 2.0,
        "error": None,
    }
    assert [wanted] == [{key: line[key] for key in wanted} for line in lines]


async def test_refusal_has_its_line_too(server):
    """Whoever is refused is seen."""
    with capture_logs() as lines:
        async with aiohttp.ClientSession(server.url) as http, http.get("/v1/models") as answer:
            detail = (await answer.json())["error"]
        line = await line_of(lines)

    assert "authentication_error" == detail["type"]
    assert (401, "AuthenticationError", None) == (line["status"], line["error"], line["team"])


async def test_revoked_key(server):
    """A key that was revoked is worth nothing from then on."""
    accounts = server.runtime.gateway.accounts
    key = await accounts.create_key("acme")
    await accounts.revoke(key.split("_")[1])
    async with (
        aiohttp.ClientSession(server.url, headers={"x-api-key": key}) as session,
        session.get("/v1/models") as answer,
    ):
        assert answer.status == 401


async def test_models_satisfy_both_contracts(http):
    """A model is OpenAI's object and the speech contract's card at once."""
    async with http.get("/v1/models") as answer:
        listed = await answer.json()
    [model] = listed["data"]

    assert ("list", "model", "fake", 0) == (
        listed["object"],
        model["object"],
        model["owned_by"],
        model["created"],
    )
    assert {"display_name", "id", "modes", "speakers", "default", "description"} <= set(model)


async def test_models_of_a_team(tmp_path):
    """A team sees what it may use."""
    fake = FakeTranscriber(cards=[fake_card("one"), fake_card("two")])
    settings = server_settings(tmp_path, teams={"acme": Team(allowed_models=("two",))})
    async with (
        serving(settings, fake) as server,
        session_for(server) as http,
        http.get("/v1/models") as answer,
    ):
        assert ["two"] == [model["id"] for model in (await answer.json())["data"]]


@pytest.mark.parametrize("name", ["one", "fake:one"])
async def test_one_model(http, name):
    """A model is found by its public name and by its full one."""
    async with http.get(f"/v1/models/{name}") as answer:
        assert "one" == (await answer.json())["id"]


@pytest.mark.parametrize("name", ["nope", "a/b"])
async def test_no_such_model(http, name):
    """An unknown model is 404 in the shape that both contracts read."""
    async with http.get(f"/v1/models/{name}") as answer:
        detail = (await answer.json())["error"]

    assert (404, "not_found", "model_not_found") == (
        answer.status,
        detail["type"],
        detail["code"],
    )


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", PATH, 405), ("POST", "/v1/models", 405), ("GET", "/v1/nothing", 404)],
)
async def test_no_such_path(http, method, path, status):
    """404 and 405 wear the contract's envelope."""
    async with http.request(method, path) as answer:
        detail = (await answer.json())["error"]

    assert status == answer.status
    assert detail["request_id"] == answer.headers["x-request-id"]
