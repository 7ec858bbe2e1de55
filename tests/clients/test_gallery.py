"""The videos of a team in a real browser: asked for, watched while they are made, played, cancelled, deleted."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

import httpx
import msgspec
import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer
from attrs import field, frozen
from structlog.testing import capture_logs

from junctor.conf.settings import Jobs, Team
from junctor.core.cards import Capability
from junctor.core.errors import ProviderRejectedError
from junctor.core.testing.fakes import Fail, FakeTranscriber, Hang, Say, Step, fake_card
from junctor.core.testing.pictures import picture_of
from junctor.routers.ltx_video.forms import Asked
from junctor.routers.ltx_video.work import KIND, QUEUE, Payload
from tests.clients.chromium import Chromium, Tab, launched
from tests.clients.recordings import CENTER
from tests.clients.shipped import Server
from tests.fakes.server import Served, server_settings, serving
from tests.waiting import until

PROMPT = "The camera moves slowly to the left."
MARKUP = '<img src=x onerror="window.broken = true"><b>bold</b>'
WORDS = "one two three four five six seven eight nine"
COUNT = 53
"""Jobs, more than a page of the list has."""
JOBS = "[...document.querySelectorAll('#jobs > li')]"
STATES = f"{JOBS}.map((job) => job.dataset.status)"
WATCH = """(() => {
  window.values = [];
  new MutationObserver(() => window.values.push(document.querySelector("progress").value))
    .observe(document.querySelector("#jobs"), { attributes: true, subtree: true, childList: true });
})()"""
"""Notes where the first bar stands, each time that anything changes."""
TIMERS = """(() => {
  const later = window.setTimeout;
  Object.assign(window, { delays: [], fired: 0 });
  window.setTimeout = (deed, delay) => {
    window.delays.push(delay);
    return later(() => { deed(); window.fired += 1; }, delay);
  };
})()"""
"""Notes how long each timer of the page waits, and how many had their turn."""
STOPPED = """import("/demo/gallery/watch.js").then(async ({ watch }) => {
  let release;
  let looks = 0;
  const first = new Promise((resolve) => (release = resolve));
  const watching = watch(() => ((looks += 1), first), () => true);
  const looking = watching.now();
  watching.now();
  watching.stop();
  release(false);
  await looking;
  window.looks = looks;
})"""
"""Notes how often a watch looks that is stopped during a look, while another one is due."""
SHOWN = "addEventListener('visibilitychange', () => (window.shown = performance.now()), true)"
LOOKS = """performance.getEntriesByType("resource")
  .filter(({ name }) => name.endsWith("/videos")).map(({ startTime }) => startTime)"""
"""When the page asked for its list."""

TRACES = """JSON.stringify([location.href, document.cookie, { ...localStorage }, { ...sessionStorage },
  document.documentElement.outerHTML, performance.getEntriesByType("resource").map(({ name }) => name)])"""

pytestmark = [
    pytest.mark.tools,
    pytest.mark.slow,
    pytest.mark.timeout(40),
    pytest.mark.asyncio(loop_scope="session"),
]


@frozen
class Studio:
    """A server whose videos are made by somebody who follows a script; once, since jobs start slowly."""

    served: Served
    maker: FakeTranscriber
    chromium: Chromium
    teams: Iterator[str] = field(factory=lambda: (f"team-{number}" for number in count()))

    @asynccontextmanager
    async def gallery(self, *script: Step, team: str = "") -> AsyncIterator["Gallery"]:
        """Open the page with the key of a team that has no videos; what is left waiting is cancelled."""
        self.maker.script.extend(script)
        accounts = self.served.runtime.gateway.accounts
        team = team or next(self.teams)
        key = await accounts.create_key(team)
        async with self.chromium.tab(f"{self.served.url}/demo/gallery") as tab:
            page = Gallery(tab, self, team)
            await page.enter(key)
            await tab.until("document.querySelector('#status').textContent.includes('no videos')")
            yield page
        await page.cancel_all()
        await until(lambda: not self.maker.running)
        self.maker.script.clear()


@asynccontextmanager
async def below(url: str) -> AsyncIterator[str]:
    """Serve a server below a path, as a proxy before it may."""

    async def passed(request: web.Request) -> web.Response:
        names = {"x-api-key", "content-type", "idempotency-key"} & {
            *map(str.lower, request.headers)
        }
        answer = await http.request(
            request.method,
            f"{url}/{request.match_info['path']}",
            headers={name: request.headers[name] for name in names},
            content=await request.read(),
        )
        kind = {"content-type": answer.headers["content-type"]}
        return web.Response(status=answer.status_code, body=answer.content, headers=kind)

    app = web.Application()
    app.router.add_route("*", "/speech/{path:.*}", passed)
    async with httpx.AsyncClient() as http, TestServer(app) as server:
        yield str(server.make_url("/speech"))


@pytest_asyncio.fixture(name="studio", scope="module", loop_scope="session")
async def _studio(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Studio]:
    maker = FakeTranscriber(cards=[fake_card(capabilities=[Capability.GENERATE_VIDEO])])
    settings = server_settings(
        tmp_path_factory.mktemp("studio"),
        jobs=Jobs(poll_interval=0.1),
        teams={"tight": Team(requests_per_minute=4)},
    )
    profile = tmp_path_factory.mktemp("profile")
    async with serving(settings, maker) as served, launched(profile, CENTER) as chromium:
        yield Studio(served, maker, chromium)


@frozen
class Gallery:
    """The page in a tab, and who is behind it."""

    tab: Tab
    studio: Studio
    team: str

    async def click(self, selector: str) -> None:
        await self.tab.value(f"document.querySelector('{selector}').click()")

    async def text(self, selector: str) -> str:
        return str(await self.tab.value(f"document.querySelector('{selector}').textContent"))

    async def enter(self, key: str) -> None:
        """Enter a key by keyboard, and have its videos shown."""
        await self.tab.until("document.querySelector('#show')?.disabled === false")
        await self.tab.value("document.querySelector('#key').focus()")
        await self.tab.order("Input.insertText", text=key)
        await self.tab.press("Enter", "\r")

    async def order(self, folder: Path, prompt: str = PROMPT, *, model: str = "fake:one") -> None:
        """Fill the form in, and send it; wait until the list has the job, on top."""
        picture = folder / "picture.png"
        picture.write_bytes(picture_of(320, 180))
        await self.tab.choose("#picture", picture)
        fields = {"prompt": prompt, "duration": "2", "resolution": "480p", "model": model}
        for name, value in fields.items():
            await self.tab.value(f"document.querySelector('#{name}').value = {value!r}")
        known = await self.tab.value(f"{JOBS}.length")
        await self.click("#submit")
        await self.tab.until(f"{JOBS}.length > {known}")

    async def waiting(self, count: int) -> None:
        """Have more jobs wait than one would want to order by hand."""
        asked = Asked(
            model="fake:one",
            prompt=PROMPT,
            duration=2,
            aspect_ratio="16:9",
            resolution="480p",
            seed=1,
        )
        payload = Payload(asked=asked, upload="", key_id="", request_id="")
        jobs = self.studio.served.runtime.jobs
        for _ in range(count):
            await jobs.submit(
                KIND, team=self.team, payload=msgspec.to_builtins(payload), queue=QUEUE
            )

    async def cancel_all(self) -> None:
        """Cancel what is not over, the newest first, beside the page."""
        jobs = self.studio.served.runtime.jobs
        for job in await jobs.list(self.team, kind=KIND):
            await jobs.cancel(job.id, team=self.team)


async def test_made_and_played(studio: Studio, tmp_path: Path) -> None:
    """A picture and a prompt become a video: its bar moves, it plays, it can be taken home."""
    async with studio.gallery(Say(WORDS, gap=0.5)) as page:
        await page.tab.value(WATCH)
        await page.order(tmp_path)
        await page.tab.until("document.querySelector('#jobs video')?.readyState >= 1")
        values = await page.tab.value("window.values")
        size, seconds = await page.tab.value(
            "(({ videoWidth, videoHeight, duration }) => [[videoWidth, videoHeight], duration])"
            "(document.querySelector('#jobs video'))"
        )
        file = await page.tab.value("document.querySelector('.download').href")
        answer = await asyncio.to_thread(httpx.get, file)

    assert len({value for value in values if 0 < value < 100}) > 1
    assert (size, seconds) == ([854, 480], pytest.approx(2, abs=0.1))
    assert (answer.status_code, answer.headers["content-type"]) == (200, "video/mp4")
    assert (page.tab.complaints, page.tab.printed) == ([], [])


async def test_as_it_ships(studio: Studio, speech: Server, tmp_path: Path) -> None:
    """The embedded default makes a video by the name that the form suggests, and the browser plays it."""
    async with studio.chromium.tab(f"{speech.url}/demo/gallery") as tab:
        page = Gallery(tab, studio, "acme")
        await page.enter(speech.key)
        await page.order(tmp_path, model="ltx23-standard")
        await tab.until("document.querySelector('#jobs video')?.readyState >= 1")
        await tab.value("document.querySelector('#jobs video').play()")
        await tab.until("document.querySelector('#jobs video').ended")
        size = await tab.value(
            "(({ videoWidth, videoHeight }) => [videoWidth, videoHeight])"
            "(document.querySelector('#jobs video'))"
        )

    assert size == [854, 480]
    assert (tab.complaints, tab.printed) == ([], [])


async def test_below_a_path(studio: Studio, tmp_path: Path) -> None:
    """Where the server lies below a path of its host, the files are looked for there."""
    team = next(studio.teams)
    key = await studio.served.runtime.gateway.accounts.create_key(team)
    studio.maker.script.append(Hang())
    async with below(studio.served.url) as url, studio.chromium.tab(f"{url}/demo/gallery") as tab:
        page = Gallery(tab, studio, team)
        await page.enter(key)
        await page.order(tmp_path)
        await tab.until("document.querySelector('#jobs img').src")
        picture = await tab.value("document.querySelector('#jobs img').src")
        await page.cancel_all()
        await until(lambda: not studio.maker.running)

    assert picture.startswith(f"{url}/uploads/generations/ltx23/")


async def test_cancelled(studio: Studio, tmp_path: Path) -> None:
    """One that waits says how many go before it; cancelled, it is over, as is the one in work."""
    async with studio.gallery(Hang(items=3)) as page:
        await page.order(tmp_path)
        call = await studio.maker.called(len(studio.maker.calls) + 1)
        await page.order(tmp_path)
        await page.order(tmp_path)
        await page.tab.until(f"{STATES}.join() === 'queued,queued,processing'")
        waiting = await page.text("#jobs li .stage")
        await page.click("#jobs li .cancel")
        await page.tab.until(f"{STATES}[0] === 'canceled'")
        await page.click("#jobs li:nth-child(2) .cancel")
        await page.click("#jobs li:nth-child(3) .cancel")
        await page.tab.until(f"{STATES}.every((state) => state === 'canceled')")
        await until(lambda: not studio.maker.running)

    assert (waiting, call.outcome) == (
        "1 of the team\N{RIGHT SINGLE QUOTATION MARK}s before it",
        "cancelled",
    )
    assert studio.maker.calls[-1] is call
    assert (page.tab.complaints, page.tab.printed) == ([], [])


async def test_deleted(studio: Studio, tmp_path: Path) -> None:
    """Delete asks once more; then the files are gone, and the row says so."""
    async with studio.gallery() as page:
        await page.order(tmp_path)
        await page.tab.until("document.querySelector('.download')?.checkVisibility()")
        file = await page.tab.value("document.querySelector('.download').href")
        await page.tab.value("document.querySelector('.delete').focus()")
        await page.tab.press("Enter", "\r")
        asked = await page.text(".delete")
        await page.tab.press("Enter", "\r")
        await page.tab.until(
            "document.querySelector('#jobs .stage').textContent.includes('deleted')"
        )
        answer = await asyncio.to_thread(httpx.get, file)
        shown = await page.tab.value("document.querySelector('#jobs .seen').checkVisibility()")
        focused = await page.tab.value("document.activeElement.className")

    assert (asked, answer.status_code) == ("Delete for good", 404)
    assert (shown, focused) == (False, "job bare")
    assert page.tab.complaints == []


async def test_failed(studio: Studio, tmp_path: Path) -> None:
    """One that failed says why, and that is told to those who do not see it."""
    error = ProviderRejectedError("No such thing.", provider="fake", model="one")
    with capture_logs():  # a printed traceback takes seconds
        async with studio.gallery(Fail(error)) as page:
            await page.order(tmp_path)
            await page.tab.until("document.querySelector('.failure')?.textContent")
            told = await page.text("#status")

    assert f"“{PROMPT}” has failed." in told


async def test_left_alone(studio: Studio, tmp_path: Path) -> None:
    """While others move on, a video stays the same element, plays on, and keeps the focus."""
    async with studio.gallery(Say(), Say("one two three four five", gap=0.5)) as page:
        await page.order(tmp_path)
        await page.tab.until("document.querySelector('#jobs video')?.readyState >= 1")
        await page.tab.value(
            "(() => { window.video = document.querySelector('#jobs video'); video.loop = true;"
            " video.muted = true; video.play(); video.focus(); })()"
        )
        await page.order(tmp_path)
        await page.tab.until(f"{STATES}.join() === 'done,done'")
        kept = await page.tab.value(
            "[video === document.querySelectorAll('#jobs video')[1], video === document.activeElement,"
            " !video.paused]"
        )

    assert kept == [True, True, True]


async def test_markup(studio: Studio, tmp_path: Path) -> None:
    """A prompt is text, whatever is in it."""
    async with studio.gallery(Hang()) as page:
        await page.order(tmp_path, MARKUP)
        shown = await page.text("#jobs .prompt")
        elements = await page.tab.value("document.querySelector('.prompt').childElementCount")
        broken = await page.tab.value("window.broken")

    assert (shown, elements, broken) == (MARKUP, 0, None)
    assert page.tab.complaints == []


async def test_refused(studio: Studio, tmp_path: Path) -> None:
    """What is wrong with an order is said in the server's words, and the form is kept."""
    async with studio.gallery() as page:
        (tmp_path / "no.png").write_bytes(b"no picture")
        await page.tab.choose("#picture", tmp_path / "no.png")
        await page.tab.value(f"document.querySelector('#prompt').value = {PROMPT!r}")
        await page.tab.value("document.querySelector('#model').value = 'fake:one'")
        await page.click("#submit")
        await page.tab.until("document.querySelector('#error').textContent")
        error = await page.text("#error")
        prompt = await page.tab.value("document.querySelector('#prompt').value")

    assert ("JPG, PNG or WEBP" in error, prompt) == (True, PROMPT)


