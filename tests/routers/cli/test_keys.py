import re

import pytest

KEY = re.compile(r"jn_([a-z0-9]{8})_[A-Za-z0-9]{40}\n")


def created(junctor, *arguments: str) -> str:
    found = KEY.fullmatch(junctor("keys", "create", "--team", "research", *arguments).stdout)
    assert found is not None
    return found[1]


def test_new_key_stands_alone_on_standard_output(junctor):
    """A script takes it as it comes."""
    result = junctor("keys", "create", "--team", "research")

    assert (bool(KEY.fullmatch(result.stdout)), result.stderr) == (True, "")


def test_keys_are_listed_for_programs(junctor):
    """The shape is stable; no secret is in it."""
    prefix = created(junctor)
    (key,) = junctor.json("keys", "list")["keys"]
    time = key.pop("created_at")

    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", time)
    assert key == {"prefix": prefix, "team": "research", "label": "jn", "revoked_at": None}


def test_keys_are_listed_for_people(junctor):
    """One line each under headings."""
    prefix = created(junctor)

    lines = junctor("keys", "list").stdout.splitlines()

    assert [line.split()[:3] for line in lines if prefix in line] == [[prefix, "research", "jn"]]


def test_key_is_revoked_and_restored(junctor):
    """The list says which state it is in."""
    prefix = created(junctor)

    said = junctor("keys", "revoke", prefix).stdout
    revoked = junctor.json("keys", "list")["keys"][0]["revoked_at"]
    junctor("keys", "restore", prefix)
    restored = junctor.json("keys", "list")["keys"][0]["revoked_at"]

    assert said == f"Revoked {prefix}. A running server refuses it within 60 seconds.\n"
    assert (revoked is None, restored) == (False, None)


@pytest.mark.parametrize("command", ["revoke", "restore"])
def test_unknown_prefix_is_an_error(junctor, command):
    """One line, and what to do."""
    result = junctor("keys", command, "nowhere1")

    assert (result.exit_code, result.stderr.startswith("junctor: There is no key")) == (1, True)


def test_team_has_to_be_named(junctor):
    """A key belongs to somebody."""
    result = junctor("keys", "create")

    assert (result.exit_code, "--team" in result.stderr) == (2, True)


def test_bad_label_is_an_error(junctor):
    """It would not be recognised as a key."""
    result = junctor("keys", "create", "--team", "research", "--label", "a_b")

    assert (result.exit_code, result.stdout) == (1, "")
