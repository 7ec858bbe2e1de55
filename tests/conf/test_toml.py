import datetime as dt
import tomllib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from junctor.conf.loader import load
from junctor.conf.settings import Secret, Settings, Storage
from junctor.conf.toml import dumps, show

TEXT = st.text(st.sampled_from("ab.-_ \"'\\\n\t\x00\x1f\x7f\x85ก\u2028😀#=[]{}$"), max_size=6)
SCALARS = st.one_of(
    TEXT,
    st.booleans(),
    st.integers(-(2**62), 2**62),
    st.floats(allow_nan=False),
    st.dates(dt.date(1000, 1, 1)),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(TEXT, VALUES, max_size=4))
def test_what_is_written_reads_back_the_same(tree):
    """Any tree of TOML's own values survives."""
    assert tomllib.loads(dumps(tree)) == tree


@pytest.mark.parametrize("profile", ["default", "gpu"])
def test_shown_settings_load_again_to_the_same(tmp_path, profile):
    """`config show > file` is a way to pin everything."""
    shown = show(load(Path(profile), {}))
    path = tmp_path / "shown.toml"
    path.write_text(f"extends = []\n{shown}", "utf-8")

    assert show(load(path, {})) == shown


def test_secrets_are_hidden():
    """Secrets and passwords in URLs read as stars; an empty secret is seen to be empty."""
    table = {"api_key": Secret("sk-1"), "list": [Secret("sk-2")], "none": Secret("")}
    storage = Storage(database_url="postgresql://me:pw@host/db")

    text = show(Settings(plugins={"acme": table}, storage=storage))

    assert [line for line in text.splitlines() if "***" in line or '""' in line][:5] == [
        'public_url = ""',
        'database_url = "postgresql://me:***@host/db"',
        'shared_state_url = ""',
        'api_key = "***"',
        'list = ["***"]',
    ]


def test_origins_are_not_shown():
    """They are no setting."""
    assert "origins" not in tomllib.loads(show(load(None, {})))
