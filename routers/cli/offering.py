"""What the plugins offer with these settings, for commands that only look."""

import msgspec

from junctor.conf.settings import Settings
from junctor.core.complaints import Complaints
from junctor.core.offers import Offer
from junctor.core.plugins import Plugins


def offer_of(settings: Settings) -> Offer:
    """
    Load all plugins and ask for their providers; nothing is started, and nothing is refused.

    `loader.strict` is left aside, so that every failure can be shown.
    """
    return loaded(settings).providers(settings)


def loaded(settings: Settings) -> Plugins:
    """Load all plugins without a word in the log."""
    loader = msgspec.structs.replace(settings.loader, strict=False)
    return Plugins.load(loader, complaints=Complaints(is_quiet=True))
