"""The speech-to-text contract from pages in a real browser, of an origin that is not the server's."""

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import pytest_asyncio
from attrs import frozen

from tests.clients.chromium import Chromium, launched
from tests.clients.recordings import CENTER
from tests.clients.shipped import Server
from tests.clients.site import Site

DOCS = Path(__file__).parents[2] / "docs/streaming.md"
SAMPLE = re.compile(r"^```js\n(.*?)^```", re.MULTILINE | re.DOTALL)
pytestmark = [
    pytest.mark.tools,
    pytest.mark.slow,
    pytest.mark.timeout(120),
    pytest.mark.asyncio(loop_scope="session"),
]


@frozen
class Browser:
    """A running browser, whose user has a token."""

    chromium: Chromium
    site: Site
    speech: Server
    token: str

    async def shown(self, case: str, *, host: str = "127.0.0.1") -> dict[str, Any]:
        """Open the site's page for a case, and return what it posts."""
        inbox = f"{case}-{host}"
        query = {"case": case, "inbox": inbox, "server": self.speech.url, "token": self.token}
        home = self.site.url.replace("127.0.0.1", host)
        await self.chromium.open(f"{home}/pages/speech.html?{urlencode(query)}")
        found: dict[str, Any] = json.loads((await self.site.posted(inbox)).body)
        return found


@pytest_asyncio.fixture(name="browser", scope="module", loop_scope="session")
async def _browser(
    site: Site, speech: Server, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Browser]:
    async with launched(tmp_path_factory.mktemp("profile"), CENTER) as chromium:
        yield Browser(chromium, site, speech, await speech.token())


async def test_an_upload(browser: Browser) -> None:
    """A page sends a form with `fetch`, and may read answer and headers."""
    seen = await browser.shown("upload")

    assert (seen.get("failed"), seen["status"]) == (None, 200)
    assert "center" in seen["body"]["text"]
    assert seen["id"] == seen["body"]["request_id"]


async def test_an_upload_that_is_too_large(browser: Browser) -> None:
    """A page can read the refusal, though the server stops taking the upload."""
    seen = await browser.shown("too_large")

    assert (seen.get("failed"), seen["status"]) == (None, 413)
    assert "26214400" in seen["body"]["message"]


async def test_events(browser: Browser) -> None:
    """A page reads them from the body of its `fetch`."""
    seen = await browser.shown("events")

    assert seen["type"].startswith("text/event-stream")
    assert seen["text"].startswith("event: transcript.delta\n")
    assert "event: transcript.done\n" in seen["text"]


async def test_a_page_of_a_stranger(browser: Browser) -> None:
    """An origin that is not in `server.cors_origins` gets nothing, with a good token too."""
    seen = await browser.shown("upload", host="localhost")

    assert seen == {"failed": "TypeError: Failed to fetch"}


@pytest.mark.parametrize("case", ["by_protocol", "by_protocol_beside_another", "by_message"])
async def test_live(case: str, browser: Browser) -> None:
    """Samples are streamed, finals are shown; the token is a sub-protocol, or in `start`."""
    seen = await browser.shown(case)

    assert seen.get("failed") is None
    assert (seen["code"], seen["kinds"][:2], seen["kinds"][-1]) == (
        *(1000, ["ready", "started"]),
        "done",
    )
    assert "center" in " ".join(seen["shown"])
    assert (
        seen["protocol"].partition(".")[0]
        == {
            "by_protocol": "junctor",
            "by_protocol_beside_another": "captions",
            "by_message": "",
        }[case]
    )


async def test_live_from_any_origin(browser: Browser) -> None:
    """A socket is opened by its token alone, whatever `server.cors_origins` says."""
    seen = await browser.shown("by_message", host="localhost")

    assert (seen["code"], seen["kinds"][-1]) == (1000, "done")


async def test_the_sample_of_the_docs(browser: Browser) -> None:
    """It hears a microphone, as it stands there but for the server, its token and the provider."""
    found = SAMPLE.search(DOCS.read_text("utf-8"))
    assert found is not None
    sample = found[1].replace("wss://stt.example.com", browser.speech.url.replace("http", "ws", 1))
    sample = sample.replace('provider: "deepgram"', 'provider: "sphinx"')
    browser.site.documents["sample"] = f"""<!doctype html><script type="module">
        const token = "{browser.token}", texts = [];
        {sample}
        socket.addEventListener("message", ({{ data }}) => {{
          const {{ type, text = data }} = JSON.parse(data);
          if (type === "final") socket.send('{{"type":"end"}}');
          if (type === "done" || type === "error") fetch("/inbox/sample", {{ method: "POST", body: text }});
        }});
        </script>"""
    await browser.chromium.open(f"{browser.site.url}/documents/sample")

    assert "center" in (await browser.site.posted("sample")).body.decode()
