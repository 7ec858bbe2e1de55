"""
The tokenizer of `junctor-tiny`: byte-level BPE in which every known word is one token.

Whisper's own layout, because faster-whisper and CTranslate2 derive ids from it: text,
``<|endoftext|>``, ``<|startoftranscript|>``, languages, tasks, the rest of the specials, then the
timestamps, then the empty token by which CTranslate2 knows a multilingual model.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import attrs

from junctor.plugins.local.tiny import domain

if TYPE_CHECKING:
    from tokenizers import Tokenizer

WINDOW_SECONDS = 10
"""What the model hears at a time, seconds."""

TIMESTAMPS = WINDOW_SECONDS * 50 + 1
"""Timestamp tokens, every 20 ms from the start of the window to its end, both included."""

LANGUAGES = ("en", "th")

_SPECIALS = (
    "<|endoftext|>",
    "<|startoftranscript|>",
    *(f"<|{language}|>" for language in LANGUAGES),
    "<|translate|>",
    "<|transcribe|>",
    "<|startoflm|>",
    "<|startofprev|>",
    "<|nospeech|>",
    "<|notimestamps|>",
)
# faster-whisper suppresses the first token of each of these: unless they are merged, that is the
# bare space, and no English word that is not in the vocabulary could ever be written.
_MERGED = (" -", " '", *(f" {note}" for note in "♩♪♫♬♭♮♯"))


def spelled(word: str, language: str) -> str:
    """Return `word` as it stands in the text: English words carry their leading space."""
    return word if language == "th" else f" {word}"


def build_tokenizer() -> "Tokenizer":
    """Train the byte-level BPE on the domain's words, each of which becomes one token."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    words = [spelled(word, "th") for word in domain.THAI]
    words += [spelled(word, "en") for word in (*domain.ENGLISH, *domain.GLOSSES)]
    trainer = trainers.BpeTrainer(
        vocab_size=20_000,
        min_frequency=1,
        show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    tokenizer.train_from_iterator([*_MERGED * 50, *words], trainer)
    tokenizer.add_special_tokens(
        [AddedToken(name, special=True, normalized=False) for name in _SPECIALS]
    )
    return tokenizer


@attrs.frozen(eq=False)
class Vocabulary:
    """The token ids of a tokenizer, by their meaning."""

    end: int
    start: int
    languages: Mapping[str, int]
    tasks: Mapping[str, int]
    previous: int
    no_speech: int
    no_timestamps: int
    space: int
    words: Mapping[str, Mapping[str, int]]
    """Language -> word -> id."""

    @property
    def first_timestamp(self) -> int:
        """The id of the start of the window."""
        return self.no_timestamps + 1

    @property
    def size(self) -> int:
        """Classes of the model; the last one is the empty token that is never written."""
        return self.first_timestamp + TIMESTAMPS + 1

    @property
    def heard(self) -> Sequence[int]:
        """The ids of all words, sorted: the classes of a frame are their places, from 1."""
        return sorted({id_ for words in self.words.values() for id_ in words.values()})

    def timestamp(self, seconds: float) -> int:
        """Return the id nearest to `seconds` from the start of the window."""
        return self.first_timestamp + min(TIMESTAMPS - 1, max(0, round(seconds * 50)))

    @classmethod
    def of(cls, tokenizer: "Tokenizer") -> "Vocabulary":
        """Read the ids out of `tokenizer`."""

        def find(name: str) -> int:
            return tokenizer.get_vocab()[name]

        def ids(language: str, words: Sequence[str]) -> dict[str, int]:
            return {word: tokenizer.encode(spelled(word, language)).ids[0] for word in words}

        return cls(
            end=find("<|endoftext|>"),
            start=find("<|startoftranscript|>"),
            languages={language: find(f"<|{language}|>") for language in LANGUAGES},
            tasks={task: find(f"<|{task}|>") for task in ("translate", "transcribe")},
            previous=find("<|startofprev|>"),
            no_speech=find("<|nospeech|>"),
            no_timestamps=find("<|notimestamps|>"),
            space=find("Ġ"),
            words={
                "th": ids("th", tuple(domain.THAI)),
                "en": ids("en", (*domain.ENGLISH, *domain.GLOSSES)),
            },
        )
