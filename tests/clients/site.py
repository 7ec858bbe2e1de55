"""A client's own web site: it serves pages and recordings, and takes what is posted to it."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web
from attrs import define, field, frozen

from tests.clients.recordings import SPEAKERS

PAGES = Path(__file__).parent / "pages"


@frozen
class Posted:
    """One request to the site's inbox."""

    headers: Mapping[str, str]
    body: bytes


@define
class Site:
    """The site; its port is its own, so that the server is of another origin."""

    url: str = ""
    documents: dict[str, str] = field(factory=dict)
    """Further pages, HTML by name."""
    _inbox: defaultdict[str, asyncio.Queue[Posted]] = field(
        factory=lambda: defaultdict(asyncio.Queue)
    )

    async def posted(self, name: str) -> Posted:
        """Wait for the next request to `/inbox/<name>`."""
        return await self._inbox[name].get()

    async def take(self, request: web.Request) -> web.Response:
        posted = Posted(dict(request.headers), await request.read())
        self._inbox[request.match_info["name"]].put_nowait(posted)
        return web.Response()

    async def document(self, request: web.Request) -> web.Response:
        text = self.documents[request.match_info["name"]]
        return web.Response(text=text, content_type="text/html")


@asynccontextmanager
async def published() -> AsyncIterator[Site]:
    """Run the site on loopback."""
    site = Site()
    app = web.Application()
    app.add_routes(
        [
            web.post("/inbox/{name}", site.take),
            web.get("/documents/{name}", site.document),
            web.static("/pages", PAGES),
            web.static("/recordings", SPEAKERS),
        ]
    )
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    site.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield site
    await runner.cleanup()
