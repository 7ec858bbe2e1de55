"""What the hooks do to plans, transcripts and attempts."""

from junctor.conf.settings import Settings
from junctor.core.attempts import Attempt
from junctor.core.cards import Capability
from junctor.core.plans import Candidate, Place, Plan
from junctor.core.testing.fakes import fake_card, transcript_of

from junctor_morse.decoding import Spelled
from junctor_morse.plugin import MorsePlugin
from junctor_morse.provider import CARD
from junctor_morse.tally import Tally
from junctor_morse.transcripts import transcript_of as morse_transcript_of
from junctor_morse.transcripts import words_per_minute


def test_offers_its_provider_without_settings() -> None:
    """It runs as it is installed."""
    (provider,) = MorsePlugin().junctor_providers(Settings())

    assert provider.name == "morse"


def test_steps_back_where_models_are_ranked() -> None:
    """Somebody who names no model has speech."""
    other = Candidate(card=fake_card(), place=Place.RANKED)
    plan = Plan(candidates=(Candidate(card=CARD, place=Place.RANKED), other))
    changed = MorsePlugin().junctor_plan(plan)

    assert changed is not None
    assert changed.candidates == (other,)
    assert changed.excluded[0].model == "morse:morse"


def test_serves_where_it_was_named() -> None:
    """By a caller, or by an operator."""
    plan = Plan(candidates=(Candidate(card=CARD, place=Place.REQUESTED),))

    assert MorsePlugin().junctor_plan(plan) is None


def test_leaves_out_procedure_signals() -> None:
    """In text, segments and words."""
    words = [Spelled("HI", 0.0, 1.0, True), Spelled("<AR>", 2.0, 3.0, False)]
    cleaned = MorsePlugin().junctor_transcript(morse_transcript_of(words))

    assert (cleaned.text, cleaned.segments[0].text) == ("HI", "HI")
    assert [word.text for word in cleaned.words] == ["HI"]


def test_leaves_other_transcripts_alone() -> None:
    """The very same object."""
    transcript = transcript_of("good morning")

    assert MorsePlugin().junctor_transcript(transcript) is transcript


def test_counts_its_own_attempts() -> None:
    """By outcome; those of others are not its business."""
    tally = Tally()
    for provider, outcome in (("morse", "ok"), ("morse", "cancelled"), ("whisper", "ok")):
        tally.add(
            Attempt(
                capability=Capability.TRANSCRIBE,
                provider=provider,
                outcome=outcome,
                audio_seconds=2.0,
            )
        )

    assert (tally.outcomes, tally.audio_seconds) == ({"ok": 1, "cancelled": 1}, 4.0)


def test_speed_is_read_off_the_words() -> None:
    """PARIS is 43 units from its first mark to its last."""
    transcript = morse_transcript_of([Spelled("PARIS", 0.0, 43 * 0.06, True)])

    assert words_per_minute(transcript) == 20.0
