"""
Where log lines go and what they look like; configured once, by the composition root.

JSON lines, or colours on a terminal, on standard error; the standard library's loggers come out
the same way. No line leaves without passing `junctor.core.redaction`.
"""

import logging
import sys
import time
from collections.abc import MutableMapping
from contextvars import ContextVar
from typing import TextIO

import msgspec
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from junctor.conf.settings import Telemetry
from junctor.core.redaction import MASK, redact

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_SECRET_KEYS = frozenset({"authorization", "x-api-key", "api_key", "token", "secret", "password"})
_OWN_KEYS = frozenset(
    {"event", "level", "timestamp", "logger", "request_id", "contract", "operation", "team"}
    | {"model", "provider", "error", "method"}
)
"""Keys whose values are words of ours, never free text: the line of each request pays nothing."""
_QUIET = ("uvicorn.access", "uvicorn.error", "httpx", "aiohttp.access")
REQUEST_ID: ContextVar[str] = ContextVar("junctor_request_id", default="")
"""The request that this task serves; its lines say so."""
_encoder = msgspec.json.Encoder(enc_hook=str)


def mask_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Mask the values of keys that name a secret, and whatever looks like one in texts."""
    for key, value in event.items():
        if key in _SECRET_KEYS:
            event[key] = MASK
        elif key not in _OWN_KEYS and isinstance(value, str):
            event[key] = redact(value)
    return event


def name_request(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Say in the lines of a request which one it is."""
    request_id = REQUEST_ID.get()
    if request_id:
        event.setdefault("request_id", request_id)
    return event


class Lines:
    """
    The quick way of a line whose values are all words and numbers of ours: the one of each request.

    It writes what the configured processors would, without them: they cost four times as much.
    """

    def __init__(self) -> None:
        config = structlog.get_config()
        self._processors = config["processors"]
        is_json = bool(self._processors) and self._processors[-1] is _to_json
        self._write = config["logger_factory"]().msg if is_json else None
        log = structlog.get_logger().bind()
        self._levels = {name: log.is_enabled_for(level) for name, level in _LEVELS.items()}
        self._second = 0
        self._stamp = ""

    def write(self, level: str, line: dict[str, object]) -> bool:
        """Write a line; False where this is not the way that lines are written now."""
        if self._write is None or self._processors[-1:] != [_to_json]:
            return False
        if self._levels[level]:
            line["level"] = level
            line["timestamp"] = self._now()
            self._write(_encoder.encode(line))
        return True

    def _now(self) -> str:
        nanoseconds = time.time_ns()
        second = nanoseconds // 1_000_000_000
        if second != self._second:
            self._second = second
            self._stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._stamp}.{nanoseconds // 1000 % 1_000_000:06d}Z"


def configure_logging(settings: Telemetry, *, stream: TextIO | None = None) -> None:
    """
    Send all log lines to `stream`, standard error by default, as the settings say.

    Args:
        settings: `log_format` and `log_level` are read.
        stream: a text stream with a `buffer`, as the standard streams have.

    """
    file = stream or sys.stderr
    as_json = settings.log_format == "json" or (settings.log_format == "auto" and not file.isatty())
    level = _LEVELS[settings.log_level]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        name_request,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    last: list[Processor] = (
        [structlog.processors.format_exc_info, mask_secrets, _to_json]
        if as_json
        else [structlog.processors.format_exc_info, mask_secrets, _console(file)]
    )
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.BytesLoggerFactory(file.buffer)
        if as_json
        else structlog.PrintLoggerFactory(file),
        cache_logger_on_first_use=False,
    )
    _adopt_standard_library(file, level, shared, last)


def _console(file: TextIO) -> Processor:
    # Its default traceback is rich's: seconds of work on the event loop, and it prints locals.
    plain = structlog.dev.plain_traceback
    return structlog.dev.ConsoleRenderer(colors=file.isatty(), exception_formatter=plain)


def _mask_event(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    # The standard library's "event" is a finished sentence, not a constant as ours is.
    event["event"] = redact(str(event["event"]))
    return event


def _to_json(_logger: WrappedLogger, _method: str, event: MutableMapping[str, object]) -> bytes:
    return _encoder.encode(event)


def _adopt_standard_library(
    file: TextIO, level: int, shared: list[Processor], last: list[Processor]
) -> None:
    handler = logging.StreamHandler(file)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared, _mask_event],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *last,
                _to_text,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(level, logging.INFO))
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def _to_text(_logger: WrappedLogger, _method: str, line: object) -> str:
    return line.decode() if isinstance(line, bytes) else str(line)
