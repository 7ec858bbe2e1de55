"""Pages come without a key, whole, from nowhere else, and are kept by caches."""

import re
from importlib.resources import files
from pathlib import Path

import httpx
import pytest

from junctor.routers.thai_asr import errors
from tests.fakes.server import server_settings, serving

PARTS = {
    "thai-asr": ("thai_asr.css", "thai_asr.js", "session.js", "sources.js", "frames.js"),
    "gallery": ("gallery.css", "gallery.js", "generations.js", "rows.js", "watch.js"),
}
SHOWN = {
    "thai-asr": "; img-src data:",
    "gallery": "; img-src 'self' data: blob:; media-src 'self'",
}
"""What the policy of a page lets it show."""
pages = pytest.mark.parametrize("page", PARTS)


async def shown(folder: Path, *paths: str, **headers: str) -> list[httpx.Response]:
    """Ask a server for paths, one after the other."""
    async with serving(server_settings(folder)) as served, httpx.AsyncClient() as http:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return [await http.get(served.url + path, headers=names) for path in paths]


@pages
async def test_page(page: str, tmp_path: Path) -> None:
    """Whoever opens it gets it; what may run and be shown in it is this server's own."""
    [answer] = await shown(tmp_path, f"/demo/{page}")
    policy = answer.headers["content-security-policy"]
    is_heard = page == "thai-asr"

    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; ")
    assert policy.endswith(SHOWN[page])
    assert "unsafe" not in policy
    assert ("(self)" in answer.headers["permissions-policy"]) == is_heard
    assert answer.headers["referrer-policy"] == "no-referrer"


@pages
async def test_parts(page: str, tmp_path: Path) -> None:
    """What the page and its modules name is there, and nothing of it is another host's."""
    path = f"/demo/{page}"
    answers = await shown(tmp_path, path, *(f"{path}/{part}" for part in PARTS[page]))
    named = re.findall(
        rf'"(?:{page}/|\./|)(\w+\.(?:css|js))"', "".join(one.text for one in answers)
    )

    assert {one.status_code for one in answers} == {200}
    assert set(named) == set(PARTS[page])
    assert not any(re.search(r"https?://|<script>|style=|\son\w+=", one.text) for one in answers)


@pages
async def test_unchanged(page: str, tmp_path: Path) -> None:
    """A cache that asks with the ETag is told that it has the page."""
    path = f"/demo/{page}"
    [first] = await shown(tmp_path, path)
    [known] = await shown(tmp_path / "again", path, if_none_match=f"W/{first.headers['etag']}")

    assert first.headers["cache-control"] == "no-cache"
    assert (known.status_code, known.content) == (304, b"")


@pages
async def test_slash(page: str, tmp_path: Path) -> None:
    """Who adds one is sent to where the page finds its parts."""
    [answer] = await shown(tmp_path, f"/demo/{page}/")

    assert answer.status_code == 308
    assert str(answer.url.join(answer.headers["location"])).endswith(f"/demo/{page}")


def test_closes() -> None:
    """The page has words for every way in which the server ends a session."""
    session = (files("junctor.routers.demo") / "session.js").read_text("utf-8")
    codes = {ending.close for ending in (*errors._ENDINGS.values(), errors.SHUTDOWN)}

    assert codes == {code for code in codes if f"  {code}: " in session}


@pytest.mark.parametrize(
    "path",
    [
        "/thai-asr/__init__.py",
        "/thai-asr/pages.py",
        "/thai-asr/..%2fpages.py",
        "/thai-asr/x/frames.js",
        "/gallery/frames.js",
        "/gallery/gallery",
        "/nothing",
        "",
    ],
)
async def test_nothing_else(path: str, tmp_path: Path) -> None:
    """Other files of the package are not to be had, nor the parts of another page."""
    [answer] = await shown(tmp_path, f"/demo{path}")

    assert answer.status_code == 404
