"""What a session costs without an engine: sessions that a core holds, beside a bare litestar echo."""

from argparse import Namespace
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import cycle
from random import Random
from statistics import median
from time import perf_counter

from attrs import define, field, frozen

from benchmarks.captions.dictation import FRAME_SECONDS
from benchmarks.captions.servers import INSTANT, Target, bare, junctor
from benchmarks.captions.speech import silence
from benchmarks.captions.wire import Wire, percentile, play, text
from benchmarks.targets import busy

LAG = 0.050
"""By how much a frame may lag, 95th percentile, seconds."""
_FLUSH = text('{"type":"flush"}')
_WARM = 1.5
_TRIES = 4
_HEAD = "sessions   lag p50/p95 ms    CPU   CPU µs a frame  others    late ms"


class Microphone:
    """
    Sends a frame each 20 ms, once a second what is answered at once, and notes how long that took.

    Args:
        wire: of an open session.
        frames: said again and again.
        start: by `perf_counter`.
        lags: where it notes them, seconds.
        is_echoed: whether all frames come back; then each tells its own lag.

    """

    def __init__(
        self,
        wire: Wire,
        frames: Sequence[bytes],
        *,
        start: float,
        lags: list[float],
        is_echoed: bool,
    ) -> None:
        self.wire, self.due, self._lags, self._is_echoed = wire, start, lags, is_echoed
        self._frames, self._count = cycle(frames), 0
        self._asked: list[float] = []

    def act(self) -> None:
        """Send the next frame."""
        self.wire.send(next(self._frames))
        self.due += FRAME_SECONDS
        self._count += 1
        if self._is_echoed:
            self._asked.append(perf_counter())
        elif self._count % 50 == 0:
            self._asked.append(perf_counter())
            self.wire.send(_FLUSH)

    def hear(self, message: bytes, now: float) -> None:
        """Note the lag of what was asked first."""
        if self._is_echoed or message.startswith((b'{"type":"partial"', b'{"type":"flush"')):
            self._lags.append(now - self._asked.pop(0))

    def leave(self, now: float) -> None:
        """Hang up; what is not answered lags at least until now."""
        self._lags.extend(now - at for at in self._asked if now - at > LAG)
        self.wire.close()


@define(kw_only=True)
class Peer:
    """Something that takes sessions."""

    name: str
    target: Target
    open: Callable[[Target], Wire]
    frames: Sequence[bytes]
    is_echoed: bool = False
    held: list[int] = field(factory=list)
    per_frame: list[float] = field(factory=list)
    """CPU seconds, where it was held with the most sessions."""


@frozen(kw_only=True)
class Row:
    """One number of sessions."""

    is_held: bool
    per_frame: float
    """CPU seconds."""
    others: float
    """What others used of the core; more than a little spoils the row."""


def measure(peer: Peer, sessions: int, *, seconds: float) -> Row:
    """Let so many talk for a while."""
    draw, lags = Random(sessions), list[float]()
    wires = [peer.open(peer.target) for _ in range(sessions)]
    begin = perf_counter()
    players = [
        Microphone(
            wire, peer.frames, start=begin + draw.random(), lags=lags, is_echoed=peer.is_echoed
        )
        for wire in wires
    ]
    play(players, until=begin + _WARM)
    lags.clear()
    before, worked = sum(peer.target.usage().cpu.values()), busy()
    since = perf_counter()
    played = play(players, until=since + seconds)
    now = perf_counter()
    cpu = (sum(peer.target.usage().cpu.values()) - before) / (now - since)
    others = (busy() - worked) / (now - since) - cpu
    for player in players:
        player.leave(now)
    is_held = bool(lags) and percentile(lags, 0.95) <= LAG and not played.closed
    each = cpu / sessions * FRAME_SECONDS
    print(
        f"{sessions:8}   {percentile(lags, 0.5) * 1000:6.1f}/{percentile(lags, 0.95) * 1000:6.1f}"
        f"   {cpu:6.0%}   {each * 1e6:14.1f} {others:7.0%} {percentile(played.late, 0.95) * 1000:10.1f}"
        f"  {'held' if is_held else 'MISSED'}",
        flush=True,
    )
    return Row(is_held=is_held, per_frame=each, others=others)


