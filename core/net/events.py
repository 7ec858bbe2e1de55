"""Server-sent events from bytes that arrive cut anywhere."""

from attrs import define, field, frozen

MAX_EVENT_BYTES = 1 << 20
"""Longest line, and longest event, bytes."""


@frozen
class ServerEvent:
    """One event: its name (`message` where the server gave none) and its data lines, joined."""

    name: str
    data: bytes


class EventTooLongError(ValueError):
    """A line or an event is longer than `MAX_EVENT_BYTES`; never leaves `core.net`."""


@define(eq=False)
class EventParser:
    """
    Feed it chunks as they come; it returns the events that they completed.

    An event that the end of the stream leaves without its blank line is dropped, as the
    specification wants.
    """

    _pieces: list[bytes] = field(factory=list, init=False)
    _pieces_size: int = field(default=0, init=False)
    _data: list[bytes] = field(factory=list, init=False)
    _data_size: int = field(default=0, init=False)
    _name: str = field(default="", init=False)
    _ended_with_cr: bool = field(default=False, init=False)
    _is_begun: bool = field(default=False, init=False)

    def feed(self, chunk: bytes) -> list[ServerEvent]:
        """Return the events that end in this chunk, in order."""
        if self._ended_with_cr and chunk:
            chunk = chunk.removeprefix(b"\n")
            self._ended_with_cr = False
        if b"\n" not in chunk and b"\r" not in chunk:
            self._keep(chunk)
            return []
        self._ended_with_cr = chunk.endswith(b"\r")
        lines = b"".join((*self._pieces, chunk)).splitlines(keepends=True)
        self._pieces, self._pieces_size = [], 0
        if not lines[-1].endswith((b"\n", b"\r")):
            self._keep(lines.pop())
        found = (self._line(line.rstrip(b"\r\n")) for line in lines)
        return [event for event in found if event is not None]

    def _keep(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._pieces_size += len(piece)
        if self._pieces_size > MAX_EVENT_BYTES:
            raise EventTooLongError

    def _line(self, line: bytes) -> ServerEvent | None:
        if not self._is_begun:
            self._is_begun = True
            line = line.removeprefix(b"\xef\xbb\xbf")
        if not line:
            return self._end()
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
            self._data_size += len(value) + 1
            if self._data_size > MAX_EVENT_BYTES:
                raise EventTooLongError
        elif name == b"event":
            self._name = value.decode("utf-8", "replace")
        return None

    def _end(self) -> ServerEvent | None:
        data, name = self._data, self._name
        self._data, self._data_size, self._name = [], 0, ""
        return ServerEvent(name or "message", b"\n".join(data)) if data else None
