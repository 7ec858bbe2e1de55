"""The quick door: connections are kept, bounded and given up when the caller goes."""

import asyncio
import gc
import logging

import pytest
import uvloop

from junctor.core.errors import (
    ProviderAnswerError,
    ProviderAuthError,
    ProviderBusyError,
    ProviderError,
    ProviderRejectedError,
    ProviderTimeoutError,
    ProviderUnavailableError,
)
from junctor.core.net import Pool, PoolLimits, RelayAnswer, ServerEvent, Target, json_body
from junctor.core.net.bodies import Body
from junctor.core.net.events import MAX_EVENT_BYTES
from tests.fakes.upstream import MODES, Mode, Upstream, refused_url
from tests.waiting import patience

KEY = "sk-very-secret"
TARGET = Target("vendor", "model-1")
BIG = Body(parts=(b"x" * 8_000_000,), content_type="audio/wav")


async def post(
    pool: Pool, url: str, *, body: Body | None = None, within: float = 5.0
) -> RelayAnswer:
    return await pool.relay.post(
        f"{url}/chat/completions",
        headers={"Authorization": f"Bearer {KEY}"},
        body=body or json_body({"model": "m"}),
        target=TARGET,
        within=within,
    )


async def test_one_connection_for_many_requests(pool, upstream):
    """Requests in a row go over one TCP connection."""
    for _ in range(5):
        answer = await post(pool, upstream.base_url)
        assert 200 == answer.status

    assert (1, 5) == (upstream.connections, upstream.answered[200])


async def test_sends_what_it_was_given(pool, upstream):
    """Headers, type and length arrive; no encoding is invited that would have to be undone."""
    await post(pool, upstream.base_url)
    headers = upstream.requests[0].headers

    assert {
        "authorization": f"Bearer {KEY}",
        "content-type": "application/json",
        "content-length": "13",
        "accept-encoding": "identity",
    }.items() <= headers.items()


@pytest.mark.parametrize(
    ("mode", "error"),
    [
        ("reset", ProviderUnavailableError),
        ("close", ProviderUnavailableError),
        ("reset-mid-body", ProviderAnswerError),
        ("cut", ProviderAnswerError),
        ("garbage", ProviderAnswerError),
        ("huge", ProviderAnswerError),
        ("hang", ProviderTimeoutError),
        ("drip", ProviderTimeoutError),
    ],
)
async def test_faults(pool, upstream, mode, error, caplog):
    """Each fault is its error, soon; nothing shows the key or what the upstream wrote."""
    async with asyncio.timeout(20):
        with pytest.raises(error) as caught:
            await post(pool, upstream.url(mode), within=patience(error))
    logging.getLogger("test").error("failed", exc_info=caught.value)
    told = f"{caught.value!r} {caught.value} {caught.value.__cause__!r}"

    assert ("vendor", "model-1") == (caught.value.provider, caught.value.model)
    assert KEY not in told + caplog.text
    assert "LEAK" not in f"{caught.value!r}"
    assert "127.0.0.1" not in f"{caught.value!r}"


async def test_refused(pool):
    """A port where nothing listens is unavailable, at once."""
    with pytest.raises(ProviderUnavailableError, match="vendor refused the connection"):
        await post(pool, refused_url())


async def test_no_tls(pool, upstream):
    """A server that speaks no TLS where TLS is expected is unavailable, and told apart."""
    with pytest.raises(ProviderUnavailableError, match="TLS"):
        await post(pool, upstream.base_url.replace("http:", "https:"))


async def test_answer_before_the_upload_ends(pool, upstream):
    """An answer that comes while the upload is still going out is the answer."""
    answer = await post(pool, upstream.url("early"), body=BIG)
    await upstream.until(lambda: upstream.open_connections == 0)

    assert 413 == answer.status
    assert upstream.received_bytes < BIG.size


async def test_closing_the_pool_ends_what_is_under_way(pool, upstream):
    """A request that the pool's end cuts off fails as an error of ours."""
    task = asyncio.create_task(post(pool, upstream.url("hang")))
    await upstream.until(lambda: len(upstream.requests) == 1)
    await pool.close()

    with pytest.raises(ProviderUnavailableError):
        await task


async def test_host_without_address(pool):
    """A host that does not exist is unavailable."""
    with pytest.raises(ProviderUnavailableError, match="vendor"):
        await post(pool, "http://host.invalid/v1")


