"""What a client under the relay hands over, and how our own client says that it could not."""

from collections.abc import Mapping
from typing import Protocol

from junctor.core.net.bodies import Body


class Wire(Protocol):
    """One answer, of which the head has arrived."""

    @property
    def status(self) -> int:
        """The HTTP status, 200 to 999."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Lookups ignore case."""

    @property
    def at_end(self) -> bool:
        """Whether the whole body has been returned."""

    async def next(self) -> bytes:
        """Return what has arrived and was not returned yet, b"" at the end."""

    def close(self) -> None:
        """Keep the connection where nothing is left on it, drop it otherwise; call it once."""


class Client(Protocol):
    """Sends requests."""

    @property
    def faults(self) -> tuple[type[Exception], ...]:
        """What `send` and the `next` of its wires may raise."""

    async def send(
        self, method: str, url: str, *, headers: Mapping[str, str], body: Body | None, within: float
    ) -> Wire:
        """Send a request; all of it, the reading included, has `within` seconds."""


class WireError(Exception):
    """A call of our own client failed; `junctor.core.net.faults` says what each is to a caller."""


class NotUrlError(WireError):
    """There is nothing to connect to in this URL."""


class HeaderError(WireError):
    """A header holds what would end it, and begin something else."""


class NoAnswerError(WireError):
    """The peer closed the connection before an answer."""


class BrokenError(WireError):
    """The connection broke before an answer."""


class CutError(WireError):
    """The answer ended before its end."""


class NotHttpError(WireError):
    """What came is no HTTP/1.1, or has a head without end."""


class CrowdedError(WireError):
    """All connections of the pool were taken, for as long as connecting may take."""


class CodingError(WireError):
    """The answer is compressed in a way that is not known, or badly."""
