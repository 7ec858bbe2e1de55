"""A language model of CTranslate2's, inside its child process."""

import os
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import ClassVar, Final

import msgspec

from junctor.core.chat.dialect import Conversation
from junctor.core.engine.worker import Job
from junctor.core.errors import ProviderRejectedError
from junctor.plugins.local.workers.chat_answer import Answer, End
from junctor.plugins.local.workers.chat_asked import Limits, sampling_of
from junctor.plugins.local.workers.chat_items import (
    ChatArgs,
    ChatItem,
    ChatOptions,
    Said,
    Took,
)
from junctor.plugins.local.workers.chat_lanes import Decoding, Lanes, Step
from junctor.plugins.local.workers.chat_prompt import Prompts
from junctor.plugins.local.workers.chat_scores import Scores
from junctor.plugins.local.workers.whisper_guards import check_folder, decoding, loading

PAUSE: Final = 0.01
"""Seconds between two pieces of a stream, at least: what a quick model says meanwhile goes along."""
WHOLE_PAUSE: Final = 0.05
"""The same where nobody reads along, and only the end of the answer is looked for."""

_conversations = msgspec.json.Decoder(Conversation)


class ChatWorker:
    """One loaded model."""

    Options: ClassVar = ChatOptions
    Args: ClassVar = ChatArgs

    def __init__(self, options: ChatOptions) -> None:
        folder = Path(options.path)
        check_folder(folder)
        import ctranslate2

        self._limits = Limits(folder, options)
        self._prompts = Prompts(folder, options)
        with loading():
            model = ctranslate2.Generator(
                options.path,
                device=options.device,
                device_index=options.device_index,
                compute_type=options.compute_type,
                inter_threads=options.slots,
                intra_threads=options.threads or max(1, (os.cpu_count() or 1) // 2),
            )
        self._ends = self._limits.ends(self._prompts.tokenizer)
        self._lanes = Lanes(model, sorted(self._ends))
        self._scores = Scores(self._prompts.tokenizer)

    def run(self, job: Job[ChatArgs]) -> Generator[ChatItem, None, None]:
        """Continue one conversation."""
        conversation = conversation_in(job.payload)
        sampling = sampling_of(conversation, self._limits.defaults)
        prompt = self._prompts.prompt(conversation)
        job.check()
        end = End(self._ends, self._limits.longest(conversation, len(prompt.tokens)))
        wanted = Decoding(
            tokens=prompt.tokens,
            sampling=sampling,
            longest=end.longest,
            answers=self._limits.answers(conversation),
        )
        answers = [
            Answer(index, prompt, conversation, self._prompts.tokenizer, end=end)
            for index in range(wanted.answers)
        ]
        self._lanes.start(wanted)
        try:
            with decoding():
                for steps in wanted.steps(PAUSE if job.args.is_stream else WHOLE_PAUSE):
                    job.check()
                    self._take(answers, steps, conversation)
                    yield from self._told(answers, is_stream=job.args.is_stream)
                    if wanted.is_done(one.index for one in answers if one.is_over):
                        break
        finally:
            wanted.is_left = True
        yield from (one.last() for one in answers if not one.is_told)
        yield Took(prompt=len(prompt.tokens), completion=sum(one.tokens for one in answers))

    def _told(self, answers: Sequence[Answer], *, is_stream: bool) -> Generator[Said, None, None]:
        """Yield what is new, and the ends of answers that have come."""
        for one in answers:
            if one.is_over and not one.is_told:
                yield one.last()
            elif is_stream and (said := one.fresh()):
                yield said

    def _take(
        self, answers: Sequence[Answer], steps: Sequence[Step], conversation: Conversation
    ) -> None:
        for answer in answers:
            own = steps if len(answers) == 1 else [s for s in steps if s.index == answer.index]
            told = answer.take([step.id for step in own])
            if conversation.logprobs:
                others = conversation.top_logprobs or 0
                answer.score([self._scores.scored(step, others) for step in own[:told]])


def conversation_in(payload: bytes | bytearray) -> Conversation:
    """
    Read a request.

    Raises:
        ProviderRejectedError: one of its fields is not what it should be.

    """
    try:
        return _conversations.decode(payload)
    except msgspec.ValidationError as exc:
        raise ProviderRejectedError(f"The request has a wrong field: {exc}.", provider="") from exc
