"""Plugins bring routers; one that does not fit leaves the others serving."""

import aiohttp
import pytest
from litestar import get, post
from litestar.di import NamedDependency
from structlog.testing import capture_logs

from junctor.conf.settings import Loader, Server
from junctor.core.errors import ForbiddenError, PluginError
from junctor.core.gateway import Gateway
from junctor.core.hooks import hookimpl
from junctor.core.testing.fakes import FakeTranscriber
from junctor.routers.app import create_app, runtime_of
from tests.fakes.plugins import plugins
from tests.fakes.server import server_settings, serving


@get("/extra")
async def extra(gateway: NamedDependency[Gateway]) -> str:
    return type(gateway).__name__


@post("/v1/audio/transcriptions")
async def clash() -> None:
    """Take a path that is taken."""


@get("/defect")
async def defect() -> None:
    raise RuntimeError("secret sauce")


@get("/forbidden")
async def forbidden() -> None:
    raise ForbiddenError("Not you.")


class Bringer:
    """A plugin that brings these handlers."""

    def __init__(self, *handlers: object) -> None:
        self.handlers = handlers

    @hookimpl
    def junctor_routers(self):
        return list(self.handlers)


async def test_plugin_router_reaches_the_gateway(tmp_path):
    """A stranger's handler gets what ours get."""
    settings = server_settings(tmp_path)
    async with (
        serving(settings, FakeTranscriber(), extra=Bringer(extra)) as server,
        aiohttp.ClientSession(server.url) as http,
        http.get("/extra") as answer,
    ):
        assert (200, "Gateway") == (answer.status, await answer.text())


def test_clash_takes_the_plugin_out(tmp_path):
    """A path that is taken takes its plugin out whole, with the reason, and nothing else."""
    settings = server_settings(tmp_path)
    loaded = plugins(settings, a_clash=Bringer(defect, clash), extra=Bringer(extra))
    app = create_app(settings, plugins=loaded)

    paths = {route.path for route in app.routes}
    status = {one.name: one for one in runtime_of(app).plugins.statuses}

    assert ("/extra" in paths, "/defect" in paths) == (True, False)
    assert "/v1/audio/transcriptions" in status["a_clash"].reason


def test_strict_refuses_a_clash(tmp_path):
    """Where plugins are to be strict, the server does not start without one."""
    settings = server_settings(tmp_path, loader=Loader(strict=True))
    with pytest.raises(PluginError, match="clash"):
        create_app(settings, plugins=plugins(settings, clash=Bringer(clash)))


@pytest.fixture(name="bare")
async def _bare(tmp_path):
    settings = server_settings(tmp_path)
    async with (
        serving(settings, FakeTranscriber(), more=Bringer(defect, forbidden)) as server,
        aiohttp.ClientSession(server.url) as http,
    ):
        yield http


async def test_defect_is_logged_and_not_told(bare):
    """The caller reads that it failed, the log reads why."""
    with capture_logs() as lines:
        async with bare.get("/defect") as answer:
            body = await answer.text()

    logged = next(line for line in lines if line["event"] == "unexpected_error")

    assert (500, False) == (answer.status, "secret sauce" in body)
    assert "secret sauce" in str(logged["exc_info"])


async def test_errors_of_the_tree_are_rendered_everywhere(bare):
    """A plugin's handler raises our errors and need not know how they look."""
    async with bare.get("/forbidden") as answer:
        detail = (await answer.json())["error"]

    assert (403, "Not you.") == (answer.status, detail["message"])


ORIGIN = "https://app.example.com"


async def answers_to_a_page(folder, **more) -> list[tuple[int, str | None]]:
    """What a browser is told, whose page is of `ORIGIN`: in advance, then with good and bad key."""
    settings = server_settings(folder, server=Server(port=0, **more))
    asks = {"Access-Control-Request-Method": "POST"}
    asks["Access-Control-Request-Headers"] = "authorization, x-request-id"
    path = "/speech-to-text/transcribe"
    async with (
        serving(settings, FakeTranscriber()) as server,
        aiohttp.ClientSession(server.url, headers={"Origin": ORIGIN}) as http,
        http.options(path, headers=asks) as ahead,
        http.get("/v1/models", headers=server.authorization) as good,
        http.post(path) as bad,
    ):
        if ahead.status == 204 and more:
            assert "authorization" in ahead.headers["Access-Control-Allow-Headers"]
        return [
            (one.status, one.headers.get("Access-Control-Allow-Origin"))
            for one in (ahead, good, bad)
        ]


async def test_pages_of_an_origin_that_may(tmp_path):
    """They may send keys, and read errors too."""
    answers = await answers_to_a_page(tmp_path, cors_origins=("http://a.example", ORIGIN))

    assert [(204, ORIGIN), (200, ORIGIN), (401, ORIGIN)] == answers


async def test_pages_of_any_origin(tmp_path):
    """What needs no cookie can be opened to all."""
    answers = await answers_to_a_page(tmp_path, cors_origins=("*",))

    assert [(204, "*"), (200, "*"), (401, "*")] == answers


async def test_pages_of_an_origin_that_may_not(tmp_path):
    """Refused in advance, and what they read all the same they are not shown."""
    answers = await answers_to_a_page(tmp_path, cors_origins=("https://example.com",))

    assert [(400, None), (200, None), (401, None)] == answers


async def test_no_page_unless_it_is_said(tmp_path):
    """A browser that is told nothing keeps pages of other origins out."""
    answers = await answers_to_a_page(tmp_path)

    assert [(204, None), (200, None), (401, None)] == answers
