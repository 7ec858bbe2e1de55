"""
`/demo/…`: pages that show what the server does. They ask for no key, their users do.

`/demo/thai-asr` writes Thai captions live, `/demo/gallery` shows the videos of a team.
"""

from collections.abc import Mapping
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

from attrs import frozen
from litestar import Router, get
from litestar.params import FromPath
from litestar.types import ASGIApp

from junctor.core.errors import NotFoundError
from junctor.core.visits import current_visit
from junctor.routers.answers import Answer, Http


@frozen(kw_only=True)
class _Page:
    document: str
    parts: tuple[str, ...]
    """What the document asks for, below its own path."""
    sources: str
    """What its content policy lets it show, beside scripts and styles of this server."""
    microphone: str = "()"


_PAGES: Final = {
    "thai-asr": _Page(
        document="thai_asr.html",
        parts=("thai_asr.css", "thai_asr.js", "session.js", "sources.js", "frames.js"),
        sources="img-src data:",
        microphone="(self)",
    ),
    "gallery": _Page(
        document="gallery.html",
        parts=("gallery.css", "gallery.js", "generations.js", "rows.js", "watch.js"),
        sources="img-src 'self' data: blob:; media-src 'self'",
    ),
}
"""By the last part of their paths."""

_TYPES: Final = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
}

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = (
    ("cache-control", "no-cache"),  # kept, and asked about with its ETag each time
    ("referrer-policy", "no-referrer"),
    ("x-content-type-options", "nosniff"),
)


@frozen(kw_only=True)
class _File:
    body: bytes
    media_type: str
    etag: str
    headers: tuple[tuple[str, str], ...]

    def answer(self, known: str) -> Answer:
        """
        Return it, or the word that nothing has changed.

        Args:
            known: `If-None-Match` of the request.

        """
        headers = (*self.headers, ("etag", self.etag))
        if self.etag in known:  # a cache may have weakened it: W/"…"
            return Answer(body=b"", media_type=self.media_type, status=304, headers=headers)
        return Answer(body=self.body, media_type=self.media_type, headers=headers)


def router() -> Router:
    """Return the pages and their parts, all read at once: some kilobytes."""
    folder = files(__package__)
    pages = {path: _files(page, folder) for path, page in _PAGES.items()}

    @get(["/{page:str}", "/{page:str}/{name:str}"])
    async def show_page(request: Http, page: FromPath[str], name: FromPath[str] = "") -> ASGIApp:
        """Show a page, or a part of it."""
        current_visit().operation = "demo"
        file = pages.get(page, {}).get(name)
        if file is None:
            raise NotFoundError("There is nothing at this path. Check the URL.")
        if request.scope["raw_path"].endswith(b"/"):  # below which its parts are not
            return Answer(body=b"", status=308, headers=(("location", f"../{page}"),))
        return file.answer(request.headers.get("if-none-match", ""))

    return Router("/demo", route_handlers=[show_page])


def _files(page: _Page, folder: Traversable) -> Mapping[str, _File]:
    """Return the page, by no name and by its own, and its parts by theirs."""
    headers = (
        *_HEADERS,
        ("content-security-policy", f"{_POLICY}; {page.sources}"),
        ("permissions-policy", f"microphone={page.microphone}"),
    )
    found = {name: _read(folder / name, headers) for name in (page.document, *page.parts)}
    return {"": found[page.document], **found}


def _read(path: Traversable, headers: tuple[tuple[str, str], ...]) -> _File:
    body = path.read_bytes()
    return _File(
        body=body,
        media_type=_TYPES[path.name.rpartition(".")[2]],
        etag=f'"{sha256(body).hexdigest()[:32]}"',
        headers=headers,
    )
