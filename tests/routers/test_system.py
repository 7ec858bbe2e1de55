"""Probes and operators need no key, and read no secret."""

import aiohttp
import pytest

from junctor.conf.settings import Telemetry
from junctor.core.engine.spec import EngineState, EngineStatus
from junctor.core.plugin_status import PluginStatus, Stage
from junctor.core.runtime import Condition
from junctor.core.testing.fakes import FakeTranscriber
from junctor.routers.system import health_of
from tests.fakes.server import server_settings, serving

WELL = PluginStatus(name="fake", models=("fake:one",))


@pytest.mark.parametrize(
    ("is_ready", "plugins", "breakers", "status"),
    [
        (True, (WELL,), {}, "ok"),
        (True, (WELL, WELL.failed(Stage.START, "x")), {}, "degraded"),
        (True, (WELL,), {"fake:one transcribe": "open"}, "degraded"),
        (False, (), {}, "unavailable"),
    ],
    ids=["well", "plugin", "breaker", "nothing"],
)
def test_status(is_ready, plugins, breakers, status):
    """One word sums the condition up."""
    condition = Condition(is_ready=is_ready, plugins=plugins, breakers=breakers)

    assert status == health_of(condition).status


def test_reasons_are_publishable():
    """Why a plugin failed is told, without folders and keys."""
    failed = WELL.failed(Stage.IMPORT, "no /home/op/models/x.bin with api_key=abcd1234")
    [plugin] = health_of(Condition(is_ready=True, plugins=(failed,), breakers={})).plugins

    assert ("no x.bin with api_key=***", "import") == (plugin.reason, plugin.stage)


def test_an_engine_that_crashed_degrades():
    """Engines are told with their state and last error; one that waits for its restart degrades."""
    status = EngineStatus(
        state=EngineState.BACKOFF, pid=None, memory=0, running=0, waiting=0, starts=1, crashes=1,
        last_error="no /srv/models/x.bin",
    )  # fmt: skip
    engines = {"whisper:x": status}
    health = health_of(Condition(is_ready=True, plugins=(WELL,), breakers={}, engines=engines))

    assert health.status == "degraded"
    assert health.engines["whisper:x"].state == "backoff"
    assert health.engines["whisper:x"].last_error == "no x.bin"


async def test_health(tmp_path):
    """The answer has what both contracts read, and a plugin that failed."""
    broken = FakeTranscriber("broken", start_error=RuntimeError("no device"))
    async with (
        serving(server_settings(tmp_path), FakeTranscriber(), broken) as server,
        aiohttp.ClientSession(server.url) as http,
        http.get("/health") as answer,
    ):
        health = await answer.json()

    assert (200, True, "degraded", "junctor") == (
        answer.status,
        health["ready"],
        health["status"],
        health["backend"],
    )
    assert "no device" in health["plugins"][0]["reason"]


async def test_metrics(tmp_path):
    """Prometheus reads what was counted."""
    async with (
        serving(server_settings(tmp_path), FakeTranscriber()) as server,
        aiohttp.ClientSession(server.url) as http,
    ):
        async with http.get("/health"):
            pass
        async with http.get("/metrics") as answer:
            text = await answer.text()

    assert 'operation="health"' in text
    assert answer.content_type == "text/plain"


async def test_metrics_turned_off(tmp_path):
    """Without the setting there is no such path."""
    settings = server_settings(tmp_path, telemetry=Telemetry(metrics=False))
    async with (
        serving(settings, FakeTranscriber()) as server,
        aiohttp.ClientSession(server.url) as http,
        http.get("/metrics") as answer,
    ):
        assert answer.status == 404