async def test_key_leaves_no_trace(studio: Studio, tmp_path: Path) -> None:
    """It is in no URL, and in nothing that the browser keeps."""
    async with studio.gallery(Hang()) as page:
        await page.order(tmp_path)
        key = await page.tab.value("document.querySelector('#key').value")
        traces = await page.tab.value(TRACES)

    assert "/demo/gallery" in traces
    assert key
    assert key not in traces


async def test_bad_key(studio: Studio, tmp_path: Path) -> None:
    """It is said, nothing of the other key stays, and nothing more is asked for it."""
    async with studio.gallery(Hang()) as page:
        await page.order(tmp_path)
        await page.tab.value(TIMERS)
        await page.tab.value("document.querySelector('#key').value = 'nobody'")
        await page.click("#show")
        await page.tab.until("document.querySelector('#status').textContent.startsWith('Stopped')")
        error = await page.text("#error")
        rows, delays = await page.tab.value(f"[{JOBS}.length, window.delays]")

    assert (" key " in error, rows, delays) == (True, 0, [])


async def test_a_stopped_watch_is_over(studio: Studio) -> None:
    """A list whose key was changed is asked for no more, even if another look at it was due."""
    async with studio.gallery() as page:
        await page.tab.value(STOPPED)
        await page.tab.until("window.looks")
        looks = await page.tab.value("window.looks")

    assert looks == 1


