"""Live Thai captions in a browser and in Node: our own page, and the sample that integrators copy."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio

from tests.clients.chromium import Chromium, Tab, launched
from tests.clients.conftest import CONFIG
from tests.clients.recordings import needed
from tests.clients.shipped import Server, shipped
from tests.clients.site import PAGES, Site
from tests.clients.thai import FRAME, SAID, recorded, spoken, wrong
from tests.waiting import until

NODE = Path(__file__).parent / "node"
SAMPLE = (PAGES / "thai_asr_sample.js").read_text("utf-8")
SPLIT = "// `pcmChunks` must contain"
LENGTH = len(SAID.replace(" ", ""))
WORST = 0.1
"""Rate of wrong characters that counts as heard."""

IS_READY = "document.querySelector('#start')?.disabled === false"
WATCH = """(() => {
  const live = document.querySelector("#live");
  window.shown = [];
  new MutationObserver(() => window.shown.push([live.textContent, document.querySelector("#stable").textContent]))
    .observe(live, { childList: true, subtree: true, characterData: true });
})()"""
"""Notes each caption that the page shows, whole and the part that is stable."""
FIGURES = """[...document.querySelectorAll("#of-partial td, #of-final td")].map((cell) => Number(cell.textContent))"""
TRACES = """JSON.stringify([location.href, document.cookie, { ...localStorage }, { ...sessionStorage },
  document.documentElement.outerHTML])"""

pytestmark = [
    pytest.mark.tools,
    pytest.mark.slow,
    pytest.mark.timeout(120),
    pytest.mark.asyncio(loop_scope="session"),
]


@pytest.fixture(name="folder", scope="module")
def _folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("thai")


@pytest_asyncio.fixture(name="server", scope="module", loop_scope="session")
async def _server(folder: Path, site: Site) -> AsyncIterator[Server]:
    log = folder / "server.log"
    async with shipped(folder, CONFIG.format(site=site.url), log=log) as server:
        yield server


@pytest_asyncio.fixture(name="chromium", scope="module", loop_scope="session")
async def _chromium(folder: Path) -> AsyncIterator[Chromium]:
    """A browser whose microphone hears the sentence, after time enough to open a session."""
    microphone = recorded(folder / "microphone.wav", spoken(SAID, before=3.0, after=1.0))
    profile = folder / "profile"
    async with launched(profile, microphone) as chromium:
        yield chromium


async def begun(tab: Tab, server: Server, recording: Path | None = None) -> None:
    """Choose a file, if any; enter the key, and start with the keyboard alone."""
    await tab.until(IS_READY)
    await tab.value(WATCH)
    if recording is not None:
        await tab.choose("#file", recording)
    await tab.value("document.querySelector('#key').focus()")
    await tab.order("Input.insertText", text=server.key)
    await tab.press("Enter", "\r")
    await tab.until("!document.querySelector('#end').disabled")


async def finals(tab: Tab, count: int) -> list[str]:
    """Wait for so many finals, and return their texts."""
    await tab.until(f"document.querySelectorAll('#finals > li').length >= {count}")
    texts = await tab.value(
        "[...document.querySelectorAll('#finals > li > p')].map((p) => p.textContent)"
    )
    return [str(text) for text in texts]


async def test_microphone(chromium: Chromium, server: Server) -> None:
    """Captions appear while somebody speaks, then a final with its times; then latencies stand there."""
    async with chromium.tab(f"{server.url}/demo/thai-asr") as tab:
        await begun(tab, server)
        await tab.until(f"document.querySelector('#stable').textContent.length >= {LENGTH - 1}")
        await tab.value("document.querySelector('#end').click()")
        [final] = await finals(tab, 1)
        shown = await tab.value("window.shown")
        figures = await tab.value(FIGURES)
        times = await tab.value("document.querySelector('#finals li li').textContent")
        speech = await tab.value("document.querySelector('#speech').value")

    assert wrong(SAID, final) <= WORST
    assert len({text for text, _ in shown if text}) > 1
    assert any(stable and text.startswith(stable) for text, stable in shown)
    assert all(figure >= 0 for figure in figures)
    assert (" s " in times, "known" in speech) == (True, True)
    assert (tab.complaints, tab.printed) == ([], [])


async def test_file(chromium: Chromium, server: Server, folder: Path) -> None:
    """It is spoken to the server as fast as it was recorded; the next one goes over the same socket."""
    recording = recorded(folder / "speech.wav", spoken(SAID))
    async with chromium.tab(f"{server.url}/demo/thai-asr") as tab:
        await begun(tab, server, recording)
        await finals(tab, 1)
        await tab.value("document.querySelector('#start').click()")
        heard = await finals(tab, 2)
        shown = await tab.value("window.shown")

    assert max(wrong(SAID, text) for text in heard) <= WORST
    assert len({text for text, _ in shown if text}) > 1
    assert tab.complaints == []


async def test_flush_and_reset(chromium: Chromium, server: Server, folder: Path) -> None:
    """Forgotten is what was heard until then; the rest of the file is captioned."""
    recording = recorded(folder / "twice.wav", spoken(SAID) + spoken(SAID))
    async with chromium.tab(f"{server.url}/demo/thai-asr") as tab:
        await begun(tab, server, recording)
        await tab.until("document.querySelector('#live').textContent")
        await tab.value("document.querySelector('#flush').click()")
        await tab.value("document.querySelector('#reset').click()")
        await tab.until("document.querySelector('#status').textContent.startsWith('Forgotten')")
        [final] = await finals(tab, 1)

    assert len(final) < 2 * LENGTH
    assert final


async def test_key_leaves_no_trace(chromium: Chromium, server: Server, folder: Path) -> None:
    """It is in no URL of the page, in nothing that the browser keeps, and in no log of the server."""
    recording = recorded(folder / "trace.wav", spoken(SAID))
    async with chromium.tab(f"{server.url}/demo/thai-asr") as tab:
        await begun(tab, server, recording)
        await finals(tab, 1)
        traces = await tab.value(TRACES)
    log = folder / "server.log"
    await until(lambda: '"operation":"stream"' in log.read_text("utf-8"))  # written at its end

    assert "/demo/thai-asr" in traces
    assert server.key not in traces
    assert server.key not in log.read_text("utf-8")


async def test_bad_key(chromium: Chromium, server: Server) -> None:
    """What is wrong is said in words, and a better key can be tried at once."""
    async with chromium.tab(f"{server.url}/demo/thai-asr") as tab:
        await tab.until(IS_READY)
        await tab.value("document.querySelector('#key').value = 'nobody'")
        await tab.value("document.querySelector('#start').click()")
        await tab.until("document.querySelector('#error').textContent")
        error = await tab.value("document.querySelector('#error').textContent")
        can_start = await tab.value(IS_READY)

    assert (" key " in error, can_start) == (True, True)


async def test_restart(chromium: Chromium, tmp_path: Path) -> None:
    """A server that stops in the middle of a sentence sends what it heard; then the page says why it ended."""
    recording = recorded(tmp_path / "long.wav", spoken(SAID) * 4)
    async with AsyncExitStack() as stack:
        async with shipped(tmp_path) as server:
            tab = await stack.enter_async_context(chromium.tab(f"{server.url}/demo/thai-asr"))
            await begun(tab, server, recording)
            await tab.until("document.querySelector('#stable').textContent")
        await tab.until("document.querySelector('#status').textContent === 'Stopped.'")
        [final] = await finals(tab, 1)
        error = await tab.value("document.querySelector('#error').textContent")
        can_start = await tab.value(IS_READY)

    assert final.startswith(SAID[:2])
    assert ("(shutting_down)" in error, can_start) == (True, True)


async def test_narrow(chromium: Chromium, server: Server) -> None:
    """Nothing of it is beyond the edge of a small telephone, and all can be reached by keyboard."""
    async with chromium.tab(f"{server.url}/demo/thai-asr") as tab:
        screen = {"width": 360, "height": 640, "deviceScaleFactor": 1, "mobile": True}
        await tab.order("Emulation.setDeviceMetricsOverride", **screen)
        await tab.until(IS_READY)
        width = await tab.value("document.documentElement.scrollWidth")
        reached = []
        for _ in range(4):
            await tab.press("Tab")
            reached.append(
                await tab.value("document.activeElement.id || document.activeElement.value")
            )

    assert width <= 360
    assert reached == ["key", "microphone", "file", "start"]


def in_two_pieces(server: Server, pcm: bytes) -> str:
    """
    Return the sample with chunks to send, a key and a host; nothing else in it is changed.

    As it stands it sends audio while its socket is still connecting, which browsers and Node refuse
    (InvalidStateError), and before `started`. So what is behind the comment about `pcmChunks`
    waits for `started`.
    """
    sample = SAMPLE.replace("YOUR_API_KEY", server.key)
    sample = sample.replace("https://kaleidovid.com", server.url)
    first, comment, second = sample.partition(SPLIT)
    assert comment
    chunks = [list(pcm[at : at + FRAME]) for at in range(0, len(pcm), FRAME)]
    return f"""const pcmChunks = {chunks}.map((chunk) => Uint8Array.from(chunk));
{first}await new Promise((resolve) => socket.addEventListener("message",
  ({{ data }}) => JSON.parse(data).type === "started" && resolve()));
{comment}{second}"""


async def test_sample_in_chromium(chromium: Chromium, server: Server, site: Site) -> None:
    """The public sample prints live captions and a final, on a page of another origin."""
    site.documents["sample"] = (
        f'<!doctype html><link rel="icon" href="data:,"><script type="module">'
        f"{in_two_pieces(server, spoken(SAID))}</script>"
    )
    async with chromium.tab(f"{site.url}/documents/sample") as tab:
        while not any(line[1] == "final" for line in tab.printed):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    live = [line for line in tab.printed if line[1] == "live"]
    [final] = [line for line in tab.printed if line[1] == "final"]

    assert live
    assert wrong(SAID, final[2]) <= WORST
    assert final[3].startswith("Array(")
    assert tab.complaints == []


async def test_sample_in_node(server: Server, tmp_path: Path) -> None:
    """The public sample prints live captions and a final, with the WebSocket that Node has."""
    needed(shutil.which("node"), NODE / "node_modules" / "ws")
    module = tmp_path / "sample.mjs"
    module.write_text(in_two_pieces(server, spoken(SAID)), "utf-8")
    process = await asyncio.create_subprocess_exec(
        *("node", "thai_asr.mjs", module.as_uri()), cwd=NODE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    lines = [(await process.stdout.readline()).decode()]
    while lines[-1] and not lines[-1].startswith("final "):
        lines.append((await process.stdout.readline()).decode())
    process.kill()  # it keeps its socket for further utterances
    await process.wait()
    final = lines[-1].removeprefix("final ").partition(" [")[0]

    assert lines[0].startswith("live ")
    assert wrong(SAID, final) <= WORST
