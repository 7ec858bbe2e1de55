"""The plugin's table: checked, and without credentials it sits out."""

import pytest

from junctor.conf.settings import Secret, Settings
from junctor.core.errors import ConfigError, NotConfiguredError
from junctor.plugins.remote.openai import junctor_providers
from junctor.plugins.remote.openai.settings import ProviderSettings

KEYED: dict[str, object] = {"api_key": Secret("sk-1")}


def settings(**providers: dict[str, object]) -> Settings:
    return Settings(plugins={"openai": {"providers": providers}})


def test_one_provider_per_table():
    """Each table with credentials is a provider; one without sits out."""
    found = junctor_providers(settings(openai=KEYED, local={"keyless": True}, other={}))

    assert ["openai", "local"] == [provider.name for provider in found]


@pytest.mark.parametrize(
    ("table", "named"),
    [(Settings(), "openai"), (settings(mine={}), "mine"), (settings(mine={"api_key": ""}), "mine")],
    ids=["absent", "no key", "empty key"],
)
def test_without_credentials_it_sits_out(table, named):
    """The reason says which key to set where."""
    with pytest.raises(NotConfiguredError, match=rf"no credentials: .*providers\.{named}"):
        junctor_providers(table)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.openai.com",
        "ftp://host/v1",
        "https://",
        "https://u:p@host",
        "https://h/v1?key=1",
        "https://h#x",
    ],
)
def test_wrong_url_is_named(url):
    """A base URL that cannot work is a configuration error that names its key."""
    with pytest.raises(ConfigError, match=r"providers\.mine\.base_url"):
        junctor_providers(settings(mine={**KEYED, "base_url": url}))


@pytest.mark.parametrize(
    ("table", "url"),
    [
        ({}, "wss://api.openai.com/v1/realtime"),
        ({"base_url": "http://10.0.0.5:8000/v1/"}, "ws://10.0.0.5:8000/v1/realtime"),
        ({"realtime_url": "wss://host/x"}, "wss://host/x"),
    ],
)
def test_realtime_url_follows_base_url(table, url):
    """The WebSocket is beside the API, unless the table says where it is."""
    assert url == ProviderSettings(**table).live_url


@pytest.mark.parametrize("url", ["https://host", "wss://", "wss://u@host", "ws://h?x=1"])
def test_wrong_realtime_url_is_named(url):
    """A realtime URL that cannot work is a configuration error that names its key."""
    with pytest.raises(ConfigError, match=r"providers\.mine\.realtime_url"):
        junctor_providers(settings(mine={**KEYED, "realtime_url": url}))


@pytest.mark.parametrize("key", ["sk 1", "sk-1\n", "sk-ä"])
def test_wrong_key_is_not_shown(key):
    """A key that cannot be a header is an error that names the setting and not the value."""
    with pytest.raises(ConfigError, match=r"mine\.api_key") as caught:
        junctor_providers(settings(mine={"api_key": Secret(key)}))

    assert "sk" not in str(caught.value)


def test_misspelled_key_is_named():
    """An unknown setting is an error."""
    with pytest.raises(ConfigError, match="api_kay"):
        junctor_providers(settings(mine={"api_kay": "x"}))
