"""What each team used today, in memory: the sums that a daily bound is checked against."""

from collections.abc import Iterable

from attrs import frozen

from junctor.core.records import Media
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
    video_seconds: float = 0.0
    """Seconds of video settled."""
    held_video_seconds: float = 0.0
    """Seconds of video set aside for requests under way."""


class _Tokens:
    __slots__ = ("held", "used")

    def __init__(self) -> None:
        self.used = 0
        self.held = 0


class _Seconds:
    __slots__ = ("held", "used")

    def __init__(self) -> None:
        self.used = 0.0
        self.held = 0.0


class _Tally:
    __slots__ = ("audio", "cost", "requests", "tokens", "under_way", "video")

    def __init__(self) -> None:
        self.tokens = _Tokens()
        self.audio = _Seconds()
        self.video = _Seconds()
        self.requests = 0
        self.cost = 0
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
            tally.audio.used += row.seconds
            tally.video.used += row.video_seconds
            tally.cost += row.cost
            if row.tokens:
                tally.tokens.used += row.tokens
                self._key(row.team, row.key_id).used += row.tokens

    def enter(self, team: str) -> None:
        """Count a request in."""
        self._tally(team).under_way += 1

    def learn_video(self, team: str, seconds: float, *, now: int) -> None:
        """Take over what the database said that a team's videos of today come to, if it is more."""
        self._turn(now)
        if now // DAY == self._day:
            video = self._tally(team).video
            video.used = max(video.used, seconds)

    def room(self, team: str, media: Media, bound: float, *, now: int) -> float:
        """Return how many of `bound` seconds are neither settled today nor held."""
        self._turn(now)
        seconds = self._seconds(team, media)
        return bound - seconds.used - seconds.held

    def hold(self, team: str, media: Media, seconds: float) -> None:
        """Set aside more seconds, or fewer where negative."""
        self._seconds(team, media).held += seconds

    def taken(self, team: str, key_id: str, *, now: int) -> tuple[int, int]:
        """Return the tokens that are settled today or held: the team's, and the key's."""
        self._turn(now)
        all_keys, key = self._tally(team).tokens, self._keys.get((team, key_id))
        return all_keys.used + all_keys.held, key.used + key.held if key else 0

    def hold_tokens(self, team: str, key_id: str, tokens: int) -> None:
        """Set aside more tokens of the team and of its key, or fewer where negative."""
        self._tally(team).tokens.held += tokens
        self._key(team, key_id).held += tokens

    def leave(self, entry: Entry, *, held: float, held_video: float, held_tokens: int) -> None:
        """Count a request out: what it held is free, what it used is used."""
        self._turn(entry.settled_at)
        tally = self._tallies[entry.team]
        audio, video = tally.audio, tally.video
        tally.under_way -= 1
        if tally.under_way:
            audio.held -= held
            video.held -= held_video
        else:
            audio.held = video.held = 0.0
        tally.requests += 1
        seconds = video if entry.unit == "video_seconds" else audio
        seconds.used += entry.seconds
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
            seconds=tally.audio.used,
            held_seconds=tally.audio.held,
            cost=tally.cost / 1e9,
            tokens=tally.tokens.used,
            held_tokens=tally.tokens.held,
            video_seconds=tally.video.used,
            held_video_seconds=tally.video.held,
        )

    def _tally(self, team: str) -> _Tally:
        tally = self._tallies.get(team)
        if tally is None:
            tally = self._tallies[team] = _Tally()
        return tally

    def _seconds(self, team: str, media: Media) -> _Seconds:
        tally = self._tallies.get(team) or self._tally(team)
        return tally.video if media == "video_seconds" else tally.audio

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
            tally.requests, tally.cost, tally.tokens.used = 0, 0, 0
            tally.audio.used = tally.video.used = 0.0
        self._keys = {name: one for name, one in self._keys.items() if one.held}
        for one in self._keys.values():
            one.used = 0