async def test_too_many_requests(studio: Studio, tmp_path: Path) -> None:
    """The page waits for as long as it is told to, and says so."""
    async with studio.gallery(Hang(), team="tight") as page:
        await page.order(tmp_path)
        await page.tab.value(TIMERS)
        await page.tab.until("document.querySelector('#status').textContent.includes('old')")
        error = await page.text("#error")
        delays = await page.tab.value("window.delays")

    assert "requests" in error
    assert delays[-1] > 4_000


async def test_hidden(studio: Studio, tmp_path: Path) -> None:
    """A hidden page asks for nothing; shown again it asks at once."""
    async with studio.gallery(Hang()) as page:
        await page.order(tmp_path)
        await page.tab.value(TIMERS)
        await page.tab.value(SHOWN)
        await page.tab.until("window.delays.length")
        async with studio.chromium.tab("about:blank"):
            await page.tab.until("document.visibilityState === 'hidden'")
            await page.tab.value("window.hidden = performance.now(), window.fired = 0")
            await page.tab.until("window.fired")
        await page.tab.order("Page.bringToFront")
        await page.tab.until("document.visibilityState === 'visible'")
        await page.tab.until(f"{LOOKS}.some((look) => look > hidden)")
        first = await page.tab.value(f"{LOOKS}.find((look) => look > hidden) - shown")

    assert first >= 0


