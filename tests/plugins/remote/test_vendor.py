"""The ground of every adapter: what is sent where, and what comes of an answer."""

import asyncio
from collections.abc import Mapping
from contextlib import aclosing
from itertools import pairwise
from typing import ClassVar

import attrs
import msgspec
import pytest

from junctor.conf.settings import Secret
from junctor.core.cards import Capability, ModelCard, Tier
from junctor.core.errors import (
    ConfigError,
    MediaError,
    NotConfiguredError,
    ProviderAnswerError,
    ProviderAuthError,
    ProviderError,
    ProviderQuotaError,
    ProviderRateLimitedError,
    ProviderRejectedError,
    ProviderTimeoutError,
    ProviderUnavailableError,
)
from junctor.core.net import RelayAnswer, Target, json_body
from junctor.core.testing.clips import tone_clip, undecodable_clip
from junctor.plugins.remote.vendor import (
    CardSettings,
    Connections,
    Vendor,
    VendorSettings,
    fitted,
    polled,
    read,
    ready,
    tags,
)
from tests.fakes.peer import Peer

CARD = ModelCard(provider="tiny", id="one", capabilities=frozenset({Capability.TRANSCRIBE}))
TARGET = Target("tiny", "one")
CLIP = tone_clip(0.1)


class Tiny(Vendor):
    """A vendor of one model."""

    NAME: ClassVar[str] = "tiny"
    BASE_URL: ClassVar[str] = "https://api.tiny.example/v1"
    STREAM_URL: ClassVar[str] = "wss://api.tiny.example/v1/live"
    LINK_HOSTS: ClassVar[tuple[str, ...]] = ("files.example",)

    def headers(self) -> Mapping[str, str]:
        return {"X-Key": self._settings.api_key.reveal()}

    def fault(self, target: Target, answer: RelayAnswer) -> ProviderError:
        if b"unsupported" in answer.body:
            return ProviderQuotaError("read the body", provider=target.provider)
        return super().fault(target, answer)


@pytest.fixture(name="peer")
async def _peer():
    async with Peer() as peer:
        yield peer


@pytest.fixture(name="tiny")
async def _tiny(peer):
    tiny = made(base_url=f"{peer.url}/v1", stream_url=f"{peer.socket_url}/v1/live", timeout=0.5)
    await tiny.start()
    yield tiny
    await tiny.close()


def made(**settings: object) -> Tiny:
    table = msgspec.convert(settings, VendorSettings)
    return Tiny(msgspec.structs.replace(table, api_key=Secret("sk-1")), [CARD])


async def test_asks(tiny, peer):
    """Method, path, parameters in order, body, and headers beside the key arrive."""
    answer = await tiny.ask(
        "PUT",
        "/jobs",
        TARGET,
        query=[("a", "1"), ("b", "x y&z"), ("a", "2")],
        body=json_body({"k": 1}),
        headers={"X-More": "m"},
    )
    (seen,) = peer.seen

    assert (b"{}", "PUT", "/v1/jobs", b'{"k":1}') == (answer, seen.method, seen.path, seen.body)
    assert [("a", "1"), ("b", "x y&z"), ("a", "2")] == seen.query
    assert ("sk-1", "m") == (seen.headers["X-Key"], seen.headers["X-More"])


async def test_own_link_gets_the_key(tiny, peer):
    """A link of an answer to the vendor's own host is followed with the key, query and all."""
    await tiny.ask("GET", f"{peer.url}/result?sig=a%2Fb", TARGET, query=[("page", "2")])

    assert [("sig", "a/b"), ("page", "2")] == peer.seen[0].query
    assert "sk-1" == peer.seen[0].headers["X-Key"]


