"""The shipped `junctor-tiny`, loaded and asked by stock faster-whisper."""

import itertools
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from faster_whisper import WhisperModel
from tokenizers import Tokenizer

from junctor.plugins.local.tiny import MODEL_DIR, domain, model_path, speech
from junctor.plugins.local.tiny.evaluate import Judge, distance
from junctor.plugins.local.tiny.examples import Examples, Plan
from junctor.plugins.local.tiny.live import ShortEar, in_common
from junctor.plugins.local.tiny.studio import Recording, Studio
from junctor.plugins.local.tiny.tokenizer import Vocabulary, build_tokenizer, spelled

LANGUAGES = ("th", "en")
VOICES = {"th": ("th", "th+f2"), "en": ("en-us", "en-us+f2")}
KNOWN = {
    "th": ("ช่วย เปิด ประตู บ้าน", "กาแฟ ร้อน สาม สิบ บาท", "ผม ต้องการ เปิด บัญชี", "ขอบคุณ มาก ครับ"),
    "en": ("turn on the light", "where is the train station", "call my mother tomorrow morning"),
}


@pytest.fixture(name="judge", scope="module")
def _judge() -> Judge:
    return Judge(model_path())


@pytest.fixture(name="tokenizer", scope="module")
def _tokenizer() -> Tokenizer:
    return build_tokenizer()


def recordings(language: str, sentences: Iterable[str]) -> list[Recording]:
    """Have the voices of `language` say `sentences` in turn, each at its own rate and pitch."""
    studio = Studio(seed=7)
    return [
        studio.record(sentence.split(), language, voices=[voice])
        for sentence, voice in zip(sentences, itertools.cycle(VOICES[language]), strict=False)
    ]


@pytest.mark.parametrize("language", LANGUAGES)
def test_recognises_known_sentences(judge: Judge, language: str) -> None:
    """At most one letter in twenty of what it was trained on is wrong."""
    sentences = (*KNOWN[language], *domain.sentences(language)[::10])

    score = judge.score(recordings(language, sentences))

    assert score.cer <= 0.05, score.wrong


@pytest.mark.parametrize("language", LANGUAGES)
def test_recognises_sentences_through_noise(judge: Judge, language: str) -> None:
    """White noise 15 dB below the voice does not matter."""
    studio = Studio(seed=8)
    noisy = [
        studio.record(text.split(), language, voices=VOICES[language], noise_db=15)
        for text in KNOWN[language]
    ]

    assert judge.score(noisy).cer <= 0.05


@pytest.mark.parametrize("language", LANGUAGES)
def test_tells_the_language(judge: Judge, language: str) -> None:
    """Thai and English are told apart without a hint."""
    said = recordings(language, KNOWN[language])

    assert 1.0 == judge.languages(said)


@pytest.mark.parametrize("level", [0.0, 0.001, 0.05])
def test_hears_nothing_in_silence(judge: Judge, level: float) -> None:
    """Neither digital silence nor noise becomes a word."""
    noise = speech.Augmentation(seed=9).noise(3 * speech.SAMPLE_RATE)

    assert not judge.hear(Recording("th", (), level * noise, ()))


@pytest.mark.parametrize("language", LANGUAGES)
def test_recognises_sentences_in_a_short_context(judge: Judge, language: str) -> None:
    """The frames that a sentence needs and a few more are enough; they need not be 30 s."""
    ear = ShortEar(judge.model)

    score = judge.score(recordings(language, KNOWN[language]), ear.hear)

    assert score.cer <= 0.05, score.wrong


@pytest.mark.parametrize("language", LANGUAGES)
def test_hears_the_words_of_a_window_cut_anywhere(judge: Judge, language: str) -> None:
    """Nine of ten words that a window of streaming holds in full are written."""
    studio = Studio(seed=10)
    cuts = [
        studio.cut(words, language, voices=VOICES[language], seconds=1.6)
        for words in studio.sequences(language, count=12, words=7)
    ]

    assert ShortEar(judge.model).score(cuts).right >= 0.9


def test_translates_word_for_word(judge: Judge) -> None:
    """The task `translate` writes the English glosses of Thai words."""
    (said,) = recordings("th", ["ช่วย เปิด ประตู บ้าน"])

    heard = judge.hear(said, task="translate").split()
    expected = [domain.THAI[word] for word in said.words]

    assert distance(expected, heard) <= 1


def test_times_words(judge: Judge) -> None:
    """Half of the word starts are right to 60 ms."""
    said = recordings("th", KNOWN["th"]) + recordings("en", KNOWN["en"])

    errors = judge.word_starts(said)

    assert len(errors) > 20
    assert np.median(errors) < 0.06


