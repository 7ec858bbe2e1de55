"""
A short way to handlers that are bare ASGI applications.

Litestar's router and its layer for errors were a thirteenth of the CPU of a relayed request. The
path of a handler with `SHORTCUT` in its options is looked up in a table instead, and its errors are
rendered by what renders all others. Litestar knows the path as well: another spelling of it, a
WebSocket, a host that is none, or any origin that is let in takes the way through it.
"""

from collections.abc import Iterable
from string import ascii_letters, digits

from litestar import Litestar
from litestar.enums import ScopeType
from litestar.routes import ASGIRoute
from litestar.types import ASGIApp, Receive, Scope, Send

from junctor.core.faces import ErrorFaces
from junctor.core.visits import CLIENT_GONE, current_visit
from junctor.routers.errors import answer_to

SHORTCUT = "junctor_shortcut"
"""Option of a handler without guards and middleware, of which there is a short way."""
_OF_HOSTS = f"{ascii_letters}{digits}-._~!$&'()*+,;=:@%[]".encode()
"""What may stand in the authority of a URL (RFC 3986, 3.2)."""


def with_shortcuts(app: Litestar, faces: ErrorFaces) -> ASGIApp:
    """Return the application's ASGI handler with its shortcuts before it."""
    inner = app.asgi_handler
    size = app.request_max_body_size
    limit = size if isinstance(size, int) else 0
    short = {} if app.cors_config is not None else dict(_marked(app))

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        handler = short.get(scope["path"])
        if handler is None or not _is_plain(scope):
            await inner(scope, receive, send)
            return
        try:
            await handler(scope, receive, send)
        except Exception as exc:
            if current_visit().status != CLIENT_GONE:
                raise  # the answer has begun: the server has to break it off
            answer = answer_to(scope, exc, faces, limit_bytes=limit)
            await answer(scope, receive, send)

    return serve


def _marked(app: Litestar) -> Iterable[tuple[str, ASGIApp]]:
    for route in app.routes:
        if isinstance(route, ASGIRoute) and route.route_handler.opt.get(SHORTCUT):
            yield route.path, route.route_handler.fn


def _is_plain(scope: Scope) -> bool:
    if scope["type"] != ScopeType.HTTP or scope.get("root_path"):
        return False
    for name, value in scope["headers"]:
        if name == b"host":
            return not value.translate(None, _OF_HOSTS)
    return True
