"""Plugins bring routers; one that does not fit leaves the others serving."""

import aiohttp
import pytest
from litestar import get, post
from litestar.di import NamedDependency
from structlog.testing import capture_logs

from junctor.conf.settings import Loader
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
