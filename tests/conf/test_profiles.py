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


@pytest.mark.parametrize("profile", ["cluster", "default", "gpu", "remote"])
def test_own_plugins_accept_the_tables_of_each_profile(profile):
    """And every candidate of its chains is a model that they offer."""
    settings = load(Path(profile), ENVIRON)
    plugins = Plugins.load(
        Loader(allow=("openai", "sphinx", "whisper")), complaints=Complaints(is_quiet=True)
    )

    offer = plugins.providers(settings)
    catalog = offer.catalog(settings.models)
    chained = {one for model in settings.models.values() for one in model.chain}

    assert [str(one) for one in offer.statuses if one.status is State.FAILED] == []
    assert chained - set(catalog.cards) == set()
