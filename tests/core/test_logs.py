"""Lines are JSON or coloured, masked, and the standard library's look the same."""

import io
import json
import logging
import re
from collections.abc import Iterator

import pytest
import structlog

from junctor.conf.settings import Telemetry
from junctor.core.logs import Lines, configure_logging


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


def test_a_quick_line_is_what_the_processors_write(stream):
    """Same keys, same form of the time; only the order differs."""
    configure_logging(Telemetry(log_format="json"), stream=stream)
    structlog.get_logger().info("request", status=200, team=None)
    assert Lines().write("info", {"event": "request", "status": 200, "team": None})
    slow, quick = map(json.loads, written(stream).splitlines())

    assert slow.keys() == quick.keys()
    assert re.sub(r"\d", "0", slow.pop("timestamp")) == re.sub(r"\d", "0", quick.pop("timestamp"))
    assert slow == quick


def test_a_quick_line_keeps_to_the_level(stream):
    """What is not wanted is not written, and that is no reason to write it another way."""
    configure_logging(Telemetry(log_format="json", log_level="warning"), stream=stream)

    assert Lines().write("info", {"event": "request"})
    assert written(stream) == ""


def test_there_is_no_quick_line_for_people(stream):
    """On a console, and where a test captures lines, the processors have their say."""
    configure_logging(Telemetry(log_format="console"), stream=stream)
    assert not Lines().write("info", {"event": "request"})
    configure_logging(Telemetry(log_format="json"), stream=stream)
    lines = Lines()
    with structlog.testing.capture_logs():
        assert not lines.write("info", {"event": "request"})

    assert written(stream) == ""
