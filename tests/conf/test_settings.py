from junctor.conf.settings import Secret, Settings


def test_secret_does_not_show_itself():
    """Neither by repr nor by str nor inside a message."""
    secret = Secret("hunter2")

    assert "hunter2" not in f"{secret!r} {secret} {[secret]}"


def test_secret_is_revealed_on_purpose_only():
    """The one way to its value."""
    assert Secret("hunter2").reveal() == "hunter2"


def test_secrets_compare_by_value():
    """A reload sees whether one changed."""
    assert {Secret("a"), Secret("a"), Secret("b")} == {Secret("b"), Secret("a")}


def test_empty_secret_is_false():
    """`if not secret` asks whether there is one."""
    assert (bool(Secret("")), bool(Secret("x"))) == (False, True)


def test_all_settings_have_defaults():
    """Nothing has to be configured."""
    assert Settings() == Settings()
