"""Where a picture comes from: what may be named, and what a stranger cannot make us fetch."""

import asyncio
import base64
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from attrs import define

from junctor.conf.settings import Network, Server, Settings, Storage
from junctor.conf.settings import Telemetry as TelemetrySettings
from junctor.core.complaints import Complaints
from junctor.core.errors import InvalidRequestError
from junctor.core.net.guard import GuardedClient
from junctor.core.runtime import Runtime
from junctor.core.telemetry import Telemetry
from junctor.core.testing.pictures import picture_of
from junctor.routers.ltx_video.sources import picture
from tests.fakes.plugins import plugins
from tests.fakes.upstream import Mode, Upstream, refused_url
from tests.waiting import patience

PICTURE = picture_of(8, 6)
BASE64 = base64.b64encode(PICTURE).decode()
ODD = b"\xfb\xef\xff\xfe"
"""Its base64 has both characters that differ in the URL-safe alphabet, and padding."""
PUBLIC = "https://video.example.com/junctor"
FOLDER = "/uploads/generations/ltx23/"
NAME = "ltx23_in_20260102_{}.png"


def runtime_of(folder: Path, *, allowed: tuple[str, ...] = ("127.0.0.0/8",)) -> Runtime:
    settings = Settings(
        storage=Storage(data_dir=str(folder)),
        network=Network(allowed_private=allowed),
        server=Server(public_url=PUBLIC),
    )
    telemetry = Telemetry(TelemetrySettings())
    return Runtime(settings, plugins(settings), telemetry=telemetry, complaints=Complaints())


@pytest.fixture(name="runtime")
async def _runtime(tmp_path: Path) -> AsyncIterator[Runtime]:
    """Provide one that reaches loopback, and has no store."""
    runtime = runtime_of(tmp_path)
    yield runtime
    await runtime.guard.close()


@pytest.fixture(name="strict")
async def _strict(tmp_path: Path) -> AsyncIterator[Runtime]:
    """Provide one that reaches the open internet only, as servers do."""
    runtime = runtime_of(tmp_path, allowed=())
    yield runtime
    await runtime.guard.close()


@pytest.fixture(name="storing")
async def _storing(tmp_path: Path) -> AsyncIterator[Runtime]:
    """Provide one that stores."""
    async with runtime_of(tmp_path) as runtime:
        yield runtime


@pytest.fixture(name="upstream")
async def _upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as upstream:
        yield upstream


@define
class Names:
    """A name server of ours: the next answer to each question, the last one stays."""

    answers: list[str]

    async def resolve(self, _host: str, _port: int) -> list[str]:
        return [self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]]

    async def close(self) -> None:
        """Nothing is open."""


async def taken(
    url: str, runtime: Runtime, *, team: str = "acme", most: int = 10_000, within: float = 10.0,
    slots: asyncio.Semaphore | None = None,
) -> bytes:  # fmt: skip
    return await picture(
        url,
        runtime=runtime,
        team=team,
        max_bytes=most,
        within=within,
        slots=slots or asyncio.Semaphore(1),
    )


async def refusal(url: str, runtime: Runtime, **more: object) -> str:
    """Return the sentence of the refusal, which is a 400 of this field and holds no URL."""
    with pytest.raises(InvalidRequestError) as caught:
        await taken(url, runtime, **more)  # type: ignore[arg-type]
    assert caught.value.param == "image.url"
    assert not any(part in str(caught.value) for part in ("127.0.0.1", "LEAK", "secret", "rebind"))
    return str(caught.value)


async def stored(runtime: Runtime, *, team: str = "acme", expires_at: float = 9e9) -> str:
    artefact = await runtime.artefacts.put(PICTURE, team=team, name="in", expires_at=expires_at)
    return FOLDER + NAME.format(artefact)


@pytest.mark.parametrize(
    "url",
    [
        f"data:image/png;base64,{BASE64}", f"data:image/jpeg;base64,{BASE64}",
        f"data:image/jpg;base64,{BASE64}", f"data:image/webp;base64,{BASE64}",
        f"DATA:IMAGE/PNG;BASE64,{BASE64}", f"data:image/png;charset=utf-8;base64,{BASE64}",
        f"data:image/png;name=a.png;x=y; base64,{BASE64}", f"data:image%2Fpng;base64,{BASE64}",
        f"data:image/png;base64,{BASE64.rstrip('=')}",
        f"data:image/png;base64,{BASE64.replace('/', '%2F').replace('+', '%2b')}",
        f"data:image/png;base64,{BASE64[:8]}\r\n {BASE64[8:]}%0A",
    ],
)  # fmt: skip
async def test_data_urls(runtime: Runtime, url: str) -> None:
    """A picture may be in the request, in every way that clients write it."""
    assert await taken(url, runtime) == PICTURE


@pytest.mark.parametrize("coded", ["++///g==", "--___g==", "--___g", "%2B%2b%2F%2f/g%3D%3d"])
async def test_alphabets(runtime: Runtime, coded: str) -> None:
    """Both alphabets of base64 are read, and padding may be left out."""
    assert await taken(f"data:image/png;base64,{coded}", runtime) == ODD


