"""One line, one count, and a span where a collector is configured."""

import asyncio
import gzip
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from msgspec.structs import replace
from structlog.testing import capture_logs

from junctor.conf.settings import Telemetry as Settings
from junctor.core.attempts import Attempt
from junctor.core.cards import Capability
from junctor.core.telemetry import RequestRecord, Telemetry

RECORD = RequestRecord(
    request_id="r1",
    contract="openai",
    operation="transcribe",
    team="acme",
    provider="fake",
    model="one",
    attempts=2,
    failed_attempts=("first:one ProviderTimeoutError",),
    audio_seconds=2.0,
    seconds=0.25,
)
LABELS = {"provider": "fake", "model": "one"}


def test_request_is_one_line():
    """The line holds who asked what, who answered, and how long it took."""
    with capture_logs() as lines:
        Telemetry(Settings()).request(RECORD)

    assert lines == [
        {
            "event": "request",
            "log_level": "info",
            "contract": "openai",
            "operation": "transcribe",
            "team": "acme",
            "model": "one",
            "provider": "fake",
            "attempts": 2,
            "failed_attempts": ("first:one ProviderTimeoutError",),
            "status": 200,
            "audio_seconds": 2.0,
            "ms": 250.0,
            "request_id": "r1",
            "error": None,
        }
    ]


@pytest.mark.parametrize(("error", "served"), [(None, 2.0), ("ClientGoneError", None)])
def test_audio_counts_only_when_served(error, served):
    """Audio of a request that failed is not counted as served."""
    telemetry = Telemetry(Settings())
    record = RequestRecord(
        request_id="r",
        contract="openai",
        provider="fake",
        model="one",
        audio_seconds=2.0,
        error=error,
    )
    telemetry.request(record)

    value = telemetry.metrics.registry.get_sample_value("junctor_audio_seconds_total", LABELS)

    assert value == served


def test_tokens_are_told_where_there_are_any():
    """The line and the counters have those that were charged."""
    telemetry = Telemetry(Settings())
    with capture_logs() as lines:
        telemetry.request(replace(RECORD, prompt_tokens=7, completion_tokens=3, told={"id": "x"}))
    value = telemetry.metrics.registry.get_sample_value
    kinds = ("prompt", "completion")
    counted = [value("junctor_tokens_total", {**LABELS, "kind": kind}) for kind in kinds]

    assert [lines[0][key] for key in ("prompt_tokens", "completion_tokens", "id")] == [7, 3, "x"]
    assert counted == [7, 3]


def test_video_has_its_own_counter():
    """Seconds of video are none of audio."""
    telemetry = Telemetry(Settings())
    telemetry.video(provider="fake", model="one", seconds=5.0)

    value = telemetry.metrics.registry.get_sample_value
    counted = [value(f"junctor_{media}_seconds_total", LABELS) for media in ("video", "audio")]

    assert counted == [5.0, None]


def test_server_error_is_a_warning():
    """An answer of 5xx stands out among the lines."""
    with capture_logs() as lines:
        Telemetry(Settings()).request(RequestRecord(request_id="r", contract="", status=502))

    assert lines[0]["log_level"] == "warning"


def test_empty_transcript_is_counted():
    """A transcript without a word has its own counter."""
    telemetry = Telemetry(Settings())
    telemetry.transcript(provider="fake", model="one", is_empty=True)

    value = telemetry.metrics.registry.get_sample_value("junctor_empty_transcripts_total", LABELS)

    assert value == 1


@pytest.fixture(name="collector")
async def _collector() -> AsyncIterator[tuple[str, list[bytes]]]:
    bodies: list[bytes] = []

    async def receive(request: web.Request) -> web.Response:
        body = await request.read()
        is_packed = request.headers.get("content-encoding") == "gzip"
        bodies.append(gzip.decompress(body) if is_packed else body)
        return web.Response()

    app = web.Application()
    app.router.add_post("/v1/traces", receive)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0]
    yield f"http://{host}:{port}", bodies
    await runner.cleanup()


async def test_spans_reach_the_collector(collector):
    """A request's span and its attempts' spans are one trace, the caller's own."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
        ExportTraceServiceRequest,
    )

    endpoint, bodies = collector
    telemetry = Telemetry(Settings(otlp_endpoint=endpoint), version="1")
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    attempt = Attempt(
        provider="fake", model="one", capability=Capability.TRANSCRIBE, outcome="ok", seconds=0.1
    )
    with telemetry.tracing.request({"traceparent": parent}, {"name": "openai transcribe"}):
        telemetry.attempt(attempt)
    await asyncio.to_thread(telemetry.close)

    sent = ExportTraceServiceRequest.FromString(b"".join(bodies))
    spans = sent.resource_spans[0].scope_spans[0].spans

    assert ["transcribe fake", "openai transcribe"] == [span.name for span in spans]
    assert {"0af7651916cd43dd8448eb211c80319c"} == {span.trace_id.hex() for span in spans}
    assert spans[0].parent_span_id == spans[1].span_id
