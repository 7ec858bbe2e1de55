"""What each team used today, in memory: the sums that a daily bound is checked against."""

from collections.abc import Iterable

from attrs import frozen

from junctor.core.storage.entries import Entry, Sums

DAY = 86_400_000_000
"""Microseconds."""


@frozen(kw_only=True)
class TeamUsage:
    """What a team used since 00:00 UTC."""

    requests: int
    """Requests that are over, however they ended."""
    seconds: float
    """Seconds of audio settled."""
    held_seconds: float
    """Seconds of audio set aside for requests under way."""
    cost: float
    """US dollars."""


class _Tally:
    __slots__ = ("cost", "held", "requests", "seconds", "under_way")

    def __init__(self) -> None:
        self.requests = 0
        self.seconds = 0.0
        self.cost = 0
        self.held = 0.0
        self.under_way = 0


class UsageOfDay:
    """
    The sums of every team that was active today (UTC).

    Times are microseconds since 1970. At midnight the sums start anew, while what requests under
    way hold is kept; teams with neither are forgotten.
    """

    def __init__(self, now: int) -> None:
        self._day = now // DAY
        self._tallies: dict[str, _Tally] = {}

    @property
    def begin(self) -> int:
        """Midnight at which this day began, microseconds since 1970."""
        return self._day * DAY

    def restore(self, sums: Iterable[Sums]) -> None:
        """Take over what the database says of today."""
        for row in sums:
            tally = self._tally(row.team)
            tally.requests, tally.seconds, tally.cost = row.requests, row.seconds, row.cost

    def enter(self, team: str) -> None:
        """Count a request in."""
        self._tally(team).under_way += 1

    def room(self, team: str, bound: float, *, now: int) -> float:
        """Return how many of `bound` seconds are neither settled today nor held."""
        self._turn(now)
        tally = self._tally(team)
        return bound - tally.seconds - tally.held

    def hold(self, team: str, seconds: float) -> None:
        """Set aside more seconds, or fewer where negative."""
        self._tally(team).held += seconds

    def leave(self, entry: Entry, *, held: float) -> None:
        """Count a request out: what it held is free, what it used is used."""
        self._turn(entry.settled_at)
        tally = self._tally(entry.team)
        tally.under_way -= 1
        tally.held = tally.held - held if tally.under_way else 0.0
        tally.requests += 1
        tally.seconds += entry.seconds
        tally.cost += entry.cost

    def of(self, team: str, *, now: int) -> TeamUsage:
        """Return the sums of one team."""
        self._turn(now)
        tally = self._tallies.get(team) or _Tally()
        return TeamUsage(
            requests=tally.requests,
            seconds=tally.seconds,
            held_seconds=tally.held,
            cost=tally.cost / 1e9,
        )

    def _tally(self, team: str) -> _Tally:
        tally = self._tallies.get(team)
        if tally is None:
            tally = self._tallies[team] = _Tally()
        return tally

    def _turn(self, now: int) -> None:
        day = now // DAY
        if day <= self._day:
            return
        self._day = day
        self._tallies = {t: tally for t, tally in self._tallies.items() if tally.under_way}
        for tally in self._tallies.values():
            tally.requests, tally.seconds, tally.cost = 0, 0.0, 0