async def test_few_are_decoded_at_once(runtime: Runtime) -> None:
    """A data URL waits for a slot: what is decoded takes a multiple of its size."""
    slots = asyncio.Semaphore(1)
    url = f"data:image/png;base64,{BASE64}"
    async with slots:
        waiting = asyncio.create_task(taken(url, runtime, slots=slots))
        done, _ = await asyncio.wait({waiting}, timeout=0.1)

    assert (set(), PICTURE) == (done, await waiting)


@pytest.mark.parametrize("shift", [0, 1, 2, 3])
async def test_long_base64(runtime: Runtime, shift: int) -> None:
    """What is decoded in pieces is whole, wherever an escape lies; padding ends it."""
    data = b"\xff" * 3_000_000
    coded = base64.b64encode(data).decode().replace("/", "%2F")
    url = f"data:image/png;base64,{' ' * shift}{coded}"
    found = await taken(url, runtime, most=3_000_000)
    broken = f"data:image/png;base64,{'A' * (2**18 - 2)}==AAAA"

    assert found == data
    assert "base64" in await refusal(broken, runtime, most=3_000_000)


@pytest.mark.parametrize(
    "head",
    [
        "data:", "data:,", "data:image/png,", "data:image/png;base64", "data:;base64,",
        "data:image/gif;base64,", "data:image/svg+xml;base64,", "data:text/html;base64,",
        "data:image/png;base64;x=y,", "data:image/png;base65,", "data:image/png;x,y;base64,",
        "data:image/pngx;base64,", "data: image/png;base64,", "data:image/png" + ";x" * 500 + ",",
    ],
)  # fmt: skip
async def test_other_data_urls(runtime: Runtime, head: str) -> None:
    """Other types, and text that is not base64, are refused, saying how it should begin."""
    url = head if head in {"data:", "data:image/png;base64"} else head + BASE64

    assert "data:image/jpeg;base64" in await refusal(url, runtime)


@pytest.mark.parametrize(
    "coded",
    ["a", "abcde", "ab=c", "ab!d", "abcd%00", "ab%zz", "\xe4bcd", "abcd\0", "ab=cd===ef", "%41bcd"],
)
async def test_broken_base64(runtime: Runtime, coded: str) -> None:
    """What is not base64 is refused, not guessed at."""
    assert "base64" in await refusal(f"data:image/png;base64,{coded}", runtime)


async def test_data_url_size(runtime: Runtime) -> None:
    """The limit is of the file, not of its base64, and may be reached."""
    url = f"data:image/png;base64,{BASE64}"

    assert await taken(url, runtime, most=len(PICTURE)) == PICTURE
    assert "larger than the" in await refusal(url, runtime, most=len(PICTURE) - 1)


@pytest.mark.parametrize("coded", ["QUJD" * 500_000, "%41" * 660_000, "=" * 2_000_000])
async def test_huge_data_url(runtime: Runtime, coded: str) -> None:
    """A huge data URL is refused for a few times its own size of memory."""
    tracemalloc.start()
    try:
        if "=" in coded:
            assert await taken(f"data:image/png;base64,{coded}", runtime) == b""
        else:
            await refusal(f"data:image/png;base64,{coded}", runtime)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 5 * len(coded)


@pytest.mark.parametrize(
    "url",
    [
        "", " ", "picture.png", "uploads/x.png", "ftp://example.com/a.png", "file:///etc/passwd",
        "javascript:alert(1)", "blob:https://example.com/1", " https://example.com/a.png", "http:",
        "gopher://example.com", "example.com/a.png", "\0", "s3://bucket/a.png", "\\\\host\\a",
    ],
)  # fmt: skip
async def test_other_urls(runtime: Runtime, url: str) -> None:
    """Everything else is refused, saying what may be sent."""
    told = await refusal(url, runtime)

    assert "has to be a data URL" in told


async def test_stored_picture(storing: Runtime) -> None:
    """A picture that is stored here is found by its path, its public URL, and an escaped path."""
    path = await stored(storing)

    assert await taken(path, storing) == PICTURE
    assert await taken(PUBLIC + path, storing) == PICTURE
    assert await taken(path.replace("ltx23_in", "ltx23%5Fin"), storing) == PICTURE


async def test_stored_pictures_of_others(storing: Runtime) -> None:
    """Those of another team, expired ones and those that never were are told alike."""
    others = await stored(storing, team="rivals")
    expired = await stored(storing, expires_at=1.0)
    never = FOLDER + NAME.format("0" * 32)
    told = {await refusal(path, storing) for path in (others, expired, never)}

    assert len(told) == 1
    assert "no such picture" in told.pop()


async def test_stored_picture_too_large(storing: Runtime) -> None:
    """What is stored is not read when it is larger than a picture may be."""
    path = await stored(storing)

    assert "larger than the 10 bytes" in await refusal(path, storing, most=10)


GOOD = FOLDER + NAME.format("0" * 32)


