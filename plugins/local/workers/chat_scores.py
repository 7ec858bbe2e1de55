"""How likely tokens were (`logprobs`), and what they are as bytes."""

from functools import cache
from typing import TYPE_CHECKING

from junctor.plugins.local.workers.chat_items import Scored
from junctor.plugins.local.workers.chat_lanes import Step

if TYPE_CHECKING:
    from tokenizers import Tokenizer


class Scores:
    """Writes down the likelihood of the tokens of one tokenizer."""

    def __init__(self, tokenizer: "Tokenizer") -> None:
        self._tokenizer = tokenizer
        self._is_bytes = type(tokenizer.decoder).__name__ == "ByteLevel"

    def scored(self, step: Step, others: int) -> Scored:
        """Return a step's token and its likelihood, and so many of the likeliest in its place."""
        likeliest: tuple[tuple[bytes, float], ...] = ()
        if others and step.logits is not None:
            import numpy as np

            logits = step.logits - step.logits.max()
            scores = logits - np.log(np.exp(logits).sum())
            ids = np.argsort(scores)[::-1][:others]
            likeliest = tuple((self._bytes(int(one)), float(scores[one])) for one in ids)
        return Scored(self._bytes(step.id), step.logprob or 0.0, likeliest)

    def _bytes(self, number: int) -> bytes:
        token = self._tokenizer.id_to_token(number) or ""
        letters = byte_of()
        if self._is_bytes and all(letter in letters for letter in token):
            return bytes(letters[letter] for letter in token)
        return str(self._tokenizer.decode([number], skip_special_tokens=False)).encode()


@cache
def byte_of() -> dict[str, int]:
    """Return the byte that each letter of a byte-level vocabulary stands for (as in GPT-2)."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [one for one in range(256) if one not in plain]
    letters = [*map(chr, plain), *(chr(256 + n) for n in range(len(rest)))]
    return dict(zip(letters, [*plain, *rest], strict=True))
