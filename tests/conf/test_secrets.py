import pytest

from junctor.conf.secrets import hide, looks_secret, masked_url, reveal
from junctor.conf.settings import Secret


@pytest.mark.parametrize(
    "key",
    [
        "api_key",
        "apiKey",
        "API-KEY",
        "apikey",
        "token",
        "authToken",
        "db_password",
        "secrets",
        "key",
    ],
)
def test_names_of_secrets_are_known(key):
    """Whatever the spelling."""
    assert looks_secret(key)


@pytest.mark.parametrize("key", ["keywords", "monkey", "path", "tokenizer", "base_url", ""])
def test_other_names_are_not(key):
    """A word inside another word does not count."""
    assert not looks_secret(key)


@pytest.mark.parametrize(
    ("at", "is_filled", "expected"),
    [
        (("plugins", "a", "path"), False, "x"),
        (("plugins", "a", "path"), True, Secret("x")),
        (("plugins", "a", "keys", 0), False, Secret("x")),
        (("plugins", "a", "tokens", "one"), False, Secret("x")),
        (("plugins", "key", "path"), False, "x"),
        (("storage", "database_url"), True, "x"),
    ],
)
def test_only_what_may_be_secret_in_a_plugins_table_is_wrapped(at, is_filled, expected):
    """By its name, the name of a table above it, or because the environment gave it."""
    assert hide("x", at, is_filled=is_filled) == expected


def test_reveal_gives_plain_strings_at_any_depth():
    """A plugin's own type decides again what is secret."""
    assert reveal({"a": [Secret("x"), {"b": Secret("y")}], "n": 1}) == {
        "a": ["x", {"b": "y"}],
        "n": 1,
    }


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql+asyncpg://me:pw@host/db", "postgresql+asyncpg://me:***@host/db"),
        ("redis://:pw@host:6379/0", "redis://:***@host:6379/0"),
        (
            "postgresql://host/db?user=me&password=pw&x=1",
            "postgresql://host/db?user=me&password=***&x=1",
        ),
        ("https://host/path?a=b", "https://host/path?a=b"),
        ("redis://host", "redis://host"),
    ],
)
def test_password_in_a_url_is_masked(url, expected):
    """Connection strings are shown without what opens them."""
    assert masked_url(url) == expected