async def test_older_ones(studio: Studio, tmp_path: Path) -> None:
    """The list comes page by page; what is unfinished moves on, on whichever page it is."""
    async with studio.gallery(Hang()) as page:
        await page.order(tmp_path)
        await page.waiting(COUNT - 1)
        await page.click("#show")
        await page.tab.until("document.querySelector('#more').checkVisibility()")
        newest = await page.tab.value(f"{JOBS}.length")
        await page.click("#more")
        await page.tab.until(f"{JOBS}.length === {COUNT}")
        has_more = await page.tab.value("document.querySelector('#more').checkVisibility()")
        await page.cancel_all()
        await page.tab.until(f"{STATES}.at(-1) === 'canceled'")

    assert (newest, has_more) == (COUNT - 3, False)
    assert page.tab.complaints == []


async def test_narrow(studio: Studio, tmp_path: Path) -> None:
    """Nothing of it is beyond the edge of a small telephone, and all can be reached by keyboard."""
    async with studio.gallery(Hang()) as page:
        await page.order(tmp_path, "x" * 100)
        screen = {"width": 360, "height": 640, "deviceScaleFactor": 1, "mobile": True}
        await page.tab.order("Emulation.setDeviceMetricsOverride", **screen)
        width = await page.tab.value("document.documentElement.scrollWidth")
        await page.tab.value("document.querySelector('#model').focus()")
        reached = []
        for _ in range(2):
            await page.tab.press("Tab")
            reached.append(
                await page.tab.value(
                    "document.activeElement.id || document.activeElement.className"
                )
            )

    assert width <= 360
    assert reached == ["submit", "cancel"]
