import pytest

from junctor.conf.loader import load
from junctor.conf.reload import prepare
from junctor.core.errors import ConfigError


@pytest.fixture(name="path")
def _path(tmp_path):
    path = tmp_path / "junctor.toml"
    path.write_text("[server]\nport = 1\n[plugins.acme]\ntoken = '${TOKEN}'\n[teams.a]\n")
    return path


def test_same_file_changes_nothing(path):
    """A reload for nothing says so."""
    current = load(path, {"TOKEN": "x"})

    reload = prepare(path, {"TOKEN": "x"}, current=current)

    assert (reload.changed, reload.needs_restart, reload.settings) == ((), (), current)


def test_changes_are_named_and_sorted_by_when_they_count(path):
    """Keys that came, went and changed; those of the process itself wait for a restart."""
    current = load(path, {"TOKEN": "x"})
    path.write_text(
        "[server]\nport = 2\n[plugins.acme]\ntoken = 'y'\n[limits]\nmax_upload_bytes = 9\n"
    )

    reload = prepare(path, {}, current=current)

    assert (reload.changed, reload.needs_restart) == (
        ("limits.max_upload_bytes", "plugins.acme.token", "server.port", "teams.a"),
        ("server.port",),
    )


def test_setting_that_was_absent_counts_as_changed(path):
    """From no bound to a bound."""
    current = load(path, {"TOKEN": "x"})
    path.write_text(path.read_text() + "audio_seconds_per_day = 5\n")

    reload = prepare(path, {"TOKEN": "x"}, current=current)

    assert reload.changed == ("teams.a.audio_seconds_per_day",)


def test_wrong_file_is_refused(path):
    """The caller keeps what it has."""
    current = load(path, {"TOKEN": "x"})
    path.write_text("[server]\nport = 'x'\n")

    with pytest.raises(ConfigError, match=r"server\.port"):
        prepare(path, {}, current=current)
