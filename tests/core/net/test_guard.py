"""The client for strangers' URLs: what it refuses, and that it refuses the address itself."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from attrs import define, field

from junctor.conf.settings import Network
from junctor.core.errors import ConfigError
from junctor.core.net.addresses import is_allowed
from junctor.core.net.guard import GuardedAnswer, GuardedClient, UrlError
from tests.fakes.upstream import Mode, Upstream, refused_url
from tests.waiting import patience

LOOPBACK = Network(allowed_private=("127.0.0.0/8",))


@define
class Names:
    """A name server of ours: each question is answered by the next answer, the last one stays."""

    answers: list[list[str]]
    asked: list[str] = field(factory=list, init=False)

    async def resolve(self, host: str, _port: int) -> list[str]:
        self.asked.append(host)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if not answer:
            raise OSError
        return answer

    async def close(self) -> None:
        """Nothing is open."""


@pytest.fixture(name="client")
async def _client() -> AsyncIterator[GuardedClient]:
    client = GuardedClient(LOOPBACK)
    yield client
    await client.close()


@pytest.fixture(name="strict")
async def _strict() -> AsyncIterator[GuardedClient]:
    client = GuardedClient(Network())
    yield client
    await client.close()


async def post(client: GuardedClient, url: str, *, within: float = 5.0) -> GuardedAnswer:
    headers = {"Content-Type": "application/json"}
    return await client.post(url, headers=headers, body=b'{"a":1}', within=within)


async def reason(call) -> str:
    with pytest.raises(UrlError) as caught:
        await call
    return caught.value.reason


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0", "10.1.2.3", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.254",
        "168.63.129.16", "169.254.169.254", "172.31.255.255", "192.0.0.192", "192.168.0.1",
        "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
        "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1",
        "64:ff9b:1::7f00:1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2002:7f00:1::", "fc00::1",
        "fd00:ec2::254", "fe80::1", "fe80::1%1", "fec0::1", "ff02::1", "2001:db8::1",
    ],
)  # fmt: skip
def test_inner_addresses(address: str) -> None:
    """Whatever is not the open internet is refused, also where it hides inside IPv6."""
    assert not is_allowed(address)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "100.63.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_public_addresses(address: str) -> None:
    """The internet is reached, over a translator of IPv6-only hosts too."""
    assert is_allowed(address)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("ftp://example.com/", "url"), ("file:///etc/passwd", "url"), ("callback", "url"),
        ("http://", "url"), ("http:///path", "url"), ("https://me:pw@example.com/", "url"),
        ("https://me@example.com/", "url"), ("http://example.com:22/", "url"),
        ("http://example.com:99999/", "url"), ("http://exa mple.com/", "url"),
        ("http://example.com\\@127.0.0.1/", "url"), ("http://example.com/\r\nX: y", "url"),
        ("http://example.com/" + "a" * 2048, "url"), ("http://[::1/", "url"),
        ("http://127.0.0.1/", "address"), ("http://localhost:8080/", "address"),
        ("http://2130706433/", "address"), ("http://0x7f000001/", "address"),
        ("http://0177.0.0.1/", "address"), ("http://127.1/", "address"),
        ("http://[::ffff:127.0.0.1]/", "address"), ("http://[::]/", "address"),
        ("http://169.254.169.254/latest/meta-data/", "address"),
        ("http://\uff11\uff12\uff17.0.0.1/", "address"),
    ],
)  # fmt: skip
async def test_check_refuses(strict: GuardedClient, url: str, told: str) -> None:
    """A URL is refused at once, naming the field and what is wrong, not the URL."""
    with pytest.raises(UrlError) as caught:
        await strict.check(url, param="callback_url")

    assert (caught.value.param, caught.value.reason) == ("callback_url", told)
    assert "127.0.0.1" not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "told"), [("127.0.0.1", "address"), ("[::1]", "address"), ("2130706433", "url")]
)
async def test_post_refuses_literals(strict: GuardedClient, host: str, told: str) -> None:
    """An address written in the URL is never resolved, and judged all the same."""
    assert await reason(post(strict, f"http://{host}/")) == told


async def test_check_needs_every_address_public() -> None:
    """One inner address among public ones is enough to refuse."""
    client = GuardedClient(Network(), resolver=Names([["8.8.8.8", "10.0.0.1"]]))

    assert await reason(client.check("https://example.com/", param="callback_url")) == "address"
    await client.close()


async def test_check_lets_unresolvable_names_pass() -> None:
    """A name server may be away for a moment; the delivery will see."""
    client = GuardedClient(Network(), resolver=Names([[]]))
    await client.check("https://example.com/", param="callback_url")

    assert await reason(post(client, "https://example.com/")) == "dns"
    await client.close()


async def test_require_https() -> None:
    """An operator may insist on TLS."""
    client = GuardedClient(Network(require_https=True), resolver=Names([["8.8.8.8"]]))
    await client.check("https://example.com/", param="callback_url")

    assert await reason(client.check("http://example.com/", param="callback_url")) == "url"
    await client.close()


async def test_rebinding(upstream: Upstream) -> None:
    """A name that was public when checked, and is loopback when called, is not called."""
    names = Names([["8.8.8.8"], ["127.0.0.1"]])
    client = GuardedClient(Network(), resolver=names)
    url = f"http://rebind.example:{upstream.port}/v1"
    await client.check(url, param="callback_url")

    assert await reason(post(client, url)) == "address"
    assert (names.asked, upstream.connections) == (["rebind.example"] * 2, 0)
    await client.close()


async def test_connects_to_the_judged_address(upstream: Upstream) -> None:
    """The name is asked once for each call, and its answer is where the call goes."""
    names = Names([["127.0.0.1"], ["10.0.0.1"]])
    client = GuardedClient(LOOPBACK, resolver=names)
    answer = await post(client, f"http://once.example:{upstream.port}/v1/models")

    assert (answer.status, len(names.asked)) == (200, 1)
    assert upstream.requests[0].headers["host"] == f"once.example:{upstream.port}"
    await client.close()


async def test_post_sends_no_more_than_it_was_given(client, upstream) -> None:
    """Headers and body arrive; no encoding is invited and no cookie sent."""
    upstream.script(Mode(headers=(("set-cookie", "a=b"),), body=b"ok"), "ok")
    await post(client, upstream.base_url)
    await post(client, upstream.base_url)

    headers = upstream.requests[1].headers

    assert "cookie" not in headers
    assert headers["accept-encoding"] == "identity"


async def test_post_does_not_follow(client, upstream) -> None:
    """A redirect is an answer."""
    answer = await post(client, upstream.url("redirect"))

    assert (answer.status, len(upstream.requests)) == (307, 1)


async def test_post_keeps_little_of_an_answer(client, upstream) -> None:
    """Of a huge answer 64 KiB are read."""
    answer = await post(client, upstream.url("huge"))

    assert (answer.status, len(answer.body)) == (200, 64 * 1024)


@pytest.mark.parametrize(
    ("mode", "told"),
    [
        ("hang", "timeout"), ("drip", "timeout"), ("reset", "connection"), ("close", "connection"),
        ("cut", "protocol"), ("garbage", "protocol"),
    ],
)  # fmt: skip
async def test_faults(client, upstream, mode: str, told: str) -> None:
    """Each fault has its word, soon, and nothing of the upstream's text."""
    async with asyncio.timeout(20):
        with pytest.raises(UrlError) as caught:
            await post(client, upstream.url(mode), within=patience(told))

    assert (caught.value.reason, "LEAK" in repr(caught.value)) == (told, False)
    assert caught.value.__cause__ is None


