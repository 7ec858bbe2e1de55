import tomllib

import pytest


def test_default_configuration_is_good(junctor):
    """Nothing has to be configured."""
    result = junctor("config", "check")

    assert (result.exit_code, result.stdout, result.stderr) == (
        0,
        "The configuration is good.\n",
        "",
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[server]\nport = 'x'\n", "server.port: Expected an integer, got a string."),
        ("[plugins.whisper]\nmodel = {}\n", "plugins.whisper.model: Unknown key."),
        ("[plugins.whispr]\n", "[plugins.whispr] is set, but no such plugin is installed."),
        ("[plugins.openai.providers.x]\napi_key = '${NOT_SET}'\n", "variable NOT_SET is not set"),
    ],
)
def test_wrong_configuration_exits_with_two(junctor, config, text, said):
    """Tables of plugins are checked by the plugins."""
    path = config(text)

    result = junctor("config", "check", "--config", path)

    assert (result.exit_code, said in result.stderr, result.stdout) == (2, True, "")


def test_broken_plugin_is_a_warning(junctor, shelf):
    """The server would start without it."""
    shelf.add("bad", "raise ValueError('no')")

    result = junctor("config", "check")

    assert (result.exit_code, "plugin bad (bad-dist 1.0) failed at import" in result.stderr) == (
        0,
        True,
    )


def test_broken_plugin_is_an_error_when_strict(junctor, shelf, config):
    """The server would not start."""
    shelf.add("bad", "raise ValueError('no')")

    assert junctor("config", "check", "--config", config("[loader]\nstrict = true")).exit_code == 2


def test_model_that_nobody_serves_is_a_warning(junctor, config):
    """Callers would get an error that the operator can foresee."""
    path = config("default_model = 'none'\n[models.lost]\nchain = ['gone:x']\n")

    result = junctor("config", "check", "--config", path)

    assert (result.exit_code, result.stderr) == (
        0,
        (
            'junctor: models."lost": nobody serves it (gone:x: not installed)\n'
            "junctor: default_model: there is no model 'none'\n"
        ),
    )


def test_shown_configuration_is_toml_without_secrets(junctor):
    """The profile's key came from the environment."""
    shown = junctor("config", "show", "--config", "remote", OPENAI_API_KEY="sk-secret").stdout

    assert tomllib.loads(shown)["plugins"]["openai"]["providers"]["openai"]["api_key"] == "***"
    assert "sk-secret" not in shown
