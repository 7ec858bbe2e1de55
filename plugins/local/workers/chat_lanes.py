"""
Several conversations decoded at the same time by one model.

CTranslate2 decodes a batch about three times as fast as the same conversations one by one, for it
reads the weights once for all; but nobody can join a batch that is under way. So each conversation
begins at once, in a decode of its own beside the others; those that come while others are being
decoded wait for each other a moment (`GATHER`), and go together where they are alike.
"""

import queue
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from attrs import define, field, frozen

if TYPE_CHECKING:
    import ctranslate2
    import numpy as np
    from numpy.typing import NDArray

GATHER: Final = 0.02
"""Seconds that a conversation waits for others, when there are some."""
ALIKE: Final = 32
"""Tokens that the lengths of two prompts in a batch may differ by: the rest of the longer one is
read token by token."""


@frozen(kw_only=True)
class Sampling:
    """How the next token is chosen; the same for all of a batch."""

    temperature: float
    """0: always the likeliest."""
    top_k: int
    """0: of all tokens."""
    top_p: float
    repetition_penalty: float
    has_scores: bool = False
    """Whether each step tells how likely its token was."""
    has_logits: bool = False
    """And how likely all others were."""


@frozen(eq=False)
class Step:
    """One token of one of the answers."""

    index: int
    id: int
    logprob: float | None
    logits: "NDArray[np.float32] | None" = None
    """Of all tokens, where they are wanted."""


@define(kw_only=True, eq=False)
class Decoding:
    """One conversation on its way: its steps, and whether they are still wanted."""

    tokens: Sequence[str]
    sampling: Sampling
    longest: int
    """Tokens of an answer."""
    answers: int = 1
    is_left: bool = False
    """Whether nobody wants any more of it."""
    _over: set[int] = field(factory=set, init=False)
    _steps: "queue.SimpleQueue[Step | None]" = field(factory=queue.SimpleQueue, init=False)
    _ended: threading.Event = field(factory=threading.Event, init=False)
    _error: Exception | None = field(default=None, init=False)
    _counts: list[int] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._counts = [0] * self.answers

    def steps(self, pause: float) -> Iterator[list[Step]]:
        """
        Yield the steps that are there, at most every `pause` seconds after the first.

        Raises:
            Exception: whatever the model failed with.

        """
        due = 0.0
        while True:
            fresh = [self._steps.get()]
            self._ended.wait(max(0.0, due - time.monotonic()))
            while self._steps.qsize():
                fresh.append(self._steps.get())
            steps = [one for one in fresh if one is not None]
            if steps:
                yield steps
                due = time.monotonic() + pause
            if len(steps) < len(fresh):
                break
        if self._error is not None:
            raise self._error

    def is_done(self, over: Iterable[int]) -> bool:
        """Want no more of these answers; say whether none is left."""
        self._over.update(over)
        return len(self._over) == self.answers

    def hear(self, step: Step) -> bool:
        """Take a step, called by the model's thread; True ends that answer."""
        index = step.index
        if self.is_left or index in self._over:
            return True
        self._counts[index] += 1
        self._steps.put(step)
        return self._counts[index] >= self.longest

    def settle(self, error: Exception | None = None) -> None:
        """Say that there are no more steps, or why."""
        self._error = error
        self._steps.put(None)
        self._ended.set()


class Lanes:
    """
    The decodes of one model.

    Args:
        model: it decodes as many batches at the same time as there may be conversations.
        ends: ids that end an answer.

    """

    def __init__(self, model: "ctranslate2.Generator", ends: Sequence[int]) -> None:
        self._model = model
        self._ends = list(ends)
        self._arrivals: queue.SimpleQueue[Decoding] = queue.SimpleQueue()
        self._running = 0
        self._lock = threading.Lock()
        threading.Thread(target=self._admit, daemon=True).start()

    def start(self, decoding: Decoding) -> None:
        """Decode a conversation; its steps come as they are made."""
        self._arrivals.put(decoding)

    def _admit(self) -> None:
        while True:
            arrived = [self._arrivals.get()]
            until = time.monotonic() + (GATHER if self._running else 0)
            while (wait := until - time.monotonic()) > 0 or self._arrivals.qsize():
                try:
                    arrived.append(self._arrivals.get(timeout=max(wait, 0)))
                except queue.Empty:
                    break
            for group in alike(arrived):
                with self._lock:
                    self._running += 1
                threading.Thread(target=self._decode, args=(group,), daemon=True).start()

    def _decode(self, group: Sequence[Decoding]) -> None:
        error = None
        try:
            self._generate(group)
        except Exception as exc:  # noqa: BLE001 - raised again by the threads of those who wait
            error = exc
        with self._lock:
            self._running -= 1
        for one in group:
            one.settle(error)

    def _generate(self, group: Sequence[Decoding]) -> None:
        places = [(one, index) for one in group for index in range(one.answers)]
        sampling = group[0].sampling
        rows = _Rows() if sampling.has_logits else None

        def hear(result: "ctranslate2.GenerationStepResult") -> bool:
            one, index = places[int(result.batch_id)]
            logits = rows.next(result) if rows else None
            step = Step(index, int(result.token_id), result.log_prob, logits)
            return one.hear(step)

        self._model.generate_batch(
            [list(one.tokens) for one, _ in places],
            max_length=max(one.longest for one in group),
            include_prompt_in_result=False,
            end_token=self._ends,
            sampling_topk=sampling.top_k if sampling.temperature else 1,
            sampling_topp=sampling.top_p if sampling.temperature else 1,
            sampling_temperature=sampling.temperature or 1,
            repetition_penalty=sampling.repetition_penalty,
            return_scores=sampling.has_scores,
            return_logits_vocab=sampling.has_logits,
            callback=hear,
        )


class _Rows:
    """
    How likely all tokens are, for each answer of a batch.

    The first result of a step brings the rows of all answers that go on, in their order; those of
    its other results are empty.
    """

    def __init__(self) -> None:
        self._step = -1
        self._rows: Iterator[NDArray[np.float32]] = iter(())

    def next(self, result: "ctranslate2.GenerationStepResult") -> "NDArray[np.float32]":
        """Return the row that belongs to a result."""
        import ctranslate2
        import numpy as np

        if result.step != self._step:
            self._step = result.step
            logits = result.logits.to_device(ctranslate2.Device.cpu)
            self._rows = iter(np.array(logits, dtype=np.float32))
        return next(self._rows)


def alike(arrived: Sequence[Decoding]) -> Iterator[list[Decoding]]:
    """
    Yield groups that can be decoded together: sampled alike, of prompts about as long.

    One that wants all logits goes alone: in a batch of several prompts nobody says whose a row is.
    """
    group: list[Decoding] = []
    for one in sorted(arrived, key=lambda one: (str(one.sampling), len(one.tokens))):
        is_longer = group and len(one.tokens) - len(group[0].tokens) > ALIKE
        if group and (is_longer or one.sampling != group[0].sampling or one.sampling.has_logits):
            yield group
            group = []
        group.append(one)
    if group:
        yield group