async def test_nobody_listens(client) -> None:
    """A refused connection is told as such."""
    assert await reason(post(client, refused_url())) == "connection"


async def test_get_follows_and_judges(client, upstream) -> None:
    """A redirect that stays outside is followed, relative ones too."""
    upstream.script(Mode(status=307, headers=(("location", "/v1/models"),), body=b""), "ok")
    answer = await client.get(upstream.base_url, max_bytes=1000, within=5)

    assert (answer.status, upstream.requests[1].path) == (200, "/v1/models")


@pytest.mark.parametrize(
    ("where", "told"),
    [("http://10.0.0.1/", "address"), ("http://[::ffff:10.0.0.1]/", "address"),
     ("file:///etc/passwd", "url"), ("http://a@b/", "url")],
)  # fmt: skip
async def test_get_redirected_inside(client, upstream, where: str, told: str) -> None:
    """A redirect is judged like the first URL."""
    upstream.script(Mode(status=307, headers=(("location", where),), body=b""))

    assert await reason(client.get(upstream.base_url, max_bytes=1000, within=5)) == told


async def test_get_redirect_loop(client, upstream) -> None:
    """Three redirects are followed, and then no more."""
    upstream.script(*[Mode(status=307, headers=(("location", "/x"),), body=b"")] * 5)

    assert await reason(client.get(upstream.base_url, max_bytes=1000, within=5)) == "url"
    assert len(upstream.requests) == 4


async def test_get_too_large(client, upstream) -> None:
    """A document over the cap is refused, whatever its header says."""
    call = client.get(upstream.url("huge"), max_bytes=1 << 20, within=5)

    assert await reason(call) == "too_large"


async def test_get_too_large_as_declared(client, upstream) -> None:
    """What says that it is over the cap is refused before it is read."""
    upstream.script(Mode(body=b"x" * 100, fault="drip"))
    call = client.get(upstream.base_url, max_bytes=50, within=patience("timeout"))

    assert await reason(call) == "too_large"


async def test_get_without_redirects(client, upstream) -> None:
    """A caller may have none followed, and none is even looked at."""
    headers = (("location", "http://10.0.0.1/"),)
    upstream.script(Mode(status=302, headers=headers, body=b""), "ok")
    with pytest.raises(UrlError, match="The URL redirects") as caught:
        await client.get(upstream.base_url, max_bytes=1000, within=5, max_hops=0)
    answer = await client.get(upstream.base_url, max_bytes=1000, within=5, max_hops=0)

    assert (caught.value.reason, answer.status) == ("url", 200)


async def test_no_proxy_from_the_environment(upstream, monkeypatch) -> None:
    """A proxy would resolve names by itself, and reach what we must not."""
    monkeypatch.setenv("http_proxy", upstream.base_url)
    client = GuardedClient(Network(), resolver=Names([["127.0.0.1"]]))

    assert await reason(post(client, "http://example.com/")) == "address"
    assert upstream.connections == 0
    await client.close()


def test_wrong_setting() -> None:
    """A network that is none is refused at start, naming the key."""
    with pytest.raises(ConfigError, match=r"network\.allowed_private"):
        GuardedClient(Network(allowed_private=("localhost",)))