def test_is_small_enough_to_ship() -> None:
    """The whole folder weighs less than 3 MB and carries its model card."""
    files = {file.name: file.stat().st_size for file in Path(MODEL_DIR).iterdir()}

    assert sum(files.values()) < 3_000_000
    assert {"README.md", "model.bin", "config.json", "tokenizer.json"} <= files.keys()


def test_shipped_tokenizer_is_the_one_built_here(tokenizer: Tokenizer) -> None:
    """The words of the domain and the words of the shipped model are the same."""
    shipped = Tokenizer.from_file(str(MODEL_DIR / "tokenizer.json"))

    assert tokenizer.get_vocab() == shipped.get_vocab()


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_word_is_one_token(tokenizer: Tokenizer, language: str) -> None:
    """A word is one token, with its leading space in English, and decodes to itself."""
    words = [spelled(word, language) for word in domain.vocabulary(language)]

    encoded = [tokenizer.encode(word).ids for word in words]

    assert {1} == {len(ids) for ids in encoded}
    assert words == [tokenizer.decode(ids) for ids in encoded]


def test_special_tokens_stand_as_whisper_has_them(tokenizer: Tokenizer) -> None:
    """faster-whisper and CTranslate2 count on this order."""
    ids = Vocabulary.of(tokenizer)

    assert [ids.end + 1, ids.end + 2, ids.end + 3] == [ids.start, *ids.languages.values()]
    assert 2 == ids.no_speech - ids.start - 5
    assert tokenizer.get_vocab_size() == ids.no_timestamps + 1 == ids.first_timestamp


def test_model_is_multilingual(judge: Judge) -> None:
    """It takes language and task tokens like the large ones."""
    model = judge.model

    assert isinstance(model, WhisperModel)
    assert model.model.is_multilingual
    assert {"th", "en"} <= set(model.supported_languages)


def test_no_two_words_sound_alike() -> None:
    """eSpeak says each word of a language in its own way, or nobody could tell them apart."""
    for language, voice in (("th", "th"), ("en", "en-us")):
        words = domain.vocabulary(language)
        said = [
            tuple(name for _, name in speech.render([word], language, voice=voice).phonemes)
            for word in words
        ]

        assert len(words) == len(set(said))


@pytest.mark.parametrize("language", LANGUAGES)
def test_held_out_sentences_are_of_known_words(language: str) -> None:
    """They are never among the trained ones, yet use nothing but their words."""
    known, held_out = domain.sentences(language), domain.held_out(language)

    assert not set(known) & set(held_out)
    assert set(domain.words_of(held_out)) <= set(domain.vocabulary(language))


def test_a_part_of_an_utterance_has_the_words_mostly_heard() -> None:
    """A word cut off in its first half is none of the words, one nearly whole is."""
    whole = speech.render(["open", "the", "door"], "en", voice="en-us")
    first, _, last = whole.spans
    assert first
    assert last

    part = whole.between(0.1 * first[1], last[0] + 0.4 * (last[1] - last[0]))

    assert ("open", "the") == part.words
    assert part.duration == pytest.approx(len(part.wave) / speech.SAMPLE_RATE)
    assert all(span and 0 <= span[0] < span[1] <= part.duration for span in part.spans)


def test_live_windows_are_followed_by_nothing() -> None:
    """As many frames of zeros as planned stand behind the longest window that was cut."""
    batch = Examples(seed=2, wide=True).batch(Plan(1.6, 4, full=False, live=True, quiet=40))

    assert not batch.features[:, :, -40:].any()
    assert batch.features.shape[2] % 20 == 0
    assert batch.words.shape == batch.phonemes.shape == (4, batch.features.shape[2] // 2)


def test_finds_what_two_sequences_have_in_common() -> None:
    """Neither inserted nor left-out words hide the others."""
    assert 3 == in_common(["a", "b", "c", "d"], ["x", "a", "c", "y", "d"])


def test_batches_label_what_is_said() -> None:
    """Each target fits its input: one label per token, one word and phoneme per 20 ms."""
    batch = Examples(seed=1).batch(Plan(seconds=4.0, size=4, full=False))

    assert batch.inputs.shape == batch.labels.shape == batch.heard[:, 1:, 0].shape
    assert batch.words.shape == batch.phonemes.shape == (4, batch.features.shape[2] // 2)
    assert np.isfinite(batch.features).all()
    assert (batch.words > 0).any()
