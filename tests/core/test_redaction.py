"""Secrets and folders leave free text; names stay."""

import pytest

from junctor.core.redaction import publishable, redact

SECRETS = {
    "header": ("Authorization: Bearer abcdefgh12345678", "abcdefgh"),
    "vendor-key": ("refused sk-proj-AbCdEfGh1234567890XyZaBcD", "AbCd"),
    "own-key": ("key demo_ab12cd34_Zm9vYmFyYmF6cXV4MTIzNDU2 unknown", "Zm9v"),
    "url": ("postgres://user:hunter2@db/x", "hunter2"),
    "query": ("GET /x?api_key=abcd1234&y=1", "abcd1234"),
    "json": ('{"token": "abc.def"}', "abc.def"),
    "assignment": ("password='correct horse'", "correct"),
}
NAMES = (
    "deepdml/faster-whisper-large-v3-turbo-ct2",
    "Qwen2-Audio-7B-Instruct-GGUF",
    "3e4f5a6b-1234-4abc-9def-1234567890ab",
    "3e4f5a6b12344abc9def1234567890ab",
    "a key must be given",
)


@pytest.mark.parametrize(("text", "secret"), SECRETS.values(), ids=SECRETS)
def test_secret_is_masked(text, secret):
    """What looks like a credential is gone, and a mask says so."""
    masked = redact(text)

    assert (secret in masked, "***" in masked) == (False, True)


@pytest.mark.parametrize("text", NAMES)
def test_name_is_left(text):
    """Model names and identifiers are no secrets, however long."""
    assert text == redact(text)


def test_folders_are_cut_from_what_is_published():
    """A reason shown to anybody keeps the file's name, not where it lies."""
    text = "[Errno 2] No such file: '/home/op/.cache/x/model.bin'"

    assert "[Errno 2] No such file: 'model.bin'" == publishable(text)


def test_published_text_is_one_short_line():
    """A traceback becomes one line of bounded length."""
    text = publishable("one\n  two\t" + "three " * 1000)

    assert (text[:9], len(text), text[-1]) == ("one two t", 500, "…")


def test_url_is_left():
    """The path of a URL is no folder."""
    text = "https://api.example.com/v1/models failed"

    assert text == publishable(text)
