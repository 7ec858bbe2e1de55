"""`/demo/thai-asr`: a page that shows live Thai captions. It asks for no key, its user does."""

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

_PAGE: Final = "thai_asr.html"
_PARTS: Final = ("thai_asr.css", "thai_asr.js", "session.js", "sources.js", "frames.js")
"""What the page asks for, below its own path."""

_TYPES: Final = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
}

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = (
    ("cache-control", "no-cache"),  # kept, and asked about with its ETag each time
    ("content-security-policy", _POLICY),
    ("permissions-policy", "microphone=(self)"),
    ("referrer-policy", "no-referrer"),
    ("x-content-type-options", "nosniff"),
)


@frozen(kw_only=True)
class _File:
    body: bytes
    media_type: str
    etag: str

    def answer(self, known: str) -> Answer:
        """
        Return it, or the word that nothing has changed.

        Args:
            known: `If-None-Match` of the request.

        """
        headers = (*_HEADERS, ("etag", self.etag))
        if self.etag in known:  # a cache may have weakened it: W/"…"
            return Answer(body=b"", media_type=self.media_type, status=304, headers=headers)
        return Answer(body=self.body, media_type=self.media_type, headers=headers)


def router() -> Router:
    """Return the page and its parts, all read at once: some kilobytes."""
    folder = files(__package__)
    pages = {name: _read(folder / name) for name in (_PAGE, *_PARTS)}

    @get(["/thai-asr", "/thai-asr/{name:str}"])
    async def show_page(request: Http, name: FromPath[str] = _PAGE) -> ASGIApp:
        """Show the page, or a part of it."""
        current_visit().operation = "demo"
        if request.scope["raw_path"].endswith(b"/"):  # below which its parts are not
            return Answer(body=b"", status=308, headers=(("location", "../thai-asr"),))
        if name not in pages:
            raise NotFoundError("There is nothing at this path. Check the URL.")
        return pages[name].answer(request.headers.get("if-none-match", ""))

    return Router("/demo", route_handlers=[show_page])


def _read(path: Traversable) -> _File:
    body = path.read_bytes()
    return _File(
        body=body,
        media_type=_TYPES[path.name.rpartition(".")[2]],
        etag=f'"{sha256(body).hexdigest()[:32]}"',
    )