@pytest.mark.parametrize(
    "link", ["https://files.example/a?sig=1", "https://eu.files.example:8443/a"]
)
def test_allowed_link_gets_no_key(tiny, link):
    """A link to a host that the adapter names is followed, but without our key."""
    assert (link, False) == tiny._address(link, TARGET)


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.example/",
        "http://files.example/",
        "https://evilfiles.example/",
        "https://files.example.evil.example/",
        "https://files.example@evil.example/",
        "https://evil.example\\@files.example/",
        "https://evil.example#@files.example/",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1/",
        "https://files.exämple/",
        "file://files.example/etc/passwd",
        "https://",
        "ftp://files.example/\n",
        "@evil.example/",
        ".evil.example/",
        ":8080/",
        "result.json",
    ],
)
async def test_foreign_links(tiny, peer, link):
    """Any other link is an answer that makes no sense; nothing is sent, and it is not shown."""
    with pytest.raises(ProviderAnswerError, match="not its own") as caught:
        await tiny.ask("GET", link, TARGET)

    assert [] == peer.seen
    assert link not in str(caught.value)


async def test_same_host_on_another_port_is_foreign(tiny, peer):
    """Another port is another server, and another scheme too."""
    async with Peer() as other:
        for link in (other.url, peer.url.replace("http", "https")):
            with pytest.raises(ProviderAnswerError):
                await tiny.ask("GET", link, TARGET)

        assert [] == other.seen


@pytest.mark.parametrize(
    ("fault", "error", "wait"),
    [
        ("rate-limited", ProviderRateLimitedError, 7.0),
        ("error", ProviderUnavailableError, None),
        ("unavailable", ProviderUnavailableError, None),
        ("unauthorized", ProviderAuthError, None),
        ("quota", ProviderQuotaError, None),
        ("redirect", ProviderRejectedError, None),
        ("reset", ProviderUnavailableError, None),
        ("hang", ProviderTimeoutError, None),
        ("drip", ProviderTimeoutError, None),
        ("cut", ProviderAnswerError, None),
    ],
)
async def test_faults(tiny, peer, fault, error, wait):
    """Every fault is its error, in time, and names the vendor and the model only."""
    peer.answer = b'{"text": "LEAK LEAK LEAK"}'
    peer.always = fault
    with pytest.raises(error) as caught:
        await tiny.ask("POST", "/jobs", TARGET, body=json_body({}))
    told = f"{caught.value!r} {caught.value.__cause__!r}"

    assert ("tiny", "one", wait) == (
        caught.value.provider,
        caught.value.model,
        caught.value.retry_after,
    )
    assert not any(secret in told for secret in ("LEAK", "sk-1", "127.0.0.1"))


async def test_malformed_answer(tiny, peer):
    """Broken JSON with a good status is found when it is read."""
    peer.always = "malformed"
    with pytest.raises(ProviderAnswerError, match="cannot be understood"):
        read(await tiny.ask("GET", "/jobs", TARGET), dict, TARGET)


@pytest.mark.parametrize("is_live", [False, True], ids=["request", "socket"])
async def test_adapter_reads_the_refusal(tiny, peer, is_live):
    """A refused request and a refused upgrade both come to the adapter's own `fault`."""
    peer.script.append("locale")

    async def asked() -> None:
        if not is_live:
            await tiny.ask("GET", "/", TARGET)
        async with tiny.socket(TARGET):
            pass

    with pytest.raises(ProviderQuotaError, match="read the body"):
        await asked()


async def test_cancel_reaches_the_vendor(tiny, peer):
    """Cancelling the task drops the request."""
    peer.always = "hang"
    task = asyncio.create_task(tiny.ask("GET", "/", TARGET))
    await peer.until(lambda: len(peer.seen) == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    await peer.until(lambda: peer.aborted == 1)


async def streamed(tiny: Tiny) -> list[bytes]:
    async with aclosing(tiny.events("/talk?alt=sse", TARGET, body=json_body({}))) as events:
        return [event async for event in events]


async def test_events(tiny, peer):
    """The data of a stream's events come one by one, the key went with the request."""
    peer.content_type, peer.answer = "text/event-stream", b"event: x\ndata: 1\n\ndata: 2\r\n\r\n"

    assert [b"1", b"2"] == await streamed(tiny)
    assert ("POST", "/v1/talk", [("alt", "sse")], "sk-1") == (
        peer.seen[0].method,
        peer.seen[0].path,
        peer.seen[0].query,
        peer.seen[0].headers["X-Key"],
    )


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("ok", ProviderAnswerError),
        ("locale", ProviderQuotaError),
        ("rate-limited", ProviderRateLimitedError),
        ("redirect", ProviderRejectedError),
        ("endless", ProviderAuthError),
        ("reset", ProviderUnavailableError),
        ("hang", ProviderTimeoutError),
    ],
)
async def test_events_that_do_not_come(tiny, peer, name, error):
    """A refusal is told by the adapter's own reading of it, and JSON is no stream."""
    peer.script.append(name)

    with pytest.raises(error):
        await streamed(tiny)


