"""The hooks. The entry point names `plugin`, an object, since its hooks share a tally."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from attrs import evolve
from junctor.conf.settings import Settings
from junctor.core.attempts import Attempt
from junctor.core.hooks import hookimpl
from junctor.core.plans import Exclusion, Fault, Place, Plan
from junctor.core.plugins import plugin_settings
from junctor.core.transcripts import Transcript

from junctor_morse.provider import CARD, NAME, MorseProvider
from junctor_morse.settings import MorseSettings
from junctor_morse.tally import Tally
from junctor_morse.transcripts import without_procedure

if TYPE_CHECKING:
    from click import Command
    from litestar import Router


class MorsePlugin:
    """Everything that this package adds to a server."""

    def __init__(self) -> None:
        self.tally = Tally()
        """What was done so far, over all contracts."""

    @hookimpl
    def junctor_providers(self, settings: Settings) -> Sequence[MorseProvider]:
        """Offer the provider."""
        return [MorseProvider(plugin_settings(settings, NAME, MorseSettings))]

    @hookimpl
    def junctor_routers(self) -> "Sequence[Router]":
        """Offer the contract; it is imported now, since the command line needs no web framework."""
        from junctor_morse.contract import router

        return [router(self.tally)]

    @hookimpl
    def junctor_commands(self) -> "Sequence[Command]":
        """Offer `junctor morse`."""
        from junctor_morse.command import morse

        return [morse]

    @hookimpl
    def junctor_plan(self, plan: Plan) -> Plan | None:
        """Step back where policy ranks every model: most recordings are speech."""
        kept = tuple(
            one for one in plan.candidates if one.card != CARD or one.place is not Place.RANKED
        )
        if len(kept) == len(plan.candidates):
            return None
        why = Exclusion(
            model=CARD.name,
            reason="reads Morse code only; ask for it by name",
            fault=Fault.REQUEST,
        )
        return evolve(plan, candidates=kept, excluded=(*plan.excluded, why))

    @hookimpl
    def junctor_transcript(self, transcript: Transcript) -> Transcript:
        """Leave out the signals that steer a conversation."""
        return without_procedure(transcript)

    @hookimpl
    def junctor_attempt(self, attempt: Attempt) -> None:
        """Count."""
        self.tally.add(attempt)


plugin = MorsePlugin()
