"""Lines are JSON or coloured, masked, and the standard library's look the same."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from junctor.conf.settings import Telemetry
from junctor.core.logs import configure_logging


@pytest.fixture(name="stream")
def _stream() -> Iterator[io.TextIOWrapper]:
    root = logging.getLogger()
    before = root.handlers[:], root.level, structlog.get_config()
    yield io.TextIOWrapper(io.BytesIO(), write_through=True)
    root.handlers[:], level, config = before
    root.setLevel(level)
    structlog.configure(**config)


def written(stream: io.TextIOWrapper) -> str:
    stream.seek(0)
    return stream.read()


def test_json_line(stream):
    """Away from a terminal a line is one JSON object."""
    configure_logging(Telemetry(), stream=stream)
    structlog.get_logger().info("started", port=8080)

    line = json.loads(written(stream))

    assert ("started", 8080, "info") == (line["event"], line["port"], line["level"])


def test_console_line(stream):
    """The console format is for people."""
    configure_logging(Telemetry(log_format="console"), stream=stream)
    structlog.get_logger().info("started", port=8080)

    assert "started" in written(stream).split("\n")[0]


def test_secrets_are_masked(stream):
    """Neither a key's name nor its look lets a secret through."""
    configure_logging(Telemetry(log_format="json"), stream=stream)
    structlog.get_logger().info("x", token="abc", cause="Bearer abcdefgh12345")

    line = json.loads(written(stream))

    assert ("***", "Bearer ***") == (line["token"], line["cause"])


def test_standard_library_is_adopted(stream):
    """A library's own logging comes out the same way, masked too."""
    configure_logging(Telemetry(log_format="json"), stream=stream)
    logging.getLogger("uvicorn.error").warning("refused %s", "Bearer abcdefgh12345")

    line = json.loads(written(stream))

    assert ("refused Bearer ***", "uvicorn.error") == (line["event"], line["logger"])


def test_level_is_obeyed(stream):
    """Lines below the level are not written."""
    configure_logging(Telemetry(log_level="error"), stream=stream)
    structlog.get_logger().warning("quiet")

    assert written(stream) == ""


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_traceback_is_masked(stream, log_format):
    """What an exception carries is masked as well."""
    configure_logging(Telemetry(log_format=log_format), stream=stream)
    try:
        raise ValueError("api_key=abcd1234")  # noqa: TRY301
    except ValueError:
        structlog.get_logger().exception("failed")

    text = written(stream)

    assert "api_key=***" in text
    assert "abcd1234" not in text
