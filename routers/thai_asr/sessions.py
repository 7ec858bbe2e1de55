"""Sessions that were asked for over HTTP and wait for their socket."""

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable

from attrs import frozen
from litestar import Litestar

from junctor.conf.settings import ThaiAsr
from junctor.contracts.thai_asr import SessionConfig
from junctor.core.errors import NotFoundError, OverloadedError

_WAITING = "thai_asr_sessions"


@frozen
class _Waiting:
    team: str
    config: SessionConfig
    until: float


class WaitingSessions:
    """
    What waits in this process: each for its own team, for a while, and for one socket.

    Args:
        clock: monotonic seconds.

    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._waiting: OrderedDict[str, _Waiting] = OrderedDict()

    def add(self, team: str, config: SessionConfig, bounds: ThaiAsr) -> str:
        """
        Let a session wait, and return its id.

        Raises:
            OverloadedError: as many wait as may.

        """
        self._forget_late()
        if len(self._waiting) >= bounds.max_sessions:
            raise OverloadedError("As many sessions as there may be wait for their sockets.")
        session_id = secrets.token_hex(16)
        until = self._clock() + bounds.session_ttl
        self._waiting[session_id] = _Waiting(team, config, until)
        return session_id

    def take(self, team: str, session_id: str) -> SessionConfig:
        """
        Return the config of a session that waits no longer.

        Raises:
            NotFoundError: nobody waits under this id: it is another team's, too late, used, or
                was never given; all are answered alike.

        """
        self._forget_late()
        found = self._waiting.get(session_id)
        if found is None or found.team != team:
            raise NotFoundError(
                "There is no session of this id that waits for a socket. Ask for a new one with "
                "POST /sessions; each is good for one socket and for a short time."
            )
        del self._waiting[session_id]
        return found.config

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._waiting)

    def _forget_late(self) -> None:
        now = self._clock()
        while self._waiting:
            first = next(iter(self._waiting))
            if self._waiting[first].until > now:
                return
            del self._waiting[first]


def sessions_of(app: Litestar) -> WaitingSessions:
    """Return what waits in an application."""
    waiting: WaitingSessions = app.state.setdefault(_WAITING, WaitingSessions())
    return waiting