@pytest.mark.parametrize("url", ["nonsense", "ftp://127.0.0.1/v1", "http:///v1"])
async def test_url_that_is_none(pool, url):
    """A base URL that is not one is a rejection, not a crash."""
    with pytest.raises(ProviderRejectedError, match="not a URL"):
        await post(pool, url)


async def test_redirects_are_not_followed(pool, upstream):
    """A redirect would carry the key elsewhere, so it is an answer like any other."""
    answer = await post(pool, upstream.url("redirect"))

    with pytest.raises(ProviderRejectedError, match="redirects"):
        answer.checked(TARGET)


async def test_answer_without_length_is_bounded(pool, upstream):
    """A chunked answer is given up when it is too long."""
    body = b"".join(b"data: " + b"x" * 1000 + b"\n\n" for _ in range(3000))
    upstream.script(Mode(headers=(("content-type", "text/event-stream"),), body=body))

    with pytest.raises(ProviderAnswerError, match="longer than is read"):
        await post(pool, upstream.base_url)


@pytest.mark.parametrize("mode", ["hang", "drip"])
async def test_cancel_reaches_the_upstream(pool, upstream, mode):
    """Cancelling the task closes the connection, before the answer and inside it."""
    task = asyncio.create_task(post(pool, upstream.url(mode)))
    await upstream.until(lambda: len(upstream.requests) == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    await upstream.until(lambda: upstream.cancelled == 1 and upstream.open_connections == 0)


async def test_cancelled_upload_is_dropped(pool, upstream):
    """What was buffered for a peer that reads nothing is thrown away, not pushed out later."""
    assert await received_after_cancel(pool, upstream) < BIG.size


def test_cancelled_upload_is_dropped_on_uvloop():
    """The same holds on the loop that the server runs on, whose transports are another kind."""

    async def run() -> int:
        pool = Pool()
        await pool.open()
        async with Upstream() as upstream:
            received = await received_after_cancel(pool, upstream)
            await pool.close()
        return received

    assert uvloop.run(run()) < BIG.size


async def received_after_cancel(pool: Pool, upstream: Upstream) -> int:
    upstream.script("unread")
    task = asyncio.create_task(post(pool, upstream.base_url, body=BIG))
    await upstream.until(lambda: len(upstream.requests) == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    upstream.resume()
    await upstream.until(lambda: upstream.cancelled == 1)
    return upstream.received_bytes


async def test_timed_out_upload_is_dropped(pool, upstream):
    """The same holds when its time is up."""
    upstream.script("unread")
    with pytest.raises(ProviderTimeoutError):
        await post(pool, upstream.base_url, body=BIG, within=0.2)
    upstream.resume()
    await upstream.until(lambda: upstream.cancelled == 1)

    assert upstream.received_bytes < BIG.size


@pytest.mark.parametrize("fault", ["close", "reset"])
async def test_stale_connection_is_no_failure(pool, upstream, fault):
    """A kept connection that the peer closes as the request goes out is replaced in silence."""
    upstream.script("ok", fault)
    await post(pool, upstream.base_url)
    answer = await post(pool, upstream.base_url, body=BIG)

    assert 200 == answer.status
    assert (3, 2) == (len(upstream.requests), upstream.connections)
    assert str(BIG.size) == upstream.requests[-1].headers["content-length"]


async def test_fresh_connection_is_not_tried_again(pool, upstream):
    """A peer that drops a fresh connection may have done the work: that is for policy."""
    upstream.script("close")
    with pytest.raises(ProviderUnavailableError):
        await post(pool, upstream.base_url)

    assert 1 == len(upstream.requests)


async def test_resends_are_bounded(pool, upstream):
    """A peer that drops every request fails in the end."""
    upstream.script("ok", *["close"] * 9)
    await post(pool, upstream.base_url)
    with pytest.raises(ProviderUnavailableError):
        await post(pool, upstream.base_url)

    assert 3 == len(upstream.requests)


async def test_idle_connection_closed_between(pool, upstream):
    """A connection closed while idle is not used again."""
    await post(pool, upstream.base_url)
    upstream.drop_idle()
    await upstream.until(lambda: upstream.open_connections == 0)
    answer = await post(pool, upstream.base_url)

    assert (200, 2) == (answer.status, upstream.connections)


async def test_connections_are_bounded(upstream):
    """More requests than connections wait for one instead of opening more."""
    pool = Pool(PoolLimits(max_connections=2))
    await pool.open()
    answers = await asyncio.gather(*(post(pool, upstream.base_url) for _ in range(20)))
    await pool.close()

    assert [200] * 20 == [answer.status for answer in answers]
    assert upstream.connections <= 2


@pytest.mark.parametrize(("within", "connect"), [(0.2, 5.0), (30.0, 0.2)])
async def test_waiting_for_a_connection_ends(upstream, within, connect):
    """Who finds none in time is told so: whoever was to be asked is not to blame."""
    pool = Pool(PoolLimits(max_connections=1, connect_timeout=connect))
    await pool.open()
    first = asyncio.create_task(post(pool, upstream.url("hang")))
    await upstream.until(lambda: len(upstream.requests) == 1)
    with pytest.raises(ProviderBusyError, match="max_connections"):
        await post(pool, upstream.base_url, within=within)
    first.cancel()
    await pool.close()

    assert 1 == len(upstream.requests)


@pytest.mark.parametrize("mode", sorted(MODES.keys() - {"hang", "unread", "drip", "stall"}))
async def test_pool_survives_every_mode(pool, upstream, mode):
    """After anything that a peer does, the next request is answered."""
    try:
        await post(pool, upstream.url(mode))
    except ProviderError:
        gc.collect()

    assert 200 == (await post(pool, upstream.base_url)).status


@pytest.fixture(name="proxied")
async def _proxied(monkeypatch):
    """A pool that obeys the environment, which names no proxy yet."""
    for name in ("http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    pool = Pool(PoolLimits(trust_env=True, max_answer_bytes=1 << 20))
    await pool.open()
    yield pool
    await pool.close()


async def test_proxy(proxied, upstream, monkeypatch):
    """The proxy of the environment is asked for a host that only it knows."""
    monkeypatch.setenv("HTTP_PROXY", upstream.url().removesuffix("/v1"))
    upstream.script("ok", "early")
    answer = await post(proxied, "http://host.invalid/v1")
    refused = await post(proxied, "http://host.invalid/v1", body=BIG)

    assert [200, 413] == [answer.status, refused.status]
    assert "http://host.invalid/v1/chat/completions" == upstream.requests[0].path


@pytest.mark.parametrize(
    ("mode", "error"),
    [
        ("close", ProviderUnavailableError),
        ("cut", ProviderAnswerError),
        ("huge", ProviderAnswerError),
        ("hang", ProviderTimeoutError),
    ],
)
async def test_faults_through_the_session(proxied, upstream, mode, error):
    """A fault is the same error on the way on which there may be a proxy."""
    with pytest.raises(error):
        await post(proxied, upstream.url(mode), within=patience(error))


@pytest.mark.parametrize("fault", ["close", "reset"])
async def test_stale_connection_through_the_session(proxied, upstream, fault):
    """A stale connection is replaced there too."""
    upstream.script("ok", fault)
    await post(proxied, upstream.base_url)

    assert 200 == (await post(proxied, upstream.base_url, body=BIG)).status


async def streamed(pool: Pool, url: str) -> list[ServerEvent]:
    async with pool.relay.stream(
        f"{url}/chat/completions", headers={}, body=json_body({}), target=TARGET, within=5
    ) as answer:
        await answer.check()
        return [event async for event in answer.events()] if answer.is_events else []


async def test_events(pool, upstream):
    """A stream of events is known as one, and read event by event."""
    upstream.script("stream-error", "ok")
    events = await streamed(pool, upstream.base_url)

    assert ["message"] == [event.name for event in events]
    assert [] == await streamed(pool, upstream.base_url)


async def test_event_without_end(pool, upstream):
    """An event that never ends is given up."""
    body = b"data: " + b"x" * (MAX_EVENT_BYTES + 1)
    upstream.script(Mode(headers=(("content-type", "text/event-stream"),), body=body))
    wide = Pool()
    await wide.open()
    with pytest.raises(ProviderAnswerError, match="longer than is read"):
        await streamed(wide, upstream.base_url)
    await wide.close()


async def test_streamed_refusal(pool, upstream):
    """A refusal is told by its status, before anything is read from it as an answer."""
    with pytest.raises(ProviderAuthError):
        await streamed(pool, upstream.url("unauthorized"))


async def test_any_method_streams(pool, upstream):
    """A file is fetched piece by piece, as an answer to a question is."""
    async with pool.relay.stream(
        f"{upstream.base_url}/models", method="GET", headers={}, target=TARGET, within=5.0
    ) as answer:
        content = await answer.read()

    assert (answer.status, upstream.requests[0].method) == (200, "GET")
    assert content
