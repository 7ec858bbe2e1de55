"""The page of live captions comes without a key, whole, from nowhere else, and is kept by caches."""

import re
from importlib.resources import files
from pathlib import Path

import httpx
import pytest

from junctor.routers.thai_asr import errors
from tests.fakes.server import server_settings, serving

PAGE = "/demo/thai-asr"


async def shown(folder: Path, *paths: str, **headers: str) -> list[httpx.Response]:
    """Ask a server for paths, one after the other."""
    async with serving(server_settings(folder)) as served, httpx.AsyncClient() as http:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return [await http.get(served.url + path, headers=names) for path in paths]


async def test_page(tmp_path: Path) -> None:
    """Whoever opens it gets it; what may run in it is this server's own."""
    [page] = await shown(tmp_path, PAGE)
    policy = page.headers["content-security-policy"]

    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "default-src 'none'; script-src 'self'; " in policy
    assert "unsafe" not in policy
    assert page.headers["referrer-policy"] == "no-referrer"


async def test_parts(tmp_path: Path) -> None:
    """What the page and its modules name is there, and nothing of it is another host's."""
    parts = ("thai_asr.css", "thai_asr.js", "session.js", "sources.js", "frames.js")
    answers = await shown(tmp_path, PAGE, *(f"{PAGE}/{part}" for part in parts))
    named = re.findall(
        r'"(?:thai-asr/|\./|)(\w+\.(?:css|js))"', "".join(one.text for one in answers)
    )

    assert {one.status_code for one in answers} == {200}
    assert set(named) == set(parts)
    assert not any(re.search(r"https?://|<script>|style=|\son\w+=", one.text) for one in answers)


async def test_unchanged(tmp_path: Path) -> None:
    """A cache that asks with the ETag is told that it has the page."""
    [page] = await shown(tmp_path, PAGE)
    [known] = await shown(tmp_path / "again", PAGE, if_none_match=f"W/{page.headers['etag']}")

    assert page.headers["cache-control"] == "no-cache"
    assert (known.status_code, known.content) == (304, b"")


async def test_slash(tmp_path: Path) -> None:
    """Who adds one is sent to where the page finds its parts."""
    [answer] = await shown(tmp_path, f"{PAGE}/")

    assert answer.status_code == 308
    assert str(answer.url.join(answer.headers["location"])).endswith(PAGE)


def test_closes() -> None:
    """The page has words for every way in which the server ends a session."""
    session = (files("junctor.routers.demo") / "session.js").read_text("utf-8")
    codes = {ending.close for ending in (*errors._ENDINGS.values(), errors.SHUTDOWN)}

    assert codes == {code for code in codes if f"  {code}: " in session}


@pytest.mark.parametrize("path", ["/__init__.py", "/pages.py", "/..%2fpages.py", "/x/frames.js"])
async def test_nothing_else(path: str, tmp_path: Path) -> None:
    """Other files of the package are not to be had."""
    [answer] = await shown(tmp_path, PAGE + path)

    assert answer.status_code == 404
