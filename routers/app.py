"""The composition root: one application out of settings, plugins and contracts."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager

from litestar import Litestar, Router
from litestar.config.cors import CORSConfig
from litestar.datastructures import State
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.handlers.base import BaseRouteHandler
from litestar.routes import HTTPRoute
from litestar.utils import join_paths

from junctor.conf.settings import Server, Settings
from junctor.core.faces import ERROR_FACE, ErrorFace, ErrorFaces
from junctor.core.gateway import Gateway
from junctor.core.plugin_status import Stage, refuse_failures
from junctor.core.plugins import Plugins
from junctor.core.runtime import Runtime
from junctor.routers import chat, demo, ltx_video, openai, speech_to_text, system, thai_asr
from junctor.routers.composition import compose
from junctor.routers.errors import error_handler, refusal_of
from junctor.routers.openai.errors import OPENAI_FACE, SHARED_FACE
from junctor.routers.shortcuts import with_shortcuts
from junctor.routers.visits import VisitLayer


def create_app(settings: Settings, *, plugins: Plugins | None = None) -> Litestar:
    """
    Put the application together; nothing is opened before its lifespan begins.

    Args:
        settings: as loaded.
        plugins: those to serve with; None loads what is installed and allowed.

    Raises:
        PluginError: a plugin failed, and `loader.strict` is set.
        ConfigError: tracing is asked for, and OpenTelemetry is not installed.

    """
    runtime = compose(settings, plugins=plugins)
    app = _with_plugins(runtime, settings)
    faces: ErrorFaces = app.state["error_faces"]
    app.asgi_handler = VisitLayer(
        with_shortcuts(app, faces),
        runtime.telemetry,
        lambda scope, error: refusal_of(scope, error, faces),
    )
    return app


def runtime_of(app: Litestar) -> Runtime:
    """Return what an application of `create_app` runs on."""
    runtime = app.state["runtime"]
    if not isinstance(runtime, Runtime):
        raise TypeError("The application was not made by create_app.")
    return runtime


def _with_plugins(runtime: Runtime, settings: Settings) -> Litestar:
    """Add one plugin's routers after the other; one that does not fit is taken out whole."""
    ours = [
        openai.router(),
        *chat.routers(),
        speech_to_text.router(),
        *thai_asr.routers(),
        *ltx_video.routers(),
        demo.router(),
        system.router(has_metrics=settings.telemetry.metrics),
    ]
    app = _build(runtime, settings, ours)
    for name, handlers in runtime.plugins.routers(settings).items():
        if not handlers:
            continue
        try:
            theirs = Router("/", route_handlers=handlers)
            app = _build(runtime, settings, [*ours, theirs])
        except Exception as exc:  # noqa: BLE001  # plugin boundary: `take_out` lists and logs it
            runtime.plugins.take_out(name, Stage.ROUTERS, exc)
        else:
            ours.append(theirs)
    if settings.loader.strict:
        refuse_failures(runtime.plugins.statuses)
    return app


def _build(runtime: Runtime, settings: Settings, routers: Sequence[Router]) -> Litestar:
    def provide_gateway() -> Gateway:
        return runtime.gateway

    def provide_runtime() -> Runtime:
        return runtime

    @asynccontextmanager
    async def lifespan(_app: Litestar) -> AsyncIterator[None]:
        async with runtime:
            yield

    faces = ErrorFaces(default=OPENAI_FACE, by_prefix={"/health": SHARED_FACE})
    answer = error_handler(faces)
    app = Litestar(
        routers,
        dependencies={
            "gateway": Provide(provide_gateway, sync_to_thread=False),
            "runtime": Provide(provide_runtime, sync_to_thread=False),
        },
        cors_config=_cors(settings.server),
        exception_handlers={Exception: answer, HTTPException: answer},
        lifespan=[lifespan],
        logging_config=None,
        openapi_config=None,
        request_max_body_size=settings.limits.max_upload_bytes,
        state=State({"runtime": runtime, "error_faces": faces}),
    )
    faces.by_prefix.update(_faces_in(app))
    return app


def _cors(settings: Server) -> CORSConfig | None:
    """Let pages of these origins in; keys come in headers, so no cookie is ever asked for."""
    if not settings.cors_origins:
        return None
    return CORSConfig(allow_origins=list(settings.cors_origins), expose_headers=["*"])


def _faces_in(app: Litestar) -> Iterator[tuple[str, ErrorFace]]:
    """Find the error face of every router that carries one, and the router's path."""
    for route in app.routes:
        handlers = route.route_handlers if isinstance(route, HTTPRoute) else [route.route_handler]
        for handler in handlers:
            yield from _faces_above(handler)


def _faces_above(handler: BaseRouteHandler) -> Iterator[tuple[str, ErrorFace]]:
    path = ""
    for layer in handler.ownership_layers[1:]:
        path = join_paths([path, getattr(layer, "path", "")])
        face = (layer.opt or {}).get(ERROR_FACE)
        if isinstance(face, ErrorFace):
            yield path, face
