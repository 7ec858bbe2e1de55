"""What a request wants of the decoding, held against what this model and engine can do."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from junctor.core.chat.dialect import Conversation
from junctor.core.errors import (
    ProviderContextError,
    ProviderRejectedError,
    ProviderUnavailableError,
)
from junctor.plugins.local.workers.chat_items import ChatOptions
from junctor.plugins.local.workers.chat_lanes import Sampling
from junctor.plugins.local.workers.chat_prompt import settings_in

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TEMPERATURE: Final = 0.7
"""Where neither the request nor the model's folder says one."""
MOST_ANSWERS: Final = 16
MOST_CANDIDATES: Final = 1000
"""Of `top_k`; more are as all."""
LEAST_TOP_P: Final = 0.001
MOST_SCORES: Final = 20
"""Of `top_logprobs`."""


class Limits:
    """What the model's folder, and its settings, say of decoding."""

    def __init__(self, folder: Path, options: ChatOptions) -> None:
        self._context = options.context_tokens
        self._folder = folder
        found = settings_in(folder, "generation_config.json")
        self._end_ids = found.get("eos_token_id")
        self.defaults = found if found.get("do_sample", True) else {"temperature": 0.0}

    def ends(self, tokenizer: "Tokenizer") -> frozenset[int]:
        """
        Return the ids that end an answer.

        Raises:
            ProviderUnavailableError: the folder names none.

        """
        given = self._end_ids if isinstance(self._end_ids, list) else [self._end_ids]
        names = [
            settings_in(self._folder, name).get("eos_token")
            for name in ("tokenizer_config.json", "config.json")
        ]
        names = [one.get("content") if isinstance(one, dict) else one for one in names]
        named = [tokenizer.token_to_id(one) for one in names if isinstance(one, str)]
        ends = frozenset(one for one in (*given, *named) if isinstance(one, int))
        if not ends:
            raise ProviderUnavailableError("The model's folder names no end token.", provider="")
        return ends

    def longest(self, conversation: Conversation, prompt: int) -> int:
        """
        Return how many tokens each answer may have.

        Raises:
            ProviderContextError: prompt and answer are longer than the context.
            ProviderRejectedError: the answer asked for has no length.

        """
        wanted = conversation.max_output_tokens
        left = self._context - prompt
        if left < 1:
            raise ProviderContextError(
                f"The prompt has {prompt} tokens, and the model's context {self._context}.",
                provider="",
            )
        if wanted is None:
            return left
        if wanted < 1:
            raise _refusal("`max_tokens` is at least 1.")
        if wanted > left:
            raise ProviderContextError(
                f"The prompt has {prompt} tokens, and {wanted} of an answer are more than the "
                f"model's context of {self._context} leaves ({left}).",
                provider="",
            )
        return wanted

    def answers(self, conversation: Conversation) -> int:
        """
        Return how many answers are wanted.

        Raises:
            ProviderRejectedError: that many are not given.

        """
        wanted = 1 if conversation.n is None else conversation.n
        if not 1 <= wanted <= MOST_ANSWERS:
            raise _refusal(f"`n` is 1 to {MOST_ANSWERS} here.")
        return wanted


def sampling_of(conversation: Conversation, defaults: Mapping[str, object]) -> Sampling:
    """
    Return how a conversation wants its tokens chosen.

    Args:
        conversation: what is asked.
        defaults: of the model's folder, in Hugging Face's words.

    Raises:
        ProviderRejectedError: it wants what cannot be done here.

    """
    _check(conversation)
    top = conversation.top_logprobs or 0
    top_k = int(_number(conversation.top_k, defaults, "top_k", 0))
    return Sampling(
        temperature=_number(conversation.temperature, defaults, "temperature", TEMPERATURE),
        top_p=max(_number(conversation.top_p, defaults, "top_p", 1.0), LEAST_TOP_P),
        top_k=top_k if 0 < top_k <= MOST_CANDIDATES else 0,
        repetition_penalty=_number(
            conversation.repetition_penalty, defaults, "repetition_penalty", 1.0
        ),
        has_scores=bool(conversation.logprobs),
        has_logits=bool(conversation.logprobs and top),
    )


def _number(
    asked: float | None, defaults: Mapping[str, object], name: str, otherwise: float
) -> float:
    found = defaults.get(name)
    if asked is not None:
        return asked
    return float(found) if isinstance(found, int | float) else otherwise


def _check(conversation: Conversation) -> None:
    if conversation.frequency_penalty or conversation.presence_penalty:
        raise _refusal("This engine has `repetition_penalty` only, no other penalty.")
    if conversation.response_format and conversation.response_format.type != "text":
        raise _refusal("This engine cannot hold an answer to a format.")
    if not 0 <= (conversation.top_logprobs or 0) <= MOST_SCORES:
        raise _refusal(f"`top_logprobs` is 0 to {MOST_SCORES}.")
    for name, least, most in (
        ("temperature", 0, 2),
        ("top_p", 0, 1),
        ("repetition_penalty", 0.01, 10),
    ):
        value = getattr(conversation, name)
        if value is not None and not least <= value <= most:
            raise _refusal(f"`{name}` is {least} to {most}.")


def _refusal(sentence: str) -> ProviderRejectedError:
    return ProviderRejectedError(sentence, provider="")