async def test_socket(tiny, peer):
    """The WebSocket has path, parameters and key, and is closed behind the block."""
    async with tiny.socket(TARGET, query=[("k", "a b"), ("k", "c")], path="/two") as socket:
        await socket.send_bytes(b"x")
        assert 1 == len(peer.sockets)
    await peer.until(lambda: not peer.sockets)

    assert ("/v1/live/two", [("k", "a b"), ("k", "c")]) == (peer.seen[0].path, peer.seen[0].query)
    assert "sk-1" == peer.seen[0].headers["X-Key"]


async def test_life(peer):
    """It asks nothing before it is started or after it is closed, and both may be said twice."""
    tiny = made(base_url=peer.url)
    with pytest.raises(ProviderUnavailableError, match="not started"):
        tiny.target("one")
    await tiny.start()
    await tiny.start()
    assert (CARD, TARGET) == tiny.target("one")
    await tiny.close()
    await tiny.close()

    with pytest.raises(ProviderUnavailableError, match="not started"):
        tiny.target("one")


async def test_unknown_model(tiny):
    """A model without a card is refused."""
    with pytest.raises(ProviderRejectedError, match="has no model 'two'"):
        tiny.target("two")


def test_cards_are_changed_by_the_table():
    """What a deployment says of a model goes before the card; the rest stays."""
    tiny = made(models={"one": {"price": 0.0, "locales": ["th"], "tiers": ["low"]}})

    assert [
        attrs.evolve(CARD, price=0.0, locales=frozenset({"th"}), tiers=frozenset({Tier.LOW}))
    ] == tiny.models()


def test_card_that_is_not_there():
    """A table for a model that the vendor has not is a wrong setting, which names those it has."""
    with pytest.raises(ConfigError, match=r'plugins.tiny.models."two".* one'):
        made(models={"two": {}})


@pytest.mark.parametrize(
    "url", ["nonsense", "ftp://x", "https://", "https://u:p@x", "https://x?a=1", "https://x#a"]
)
@pytest.mark.parametrize("key", ["base_url", "stream_url"])
def test_urls_that_are_none(key, url):
    """A base URL without scheme or host, or with more than a path, is a wrong setting."""
    with pytest.raises(ConfigError, match=f"plugins.tiny.{key}"):
        made(**{key: url})


@pytest.mark.parametrize(
    ("settings", "stream_url"),
    [
        ({}, "wss://api.tiny.example/v1/live"),
        ({"base_url": "https://api.eu.tiny.example/v1/"}, "wss://api.eu.tiny.example/v1/live"),
        ({"base_url": "http://proxy:8000/tiny"}, "ws://proxy:8000/tiny/live"),
        ({"base_url": "https://x/v1", "stream_url": "wss://y/live/"}, "wss://y/live"),
    ],
)
def test_live_speech_goes_where_recordings_go(settings, stream_url):
    """A deployment that moves the base URL, to a region say, moves the WebSocket along."""
    assert stream_url == made(**settings)._stream_url


def test_foreign_stream_url_stays():
    """A WebSocket that is not below the vendor's base URL is moved by its own setting only."""

    class Apart(Tiny):
        STREAM_URL: ClassVar[str] = "wss://live.tiny.example"

    table = VendorSettings(api_key=Secret("k"), base_url="https://proxy/v1")

    assert "wss://live.tiny.example" == Apart(table, [CARD])._stream_url


