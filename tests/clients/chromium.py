"""Chromium without a window, and its tabs, told what to do over the DevTools protocol."""

import asyncio
import itertools
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
from attrs import define, field, frozen

from tests.clients.recordings import needed
from tests.waiting import until

FLAGS = (
    "--headless=new",
    "--no-sandbox",  # it shows our own pages only, and runs as root in containers
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
    "--remote-debugging-port=0",
    "--autoplay-policy=no-user-gesture-required",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)
"""No window, nothing beyond this machine, and leave for the microphone."""

LARGEST = 64 * 1024 * 1024
"""Bytes of one message of DevTools."""


@define(eq=False)
class Tab:
    """One tab; whatever goes wrong in its page is in `complaints`."""

    _socket: aiohttp.ClientWebSocketResponse
    printed: list[list[Any]] = field(factory=list)
    """Arguments of each call of the page's `console`; objects as DevTools describes them."""
    complaints: list[str] = field(factory=list)
    """Exceptions, and what the browser itself says of the page: violated policies, failed loads."""
    _answers: dict[int, asyncio.Future[dict[str, Any]]] = field(factory=dict)
    _numbers: Iterator[int] = field(factory=itertools.count)

    async def order(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Have the browser do something, and return what it answers."""
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        told = await answer
        assert "error" not in told, told
        found: dict[str, Any] = told["result"]
        return found

    async def value(self, expression: str) -> Any:
        """Evaluate JavaScript in the page, as its user would do it."""
        found = await self.order(
            "Runtime.evaluate", expression=expression, returnByValue=True, userGesture=True
        )
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    async def until(self, expression: str) -> None:
        """Look again and again until an expression is true; the test's own timeout bounds it."""
        while not await self.value(expression):  # noqa: ASYNC110  # a page tells nobody
            await asyncio.sleep(0.02)

    async def press(self, key: str, text: str = "") -> None:
        """Press and release a key of the keyboard."""
        number = {"Enter": 13, "Tab": 9}[key]
        common = {"key": key, "code": key, "text": text, "windowsVirtualKeyCode": number}
        await self.order("Input.dispatchKeyEvent", type="keyDown", **common)
        await self.order("Input.dispatchKeyEvent", type="keyUp", **common)

    async def choose(self, selector: str, path: Path) -> None:
        """Choose a file in an input."""
        root = (await self.order("DOM.getDocument"))["root"]["nodeId"]
        node = await self.order("DOM.querySelector", nodeId=root, selector=selector)
        await self.order("DOM.setFileInputFiles", files=[str(path)], nodeId=node["nodeId"])

    async def read(self) -> None:
        """Take what the browser says, until the tab is closed."""
        async for message in self._socket:
            told = message.json()
            if "id" in told:
                self._answers.pop(told["id"]).set_result(told)
            else:
                self._note(told["method"], told["params"])

    def _note(self, event: str, told: dict[str, Any]) -> None:
        if event == "Runtime.consoleAPICalled":
            shown = [one.get("value", one.get("description")) for one in told["args"]]
            self.printed.append([told["type"], *shown])
        elif event == "Runtime.exceptionThrown":
            self.complaints.append(str(told["exceptionDetails"]))
        elif event == "Log.entryAdded" and told["entry"]["level"] in {"warning", "error"}:
            self.complaints.append(f"{told['entry']['text']} {told['entry'].get('url', '')}")


@frozen
class Chromium:
    """A running browser; `devtools` is where it takes orders."""

    devtools: str

    async def open(self, url: str) -> None:
        """Open a page in a tab of its own, and leave it alone."""
        async with aiohttp.ClientSession(self.devtools, raise_for_status=True) as http:
            await _new(http, url)

    @asynccontextmanager
    async def tab(self, url: str) -> AsyncIterator[Tab]:
        """Open a page in a tab of its own, watched from its first byte; close it at the end."""
        async with aiohttp.ClientSession(self.devtools, raise_for_status=True) as http:
            new = await _new(http, "about:blank")
            where = new["webSocketDebuggerUrl"]
            async with http.ws_connect(where, max_msg_size=LARGEST) as socket:
                tab = Tab(socket)
                reading = asyncio.create_task(tab.read())
                for domain in ("Runtime", "Log", "Page"):
                    await tab.order(f"{domain}.enable")
                await tab.order("Page.navigate", url=url)
                yield tab
                await tab.order("Page.close")
                await reading


async def _new(http: aiohttp.ClientSession, url: str) -> dict[str, Any]:
    async with http.put(f"/json/new?{quote(url, safe='')}") as answer:
        found: dict[str, Any] = await answer.json()
        return found


@asynccontextmanager
async def launched(profile: Path, microphone: Path) -> AsyncIterator[Chromium]:
    """
    Run a browser.

    Args:
        profile: an empty folder.
        microphone: the recording (WAV) that its microphone plays once each time it is opened.

    """
    program = shutil.which("chromium")
    needed(program)
    process = await asyncio.create_subprocess_exec(
        *(str(program), *FLAGS, f"--use-file-for-fake-audio-capture={microphone}%noloop"),
        *(f"--user-data-dir={profile}", "about:blank"),
        stderr=asyncio.subprocess.DEVNULL,
    )
    said = profile / "DevToolsActivePort"
    await until(lambda: said.exists() and said.read_text().count("\n"))
    yield Chromium(f"http://127.0.0.1:{said.read_text().split()[0]}")
    process.terminate()
    await process.wait()