def knee(peer: Peer, asked: Namespace) -> None:
    """Ramp up until it lags, then halve the step twice; note the most that was held."""
    held, missed, sessions = 0, 0, asked.first
    while sessions <= asked.most:
        row = _measured(peer, sessions, asked)
        if row.is_held:
            held = sessions
            peer.per_frame.append(row.per_frame)
        else:
            missed = sessions
        if missed and (missed - held) <= max(1, held // 12):
            break
        sessions = (held + missed) // 2 if missed else round(sessions * 1.5)
        if sessions == held:
            break
    peer.held.append(held)


def _measured(peer: Peer, sessions: int, asked: Namespace) -> Row:
    """Measure; again, a few times, where others took too much of the core and it was missed."""
    row = measure(peer, sessions, seconds=asked.seconds)
    for _ in range(_TRIES - 1):
        if row.is_held or row.others <= asked.calm:
            break
        row = measure(peer, sessions, seconds=asked.seconds)
    return row


def run(asked: Namespace) -> None:
    """Print a table for each peer, and the ratios of their knees."""
    with ExitStack() as stack:
        peers = _peers(stack)
        for _ in range(asked.rounds):
            for peer in peers:
                print(f"\n{peer.name}\n{_HEAD}")
                knee(peer, asked)
                print(f"{peer.name}: {peer.held[-1]} sessions held")
    print()
    echo, sink, plain, *rest = peers
    for peer in peers:
        cost = min(peer.per_frame, default=float("nan")) * 1e6
        print(f"{peer.name}: held {median(peer.held):g} of {peer.held}, {cost:.0f} µs a frame")
    for peer in (plain, *rest):
        print(f"{peer.name} / {echo.name}: {_ratio(peer, echo):.2f} x")
    print(f"{plain.name} / {sink.name}: {_ratio(plain, sink):.2f} x")
    print(f"VAD costs {vad_cost() * 1e6:.0f} µs per 32 ms frame, called alone")


def _ratio(one: Peer, other: Peer) -> float:
    return median(one.held) / max(median(other.held), 1)


def _peers(stack: ExitStack) -> list[Peer]:
    quiet = silence(2.0)
    ours, theirs = stack.enter_context(junctor(INSTANT)), stack.enter_context(bare())
    return [
        Peer(name="bare echo", target=theirs, open=_echo, frames=quiet, is_echoed=True),
        Peer(name="bare sink", target=theirs, open=_sink, frames=quiet),
        Peer(name="junctor, VAD off", target=ours, open=_quiet, frames=quiet),
        Peer(name="junctor, VAD on", target=ours, open=_vad, frames=quiet),
    ]


def _echo(target: Target) -> Wire:
    return _streamed(Wire(target.port, "/echo"))


def _sink(target: Target) -> Wire:
    return _streamed(Wire(target.port, "/sink"))


def _streamed(wire: Wire) -> Wire:
    wire.stream()
    return wire


def _quiet(target: Target) -> Wire:
    return target.session(vad=False)


def _vad(target: Target) -> Wire:
    return target.session(vad=True)


def vad_cost(frames: int = 3000) -> float:
    """Return what a frame of 32 ms costs in the detector alone, seconds."""
    import numpy as np

    from junctor.core.audio.vad import StreamingVad

    vad, sound = StreamingVad(), np.zeros(512, np.float32)
    best = float("inf")
    for _ in range(frames // 100):
        begin = perf_counter()
        for _ in range(100):
            vad.hear(sound)
        best = min(best, (perf_counter() - begin) / 100)
    return best
