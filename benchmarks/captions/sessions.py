"""How many dictations a core holds while the contract's targets are met, with batches and without."""

import random
from argparse import Namespace
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from statistics import median
from time import perf_counter

from attrs import define

from benchmarks.captions.dictation import Dictation, Waits, milliseconds, staggered
from benchmarks.captions.servers import TINY, Target, junctor
from benchmarks.captions.speech import Utterance, utterances
from benchmarks.captions.wire import percentile, play
from benchmarks.targets import busy

_OPEN = 0.4  # of the time before it is measured: there sessions begin one after the other
_GROWTH = 1.3
_TRIES = 4
_HEAD = (
    "sessions  detected      (sound)       1st partial   (with a word) final         "
    "partials/s  right  CPU server+engine  others  late ms"
)


@define(kw_only=True)
class Row:
    """One number of sessions."""

    sessions: int
    waits: Waits
    late: float
    server: float
    """CPU seconds a second, as those of the engine."""
    engine: float
    others: float
    """What others used of the core; more than a little spoils the row."""
    closed: int

    def __str__(self) -> str:
        waits = self.waits
        rate = waits.partials / waits.speech if waits.speech else 0.0
        right = waits.right / len(waits.final) if waits.final else 0.0
        columns = (waits.detected, waits.from_sound, waits.partial, waits.worded, waits.final)
        shown = "   ".join(map(milliseconds, columns))
        return (
            f"{self.sessions:8}  {shown}   {rate:9.1f} {right:6.0%}  "
            f"{self.server:7.0%} + {self.engine:4.0%} {self.others:7.0%} {self.late * 1000:8.1f}  "
            f"{'held' if self.is_held else 'MISSED'}"
        )

    @property
    def is_held(self) -> bool:
        """Whether the targets are met."""
        return self.waits.is_held and not self.closed


def measure(
    target: Target, script: Sequence[Utterance], sessions: int, *, seconds: float, warm: float
) -> Row:
    """Let so many dictate for a while, and measure behind the first `warm` seconds of it."""
    draw, waits = random.Random(sessions), Waits()
    wires = [target.session() for _ in range(sessions)]
    begin = perf_counter()
    since = begin + warm
    players = [
        Dictation(
            wire,
            staggered(script, number),
            start=begin + draw.uniform(0, _OPEN * warm),
            waits=waits,
            since=since,
        )
        for number, wire in enumerate(wires)
    ]
    play(players, until=since)
    before, worked = target.usage(), busy()
    played = play(players, until=since + seconds)
    after, worked, now = target.usage(), busy() - worked, perf_counter()
    for player in players:
        player.leave(now)
    spent = [after.cpu[pid] - before.cpu.get(pid, 0.0) for pid in after.cpu]
    return Row(
        sessions=sessions,
        waits=waits,
        late=percentile(played.late, 0.95),
        server=spent[0] / seconds,
        engine=sum(spent[1:]) / seconds,
        others=(worked - sum(spent)) / seconds,
        closed=played.closed,
    )


def knee(target: Target, script: Sequence[Utterance], asked: Namespace, *, first: int) -> int:
    """Ramp up until the targets are missed, halve the step twice; return the most that was held."""
    held, sessions = 0, first
    missed = 0
    while not missed and sessions <= asked.most:
        if _is_held(target, script, sessions, asked):
            held, sessions = sessions, max(sessions + 1, round(sessions * _GROWTH))
        else:
            missed = sessions
    for _ in range(2):
        sessions = (held + missed) // 2
        if missed - held < 2:  # noqa: PLR2004
            break
        if _is_held(target, script, sessions, asked):
            held = sessions
        else:
            missed = sessions
    return held


def _is_held(target: Target, script: Sequence[Utterance], sessions: int, asked: Namespace) -> bool:
    """Measure; again, a few times, where others took too much of the core and it was missed."""
    for _ in range(_TRIES):
        row = measure(target, script, sessions, seconds=asked.seconds, warm=asked.warm)
        print(row, flush=True)
        if row.is_held:
            return True
        if row.others <= asked.calm:
            break
    return False


def run(asked: Namespace) -> None:
    """Print a table for each kind of server, and the ratio of their knees."""
    script = utterances(asked.utterances, lead=asked.lead)
    knees: dict[str, list[int]] = {name: [] for name in asked.kinds}
    with ExitStack() as stack:
        targets = {
            name: stack.enter_context(_server(asked, batched=name == "batched")) for name in knees
        }
        for target in targets.values():  # the first jobs of an engine take longer
            measure(target, script, asked.first, seconds=max(asked.warm, 1.0), warm=0.0)
        for _ in range(asked.rounds):
            for name, target in targets.items():
                print(f"\n{name}\n{_HEAD}")
                knees[name].append(knee(target, script, asked, first=asked.first))
                print(f"{name}: {knees[name][-1]} sessions held")
    for name, found in knees.items():
        print(f"{name}: held {median(found):g} of {found}")
    if len(knees) > 1:
        batched, alone = (knees[name] for name in ("batched", "alone"))
        print(f"batched / alone: {median(batched) / max(median(alone), 1):.2f} x")


def _server(asked: Namespace, *, batched: bool) -> AbstractContextManager[Target]:
    core = None if asked.config else 0
    if asked.config:
        tables = f'\n[thai_asr]\nmodel = "{asked.model}"\n' if asked.model else ""
        if not batched:
            name = asked.model.partition(":")[2]
            tables += f'[plugins.whisper.models."{name}"]\nwindow_batch = 1\n'
        return junctor(tables, core=core, base=str(Path(asked.config).resolve()))
    return junctor(TINY.format(batch=asked.batch if batched else 1), core=core)