@pytest.mark.parametrize(
    "path",
    [
        "/", "//", "/uploads", FOLDER, f"/{GOOD}", f"//example.com{GOOD}", f"{GOOD}?x=1",
        f"{GOOD}#x", f"{GOOD}/", f"{GOOD}\n", f"{GOOD}%0a", f"{GOOD}\0", f"{GOOD}%00", f"{GOOD};x",
        f"{FOLDER}../ltx23/{NAME.format('0' * 32)}", f"{FOLDER}..%2f{NAME.format('0' * 32)}",
        f"{FOLDER}%2e%2e/{NAME.format('0' * 32)}", f"{FOLDER}%252e%252e/x.png", f"{FOLDER}./x",
        GOOD.replace("/ltx23/", "//ltx23/"), GOOD.replace("/ltx23/", "\\ltx23\\"),
        GOOD.replace("/ltx23/", "/ltx23%5c"), "/uploads/../../etc/passwd", "/etc/passwd",
        f"{FOLDER}ltx23_av_20260102_{'0' * 32}.mp4", GOOD.replace("_in_", "_av_"),
        GOOD.replace("png", "PNG"), FOLDER + NAME.format("0" * 31), FOLDER + NAME.format("A" * 32),
        GOOD.replace("20260102", "\u0662" * 8), "/" + "%41" * 1000, f"{PUBLIC}/uploads/../{GOOD}",
    ],
)  # fmt: skip
async def test_other_paths(runtime: Runtime, path: str) -> None:
    """No path leads anywhere but to the pictures: the store is not even asked."""
    assert "not that of a picture stored here" in await refusal(path, runtime)


async def test_fetched(runtime: Runtime, upstream: Upstream) -> None:
    """A picture is fetched from where a URL says, in any case of its scheme."""
    upstream.script(Mode(body=PICTURE), Mode(body=PICTURE))
    url = upstream.url()

    assert await taken(url, runtime) == PICTURE
    assert await taken(url.replace("http:", "HTTP:"), runtime) == PICTURE


@pytest.mark.parametrize("mode", ["missing", "error", "unauthorized", "too-large", "unavailable"])
async def test_statuses(runtime: Runtime, upstream: Upstream, mode: str) -> None:
    """Only 200 is an answer; of another the status is told and nothing else."""
    assert "answered with status" in await refusal(upstream.url(mode), runtime)


@pytest.mark.parametrize("status", [204, 206, 304, 300])
async def test_odd_statuses(runtime: Runtime, upstream: Upstream, status: int) -> None:
    """Neither a part, nor nothing, nor a choice is a picture."""
    upstream.script(Mode(status=status, body=b""))

    assert f"status {status}" in await refusal(upstream.url(), runtime)


@pytest.mark.parametrize("where", ["/v1/models", "http://169.254.169.254/", "file:///etc/passwd"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects(runtime: Runtime, upstream: Upstream, status: int, where: str) -> None:
    """No redirect is followed, wherever it leads."""
    upstream.script(Mode(status=status, headers=(("location", where),), body=b""))

    assert "redirects" in await refusal(upstream.url(), runtime)
    assert len(upstream.requests) == 1


@pytest.mark.parametrize(
    ("mode", "told"),
    [
        ("hang", "did not answer in time"), ("drip", "did not answer in time"),
        ("reset", "could not be reached"), ("close", "could not be reached"),
        ("cut", "does not answer in HTTP"), ("garbage", "does not answer in HTTP"),
        ("huge", "larger than the 10000 bytes"),
    ],
)  # fmt: skip
async def test_faults(runtime: Runtime, upstream: Upstream, mode: str, told: str) -> None:
    """Each fault of the server is told in our words, within the time it has."""
    kind = "timeout" if "in time" in told else mode

    assert told in await refusal(upstream.url(mode), runtime, within=patience(kind))


async def test_nobody_listens(runtime: Runtime) -> None:
    """A refused connection is told as such."""
    assert "could not be reached" in await refusal(refused_url(), runtime)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "[::1]", "localhost", "10.0.0.1", "192.168.1.1", "169.254.169.254", "[fd00::1]"],
)
async def test_inner_hosts(strict: Runtime, upstream: Upstream, host: str) -> None:
    """Nothing behind us is reached: not this machine, its network, nor its cloud's metadata."""
    told = await refusal(f"http://{host}:{upstream.port}/secret.png", strict)

    assert "not on the public internet" in told
    assert upstream.connections == 0


@pytest.mark.parametrize(
    "url", ["http://2130706433/", "http://me:secret@8.8.8.8/", "http://8.8.8.8:22/"]
)
async def test_odd_urls(strict: Runtime, url: str) -> None:
    """URLs that hide an address, hold a password or knock at other doors are refused."""
    assert await refusal(url, strict)


async def test_rebinding(strict: Runtime, upstream: Upstream) -> None:
    """A name that has become an inner address is judged by that address."""
    await strict.guard.close()
    strict.guard = GuardedClient(Network(), resolver=Names(["127.0.0.1"]))
    told = await refusal(f"http://rebind.example:{upstream.port}/a.png", strict)

    assert "not on the public internet" in told
    assert upstream.connections == 0
