"""What each team used today, in memory: the sums that a daily bound is checked against."""

from collections.abc import Iterable

from attrs import frozen

from junctor.core.storage.entries import Entry, Sums

DAY = 86_400_000_000
"""Microseconds."""
KEYS = 100_000
"""Keys whose tokens are counted at a time; beyond it, the one that came first is forgotten."""


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
    tokens: int = 0
    """Tokens settled, of prompts and answers."""
    held_tokens: int = 0
    """Tokens set aside for requests under way."""


class _Tokens:
    __slots__ = ("held", "used")

    def __init__(self) -> None:
        self.used = 0
        self.held = 0


class _Tally:
    __slots__ = ("cost", "held", "requests", "seconds", "tokens", "under_way")

    def __init__(self) -> None:
        self.tokens = _Tokens()
        self.requests = 0
        self.seconds = 0.0
        self.cost = 0
        self.held = 0.0
        self.under_way = 0


class UsageOfDay:
    """
    The sums of every team that was active today (UTC), and the tokens of every key.

    Times are microseconds since 1970. At midnight the sums start anew, while what requests under
    way hold is kept; teams and keys with neither are forgotten.
    """

    def __init__(self, now: int) -> None:
        self._day = now // DAY
        self._tallies: dict[str, _Tally] = {}
        self._keys: dict[tuple[str, str], _Tokens] = {}
        """Those that had tokens today, the oldest first; `KEYS` at most."""

    @property
    def begin(self) -> int:
        """Midnight at which this day began, microseconds since 1970."""
        return self._day * DAY

    def restore(self, sums: Iterable[Sums]) -> None:
        """Take over what the database says of today."""
        for row in sums:
            tally = self._tally(row.team)
            tally.requests += row.requests
            tally.seconds += row.seconds
            tally.cost += row.cost
            if row.tokens:
                tally.tokens.used += row.tokens
                self._key(row.team, row.key_id).used += row.tokens

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

    def taken(self, team: str, key_id: str, *, now: int) -> tuple[int, int]:
        """Return the tokens that are settled today or held: the team's, and the key's."""
        self._turn(now)
        all_keys, key = self._tally(team).tokens, self._keys.get((team, key_id))
        return all_keys.used + all_keys.held, key.used + key.held if key else 0

    def hold_tokens(self, team: str, key_id: str, tokens: int) -> None:
        """Set aside more tokens of the team and of its key, or fewer where negative."""
        self._tally(team).tokens.held += tokens
        self._key(team, key_id).held += tokens

    def leave(self, entry: Entry, *, held: float, held_tokens: int) -> None:
        """Count a request out: what it held is free, what it used is used."""
        self._turn(entry.settled_at)
        tally = self._tallies[entry.team]
        tally.under_way -= 1
        tally.held = tally.held - held if tally.under_way else 0.0
        tally.requests += 1
        tally.seconds += entry.seconds
        tally.cost += entry.cost
        tokens = entry.prompt_tokens + entry.completion_tokens
        if tokens or held_tokens:
            for one in (tally.tokens, self._key(entry.team, entry.key_id)):
                one.held -= held_tokens
                one.used += tokens

    def of(self, team: str, *, now: int) -> TeamUsage:
        """Return the sums of one team."""
        self._turn(now)
        tally = self._tallies.get(team) or _Tally()
        return TeamUsage(
            requests=tally.requests,
            seconds=tally.seconds,
            held_seconds=tally.held,
            cost=tally.cost / 1e9,
            tokens=tally.tokens.used,
            held_tokens=tally.tokens.held,
        )

    def _tally(self, team: str) -> _Tally:
        tally = self._tallies.get(team)
        if tally is None:
            tally = self._tallies[team] = _Tally()
        return tally

    def _key(self, team: str, key_id: str) -> _Tokens:
        key = self._keys.get((team, key_id))
        if key is None:
            if len(self._keys) >= KEYS:
                # Tokens of an issuer are keys, too, and may be as many as there are requests.
                idle = next((name for name, one in self._keys.items() if not one.held), None)
                if idle is not None:
                    del self._keys[idle]
            key = self._keys[team, key_id] = _Tokens()
        return key

    def _turn(self, now: int) -> None:
        day = now // DAY
        if day <= self._day:
            return
        self._day = day
        self._tallies = {t: tally for t, tally in self._tallies.items() if tally.under_way}
        for tally in self._tallies.values():
            tally.requests, tally.seconds, tally.cost, tally.tokens.used = 0, 0.0, 0, 0
        self._keys = {name: one for name, one in self._keys.items() if one.held}
        for one in self._keys.values():
            one.used = 0
