from pathlib import Path

import pytest

from junctor.conf.loader import load
from junctor.conf.settings import Loader
from junctor.core.complaints import Complaints
from junctor.core.plugin_status import State
from junctor.core.plugins import Plugins

ENVIRON = {
    "JUNCTOR_DATABASE_URL": "sqlite:////tmp/x.db",
    "OPENAI_API_KEY": "sk-x",
}


LOCAL = ("ctranslate2", "ltx", "openai", "sphinx", "stills", "typhoon", "vllm", "whisper")


@pytest.mark.parametrize("profile", ["cluster", "default", "gpu", "remote"])
def test_own_plugins_accept_the_tables_of_each_profile(profile):
    """And every candidate of its chains is a model that they offer, or of one that sits out."""
    settings = load(Path(profile), ENVIRON)
    plugins = Plugins.load(
        Loader(allow=LOCAL),
        complaints=Complaints(is_quiet=True),
    )

    offer = plugins.providers(settings)
    catalog = offer.catalog(settings.models)
    absent = {"ltx", "typhoon"} & set(offer.absences)  # nobody ships their weights
    chained = {one for model in settings.models.values() for one in model.chain}

    strangers = {one for one in chained - set(catalog.cards) if one.split(":")[0] not in absent}

    assert [str(one) for one in offer.statuses if one.status is State.FAILED] == []
    assert strangers == set()