def test_ready():
    """A table with a key passes; one without sits out."""
    ready(VendorSettings(api_key=Secret("sk-1")), "tiny")
    with pytest.raises(NotConfiguredError, match=r"`api_key` in \[plugins.tiny\]"):
        ready(VendorSettings(), "tiny")


@pytest.mark.parametrize("key", ["sk 1", "sk-1\n", "sk-\u00e9"])
def test_keys_that_are_none(key):
    """A key that no header can carry is told without showing it."""
    with pytest.raises(ConfigError, match=r"plugins.tiny.api_key: Expected visible") as caught:
        ready(VendorSettings(api_key=Secret(key)), "tiny")

    assert key not in str(caught.value)


def test_connections_are_bounded():
    """The pool has the bounds of the table."""
    pool = Connections(max_connections=2, connect_timeout=0.5).pool()

    assert (2, 0.5, 30.0) == (
        pool.limits.max_connections,
        pool.limits.connect_timeout,
        pool.limits.max_idle,
    )


def test_tags():
    """Tags are listed in one string."""
    assert frozenset({"en-IN", "th"}) == tags("en-IN\n th")


@pytest.mark.parametrize(
    ("taken", "media_type"),
    [
        (None, "audio/wav"),
        ({"audio/wav"}, "audio/wav"),
        ({"audio/flac", "audio/mpeg"}, "audio/flac"),
    ],
)
async def test_fitted(taken, media_type):
    """A recording is sent as it is, or as FLAC where the model does not take its type."""
    card = attrs.evolve(CARD, media_types=taken and frozenset(taken))
    clip = await fitted(CLIP, card, TARGET)

    assert media_type == clip.media_type
    assert (clip is CLIP) == (media_type == "audio/wav")


@pytest.mark.parametrize(
    ("taken", "most", "said"),
    [
        ({"audio/mpeg"}, None, "takes neither audio/amr nor FLAC nor WAV"),
        ({"audio/flac"}, 10, "takes no more than 10 bytes"),
    ],
)
async def test_not_fitted(taken, most, said):
    """What cannot be made to fit is refused."""
    card = attrs.evolve(CARD, media_types=frozenset(taken), max_bytes=most)
    with pytest.raises(ProviderRejectedError, match=said):
        await fitted(attrs.evolve(CLIP, media_type="audio/amr"), card, TARGET)


async def test_undecodable_is_not_fitted():
    """Rubbish that would have to be re-encoded is the caller's fault."""
    card = attrs.evolve(CARD, media_types=frozenset({"audio/flac"}))
    with pytest.raises(MediaError):
        await fitted(undecodable_clip(), card, TARGET)


async def test_polled():
    """It is asked again until there is a result, first soon, then no oftener than said."""
    times: list[float] = []

    async def check() -> str | None:
        times.append(asyncio.get_running_loop().time())
        return "done" if len(times) == 6 else None

    assert "done" == await polled(check, every=0.08, within=5.0, target=TARGET)
    pauses = [after - before for before, after in pairwise(times)]

    assert pauses[0] < 0.08 <= pauses[-1] + 0.01


async def test_polled_ends():
    """Work that is not done in time is given up."""

    async def check() -> str | None:
        return None

    with pytest.raises(ProviderTimeoutError, match="tiny was not done in time"):
        await polled(check, every=0.01, within=0.1, target=TARGET)


async def test_polled_passes_errors_on():
    """An error of the question itself is told as it is, a timeout included."""

    async def check() -> str | None:
        raise ProviderTimeoutError("the question", provider="tiny")

    with pytest.raises(ProviderTimeoutError, match="the question"):
        await polled(check, every=0.01, within=5.0, target=TARGET)


def test_every_setting_of_a_card_is_one_of_its_fields():
    """The table's names are the card's own."""
    names = {field.name for field in attrs.fields(ModelCard)}

    assert set(CardSettings.__struct_fields__) <= names
