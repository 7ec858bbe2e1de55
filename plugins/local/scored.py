"""`logprobs` of OpenAI's dialect."""

from collections.abc import Sequence

import msgspec
from msgspec import Raw, Struct

from junctor.plugins.local.workers.chat_items import Scored


class _Top(Struct):
    token: str
    logprob: float
    bytes: list[int]


class _Token(_Top):
    top_logprobs: list[_Top]


class _Logprobs(Struct):
    content: list[_Token]
    refusal: str | None = None


def logprobs(scores: Sequence[Scored]) -> Raw:
    """Write down how likely tokens were; one of half a character has its bytes only."""
    content = [
        _Token(
            token=one.token.decode("utf-8", "replace"),
            logprob=one.logprob,
            bytes=list(one.token),
            top_logprobs=[
                _Top(token=token.decode("utf-8", "replace"), logprob=score, bytes=list(token))
                for token, score in one.others
            ],
        )
        for one in scores
    ]
    return Raw(msgspec.json.encode(_Logprobs(content)))
