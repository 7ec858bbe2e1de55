"""
Live speech by a model that hears windows: partials while somebody speaks, a final at each pause.

The stretch under way is decoded again and again, in a window that rolls along behind what two
guesses in a row agree on (`junctor.core.agreement`). When it has ended, or is as long as the model
can hear, it is decoded once more as a whole, and what was decoded is let go: a session of an hour
costs and keeps no more than one of a minute.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from time import monotonic
from typing import Final, Protocol

from attrs import define, evolve, field

from junctor.core.agreement import Agreement, pieces_of
from junctor.core.audio.clip import SAMPLE_RATE
from junctor.core.audio.vad import FRAME_SAMPLES
from junctor.core.ears import Ear
from junctor.core.endpointing import PAUSE, PRE_ROLL, Endpointer, Span
from junctor.core.errors import ProviderBusyError, ProviderTimeoutError
from junctor.core.requests import LiveRequest, Window
from junctor.core.transcripts import LiveEvent, LiveFinal, LivePartial, LiveReady, Word
from junctor.core.windows import Answer, Slip

MAX_FINALS: Final = 4
"""Whole stretches of one session on their way at the same time; more have to wait."""
_LULL: Final = SAMPLE_RATE // 2  # of silence that is let go at once
_KEPT: Final = SAMPLE_RATE  # of silence before anybody speaks
_WORDS_FROM: Final = 0.75  # of the longest window: there the times of its words are asked for


class Desk(Protocol):
    """Where windows are decoded: `junctor.core.windows.WindowDesk`, or what stands in for one."""

    def leave(
        self,
        window: Window,
        *,
        done: Callable[[], object],
        suspicion: int = 0,
        is_first: bool = False,
    ) -> Slip:
        """Queue a window; `done` is called when its slip is over."""

    def withdraw(self, slip: Slip) -> None:
        """Forget it."""


@define(eq=False, kw_only=True)
class RollingListener:
    """One candidate that hears windows, for one session; `events` is its live stream."""

    desk: Desk
    request: LiveRequest
    ear: Ear
    """Its tape has a voice track."""
    longest: float
    """Longest stretch that the model hears at once, seconds."""
    within: float
    """Time that the model has for a window, its wait included, seconds."""
    has_partials: bool = True
    is_replay: bool = False
    """Whether somebody failed over what it is about to hear."""
    _ends: Endpointer = field(init=False)
    _kept: int = field(init=False)
    _finals: deque[tuple[Span, Slip]] = field(factory=deque, init=False)
    _partial: Slip | None = field(default=None, init=False)
    _from: int = field(default=0, init=False)
    _asked_until: int = field(default=0, init=False)
    _asked_flushes: int = field(default=0, init=False)
    _said: list[str] = field(factory=list, init=False)
    _space: str = field(default="", init=False)
    _agreement: Agreement = field(factory=Agreement, init=False)
    _shown: LivePartial | None = field(default=None, init=False)
    _is_void: bool = field(default=False, init=False)
    _has_ended: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        origin = self.ear.tape.origin
        # A stretch that filled the tape would wait for an end that nothing could bring.
        self._kept = min(_KEPT, self.ear.tape.capacity // 4)
        self._ends = Endpointer(
            longest=min(round(self.longest * SAMPLE_RATE), self.ear.tape.capacity // 2),
            position=origin - origin % FRAME_SAMPLES,
            free_from=origin,
        )
        self._asked_flushes = self.ear.flushed

    async def events(self) -> AsyncGenerator[LiveEvent, None]:
        """
        Yield what `LiveTranscriber.live_transcribe` yields.

        After another one's failure it is ready only when the model has answered: who cannot does
        not get the session.

        Raises:
            ProviderBusyError: the model did not come to a window in time.
            ProviderError: a window cannot be decoded; the subclass says why.

        """
        is_ready = False
        try:
            while True:
                self._listen()
                found: list[LiveEvent] = list(self._results())
                if not is_ready and (found or not self.is_replay or not self._slips):
                    is_ready = True
                    found.insert(0, LiveReady())
                for event in found:
                    yield event
                if not found:  # else there may be news: nobody listened meanwhile
                    if self._is_over:
                        return
                    await self._change()
        finally:
            self._forget_partial()
            for _, slip in self._finals:
                self.desk.withdraw(slip)

    @property
    def _slips(self) -> list[Slip]:
        partial = [self._partial] if self._partial else []
        return [*(slip for _, slip in self._finals), *partial]

    @property
    def _is_over(self) -> bool:
        return self._has_ended and not self._finals and self._partial is None

    async def _change(self) -> None:
        """Wait for audio or an answer; not longer than the model may take."""
        tape = self.ear.tape
        tape.due, tape.is_speech_due = self._due(), self._ends.start is None
        if not self._slips:
            await self.ear.tape.change()
            return
        left = min(slip.at for slip in self._slips) + self.within - monotonic()
        try:
            async with asyncio.timeout(max(0.0, left)):
                await self.ear.tape.change()
        except TimeoutError as exc:
            card, first = self.ear.card, min(self._slips, key=lambda slip: slip.at)
            # What it has not begun is no fault of the speech, nor one that others should count.
            kind = ProviderBusyError if first.is_waiting else ProviderTimeoutError
            raise kind(
                "It took too long over a stretch of speech.", provider=card.provider, model=card.id
            ) from exc

    def _due(self) -> int:
        """Return the position from which on there is something to do; a wake-up costs as much."""
        ends, end = self._ends, self.ear.tape.end
        if ends.start is None:
            return end + _LULL
        marks = [ends.speech_end + PAUSE, ends.start + ends.longest]
        if self.has_partials and (self._partial is None or self._partial.is_waiting):
            rolling = self.request.rolling
            due = max(
                ends.onset + round(rolling.least * SAMPLE_RATE),
                self._asked_until + round(rolling.interval * SAMPLE_RATE),
            )
            marks.append(due if due > end else 0)
        return min(marks)

    def _listen(self) -> None:
        """Hear what is new on the tape, and ask for what is due."""
        tape, ends = self.ear.tape, self._ends
        assert tape.voice is not None  # noqa: S101  # whoever makes it sees to that
        for probability in tape.voice.read(ends.position):
            if len(self._finals) >= MAX_FINALS:
                break
            was = ends.start
            span = ends.hear(probability)
            if span is not None:
                self._close(span)
            if ends.start != was:
                self._open()
        is_all_heard = ends.position >= tape.voice.end
        self.ear.take(tape.end if is_all_heard else ends.position)
        self._ask()
        if tape.is_over and is_all_heard and not self._has_ended and not self._is_flushing:
            span = ends.finish(tape.end)
            if span is not None:
                self._close(span)
            self._open()
            self._has_ended = True
            self.ear.is_done = True
        if not self._finals:
            self._let_go()

    def _let_go(self) -> None:
        """Make room: nobody will hear the silence again that lies before a stretch."""
        tape, ends = self.ear.tape, self._ends
        if ends.start is not None:
            tape.forget(ends.start)
        elif ends.position - tape.origin > self._kept:
            tape.forget(ends.position - PRE_ROLL)

    @property
    def _is_flushing(self) -> bool:
        return self.has_partials and self.ear.tape.flushed > self.ear.flushed

    def _open(self) -> None:
        """Begin with a new stretch, or with none."""
        self._forget_partial()
        self._is_void = self._shown is not None and not self._finals  # it was but a click
        self._from = self._ends.start or 0
        self._asked_until = 0
        self._said.clear()
        self._space = ""
        self._agreement = Agreement()
        self._shown = None

    def _close(self, span: Span) -> None:
        """Have a whole stretch decoded."""
        self._finals.append((span, self._left(span.start, span.end, is_final=True)))

    def _left(self, start: int, end: int, *, is_final: bool, has_words: bool = False) -> Slip:
        window = self._window(start, end, is_final=is_final, has_words=has_words)
        tell = self.ear.tape.tell
        is_first = not is_final and self._shown is None
        return self.desk.leave(window, done=tell, suspicion=self.ear.suspicion, is_first=is_first)

    def _window(self, start: int, end: int, *, is_final: bool, has_words: bool) -> Window:
        return Window(
            pcm=self.ear.tape.read(start, end),
            language=self.request.language,
            allowed_languages=self.request.allowed_languages,
            word_timestamps=self.request.word_timestamps if is_final else has_words,
            is_final=is_final,
        )

    def _ask(self) -> None:
        """Ask for a partial where one is due; newer speech takes the place of what still waits."""
        if not self.has_partials or self._ends.start is None or self._finals:
            return
        end = self.ear.position
        if not (self._is_flushing or self._is_due(end)):
            return
        has_words = end - self._from > _WORDS_FROM * self.request.rolling.window * SAMPLE_RATE
        if self._partial is None:
            self._partial = self._left(self._from, end, is_final=False, has_words=has_words)
        elif self._partial.is_waiting:
            window = self._window(self._from, end, is_final=False, has_words=has_words)
            self._partial.renew(window)
        else:
            return
        self._asked_until = end
        self._asked_flushes = self.ear.tape.flushed

    def _is_due(self, end: int) -> bool:
        rolling, ends = self.request.rolling, self._ends
        is_pause = ends.speech_end < ends.position
        if is_pause and ends.speech_end <= self._asked_until:
            return False  # nobody has spoken since
        return (
            end - ends.onset >= rolling.least * SAMPLE_RATE
            and end - self._asked_until >= rolling.interval * SAMPLE_RATE
        )

    def _results(self) -> Iterator[LiveEvent]:
        while self._finals and self._finals[0][1].is_over:
            span, slip = self._finals.popleft()
            yield self._final(span, _answer(slip))
            self.ear.suspicion = 0
        if self._partial is not None and self._partial.is_over:
            answer, self._partial = _answer(self._partial), None
            yield from self._changed(self._guess(answer))
        is_idle = self._ends.start is None and not self._finals
        if is_idle and (self._is_flushing or self._is_void):
            self.ear.flushed = self.ear.tape.flushed  # all that was said is final already
            self._is_void = False
            yield LivePartial(text="")

    def _final(self, span: Span, answer: Answer) -> LiveFinal:
        heard, start = answer.heard, (span.start - self.ear.start) / SAMPLE_RATE
        return LiveFinal(
            text=heard.text.strip(),
            start=start,
            end=(span.end - self.ear.start) / SAMPLE_RATE,
            words=_shifted(heard.words, start),
            language=heard.language or self.request.language,
            confidence=heard.confidence,
            timing=answer.timing,
        )

    def _guess(self, answer: Answer) -> LivePartial:
        heard, guesses = answer.heard, self._agreement
        guesses.hear(self._spaced(heard.pieces or pieces_of(heard.text)))
        partial = LivePartial(
            text="".join([*self._said, *guesses.agreed, *guesses.rest]).strip(),
            stable="".join([*self._said, *guesses.agreed]).strip(),
            language=heard.language or self.request.language,
            timing=answer.timing,
        )
        self._move(heard.words)
        return partial

    def _changed(self, partial: LivePartial) -> Iterator[LivePartial]:
        """Yield a partial that says more than the last one, or that was asked for."""
        shown, self._shown = self._shown, partial
        is_asked = self.ear.flushed < self._asked_flushes
        self.ear.flushed = self._asked_flushes
        if is_asked or shown is None or evolve(shown, timing=partial.timing) != partial:
            yield partial

    def _spaced(self, pieces: Sequence[str]) -> Sequence[str]:
        """Give the first piece the space that stood before it when the window began earlier."""
        return [self._space + pieces[0].lstrip(), *pieces[1:]] if pieces else pieces

    def _move(self, words: Sequence[Word]) -> None:
        """
        Let the window begin behind agreed words, once it is as long as it may be.

        Where guesses never agree, as about music, or have no times, it waits for twice that.
        """
        window, guesses = self.request.rolling.window, self._agreement
        length = (self._asked_until - self._from) / SAMPLE_RATE
        if length < window:
            return
        is_late = length >= 2 * window
        pieces = [*guesses.agreed, *guesses.rest]
        known = len(pieces) if is_late else len(guesses.agreed)
        ends = [word.end for word in words[:known]] if len(words) == len(pieces) else []
        count = sum(end <= length - window / 2 for end in ends)
        if count:
            self._from += round(ends[count - 1] * SAMPLE_RATE)
            self._drop(pieces, count)
        elif is_late:
            kept = 0.0 if pieces else window / 2
            self._from = self._asked_until - round(kept * SAMPLE_RATE)
            self._drop(pieces, len(pieces))

    def _drop(self, pieces: list[str], count: int) -> None:
        """Let go of the first pieces of the window, for it has moved on behind them."""
        self._said += pieces[:count]
        self._agreement.drop(count)
        for piece in pieces[count:][:1] or pieces[-1:]:
            self._space = piece[: len(piece) - len(piece.lstrip())]

    def _forget_partial(self) -> None:
        if self._partial is not None:
            self.desk.withdraw(self._partial)
            self._partial = None


def _answer(slip: Slip) -> Answer:
    if slip.error is not None:
        raise slip.error
    assert slip.answer is not None  # noqa: S101  # it is over
    return slip.answer


def _shifted(words: Sequence[Word], seconds: float) -> tuple[Word, ...]:
    return tuple(evolve(word, start=word.start + seconds, end=word.end + seconds) for word in words)
